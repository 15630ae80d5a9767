#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""clang-tidy over what a build compiles, and only over what has changed since it was last clean.

A file counts as changed when its command, a header it includes, a .clang-tidy or clang-tidy itself did.
Nine tenths of the time go to headers, so files of the same command are looked at as one;
where two do not go together (both have a Fixture, say), one of them waits for the next batch.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


def dependencies(build):
    """Object → the files it was made of, as ninja recorded them."""
    listed = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], stdout=subprocess.PIPE, text=True, check=True).stdout
    made_of, current = {}, None
    for line in listed.splitlines():
        if line.startswith("    ") and current:
            made_of[current].append(build / line.strip())  # ccache records some relative to it
        elif ": #deps " in line:
            current = line.split(": #deps ")[0]
            made_of[current] = []
    return made_of


def object_of(entry):
    words = shlex.split(entry["command"])
    return words[words.index("-o") + 1]


@dataclass(frozen=True)
class Flags:
    """What a command says apart from the file."""
    defines: frozenset
    systems: frozenset  # directories of -isystem
    others: tuple

    @classmethod
    def of(cls, entry):
        words = shlex.split(entry["command"])
        said = [(w, words[i - 1]) for i, w in enumerate(words) if i != 0]
        not_looked_at = ("-o", "-c", "-isystem", "-fPIC", "-fPIE", entry["file"])
        return cls(
            frozenset(w for w, _ in said if w.startswith("-D")),
            frozenset(w for w, before in said if before == "-isystem"),
            tuple(w for w, before in said if w not in not_looked_at and before not in ("-o", "-isystem") and not w.startswith("-D")))

    def goes_with(self, other):
        """Whether files of both can be looked at with what both say: no macro has two meanings."""
        said = {d.partition("=")[0]: d for d in self.defines}
        return self.others == other.others and all(said.get(d.partition("=")[0], d) == d for d in other.defines)

    def __or__(self, other):
        return Flags(self.defines | other.defines, self.systems | other.systems, self.others)

    def words(self):
        return [*self.others, *sorted(self.defines), *(w for d in sorted(self.systems) for w in ("-isystem", d))]


class Fingerprints:
    def __init__(self, configs):
        self.seen = {}
        version = subprocess.run(["clang-tidy", "--version"], stdout=subprocess.PIPE, check=True).stdout
        self.common = [hashlib.sha256(version).hexdigest(), *map(self.of_file, configs)]

    def of_file(self, path):
        if path not in self.seen:
            self.seen[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return self.seen[path]

    def of_entry(self, entry, files):
        return hashlib.sha256("\n".join([*self.common, entry["command"], *map(self.of_file, files)]).encode()).hexdigest()


@dataclass
class Batch:
    flags: Flags
    files: list
    path: Path

    def write(self):
        # Text, not #include: the static analyzer and some checks see only what stands in the main file.
        fuzzer = "LLVMFuzzerTestOneInput"  # each fuzz target has it
        self.lines = [(None, 0)]
        with self.path.open("w") as out:
            for i, file in enumerate(self.files):
                text = Path(file).read_text().splitlines()
                self.lines += [(file, n) for n in range(-1, len(text) + 1)]  # the two lines before it are ours
                print(f"#undef {fuzzer}", f"#define {fuzzer} {fuzzer}_{i}", *text, sep="\n", file=out)

    def in_files(self, said):
        """With the places of the files instead of the batch's."""
        return re.sub(rf"{re.escape(str(self.path))}:(\d+)", lambda at: "{}:{}".format(*self.lines[int(at[1])]), said)

    def clashing(self):
        self.write()
        if len(self.files) == 1:
            return set()
        argv = ["clang++", *self.flags.words(), "-fsyntax-only", "-ferror-limit=0", "-Wno-everything", self.path]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return set()
        blamed = re.findall(r"^(?:In file included from (.+?):\d+:|(.+?):\d+:\d+: (?:fatal )?error: )", self.in_files(done.stderr), re.M)
        clashing = {f for names in blamed for f in names} & set(self.files[1:])
        return clashing or set(self.files[len(self.files) // 2 :])  # no telling which


def configs_of(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "--", "*.clang-tidy"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [root / f for f in listed.split()]


def copy_configs(configs, root, to):
    """So that a batch is looked at as its files would be."""
    for config in configs:
        copy = to / config.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(config.read_bytes())


@dataclass
class Group:
    """Files that share the directory of their .clang-tidy, and flags that go together."""
    config: Path
    flags: Flags
    files: dict  # not a list: a file may go into two programs

    def takes(self, config, flags):
        return config == self.config and self.flags.goes_with(flags)


def alike(entries, root, to):
    groups = []
    for e in sorted(entries, key=lambda e: e["file"]):
        config = next(d for d in (to / Path(e["file"]).relative_to(root)).parents if (d / ".clang-tidy").exists())
        flags = Flags.of(e)
        group = next((g for g in groups if g.takes(config, flags)), None)
        if group is None:
            groups.append(group := Group(config, flags, {}))
        group.flags |= flags
        group.files[e["file"]] = True
    return groups


def batches_of(group, most=40):
    """Files that compile as one; who clashes with those before it waits for the next batch."""
    made, files = [], list(group.files)
    while files:
        name = hashlib.sha256("\n".join([*group.flags.words(), *files]).encode()).hexdigest()[:16]
        batch, waiting = Batch(group.flags, files[:most], group.config / f"batch-{name}.cpp"), files[most:]
        while clashing := batch.clashing():
            waiting = [f for f in batch.files if f in clashing] + waiting
            batch.files = [f for f in batch.files if f not in clashing]
        made.append(batch)
        files = waiting
    return made


def look_at(batch, stamps):
    not_alone = ["-Wno-shadow", "-Wno-deprecated-declarations"]  # a name, and a macro that says so, of another file; gcc has looked
    argv = ["clang-tidy", "--quiet", "--warnings-as-errors=*", batch.path, "--", *batch.flags.words(), *not_alone]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        for file in batch.files:
            for stamp in stamps[file]:
                stamp.touch()
        batch.path.unlink()
    elif not done.stdout.strip():  # it did not find anything, it failed
        print(batch.in_files(done.stderr))
    print(batch.in_files(done.stdout), end="", flush=True)
    return done.returncode == 0


def main():
    root, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    entries = [e for e in json.loads((build / "compile_commands.json").read_text()) if Path(e["file"]).is_relative_to(root)]
    made_of = dependencies(build)
    unbuilt = [e for e in entries if object_of(e) not in made_of]
    if unbuilt or not entries:
        print(f"lint: {build} is not built ({len(unbuilt)} of {len(entries)} files); first: cmake --build {build}", file=sys.stderr)
        return 1
    configs = configs_of(root)
    fingerprints = Fingerprints(configs)
    clean = build / "tidy"
    copy_configs(configs, root, clean)
    stamps = defaultdict(list)  # of a file, one for each command
    for e in entries:
        stamps[e["file"]].append(clean / fingerprints.of_entry(e, made_of[object_of(e)]))
    changed = [e for e in entries if not all(stamp.exists() for stamp in stamps[e["file"]])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        batches = [b for found in pool.map(batches_of, alike(changed, root, clean)) for b in found]
        results = list(pool.map(lambda batch: look_at(batch, stamps), batches))
    if not all(results):
        print("lint: clang-tidy found the above", file=sys.stderr)
        return 1
    print(f"lint: clang-tidy is clean ({len(changed)} of {len(entries)} files looked at, the others have not changed)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
