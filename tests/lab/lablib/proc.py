# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes with time limits, and the one error type of the lab."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

TIMED_OUT = 124  # exit codes of `scripts/lab run`, as timeout(1) and docker use them
LAB_FAILED = 125


class LabError(Exception):
    """Says what was tried, why it failed and what to do. Exit code 125 (124 for a time limit)."""

    def __init__(self, message, exit_code=LAB_FAILED):
        super().__init__(message)
        self.exit_code = exit_code


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        raise LabError(f"missing {', '.join(missing)}; install with: scripts/setup lab")


def run(argv, timeout=30, **kwargs):
    """Runs to the end, returns stdout; anything but exit code 0 is a LabError with what it printed."""
    kwargs.setdefault("text", True)
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=kwargs.pop("stdin", subprocess.DEVNULL), timeout=timeout, **kwargs)
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is not installed; install with: scripts/setup lab") from None
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(argv)}: no end within {timeout} s\n{late.output or ''}{late.stderr or ''}", TIMED_OUT) from None
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def start_time(pid):
    """The kernel's start time of a process: with the pid it names one process for good. None if gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid, started):
    return started is not None and start_time(pid) == started


OURS = ("qemu-", "swtpm", "ssh", "nsenter", "tcpdump", "cs-middle", "timeout")


def pids_naming(text):
    """Processes of the lab's kinds with `text` in their command line: how `down` finds its own without a state file."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in command and os.path.basename(command.split(b"\0")[0].decode(errors="replace")).startswith(OURS):
            found.append(int(entry.name))
    return found


def end_all(find, patience=3.0):
    """Ends every process that find() names: TERM, then KILL; returns when all are gone."""
    sig, deadline = signal.SIGTERM, time.monotonic() + patience
    while pids := [p for p in find() if start_time(p) is not None]:
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            if sig == signal.SIGKILL:
                raise LabError(f"processes {pids} do not end, not even by SIGKILL")
            sig, deadline = signal.SIGKILL, time.monotonic() + patience
        time.sleep(0.05)
