#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever cannot run says so in the same words, in C++ and in Python: SKIP and 77, or with CI=true MISSING TIER and 1."""

import argparse
import os
import subprocess
import sys
import unittest
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
PROGRAM = None


def run(argv, ci):
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | ({} if ci is None else {"CI": ci})
    done = subprocess.run(argv, env=environment, cwd=SUPPORT, text=True, check=False, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def python(code, ci=None):
    return run([sys.executable, "-c", f"import require; {code}; print('went on')"], ci)


class InPython(unittest.TestCase):
    def test_words(self):
        self.assertEqual(python("require.missing('no moon', 'wait')"), (77, "SKIP: no moon (wait)\n"))
        self.assertEqual(python("require.missing('no moon', 'wait')", ci="true"), (1, "MISSING TIER: no moon (wait)\n"))

    def test_ci_is_true_or_not(self):
        for value in ("", "false", "1"):
            self.assertEqual(python("require.missing('no moon', 'wait')", ci=value)[0], 77)

    def test_programs(self):
        self.assertEqual(python("require.programs('sh')"), (0, "went on\n"))
        self.assertEqual(python("require.programs('sh', 'no-such-a', 'no-such-b', setup='lab')"),
                         (77, "SKIP: not installed: no-such-a, no-such-b (run scripts/setup lab)\n"))

    def test_file(self):
        self.assertEqual(python("require.file('/proc', 'we look')"), (0, "went on\n"))
        code, said = python("require.file('/no/such', 'we look')")
        self.assertEqual(code, 77)
        self.assertTrue(said.startswith("SKIP: no /no/such: we look ("), said)

    def test_root(self):
        code, said = python("require.os.geteuid = lambda: 1; require.root('we mount')")
        self.assertEqual((code, said), (77, "SKIP: not root: we mount (run it as root)\n"))
        self.assertEqual(python("require.os.geteuid = lambda: 0; require.root('we mount')"), (0, "went on\n"))


class InCpp(unittest.TestCase):
    """A GoogleTest program of the netns tier, as somebody who may not make namespaces."""

    def unprivileged(self, ci=None):
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        return run([*drop, PROGRAM], ci)

    def test_words(self):
        code, said = self.unprivileged()
        self.assertEqual(code, 77, said)
        self.assertRegex(said, r"\ASKIP: .*Operation not permitted.*\(.+\)\n\Z")
        self.assertEqual(self.unprivileged(ci="true"), (1, said.replace("SKIP:", "MISSING TIER:")))


def main():
    global PROGRAM
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
