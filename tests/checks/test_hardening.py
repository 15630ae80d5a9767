#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check sees each flag that is missing, in commands and in programs really linked without it."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import hardening

PROGRAM = "#include <cstring>\nint main(int c, char** v) { char b[64]; std::strcpy(b, v[c - 1]); return b[0]; }\n"
GOOD = ("-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-Wl,-z,relro", "-Wl,-z,now")


class Compilation(unittest.TestCase):
    def breaches(self, *without, extra=""):
        words = [f for f in (*hardening.FLAGS, "-fPIE") if f not in without]
        return list(hardening.compile_breaches([{"file": "a.cpp", "command": f"c++ {' '.join(words)} {extra} -c a.cpp"}], hardening.FLAGS))

    def test_all_flags_are_fine(self):
        self.assertEqual(self.breaches(), [])

    def test_each_missing_flag_is_named(self):
        for flag in (*hardening.FLAGS, "-fPIE"):
            with self.subTest(flag=flag):
                self.assertEqual(self.breaches(flag), [f"a.cpp: compiled without {flag}; cmake/Flags.cmake sets them for all"])

    def test_error_taken_back_is_found(self):
        self.assertIn("-Wno-error", self.breaches(extra="-Wno-error")[0])


class Programs(unittest.TestCase):
    def breaches(self, *flags):
        with tempfile.TemporaryDirectory() as scratch:
            source, program = Path(scratch) / "a.cpp", Path(scratch) / "a"
            source.write_text(PROGRAM)
            subprocess.run(["c++", *flags, "-o", str(program), str(source)], check=True)
            return list(hardening.elf_breaches("a", hardening.readelf(program), True))

    def test_hardened_is_fine(self):
        self.assertEqual(self.breaches(*GOOD), [])

    def test_each_lost_property_is_found(self):
        for flags, complaint in (((*GOOD, "-fno-pie", "-no-pie"), "position independent"),
                                 ((*GOOD, "-Wl,-z,norelro"), "no RELRO"),
                                 ((*GOOD, "-Wl,-z,lazy"), "lazily"),
                                 ((*GOOD, "-Wl,-z,execstack"), "executable stack"),
                                 ((*GOOD, "-fno-stack-protector"), "stack protector")):
            with self.subTest(complaint=complaint):
                self.assertTrue(any(complaint in b for b in self.breaches(*flags)), self.breaches(*flags))


if __name__ == "__main__":
    unittest.main()
