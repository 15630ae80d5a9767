#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row that is missing, or too many, is found in a small made-up tree; and each of the real page is missed."""

import re
import tempfile
import unittest
from pathlib import Path

import operations

REAL = Path(__file__).resolve().parents[2]
SOURCES = {
    "nfq-signer/status.cpp": 'return {{"lost", 1}, {"paths", 2}};\nout.push_back({{"lost", 3}});\n',
    "nfq-signer/reason.h": 'names{\n "none", "stale"};\n',
    "nfq-signer/daemon.cpp": 'say(SD_ERR, is_open ? "open again"\n : "CLOSED: " + why);\nother("not said");\n',
    "tools/doctor/checks.cpp": 'table{\n Check{"esp", "ESP", x},\n};\nother{"no"};\n',
}
PAGE = "\n".join(("| field | what |", "|---|---|", "| `lost` | x |", "| `paths` | x |", "| `paths[].lost` | x |", "",
                  "| reason | what |", "|---|---|", "| `stale` | x |", "",
                  "| line | what |", "|---|---|", "| `open again` | x |", "| `CLOSED: ` | x |", "",
                  "| code | what |", "|---|---|", "| `esp` | x |", "",
                  "| mode | what |", "|---|---|", "| `off` | x |"))


class MadeUp(unittest.TestCase):
    def breaches(self, page=PAGE, **changed):
        with tempfile.TemporaryDirectory() as scratch:
            for name, text in (SOURCES | {operations.PAGE: page} | changed).items():
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return operations.check(Path(scratch))

    def test_a_good_page(self):
        self.assertEqual(self.breaches(), [])

    def test_a_row_each_is_missed(self):
        for row in re.findall(r"\| `(?!off)[^\n]*\n", PAGE):
            with self.subTest(row=row):
                found = self.breaches(PAGE.replace(row, ""))
                self.assertEqual(len(found), 1, found)
                self.assertIn("has no row", found[0])

    def test_a_row_too_many(self):
        for table, row in (("field", "| `lost` | x |"), ("reason", "| `none` | x |"), ("line", "| `not said` | x |")):
            with self.subTest(table=table):
                found = self.breaches(PAGE.replace(f"| {table} | what |\n|---|---|", f"| {table} | what |\n|---|---|\n{row}"))
                self.assertEqual(len(found), 1, found)
                self.assertIn("one too many", found[0])

    def test_a_source_that_changed_its_form(self):
        for name in SOURCES:
            with self.subTest(name=name):
                self.assertTrue(any("any more" in breach for breach in self.breaches(**{name: ""})))


class RealPage(unittest.TestCase):
    def test_it_has_no_breach(self):
        self.assertEqual(operations.check(REAL), [])

    def test_all_kinds_are_seen(self):
        counts = {kind.name: sum(operations.told(kind, REAL).values()) for kind in operations.KINDS}
        self.assertTrue(counts["field"] > 40 and counts["reason"] > 12 and counts["line"] > 8 and counts["code"] > 25, counts)


if __name__ == "__main__":
    unittest.main()
