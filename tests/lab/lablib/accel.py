# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM only where it has just booted this very kernel; software emulation everywhere else."""

import os
import subprocess
import sys
from pathlib import Path

from .paths import cache_dir

TCG, KVM = "tcg,thread=multi", "kvm"
PROBE_LIMIT = 5
# Without a disk the kernel comes this far in a second under KVM, and then panics.
PROOF = b"VFS: Unable to mount root fs"


def choose(kernel):
    """/dev/kvm may exist and still not run an ordinary kernel, so the answer is tried, once per boot of this machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = cache_dir() / f"kvm-{boot}"
    if not answer.exists():
        for old in cache_dir().glob("kvm-*"):
            old.unlink()
        answer.write_text(KVM if probe(kernel) else TCG)
    return answer.read_text()


def probe(kernel):
    argv = ["qemu-system-x86_64", "-accel", "kvm", "-machine", "q35", "-cpu", "max", "-m", "512", "-display", "none",
            "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel),
            "-append", "console=ttyS0 panic=-1"]
    try:
        said = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=PROBE_LIMIT, check=False).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    works = PROOF in said
    if not works:
        print(f"lab: /dev/kvm did not boot the guest kernel within {PROBE_LIMIT} s; using software emulation", file=sys.stderr)
    return works
