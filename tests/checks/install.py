#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cmake --install puts everything where Debian expects it, and what it puts there runs."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

WANTED = ("usr/bin/countersign", "usr/bin/nfq-bench", "usr/share/man/man8/countersign.8", "usr/share/man/man8/nfq-bench.8",
          "usr/share/bash-completion/completions/countersign", "usr/share/zsh/site-functions/_countersign",
          "usr/share/fish/vendor_completions.d/countersign.fish",
          "usr/sbin/nfq-signer", "usr/share/man/man8/nfq-signer.8", "usr/lib/systemd/system/nfq-signer.service",
          "usr/sbin/keymsd", "usr/libexec/countersign/keymsd-carrier", "usr/share/man/man8/keymsd.8", "usr/lib/systemd/system/keymsd.service",
          "usr/lib/systemd/system/strongswan.service.d/countersign.conf", "usr/lib/sysusers.d/countersign.conf",
          "usr/share/doc/countersign/examples/nfq-signer.toml", "usr/share/doc/countersign/examples/keymsd.toml",
          "usr/share/doc/countersign/README.md",
          "usr/share/doc/countersign/LICENSE", "usr/share/doc/countersign/CLAIMS.md")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--build", type=Path, required=True)
    arguments.add_argument("--version", required=True)
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["cmake", "--install", str(args.build), "--prefix", f"{scratch}/usr"], check=True, stdout=subprocess.DEVNULL)
        found = [f"{name}: not installed" for name in WANTED if not (Path(scratch) / name).is_file()]
        if not found:
            said = subprocess.run([f"{scratch}/usr/bin/countersign", "--version"], check=True, text=True, stdout=subprocess.PIPE).stdout
            if said != f"countersign {args.version}\n":
                found.append(f"countersign --version says {said!r}, the project is {args.version}")
            found += man_breaches(sorted(Path(scratch).glob("usr/share/man/*/*")))
    print("\n".join(found) or "installs, and runs from there")
    return 1 if found else 0


def man_breaches(pages):
    for page in pages:
        said = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)], check=False, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
        if said.strip():
            yield f"{page.name}: {said.strip()}"


if __name__ == "__main__":
    sys.exit(main())
