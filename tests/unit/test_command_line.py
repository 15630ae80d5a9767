#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of `countersign` itself: help at every level, what is said of a wrong one, and that
the manual page knows every command and every option."""

import argparse
import re
import sys
import unittest

import command_tree
from command_tree import run, tree


class Help(unittest.TestCase):
    def test_at_every_level(self):
        self.assertGreater(len(tree()), 6)
        for command in tree():
            with self.subTest(command=command.path):
                self.assertEqual((command.help.returncode, command.help.stderr), (0, ""))
                self.assertIn(" ".join(("Usage: countersign", *command.path)), command.help.stdout)
                self.assertEqual(run(*command.path, "-h").stdout, command.help.stdout)
                self.assertLessEqual(max(map(len, command.help.stdout.splitlines())), 80)

    def test_every_verb_shows_an_example_and_the_example_is_good(self):
        for command in tree():
            if command.below:
                continue
            with self.subTest(command=command.path):
                example = re.search(r"^  .*\bcountersign (.*)$", command.help.stdout, re.M)
                words = example[1].rstrip(")").split()
                self.assertEqual(tuple(words[:len(command.path)]), command.path)
                self.assertLessEqual({word for word in words if word.startswith("--")}, set(command.options))

    def test_every_option_says_in_its_own_words_what_it_takes(self):
        for command in tree():
            for option, value in command.options.items():
                self.assertNotIn(value, ("TEXT", "INT", "UINT", "FLOAT", "BOOLEAN"), f"{command.path} {option}")

    def test_without_arguments(self):
        self.assertEqual(run().stdout, run("--help").stdout)
        self.assertEqual(run().returncode, 0)


class Wrong(unittest.TestCase):
    def refused(self, *arguments):
        done = run(*arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
        self.assertTrue(done.stderr.startswith("countersign: "), done.stderr)
        self.assertIn("--help", done.stderr)
        return done.stderr

    def test_what_was_meant(self):
        for arguments, told in (
                (("pakcet",), "there is no command 'pakcet'; did you mean 'countersign packet'?"),
                (("verify",), "did you mean 'countersign packet verify'?"),
                (("packet", "sgin", "--key", "k"), "did you mean 'countersign packet sign'?"),
                (("packet", "verify", "--jsn"), "packet verify: there is no option '--jsn'; did you mean '--json'?"),
                (("packet", "verify", "--kye=x"), "did you mean '--key'?"),
                (("--verison",), "did you mean '--version'?"),
                (("nonsense",), "there is no command 'nonsense'\n"),
                (("packet", "verify", "--nonsense"), "there is no option '--nonsense'\n"),
                (("key", "make", "more"), "'more' is one word too many"),
                (("key", "make", "\x1b[31m"), r"\x1b[31m")):
            with self.subTest(arguments=arguments):
                self.assertIn(told, self.refused(*arguments))

    def test_what_is_missing_and_how_it_goes(self):
        for command in tree():
            with self.subTest(command=command.path):
                if command.below and command.path:
                    self.assertIn(f"say what to do: one of {', '.join(command.below)}", self.refused(*command.path))
                elif " --" in command.usage:
                    said = self.refused(*command.path)
                    self.assertIn(" is required", said)
                    self.assertIn(f"For example:\n  countersign {' '.join(command.path)} --", said)

    def test_values(self):
        for arguments, told in (
                (("packet", "verify", "--in"), "--in takes one FILE"),
                (("packet", "sign", "--in", "a", "--in", "b"), "--in takes one FILE"),
                (("packet", "verify", "--key"), "--key needs a FILE"),
                (("policy", "diff", "before"), "FILE takes 2 of them"),
                (("completion", "tcsh"), "tcsh not in {bash,zsh,fish}")):
            with self.subTest(arguments=arguments):
                self.assertIn(told, self.refused(*arguments))

    def test_a_full_disk(self):
        for arguments in (("--help",), ("packet", "--help"), ("--version",), ("completion", "bash"), ()):
            with self.subTest(arguments=arguments), open("/dev/full", "w", encoding="ascii") as full:
                done = run(*arguments, stdout=full)
                self.assertEqual(done.returncode, 2)
                self.assertIn("writing the answer to standard output", done.stderr)


class Manual(unittest.TestCase):
    def test_has_every_command_with_its_options_once(self):
        page = run("manual").stdout.replace("\\-", "-")
        parts = dict(part.split("\n", 1) for part in re.split(r"^\.S[HS] ", page, flags=re.M)[1:])
        for command in tree():
            if not command.path:
                continue
            part = parts[" ".join(("countersign", *command.path))]
            for name in {*command.options, *command.arguments} - {"--help"}:
                self.assertEqual(len(re.findall(rf"^\.TP\n\\f[BI]{name}\\fR", part, re.M)), 1, f"{command.path} {name}")
        for name in tree()[0].options:
            self.assertRegex(parts["OPTIONS"], rf"\\fB{name}\\fR")
        self.assertEqual(page.count(".SS "), len(tree()) - 1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
