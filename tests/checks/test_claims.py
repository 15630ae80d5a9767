#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of breach is found in a small made-up tree; the real page has none."""

import contextlib
import io
import json
import re
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import claims

REAL = Path(__file__).resolve().parents[2]
HEAD = "# Claims\n\n| id | what it asks | where it will live | test | state |\n|---|---|---|---|---|\n"
KNOWN = {"unit.wire", "lab.ipsec"}
THREATS = """# Threats

| id | threat | what stands against it | test | state |
|---|---|---|---|---|
| forged | made up | `tpm/quote.cpp` | `unit.wire` | stands |
| seen | who talks to whom | Open: IPsec shows it | — | open |
"""
LISTED = json.dumps({"kind": "ctestInfo", "tests": [{"name": name} for name in sorted(KNOWN)]})


class MadeUp(unittest.TestCase):
    """A tree with three required claims, MIMOS-102, MIMOS-104 and SS-R1."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.write("tpm/quote.cpp", "int quote();\n")
        self.write("tests/unit/wire_test.cpp", "TEST(Wire, RoundTripOfBatch) {}\n")
        self.write("tests/README.md", "Wire\n")
        patch = mock.patch.object(claims, "REQUIRED", {"MIMOS": "102 104", "SS": "R1"})
        patch.start()
        self.addCleanup(patch.stop)

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def page(self, **cells):
        """The page, where MIMOS-104 (line 6) has the given cells and the others are as they should be."""
        row = {"id": "MIMOS-104", "asks": "attest", "where": "keyms/ (session)", "test": "—", "state": "not yet", **cells}
        plain = "| {} | something | keyms/ | — | not yet |"
        return HEAD + "\n".join((plain.format("MIMOS-102"), "| " + " | ".join(row.values()) + " |", plain.format("SS-R1"))) + "\n"

    def breaches(self, text=None, tests=frozenset(KNOWN), **cells):
        self.write(claims.CLAIMS.path, self.page(**cells) if text is None else text)
        return claims.check(claims.Tree(self.root, tests))[1]

    def assert_one(self, found, line, name, part):
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"docs/CLAIMS.md:{line}: {name}: "), found)
        self.assertIn(part, found[0])


class Table(MadeUp):
    def test_a_good_page(self):
        self.assertEqual(self.breaches(), [])

    def test_several_tables_and_text_between(self):
        rows = self.page()[len(HEAD):].splitlines()
        self.assertEqual(self.breaches(HEAD + "\n".join(rows[:2]) + "\n\nText with `a|b`.\n\n" + HEAD + rows[2]), [])

    def test_no_page(self):
        self.assertEqual(len(claims.check(claims.Tree(self.root, None))[1]), 1)

    def test_missing_row_each(self):
        for name in ("MIMOS-102", "MIMOS-104", "SS-R1"):
            with self.subTest(name=name):
                kept = "\n".join(line for line in self.page().splitlines() if f"| {name} |" not in line)
                found = self.breaches(kept)
                self.assertEqual(len(found), 1, found)
                self.assertIn(f": {name}: no row", found[0])

    def test_duplicate_id(self):
        found = self.breaches(self.page() + "| SS-R1 | again | keyms/ | — | not yet |\n")
        self.assert_one(found, 8, "SS-R1", "also in line 7")

    def test_unknown_id(self):
        self.assert_one(self.breaches(self.page() + "| SS-R9 | x | keyms/ | — | not yet |\n"), 8, "SS-R9", "not a known id")

    def test_malformed_rows(self):
        for row, name, part in (("| SS-R1 | x | keyms/ | not yet |", "SS-R1", "4 columns"),
                                ("| SS-R1 | x | y | keyms/ | — | not yet |", "SS-R1", "6 columns"),
                                ("| SS-R1 |  | keyms/ | — | not yet |", "SS-R1", "empty cell"),
                                ("SS-R1 | x | keyms/ | — | not yet |", "row", "begin and end"),
                                ("| SS-R1 | x | keyms/ | — | not yet", "row", "begin and end")):
            with self.subTest(row=row):
                found = self.breaches("\n".join(self.page().splitlines()[:-1] + [row]))
                self.assertEqual(len(found), 2, found)  # malformed, and so no row for its id
                self.assertTrue(any(b.startswith(f"docs/CLAIMS.md:7: {name}: ") and part in b for b in found), found)

    def test_escaped_bar_is_no_column(self):
        self.assertEqual(self.breaches(asks="a \\| b"), [])

    def test_columns_and_ruler(self):
        self.assert_one(self.breaches(self.page().replace("it will live", "it lives")), 3, "table", "columns must be")
        self.assert_one(self.breaches(self.page().replace("|---|---|---|---|---|", "|---|---|---|")), 4, "table", "ruler")


class Names(MadeUp):
    def test_a_good_row(self):
        for test in ("`unit.wire`", "`tests/unit/wire_test.cpp`", "`tests/unit/wire_test.cpp::RoundTripOfBatch`"):
            for state in ("partly", "done"):
                with self.subTest(test=test, state=state):
                    self.assertEqual(self.breaches(where="`tpm/quote.cpp`, tools/", test=test, state=state), [])

    def test_dead_path(self):
        for name in ("tpm/gone.cpp", "/etc/passwd", "../x", ".", "", "unit.wire"):
            with self.subTest(name=name):
                self.assert_one(self.breaches(where=f"`{name}`"), 6, "MIMOS-104", "no path of the tree")

    def test_dead_test(self):
        done = {"where": "`tpm/quote.cpp`", "state": "done"}
        for name, part in (("unit.gone", "neither a path"), ("tests/gone.cpp", "neither a path"),
                           ("tests/gone.cpp::Wire", "no file of the tree"), ("tests::Wire", "no file of the tree"),
                           ("tests/unit/wire_test.cpp::Gone", "does not occur"), ("tests/unit/wire_test.cpp::", "does not occur"),
                           ("tests/unit/wire_test.cpp::RoundTrip", "does not occur")):
            with self.subTest(name=name):
                self.assert_one(self.breaches(**done, test=f"`unit.wire`, `{name}`"), 6, "MIMOS-104", part)

    def test_names_on_trust_without_a_list(self):
        done = {"where": "`tpm/quote.cpp`", "state": "done", "tests": None}
        self.assertEqual(self.breaches(**done, test="`unit.gone`"), [])
        self.assertEqual(len(self.breaches(**done, test="`tests/gone.cpp`")), 2)

    def test_backtick_without_partner(self):
        self.assert_one(self.breaches(where="`tpm/quote.cpp"), 6, "MIMOS-104", "backtick")


class States(MadeUp):
    def test_unknown_state(self):
        for state in ("finished", "Done", "`done`"):
            self.assert_one(self.breaches(state=state), 6, "MIMOS-104", "is none of")

    def test_done_without_test_or_path(self):
        for state in ("partly", "done"):
            for test in ("—", "unit.wire", "`tests/README.md`", "`tpm/quote.cpp`", "`tests`"):
                with self.subTest(state=state, test=test):
                    found = self.breaches(where="`tpm/quote.cpp`", test=test, state=state)
                    self.assert_one(found, 6, "MIMOS-104", "without an existing test")
            self.assert_one(self.breaches(where="tpm/", test="`unit.wire`", state=state), 6, "MIMOS-104", "without an existing path")

    def test_not_yet_with_test(self):
        self.assert_one(self.breaches(test="`unit.wire`"), 6, "MIMOS-104", "names a test")

    def test_declined_needs_a_reason(self):
        self.assert_one(self.breaches(state="declined"), 6, "MIMOS-104", "without a reason")
        self.assert_one(self.breaches(state="declined", asks="x. Declined:"), 6, "MIMOS-104", "without a reason")
        self.assertEqual(self.breaches(state="declined", asks="x. Declined: nobody has it."), [])


class Threats(MadeUp):
    def breaches_of(self, text):
        self.write(claims.THREATS.path, text)
        return claims.check(claims.Tree(self.root, frozenset(KNOWN)), claims.THREATS)[1]

    def test_a_good_page(self):
        self.assertEqual(self.breaches_of(THREATS), [])

    def test_each_breach(self):
        for was, now, part in (("`unit.wire`", "`unit.gone`", "neither a path"), ("tpm/quote", "tpm/gone", "no path of the tree"),
                               ("Open: IPsec", "IPsec", "without a reason"), ("| stands |", "| done |", "is none of"),
                               ("| seen |", "| forged |", "also in line 5"), ("threat |", "danger |", "columns must be")):
            with self.subTest(now=now):
                self.assertTrue(any(part in breach for breach in self.breaches_of(THREATS.replace(was, now))))


class Program(MadeUp):
    def setUp(self):
        super().setUp()
        self.write(claims.THREATS.path, THREATS)
        self.write(claims.PROSE, "Tried by `tests/unit/wire_test.cpp::RoundTripOfBatch`.\n")

    def run_main(self, *arguments):
        said = io.StringIO()
        with mock.patch.object(sys, "argv", ["claims.py", "--root", str(self.root), *arguments]), contextlib.redirect_stdout(said):
            return claims.main(), said.getvalue()

    def test_good_and_bad(self):
        self.write("listed.json", LISTED)
        listed = ("--tests", str(self.root / "listed.json"))
        self.breaches(where="`tpm/quote.cpp`", test="`lab.ipsec`", state="done")
        self.assertEqual(self.run_main(*listed), (0, "3 claims: 2 not yet, 0 partly, 1 done, 0 declined\n"
                                                   "2 threats: 0 not yet, 0 partly, 1 stands, 1 open\n"))
        self.breaches(where="`tpm/quote.cpp`", test="`lab.gone`", state="done")
        code, said = self.run_main(*listed)
        self.assertEqual((code, said.count("CLAIMS.md:")), (1, 2))  # a dead name, and so no test
        self.breaches(where="`tpm/quote.cpp`", test="`lab.ipsec`", state="done")
        self.write(claims.THREATS.path, THREATS.replace("unit.wire", "unit.gone"))
        code, said = self.run_main(*listed)
        self.assertEqual((code, said.count("THREATS.md:")), (1, 2))
        self.write(claims.THREATS.path, THREATS)
        self.write(claims.PROSE, "`tests/unit/wire_test.cpp::Gone`, `tests/gone.cpp::Wire`, `unit.wire`, `gone`\n")
        code, said = self.run_main(*listed)
        self.assertEqual((code, said.count("PROTOCOL.md:1:")), (1, 2))
        self.assertIn("not checked", self.run_main("--tests", "")[1])

    def test_asks_ctest(self):
        self.write("b/CTestTestfile.cmake", 'add_test(unit.wire "true")\n')
        self.breaches(where="`tpm/quote.cpp`", test="`unit.wire`", state="done")
        self.assertEqual(self.run_main("--build", str(self.root / "b"))[0], 0)
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            self.run_main("--build", str(self.root / "none"))
        self.assertFalse((self.root / "b/Testing").exists(), "a run's log there would be lost")


class RealPage(unittest.TestCase):
    def test_it_has_no_breach(self):
        for page in claims.PAGES:
            self.assertEqual(claims.check(claims.Tree(REAL, None), page)[1], [])
        self.assertEqual(list(claims.prose_breaches(claims.Tree(REAL, None))), [])

    def test_each_row_is_missed(self):
        lines = (REAL / claims.CLAIMS.path).read_text(encoding="utf-8").splitlines()
        with tempfile.TemporaryDirectory() as scratch:
            page = Path(scratch) / claims.CLAIMS.path
            page.parent.mkdir()
            for name in claims.required_ids():
                page.write_text("\n".join(line for line in lines if not line.startswith(f"| {name} |")), encoding="utf-8")
                found = [b for b in claims.check(claims.Tree(Path(scratch), None))[1] if ": no row" in b]
                self.assertEqual([re.findall(r": (\S+): no row", b) for b in found], [[name]])


if __name__ == "__main__":
    unittest.main()
