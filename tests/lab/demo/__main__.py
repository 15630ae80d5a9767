# SPDX-License-Identifier: GPL-3.0-or-later
"""The command behind scripts/demo."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from lablib.lab import Lab
from lablib.proc import LAB_FAILED, LabError

from . import report, scenes, stage
from .progress import Progress
from .verdict import table

DESCRIPTION = """\
Two gateways as QEMU guests, with the real kernel's IPsec, strongSwan and a TPM each,
agree on a policy, attest each other, and pass traffic in which every packet is signed.
Then six things go wrong: each is told with what happened, in how long, and how it healed.
"""
EPILOG = """\
Installs the Debian packages it needs, builds what it shows, and leaves nothing running.
exit codes: 0 all verdicts are as they should be; 1 one is not; 125 the lab failed;
130 interrupted.
environment: CS_LAB names the lab (default 'demo'), CS_BUILD a build to show as it is.
"""


def options():
    parser = argparse.ArgumentParser(prog="scripts/demo", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)  # scripts/demo asks for it
    parser.add_argument("--keep", action="store_true", help="leave the lab as it is at the end, to look around in")
    parser.add_argument("--out", type=Path, default=Path("demo-report"), metavar="DIR",
                        help="where report.html, verdicts.json and the captures go (default demo-report)")
    return parser.parse_args()


def interrupt(number, _):
    for ours in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ours, signal.SIG_IGN)  # once is enough: what follows is cleaning up
    raise KeyboardInterrupt(signal.Signals(number).name)


def show(wanted, progress):
    """Plays it all; gives the stage and the verdicts."""
    shown, build = stage.Stage(wanted.out, progress), stage.Build(progress) if wanted.build else None
    try:
        if build:
            build.start()
        shown.set_up(build)
        verdicts = list(scenes.play(shown))
        shown.end_watch()
        return shown, verdicts
    finally:
        if build:
            build.end()


def write(shown, verdicts, seconds):
    """What a machine reads, and what a person does."""
    passed = all(verdict.passed for verdict in verdicts)
    told = {"schema": 1, "passed": passed, "seconds": round(seconds, 1), "commit": stage.commit(), "programs": stage.programs(),
            "attested_in": round(shown.facts["attested_in"], 1),
            "steps": [{"step": text, "seconds": round(took, 1)} for text, took in shown.progress.steps],
            "verdicts": [verdict.as_json() for verdict in verdicts]}
    (shown.out / "verdicts.json").write_text(json.dumps(told, indent=2) + "\n")
    (shown.out / "report.html").write_text(report.page(shown, verdicts, told))
    return passed


def main():
    wanted = options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    begun, lab = time.monotonic(), Lab(os.environ["CS_LAB"])
    if lab.home.exists():
        raise LabError(f"lab '{lab.name}' is up, kept by --keep or left by a demo that was killed; first: scripts/lab --name {lab.name} down")
    try:
        shown, verdicts = show(wanted, Progress())
        passed = write(shown, verdicts, time.monotonic() - begun)
    except BaseException:
        wanted.keep = False
        raise
    finally:
        if not wanted.keep:
            lab.down()
    took = time.monotonic() - begun
    print(f"\n{table(verdicts)}\n\n{'All is as it should be' if passed else 'NOT ALL is as it should be'}, in {took:.0f} s."
          f" The report: {wanted.out}/report.html; what was on the wire: {wanted.out}/wana.pcap, wanb.pcap")
    if wanted.keep:
        print(f"The lab is up: scripts/lab --name {lab.name} run gwa -- countersign status; at last: scripts/lab --name {lab.name} down")
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, AssertionError, TimeoutError) as why:  # all that setting it up can end with
        print(f"\ndemo: {why}", file=sys.stderr)
        sys.exit(getattr(why, "exit_code", LAB_FAILED))
    except KeyboardInterrupt:
        print("\ndemo: interrupted; nothing is left", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
