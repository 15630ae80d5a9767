#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the house: licence lines, a README per folder, no package mirror named, test command as documented."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
FOLDERS = ("base", "nfq-signer", "xfrm", "tpm", "keyms", "tools", "tests", "scripts", "docs")
README_LINES = 30
# Formats without comments, and texts under their own rules.
NO_SPDX = ("LICENSE", ".gitignore", "CMakePresets.json", ".md", ".json")
NO_SPDX_FOLDERS = ("tests/fuzz/seeds/",)


def tracked(root):
    """What is or would be committed; in a copy without git, every file but the build's."""
    git = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"], check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if git.returncode == 0 and git.stdout:
        return [name for name in git.stdout.decode().split("\0") if name and (root / name).is_file()]
    return [str(p.relative_to(root)) for p in sorted(root.rglob("*"))
            if p.is_file() and p.relative_to(root).parts[0] not in ("build", ".git") and "__pycache__" not in p.parts]


def licence_breaches(root, names):
    for name in names:
        if name.endswith(NO_SPDX) or name.startswith(NO_SPDX_FOLDERS):
            continue
        head = (root / name).read_bytes()[:400].decode(errors="replace")
        if SPDX not in head:
            yield f"{name}: no line '{SPDX}' near its top"


def readme_breaches(root):
    for folder in FOLDERS:
        path = root / folder / "README.md"
        if not path.is_file():
            yield f"{folder}/README.md: missing; say the folder's job, its map and what it may depend on"
            continue
        lines = path.read_text().splitlines()
        if len(lines) > README_LINES:
            yield f"{folder}/README.md: {len(lines)} lines, at most {README_LINES}"
        for word in ("Map", "Depends on"):
            if not any(word in line for line in lines):
                yield f"{folder}/README.md: no '{word}' part"


def mirrors():
    """Hosts this machine's apt downloads from; none of them belongs into the repository."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {re.sub(r"^\w+://", "", line).split("/")[0] for line in done.stdout.splitlines() if line.strip()}


def mirror_breaches(root, names, hosts):
    for name in names:
        text = (root / name).read_bytes().decode(errors="replace")
        for host in hosts:
            if host in text:
                yield f"{name}: names the package mirror of this machine; leave mirrors to apt's own configuration"


def command_breaches(root):
    """.ci/run runs what the README tells people to run, and nothing else."""
    ci = [line for line in (root / ".ci/run").read_text().splitlines() if line.strip() and not line.startswith(("#", "set "))]
    if ci != ['cd "$(dirname "$0")/.."', "exec scripts/test"]:
        yield f".ci/run: must only run scripts/test; it runs: {'; '.join(ci)}"
    if "scripts/test" not in (root / "README.md").read_text():
        yield "README.md: does not tell the test command, scripts/test"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--root", type=Path, required=True)
    root = arguments.parse_args().root
    names = tracked(root)
    found = [*licence_breaches(root, names), *readme_breaches(root), *mirror_breaches(root, names, mirrors()), *command_breaches(root)]
    print("\n".join(found) or f"the house is in order: {len(names)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
