# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test says when this machine cannot run it. The same words in C++: require.h.

A test that cannot run prints `SKIP: <why> (<what to do>)` and exits 77, which ctest counts as
skipped; with CI=true in the environment it prints `MISSING TIER: …` and exits 1.
"""

import os
import shutil
import sys

SKIPPED = 77
SBIN = "/usr/sbin:/sbin"  # often not in PATH


def missing(why, what_to_do):
    must_run = os.environ.get("CI") == "true"
    print(f"{'MISSING TIER' if must_run else 'SKIP'}: {why} ({what_to_do})", flush=True)
    sys.exit(1 if must_run else SKIPPED)


def root(why):
    if os.geteuid() != 0:
        missing(f"not root: {why}", "run it as root")


def programs(*names, setup="test"):
    path = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    absent = [name for name in names if not shutil.which(name, path=path)]
    if absent:
        missing(f"not installed: {', '.join(absent)}", f"run scripts/setup {setup}")


def file(path, why):
    if not os.path.exists(path):
        missing(f"no {path}: {why}", "load its driver, or give it to this container")
