#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/OPERATIONS.md explains all that nfq-signer tells: fields of its status, reasons, lines of its journal; and the codes of `countersign doctor`; and nothing else."""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

PAGE = "docs/OPERATIONS.md"


class Kind(NamedTuple):
    """What is told: where it stands, and how to find it there. Its table's first column has the kind's name."""
    name: str
    source: str
    block: str  # in the source, with one group
    item: str  # in each block, with one group


KINDS = (
    Kind("field", "nfq-signer/status.cpp", r"(.*)", r'\{"(\w+)",'),
    Kind("reason", "nfq-signer/reason.h", r"\bnames\{(.*?)\}", r'"(\w+)"'),
    Kind("line", "nfq-signer/daemon.cpp", r"\bsay\((.*?)\);", r'"([^"]{6,})"'),
    Kind("code", "tools/doctor/checks.cpp", r"\btable\{(.*?)\n\};", r'Check\{"([^"]+)"'),
)
UNTOLD = {"reason": {"none"}}


def told(kind, root):
    text = (root / kind.source).read_text(encoding="utf-8")
    items = [item for block in re.findall(kind.block, text, re.DOTALL) for item in re.findall(kind.item, block)]
    return Counter(item for item in items if item not in UNTOLD.get(kind.name, ()))


def explained(kind, text):
    """The names in the first column of tables of that kind; of paths[].lost the last part. As often as they are there."""
    names, in_table = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 4:
            in_table = False
        elif not in_table:
            in_table = cells[1] == kind.name
        elif code := re.match(r"`([^`]+)`", cells[1]):
            names.append(code[1].rpartition("[].")[2].removeprefix("keys."))
    return Counter(names)


def check(root):
    text = (root / PAGE).read_text(encoding="utf-8")
    breaches = []
    for kind in KINDS:
        wanted, found = told(kind, root), explained(kind, text)
        if not wanted:
            breaches.append(f"{kind.source}: no {kind.name} is found there any more; teach tests/checks/operations.py where they are")
        breaches += [f"{PAGE}: {kind.name} `{name}` of {kind.source} has no row; say what it means and what to do" for name in wanted - found]
        breaches += [f"{PAGE}: {kind.name} `{name}` has a row, or one too many; {kind.source} does not have it" for name in found - wanted]
    return breaches


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--root", type=Path, required=True)
    breaches = check(arguments.parse_args().root)
    print("\n".join(breaches) or f"{PAGE} explains all that is told")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
