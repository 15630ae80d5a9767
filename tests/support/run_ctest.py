#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ctest for people: a line per suite as it ends, failures in full at the end, then an honest tally.

ctest counts a skipped test among the passed ones, so the last line here is our own.
"""

import hashlib
import itertools
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) \.+\s*(.*?)\s+([\d.]+) sec")
SKIP_WORDS = ("SKIP:", "MISSING TIER:")
TELLING = re.compile(r"[Ee]rror: |: Failure$|Sanitizer")
RULE = "=" * 72
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """By ctrl-C, by whoever limits our time, by a terminal that went away."""


def interrupt(number, frame):
    for ours in INTERRUPTS:
        signal.signal(ours, signal.SIG_IGN)  # once is enough: what follows is cleaning up
    raise Interrupted(signal.Signals(number).name)


def stream(build, arguments, report):
    """Runs ctest, shows progress; returns its exit code and the summary it closes with."""
    argv = ["ctest", "--test-dir", str(build), "--no-tests=error", "--output-junit", str(report),
            "--test-output-size-passed", "100000", "--test-output-size-failed", "1000000",
            "--parallel", str(os.cpu_count() or 1), *arguments]
    summary = []
    # A process group of its own: whatever ends us, we end all of it.
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True) as ctest:
        try:
            for line in ctest.stdout:
                show_progress(line, summary)
        except Interrupted:
            os.killpg(ctest.pid, signal.SIGTERM)
            raise
    return ctest.returncode, summary


def show_progress(line, summary):
    match = LINE.match(line)
    if match:
        name, verdict, seconds = match.groups()
        verdict = re.sub(r"^\**", "", verdict).strip().lower()
        print(f"  {verdict:10} {name} ({float(seconds):.1f} s)", flush=True)
    elif summary or "tests passed" in line or line.startswith("No tests"):
        summary.append(line.rstrip("\n"))
    elif not re.match(r"^\s*Start\s+\d+: |^Internal ctest|^Test project|^\s*$", line):
        print(f"  {line.rstrip()}", flush=True)


def show_failures(cases):
    for case in cases:
        print(f"\n{RULE}\nFAILED: {case.get('name')}\n{RULE}")
        print((case.findtext("system-out") or "(it printed nothing)").rstrip())
        print(f"--- again, alone: scripts/test '^{case.get('name')}$'")


def tell_again(case):
    """What says most of a failure, for whoever sees only the end of what is printed here."""
    lines = [line.strip() for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if TELLING.search(line)), -4)
    print(f"failed  {case.get('name')}", *(f"        {line[:300]}" for line in lines[first:][:4]), sep="\n")


def said_skip(case):
    """It ran and said so; a program that is not there is "skipped" to ctest too, and a failure here."""
    skipped = case.find("skipped")
    return skipped is not None and skipped.get("message", "").startswith("SKIP_RETURN_CODE")


def reason(case):
    lines = (case.findtext("system-out") or "").splitlines()
    return next((line.strip() for line in lines if line.strip().startswith(SKIP_WORDS)), "it gave no reason")


def take_lab_down(build):
    """ctest does it as its last test, but not when it is interrupted."""
    name = "t" + hashlib.md5(str(build).encode()).hexdigest()[:8]  # as tests/lab/CMakeLists.txt names it
    subprocess.run([str(ROOT / "scripts/lab"), "--name", name, "down"], check=False)


def main():
    build, arguments = Path(sys.argv[1]).resolve(), sys.argv[2:]
    report = build / "junit.xml"
    report.unlink(missing_ok=True)
    for number in INTERRUPTS:
        signal.signal(number, interrupt)
    try:
        code, summary = stream(build, arguments, report)
    except Interrupted as why:
        print(f"\ntest: interrupted ({why})", file=sys.stderr)
        take_lab_down(build)
        return 130
    cases = ElementTree.parse(report).getroot().findall("testcase") if report.exists() else []
    failed = [c for c in cases if c.get("status") == "fail"]
    skipped = [c for c in cases if said_skip(c)]
    not_run = [c for c in cases if c.get("status") in ("notrun", "disabled") and c not in skipped]
    show_failures(failed + not_run)
    print()
    for case in skipped:
        print(f"skipped {case.get('name')}: {reason(case)}")
    print("\n".join(itertools.takewhile(lambda line: not line.startswith("The following tests"), summary)))
    for case in failed + not_run:
        tell_again(case)
    passed = len(cases) - len(failed) - len(skipped) - len(not_run)
    print(f"\n{passed} passed, {len(failed) + len(not_run)} failed, {len(skipped)} skipped")
    return code or (1 if failed or not_run or not passed else 0)


if __name__ == "__main__":
    sys.exit(main())
