#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/CLAIMS.md is complete, and it, docs/THREATS.md and the tests named in docs/PROTOCOL.md are true to the tree.

--tests FILE is the output of `ctest --show-only=json-v1`; --build DIR asks ctest
itself. With --tests '' names of ctest tests are taken on trust, and it says so.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

NO_TEST = "—"

# Every id there must be a row for, as PREFIX-name. Only ever added to.
REQUIRED = {
    "MIMOS": """
        102 104 106 108 110 202 204a 204b 206a 206b 302 304 306 308 310 312 314 316 318 320
        402 404 406 408 410 412 414 416 420 platforms components 600 602 604
        claim-1 claim-2 claim-3 claim-4 claim-5 claim-6 claim-7 claim-8 claim-9 claim-10
        config-change ike-extension before-ike policy-agreed encrypt-with-tpm ttp-store vtpm hash-checked
        cert-on-valid request encrypted-data signer-choice auth-field sign each-arrival fail-status icv-32
        translator privacy-ca daa layer-3""",
    "SS": """
        transform transform-id version version-negated version-multiple version-early alternatives optional
        no-proposal backwards adp adp-opaque adp-after-auth adp-several adp-order adp-fragments adp-ack
        adp-errors continuous mutual agnostic ak ak-independent as-external as-connect as-data as-grant
        as-deny as-close as-errors timeout R1 R2 R3 R4 R5 G1 G2 A1 A2 A3 A4 V1 V2 P1 P2 P3 P3-certificates
        disclosure tnc-binding tnc-messages remote-service""",
    "COL": """
        aspect-1 aspect-2 aspect-3 aspect-4 aspect-5 aspect-6 110 120 130 140 150 160 170 180
        202 204 206 208 300 310 320 330 340 350 no-authority no-question undisturbed mutual-trust
        spoken-check origin trust-mark signed each-signed encrypted format use-policy validity several enable
        disable remove conditional screening info info-vendor info-identity info-certificate info-path
        nat-port nat-payloads dhcp sa-parameters second-proposal later later-certificate later-vendor
        later-modified fifth-fetch firewall ipsec-program library ipv6 ike-versions other-protocols""",
    "LINK": """
        endpoint quote-log aik A A-attack B B-content B-validate B-ca B-reissue B-attack B-no-crl
        C C-chains C-rotation C-local-keys C-key-choice VM-ca VM-event VM-validate VM-attack VM-properties
        VM-monitor VM-vulnerable VM-patches VM-compliance VM-intrusion
        revoke-event revoke-when revoke-noticed teardown quarantine""",
    "MF": """
        all-files sha256 tpm-signs lying-endpoint local-database database-update mutual-before tnc-exchange
        eap-nesting small-devices pq-exchange pq-authentication RFC4301 RFC4303 RFC7296 RFC5281 RFC5792
        RFC5793 RFC6876 RFC7171 IF-IMC IF-IMV PTS SWID-messages ISO19770-2""",
}


class Page(NamedTuple):
    path: str
    columns: list
    states: tuple  # in this order: nothing there, a part, the whole, and never
    reason: str  # stands before why it is the last
    noun: str
    has_all: bool  # a row for each id of REQUIRED, and no other


CLAIMS = Page("docs/CLAIMS.md", ["id", "what it asks", "where it will live", "test", "state"],
              ("not yet", "partly", "done", "declined"), "Declined:", "claims", True)
THREATS = Page("docs/THREATS.md", ["id", "threat", "what stands against it", "test", "state"],
               ("not yet", "partly", "stands", "open"), "Open:", "threats", False)
PAGES = (CLAIMS, THREATS)
PROSE = "docs/PROTOCOL.md"  # names tests outside such tables


class Row(NamedTuple):
    line: int
    id: str
    asks: str
    where: str
    test: str
    state: str


class Tree(NamedTuple):
    """What a row may name: files below root, and ctest's tests (None: not known)."""
    root: Path
    tests: frozenset | None


