#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings and hardening, read back from what was really built.

From compile_commands.json: each of our files was compiled with every flag.
From the ELF files in targets.json: PIE, full RELRO, no executable stack, no
text relocations, a stack protector in use, branch targets marked.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

FLAGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-std=c++20",
         "-fstack-protector-strong", "-fstack-clash-protection")
X86_FLAGS = ("-fcf-protection=full",)
OPTIMISED_FLAGS = ("-D_FORTIFY_SOURCE=2",)  # not with sanitizers, not in Debug


def compile_breaches(commands, wanted):
    for entry in commands:
        words = entry["command"].split()
        missing = [flag for flag in wanted if flag not in words]
        weakened = [w for w in words if w.startswith("-Wno-error") or w == "-w"]
        if not {"-fPIE", "-fPIC"} & set(words):
            missing.append("-fPIE")
        if missing:
            yield f"{entry['file']}: compiled without {' '.join(missing)}; cmake/Flags.cmake sets them for all"
        if weakened:
            yield f"{entry['file']}: compiled with {' '.join(weakened)}, which takes -Werror back"


def readelf(file):
    return subprocess.run(["readelf", "--wide", "-h", "-l", "-d", "--dyn-syms", "-n", str(file)], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def elf_breaches(name, said, plain):
    """`said` is what readelf prints; `plain` means no sanitizer runtime in it."""
    checks = [
        (r"Type:\s+DYN", "is not position independent (PIE)"),
        (r"GNU_RELRO", "has no RELRO segment"),
        (r"\(FLAGS\)\s+.*BIND_NOW|\(FLAGS_1\)\s+.*NOW", "resolves symbols lazily: RELRO is only partial (-z now)"),
        (r"GNU_STACK\s+\S+ \S+ \S+ \S+ \S+ RW\s", "has an executable stack"),
    ]
    if plain:
        checks.append((r"__stack_chk_fail", "nowhere uses the stack protector"))
    for pattern, complaint in checks:
        if not re.search(pattern, said):
            yield f"{name}: {complaint}"
    if re.search(r"\(TEXTREL\)", said):
        yield f"{name}: has text relocations"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--build", type=Path, required=True)
    arguments.add_argument("--processor", required=True)
    arguments.add_argument("--plain", action="store_true", help="optimised and without sanitizers")
    args = arguments.parse_args()
    wanted = FLAGS + (X86_FLAGS if args.processor in ("x86_64", "AMD64") else ()) + (OPTIMISED_FLAGS if args.plain else ())
    commands = json.loads((args.build / "compile_commands.json").read_text())
    files = [Path(t["file"]) for t in json.loads((args.build / "targets.json").read_text()) if t["file"]]
    found = list(compile_breaches(commands, wanted))
    for file in files:
        if file.exists():
            found += elf_breaches(file.name, readelf(file), args.plain)
        else:
            found.append(f"{file.name}: not built; nothing can be said of it")
    if not commands or not files:
        found.append(f"nothing built in {args.build}: nothing was checked")
    print("\n".join(found) or f"hardened: {len(commands)} compilations, {len(files)} programs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
