#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpm-bench: that it measures what it is asked to and says what came of it. How fast anything is, is no matter of a test."""

import argparse
import json
import re
import subprocess
import sys
import unittest

PROGRAM = None


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], check=False, text=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class TpmBench(unittest.TestCase):
    def test_figures_and_their_limits(self):
        done = run("--json", "boot-log", "ima-list")
        found = json.loads(done.stdout)
        self.assertEqual(found["schema_version"], 1)
        ratios = [f for f in found["figures"] if "limit" in f]
        self.assertEqual([f["name"] for f in ratios], ["boot log, an event in two banks: ratio", "IMA list, an entry in one bank: ratio"])
        for figure in found["figures"]:
            self.assertGreater(figure["value"], 0, figure)
        missed = any(f["value"] > f["limit"] for f in ratios)
        self.assertEqual(done.returncode, 1 if missed else 0)

    def test_a_ratio_is_of_the_two_times_beside_it(self):
        replay, hashing, ratio = json.loads(run("--json", "boot-log").stdout)["figures"]
        self.assertAlmostEqual(ratio["value"], replay["value"] / hashing["value"], places=2)

    def test_text_says_whether_a_limit_is_met(self):
        self.assertRegex(run("boot-log").stdout, re.compile(r"^boot log.*: ratio +[0-9.]+ +at most 1\.500: (met|MISSED)$", re.M))

    def test_what_it_does_not_measure_is_refused(self):
        done = run("speed")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("long-ima-list boot-log ima-list sign", done.stderr)

    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("measurements: long-ima-list", done.stdout)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])
