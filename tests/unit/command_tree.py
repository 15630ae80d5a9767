# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands and options of `countersign`, read from its help, and a way to run it."""

import functools
import re
import subprocess

PROGRAM = None  # set by a test's main


def run(*arguments, **more):
    """With text and without standard input, unless told otherwise."""
    return subprocess.run([PROGRAM, *arguments], check=False,
                          **{"text": True, "timeout": 60, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})


def section(text, heading):
    """The entries of a part of a help: what stands in the column of names, word by word."""
    part = re.search(rf"^{heading}:\n((?:  .*\n)*)", text, re.M)
    return [line.split() for line in part[1].splitlines() if line[2] != " "] if part else []


class Command:
    def __init__(self, path):
        self.path = path
        self.help = run(*path, "--help")
        self.below = [words[0] for words in section(self.help.stdout, "Commands")]
        self.options, self.arguments = {}, []  # option: what it takes, or None
        for words in section(self.help.stdout, "Options"):
            if words[0] == "-h,":
                self.options["--help"] = None
            elif words[0].startswith("--"):
                takes = len(words) > 1 and (words[1].isupper() or "|" in words[1] or words[1] == "A-B")
                self.options[words[0]] = words[1] if takes else None
            else:
                self.arguments.append(words[0])
        self.usage = self.help.stdout.partition("\n\n")[2].partition("\n\n")[0]


@functools.cache
def tree():
    found, waiting = [], [()]
    while waiting:
        found.append(Command(waiting.pop()))
        waiting += [(*found[-1].path, name) for name in found[-1].below]
    return found
