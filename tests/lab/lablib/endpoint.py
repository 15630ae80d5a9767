# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done on any node, guest or namespace: run, shell, push, pull, capture."""

import shlex
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import netns
from .proc import LAB_FAILED, TIMED_OUT, LabError

DEFAULT_LIMIT = 60
GRACE = 5  # the node enforces the limit; this much later we stop waiting for it


@dataclass
class Done:
    code: int
    out: str
    err: str


class Endpoint:
    """Subclasses say how a command gets there (`command`) and whether the node still lives."""

    name = ""

    def command(self, argv, tty=False):
        raise NotImplementedError

    def ensure_alive(self):
        """Raises LabError, with the end of the console, when the node has crashed."""

    def ailment(self):
        """What is wrong with the node while it still runs, and the way back; empty: nothing."""
        return ""

    def limited(self, argv, limit):
        return ["timeout", "--kill-after=2", str(limit), *argv] if limit else list(argv)

    def popen(self, argv, limit=DEFAULT_LIMIT, **kwargs):
        self.ensure_alive()
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.command(self.limited(argv, limit)), **kwargs)

    def run(self, argv, limit=DEFAULT_LIMIT, check=True, **kwargs):
        """Runs to the end with its output captured. With `check`, any exit code but 0 is a LabError."""
        process = self.popen(argv, limit, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
        out, err = self.supervise(process, limit)
        if check and process.returncode != 0:
            code = TIMED_OUT if process.returncode == TIMED_OUT else LAB_FAILED
            raise LabError(f"{self.name}: {shlex.join(argv)}: exit code {process.returncode}\n{out}{err}{self.ailment()}", code)
        return Done(process.returncode, out, err)

    def interactive(self, argv, limit=DEFAULT_LIMIT):
        """Runs with the caller's own standard streams; returns the exit code."""
        process = self.popen(argv, limit, stdin=None)
        self.supervise(process, limit)
        if process.returncode != 0 and self.ailment():
            print(f"lab: {self.ailment()}", file=sys.stderr)
        return process.returncode

    def supervise(self, process, limit):
        """Waits for the end, and notices within a second when the node dies instead."""
        deadline = time.monotonic() + limit + GRACE if limit else None
        try:
            while True:
                try:
                    return process.communicate(timeout=0.5)
                except subprocess.TimeoutExpired:
                    self.ensure_alive()
                    if deadline and time.monotonic() > deadline:
                        raise LabError(f"{self.name} does not answer: no end {GRACE} s past the limit of {limit} s", TIMED_OUT) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.returncode != 0:
                self.ensure_alive()

    def shell(self):
        self.ensure_alive()
        return subprocess.call(self.command([], tty=True))

    def push(self, sources, directory, limit=DEFAULT_LIMIT):
        """Files and directories of this machine into `directory` on the node (made if missing)."""
        self.place({directory: sources}, limit)

    def place(self, files, limit=DEFAULT_LIMIT):
        """The same into several: directory → sources. One connection costs as much as the other."""
        root, = {Path(directory).anchor or "." for directory in files}
        what = "; ".join(f"{', '.join(map(str, sources))} to {directory}" for directory, sources in files.items())
        process = self.popen(["tar", "-x", "--no-same-owner", "-C", root], limit, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            with tarfile.open(fileobj=process.stdin, mode="w|", dereference=True) as archive:
                for directory, sources in files.items():
                    for source in sources:
                        archive.add(source, arcname=Path(directory) / Path(source).resolve().name)
            process.stdin.close()
        except OSError as why:
            process.kill()
            self.ensure_alive()
            raise LabError(f"{self.name}: cannot push {what}: {why}") from None
        process.stdin = None
        self.finish_transfer(process, limit, f"push {what}")

    def pull(self, sources, directory, limit=DEFAULT_LIMIT):
        """Files and directories of the node into `directory` on this machine (made if missing)."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        pack = ["sh", "-c", 'for f; do set -- "$@" -C "$(dirname "$f")" "$(basename "$f")"; shift; done; tar -c "$@"',
                "sh", *map(str, sources)]
        process = self.popen(pack, limit, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        unpack = subprocess.run(["tar", "-x", "--no-same-owner", "-C", str(directory)], stdin=process.stdout,
                                stderr=subprocess.PIPE, check=False)
        process.stdout.close()
        process.stdout = None
        self.finish_transfer(process, limit, f"pull {', '.join(map(str, sources))}")
        if unpack.returncode != 0:
            raise LabError(f"cannot unpack into {directory}: {unpack.stderr.decode(errors='replace')}")

    def finish_transfer(self, process, limit, what):
        _, err = self.supervise(process, limit)
        if process.returncode != 0:
            raise LabError(f"{self.name}: cannot {what}: {err.decode(errors='replace').strip()}")

    def capture(self, interface, expression=(), limit=DEFAULT_LIMIT, count=None, out=subprocess.PIPE, err=subprocess.PIPE):
        """A running tcpdump that writes the capture file to `out`; end it with terminate()."""
        argv = ["tcpdump", "-i", interface, "-U", "--immediate-mode", "-n", "-s", "0", "-w", "-", *(["-c", str(count)] if count else [])]
        return self.popen([*argv, *expression], limit, stdout=out, stderr=err)


class HostNode(Endpoint):
    """A namespace of this machine."""

    def __init__(self, name, namespace):
        self.name, self.namespace = name, namespace

    def command(self, argv, tty=False):
        return netns.inside(self.namespace, argv or ["bash", "--rcfile", "/dev/null"])
