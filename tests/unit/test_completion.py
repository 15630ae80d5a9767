#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bash, zsh and fish complete every command and every option of `countersign`, and what an option takes.

The shells themselves are asked, each once, for every line; what there is, is read from the help."""

import argparse
import contextlib
import os
import pty
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import command_tree
from command_tree import run, tree

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import require  # noqa: E402

IN_BASH = """compopt() { :; }  # only while a person completes is there something to be told
ask() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
  _countersign
  echo '>'
  printf '%s\\n' "${COMPREPLY[@]}"
}
"""
# Asks at the first prompt, on a terminal: without one zsh completes nothing.
IN_ZSH = """compadd() {
  if [[ " $* " != *\\ -[OAD]\\ * ]]; then
    local -a offered
    builtin compadd -O offered "$@"
    print -rl -- $offered >>$HOME/answers
  fi
  builtin compadd "$@"
}
ask() {
  print -r -- '>' >>$HOME/answers
  BUFFER=$1 CURSOR=$#1
  zle capture
}
zle -C capture list-choices _main_complete
zle -N zle-line-init answer
"""


def environment(home):
    return {**os.environ, "HOME": home, "ZDOTDIR": home, "TERM": "dumb"}


def ask(shell, script, home, folder):
    return subprocess.run(shell, input=script, text=True, cwd=folder, timeout=60, check=True, env=environment(home),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def ask_bash(lines, home, folder):
    words = (line.replace("=", " = ").split() + ["''"] * line.endswith((" ", "=")) for line in lines)
    return ask(("bash", "--norc", "--noprofile"), run("completion", "bash").stdout + IN_BASH + "".join(f"ask {' '.join(one)}\n" for one in words), home, folder)


def ask_fish(lines, home, folder):
    return ask(("fish", "--no-config"), run("completion", "fish").stdout + "".join(f"echo '>'; complete -C '{line}'\n" for line in lines), home, folder)


def ask_zsh(lines, home, folder):
    asked = "".join(f"  ask '{line}'\n" for line in lines)
    Path(home, ".zshrc").write_text(f"autoload -Uz compinit && compinit -D -u\n{run('completion', 'zsh').stdout}answer() {{\n{asked}  exit 0\n}}\n{IN_ZSH}",
                                    encoding="utf-8")
    screen, terminal = pty.openpty()
    with subprocess.Popen(("zsh", "-i"), cwd=folder, env=environment(home), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as zsh:
        os.close(terminal)
        with contextlib.suppress(OSError):  # so ends a terminal that nobody holds any more
            while os.read(screen, 4096):
                pass
        os.close(screen)
        if zsh.wait(60) != 0:
            raise AssertionError(f"zsh ended with {zsh.returncode}")
    return Path(home, "answers").read_text(encoding="utf-8")


def value_words(value):
    return {"FILE": {"file", "folder"}, "DIRECTORY": {"folder"}}.get(value) or set(value.split("|") if "|" in value else ())


def questions():
    """Each line to complete, and what there is for it."""
    for command in tree():
        line = " ".join(("countersign", *command.path, ""))
        argument = command.usage.split()[-1].strip("[].") if command.arguments else ""
        yield line, {*command.below, *value_words(argument)}
        yield line + "--", set(command.options)
        for option, value in command.options.items():
            if value is not None:
                yield f"{line}{option} ", value_words(value)
                yield f"{line}{option}=", value_words(value)


class Completion(unittest.TestCase):
    def check(self, ask_shell):
        asked = dict(questions())
        self.assertGreater(len(asked), 30)
        with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
            Path(folder, "file").touch()
            Path(folder, "folder").mkdir()
            answers = ask_shell(asked, home, folder).split(">\n")[1:]
        for (line, wanted), answer in zip(asked.items(), answers, strict=True):
            offered = {word.partition("\t")[0].rpartition("=")[2].rstrip("/") for word in answer.splitlines() if word}
            if not line.endswith("--"):  # bash offers options at once
                offered = {word for word in offered if not word.startswith("-")}
            self.assertEqual(offered, wanted, line)

    def test_bash(self):
        self.check(ask_bash)

    def test_zsh(self):
        self.check(ask_zsh)

    def test_fish(self):
        self.check(ask_fish)

    def test_they_parse_on_their_own(self):
        for shell in ("bash", "zsh", "fish"):
            said = subprocess.run([shell, "-n", "/dev/stdin"], input=run("completion", shell).stdout, text=True, check=True, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
            self.assertEqual(said, "")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    require.programs("bash", "zsh", "fish")
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
