# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab has left behind."""

import subprocess
from pathlib import Path

from lablib import netns
from lablib.paths import RUN_ROOT
from lablib.proc import pids_naming


def mounts():
    return {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}


def remains(name, mounted, maker):
    """Of the lab of that name, that process `maker` brought up, when `mounted` was mounted before: what there is of each kind, where there is."""
    links = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {"processes": pids_naming(f"{RUN_ROOT / name}/"), "namespaces": netns.named(f"cs-{name}-"),
             "files": [str(RUN_ROOT / name)] if (RUN_ROOT / name).exists() else [], "mounts": sorted(mounts() - mounted),
             "tap devices": [line for line in links.splitlines() if f"cs{maker}g" in line]}
    return {kind: what for kind, what in found.items() if what}
