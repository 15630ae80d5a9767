#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dependencies point one way: base <- {xfrm, tpm} <- keyms <- {nfq-signer, tools}.

Reads every #include of the tree, and every link of the build (targets.json,
written by cmake/Targets.cmake). The data plane never gets the TPM stack, not
even through a library it links.
"""

import argparse
import json
import re
import sys
from pathlib import Path

LAYERS = {  # folder: the folders it may include from and link
    "base": set(),
    "xfrm": {"base"},
    "tpm": {"base"},
    "keyms": {"base", "xfrm", "tpm"},
    "nfq-signer": {"base", "xfrm", "keyms"},
    "tools": {"base", "xfrm", "tpm", "keyms", "nfq-signer"},
    "tests": {"base", "xfrm", "tpm", "keyms", "nfq-signer", "tools"},
}
# Foreign code with one owner: (pattern of a header or library, folders that may use it).
OWNED = ((re.compile(r"^(tss2/|.*tss2)"), {"tpm", "tests"}),)
NEVER_REACHES = {"nfq-signer": "tpm"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def sources(root):
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        if folder.name in ("build", ".git"):
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".h", ".cpp"):
                yield folder.name, path


def check_reach(folder, other, where):
    """The reason why `folder` may not use `other`, or None."""
    if folder not in LAYERS:
        return f"{where}: folder {folder}/ has no place in the layering; give it one in LAYERS of tests/checks/layering.py"
    if other == folder or other in LAYERS[folder]:
        return None
    allowed = ", ".join(sorted(LAYERS[folder])) or "nothing of ours"
    return f"{where}: {folder}/ must not depend on {other}/ (it may use: {allowed})"


def check_foreign(folder, name, where):
    for pattern, owners in OWNED:
        if pattern.search(name) and folder not in owners:
            return f"{where}: {name} is only for {', '.join(sorted(owners))}; {folder}/ must go through them"
    return None


def include_breaches(root):
    for folder, path in sources(root):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            match = INCLUDE.match(line)
            if not match:
                continue
            where = f"{path.relative_to(root)}:{number}"
            if match[1] and not (root / match[1]).is_file():
                yield f'{where}: "{match[1]}" is no file of the tree; ours are included from its root ("base/result.h"), others with <>'
            elif match[1]:
                yield check_reach(folder, match[1].split("/")[0], where)
            else:
                yield check_foreign(folder, match[2], where)


def link_breaches(targets):
    by_name = {t["name"]: t for t in targets}
    for target in targets:
        folder, where = target["folder"].split("/")[0], f"target {target['name']}"
        for library in target["links"]:
            other = by_name.get(resolve(library, by_name))
            if other:
                yield check_reach(folder, other["folder"].split("/")[0], where)
            elif library:
                yield check_foreign(folder, library, where)
        forbidden = NEVER_REACHES.get(folder)
        if forbidden:
            yield from reach_breaches(target, forbidden, by_name)


def reach_breaches(target, forbidden, by_name):
    waiting, seen = [(target["name"],)], set()
    while waiting:
        path = waiting.pop()
        current = by_name[path[-1]]
        if current["folder"].split("/")[0] == forbidden:
            yield f"target {target['name']}: reaches {forbidden}/ by linking {' -> '.join(path)}"
            continue
        for library in (resolve(name, by_name) for name in current["links"]):
            if library in by_name and library not in seen:
                seen.add(library)
                waiting.append((*path, library))


def resolve(library, by_name):
    """countersign::base is the alias of cs_base; generator expressions are looked through."""
    name = re.sub(r"^\$<LINK_ONLY:(.*)>$", r"\1", library)
    if name.startswith("countersign::"):
        name = "cs_" + name.removeprefix("countersign::").replace("-", "_")
    return name


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--root", type=Path, required=True)
    arguments.add_argument("--targets", type=Path, required=True)
    args = arguments.parse_args()
    targets = json.loads(args.targets.read_text())
    found = [b for b in (*include_breaches(args.root), *link_breaches(targets)) if b]
    print("\n".join(found) or f"layering holds: {sum(1 for _ in sources(args.root))} files, {len(targets)} targets")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
