#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/test's reporter, on a real ctest: what fails, skips or is missing never looks like success."""

import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Reporter(unittest.TestCase):
    def report(self, *tests, arguments=()):
        """Runs it over made-up tests: (name, shell command, or None for a program that is not there)."""
        with tempfile.TemporaryDirectory() as scratch:
            lines = []
            for name, command in tests:
                program = f'"/bin/sh" "-c" "{command}"' if command else '"/no/such/program"'
                lines += [f"add_test({name} {program})", f'set_tests_properties({name} PROPERTIES SKIP_RETURN_CODE "77")']
            (Path(scratch) / "CTestTestfile.cmake").write_text("\n".join(lines))
            done = subprocess.run([sys.executable, str(SUPPORT / "run_ctest.py"), scratch, *arguments], check=False, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.returncode, done.stdout

    def test_success(self):
        code, said = self.report(("one", "exit 0"), ("two", "exit 0"))
        self.assertEqual(code, 0)
        self.assertIn("passed     one", said)
        self.assertIn("100% tests passed, 0 tests failed out of 2", said)
        self.assertTrue(said.endswith("\n2 passed, 0 failed, 0 skipped\n"), said)

    def test_failure_is_shown_in_full_at_the_end(self):
        code, said = self.report(("bad", "echo the cause; exit 3"), ("good", "exit 0"))
        self.assertNotEqual(code, 0)
        self.assertLess(said.index("failed     bad"), said.index("FAILED: bad"))
        self.assertIn("the cause", said[said.index("FAILED: bad"):])
        self.assertTrue(said.endswith("\n1 passed, 1 failed, 0 skipped\n"), said)

    def test_the_last_lines_say_why(self):
        _, said = self.report(("bad", "echo line; echo clang: error: the cause; echo where; seq 100; exit 3"), ("gone", None))
        end = said.splitlines()[-12:]
        self.assertIn("failed  bad", end)
        self.assertIn("clang: error: the cause", end[end.index("failed  bad") + 1])
        self.assertIn("failed  gone", end)

    def test_skipped_is_not_passed(self):
        code, said = self.report(("away", "echo SKIP: no TPM here; exit 77"), ("good", "exit 0"))
        self.assertEqual(code, 0)
        self.assertIn("skipped away: SKIP: no TPM here", said)
        self.assertTrue(said.endswith("\n1 passed, 0 failed, 1 skipped\n"), said)

    def test_only_skipped_is_no_success(self):
        self.assertNotEqual(self.report(("away", "exit 77"))[0], 0)

    def test_no_tests_is_no_success(self):
        self.assertNotEqual(self.report()[0], 0)
        self.assertNotEqual(self.report(("one", "exit 0"), arguments=("-R", "nosuch"))[0], 0)

    def test_missing_program_is_a_failure_not_a_skip(self):
        code, said = self.report(("gone", None), ("good", "exit 0"))
        self.assertNotEqual(code, 0)
        self.assertIn("FAILED: gone", said)
        self.assertTrue(said.endswith("\n1 passed, 1 failed, 0 skipped\n"), said)

    def test_interrupted_it_ends_its_tests_and_takes_its_lab_down(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name), tempfile.TemporaryDirectory() as scratch:
                pid = Path(scratch) / "pid"
                (Path(scratch) / "CTestTestfile.cmake").write_text(f'add_test(long "/bin/sh" "-c" "echo $$ > {pid}; exec sleep 60")')
                with subprocess.Popen([sys.executable, str(SUPPORT / "run_ctest.py"), scratch], text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as reporter:
                    deadline = time.monotonic() + 20
                    while not (pid.exists() and pid.read_text().strip()):
                        self.assertLess(time.monotonic(), deadline, "the test did not start")
                        time.sleep(0.05)
                    reporter.send_signal(number)
                    said, _ = reporter.communicate(timeout=30)
                self.assertEqual(reporter.returncode, 130, said)
                self.assertIn(f"interrupted ({number.name})", said)
                self.assertIn("was not up", said)  # scripts/lab down was asked
                while is_running(int(pid.read_text())):
                    self.assertLess(time.monotonic(), deadline + 10, "the test goes on")
                    time.sleep(0.05)

    def test_crash_is_a_failure(self):
        code, said = self.report(("crash", "kill -SEGV $$"), ("good", "exit 0"))
        self.assertNotEqual(code, 0)
        self.assertIn("FAILED: crash", said)


if __name__ == "__main__":
    unittest.main()
