#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""clang-tidy over what a build compiles, and only over what has changed since it was last clean.

A file counts as changed when its command, a header it includes, a .clang-tidy or clang-tidy itself did.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def dependencies(build):
    """Object → the files it was made of, as ninja recorded them."""
    listed = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], stdout=subprocess.PIPE, text=True, check=True).stdout
    made_of, current = {}, None
    for line in listed.splitlines():
        if line.startswith("    ") and current:
            made_of[current].append(line.strip())
        elif ": #deps " in line:
            current = line.split(": #deps ")[0]
            made_of[current] = []
    return made_of


def object_of(entry):
    words = shlex.split(entry["command"])
    return words[words.index("-o") + 1]


class Fingerprints:
    def __init__(self, root):
        self.seen = {}
        version = subprocess.run(["clang-tidy", "--version"], stdout=subprocess.PIPE, check=True).stdout
        self.common = [hashlib.sha256(version).hexdigest(), *map(self.of_file, sorted(root.glob("**/.clang-tidy")))]

    def of_file(self, path):
        if path not in self.seen:
            self.seen[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return self.seen[path]

    def of_entry(self, entry, files):
        return hashlib.sha256("\n".join([*self.common, entry["command"], *map(self.of_file, files)]).encode()).hexdigest()


def main():
    root, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    entries = [e for e in json.loads((build / "compile_commands.json").read_text()) if Path(e["file"]).is_relative_to(root)]
    made_of = dependencies(build)
    unbuilt = [e for e in entries if object_of(e) not in made_of]
    if unbuilt or not entries:
        print(f"lint: {build} is not built ({len(unbuilt)} of {len(entries)} files); first: cmake --build {build}", file=sys.stderr)
        return 1
    fingerprints = Fingerprints(root)
    clean = build / "tidy"
    clean.mkdir(exist_ok=True)

    def check(entry):
        stamp = clean / fingerprints.of_entry(entry, made_of[object_of(entry)])
        if stamp.exists():
            return None
        argv = ["clang-tidy", "-p", str(build), "--quiet", "--warnings-as-errors=*", entry["file"]]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            stamp.touch()
        elif not done.stdout.strip():  # it did not find anything, it failed
            print(done.stderr)
        print(done.stdout, end="", flush=True)
        return done.returncode

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, entries))
    checked = len(results) - results.count(None)
    if any(results):
        print("lint: clang-tidy found the above", file=sys.stderr)
        return 1
    print(f"lint: clang-tidy is clean ({checked} of {len(results)} files looked at, the others have not changed)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