def required_ids():
    return [f"{prefix}-{name}" for prefix, names in REQUIRED.items() for name in names.split()]


def cells(line):
    """The cells of a table line, or None when it does not begin and end with a bar."""
    parts = [part.strip() for part in re.split(r"(?<!\\)\|", line.strip())]
    return parts[1:-1] if len(parts) > 2 and parts[0] == parts[-1] == "" else None


def place_breach(place, found, columns):
    """What is wrong with the line at `place` (0 header, 1 ruler, 2 and more rows) of a table."""
    if place == 0 and found != columns:
        return f"table: its columns must be: {' | '.join(columns)}"
    if place == 1 and (len(found) != len(columns) or any(not re.fullmatch(r":?-+:?", cell) for cell in found)):
        return "table: no ruler below the header; add |---|---|---|---|---|"
    if place > 1 and len(found) != len(columns):
        return f"{found[0] or 'row'}: {len(found)} columns, not {len(columns)}; write a bar inside a cell as \\|"
    if place > 1 and not all(found):
        return f"{found[0] or 'row'}: an empty cell; fill it (no test: {NO_TEST})"
    return None


def read(text, columns):
    """The rows of the page, and (line, breach) for what is no good row."""
    rows, breaches, place = [], [], -1
    for number, line in enumerate(text.splitlines(), start=1):
        if "|" not in re.sub(r"`[^`]*`", "", line):
            place = -1
            continue
        place += 1
        found = cells(line)
        if found is None:
            breaches.append((number, "row: does not begin and end with a bar; put a | at both ends of it"))
            continue
        breach = place_breach(place, found, columns)
        if breach:
            breaches.append((number, breach))
        elif place > 1:
            rows.append(Row(number, *found))
    return rows, breaches


def id_breaches(rows, page):
    required, seen = required_ids() if page.has_all else [row.id for row in rows], {}
    for row in rows:
        if row.id in seen:
            yield row.line, f"{row.id}: also in line {seen[row.id]}; keep one row, or give this one an id of its own"
        elif row.id not in required:
            yield row.line, f"{row.id}: not a known id; correct it, or add it to REQUIRED in tests/checks/claims.py"
        seen.setdefault(row.id, row.line)
    for missing in (name for name in required if name not in seen):
        prefix = missing.split("-")[0] + "-"
        line = max((row.line for row in rows if row.id.startswith(prefix)), default=1)
        yield line, f"{missing}: no row; put it back, state 'not yet' if nothing is there"


def is_path(name, tree):
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or parts[0] in (".git", "build"):
        return False
    return (tree.root / name).exists()


def looks_like_test(name):
    return re.fullmatch(r"[a-z]+(\.[\w-]+)+", name) is not None


def name_breach(name, column, tree):
    """Why `name`, in backticks in that column, is nothing that exists; None if it is."""
    if is_path(name, tree):
        return None
    path, colons, inside = name.partition("::")
    if colons:
        if not is_path(path, tree) or not (tree.root / path).is_file():
            return f"`{path}` is no file of the tree; correct the path before the ::"
        text = (tree.root / path).read_text(errors="replace")
        if inside and re.search(rf"(?<!\w){re.escape(inside)}(?!\w)", text):
            return None
        return f"`{inside}` does not occur in {path}; name a test as it is written there"
    if column == "where":
        return f"`{name}` is no path of the tree; correct it, or take the backticks off a plan"
    if name in (tree.tests or ()) or (tree.tests is None and looks_like_test(name)):
        return None
    return f"`{name}` is neither a path of the tree nor a test ctest knows; correct it (ctest -N lists them)"


def is_test(name, tree):
    """A test, and not just any file: ctest's, or code below tests/."""
    path = name.partition("::")[0]
    if is_path(path, tree):
        return path.startswith("tests/") and (tree.root / path).is_file() and not path.endswith((".md", ".txt"))
    return looks_like_test(name) if tree.tests is None else name in tree.tests


def state_breaches(row, good, page, tree):
    nothing, part, whole, never = page.states
    if row.state not in page.states:
        yield f"state '{row.state}' is none of: {', '.join(page.states)}"
    if row.state in (part, whole):
        if not any(is_path(name.partition("::")[0], tree) for name in good["where"]):
            yield f"is '{row.state}' without an existing path in backticks for where; name one, or say '{nothing}'"
        if not any(is_test(name, tree) for name in good["test"]):
            yield f"is '{row.state}' without an existing test in backticks; name one, or say '{nothing}'"
    if row.state == nothing and row.test != NO_TEST:
        yield f"is '{nothing}' but names a test; write {NO_TEST}, or say '{part}'"
    if row.state == never and not any(re.search(rf"{page.reason}\s*\w", cell) for cell in (row.asks, row.where)):
        yield f"is {never} without a reason; give it after '{page.reason}'"


def row_breaches(row, page, tree):
    good = {"where": [], "test": []}
    for column in good:
        text = getattr(row, column)
        if text.count("`") % 2:
            yield f"a backtick without its partner in column {column}; close it"
            continue
        for name in re.findall(r"`([^`]*)`", text):
            breach = name_breach(name, column, tree)
            if breach:
                yield breach
            else:
                good[column].append(name)
    yield from state_breaches(row, good, page, tree)


def check(tree, page=CLAIMS):
    """(rows, breaches as lines to print) of that page below tree.root."""
    try:
        text = (tree.root / page.path).read_text(encoding="utf-8")
    except OSError as error:
        return [], [f"{page.path}:1: page: cannot be read ({error.strerror}); put it back"]
    rows, found = read(text, page.columns)
    found += id_breaches(rows, page)
    found += [(row.line, f"{row.id}: {breach}") for row in rows for breach in row_breaches(row, page, tree)]
    return rows, [f"{page.path}:{line}: {breach}" for line, breach in sorted(found)]


def prose_breaches(tree):
    """What PROSE names as `path::Name` and the tree has not, as lines to print."""
    for number, line in enumerate((tree.root / PROSE).read_text(encoding="utf-8").splitlines(), start=1):
        for name in re.findall(r"`([^`]*::[^`]*)`", line):
            breach = name_breach(name, "test", tree)
            if breach:
                yield f"{PROSE}:{number}: {breach}"


def ctest_names(text):
    return frozenset(test["name"] for test in json.loads(text)["tests"])


def ask_ctest(build):
    """ctest, even only listing, overwrites the log of a run in the same directory: so list from another one."""
    (build / "CTestTestfile.cmake").stat()  # ctest itself only warns when it is missing
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "CTestTestfile.cmake").write_text(f'subdirs("{build.resolve()}")\n')
        return subprocess.run(["ctest", "--test-dir", scratch, "--show-only=json-v1"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, required=True)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--tests", help="file with ctest's list, or '' for none")
    source.add_argument("--build", type=Path, help="build directory to ask ctest about")
    given = arguments.parse_args()
    tests = None
    try:
        if given.build or given.tests:
            tests = ctest_names(ask_ctest(given.build) if given.build else Path(given.tests).read_text())
    except (OSError, ValueError, LookupError, subprocess.CalledProcessError) as error:
        arguments.error(f"no list of tests from {given.build or given.tests}: {error}")
    untold = "" if tests is not None else "; names of ctest tests not checked"
    is_good = True
    for page in PAGES:
        rows, breaches = check(Tree(given.root, tests), page)
        counts = Counter(row.state for row in rows)
        print("\n".join(breaches) or f"{len(rows)} {page.noun}: " + ", ".join(f"{counts[s]} {s}" for s in page.states) + untold)
        is_good = is_good and not breaches
    for breach in prose_breaches(Tree(given.root, tests)):
        print(breach)
        is_good = False
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
