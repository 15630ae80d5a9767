#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""gcov's JSON, one object a line, to a table of our own files without the tests."""

import json
import sys
from pathlib import Path


def main():
    root, lines = Path(sys.argv[1]), {}
    for text in sys.stdin:
        for file in json.loads(text)["files"]:
            path = Path(file["file"])
            path = path if path.is_absolute() else root / path
            if not path.is_relative_to(root) or path.relative_to(root).parts[0] in ("tests", "build"):
                continue
            seen = lines.setdefault(str(path.relative_to(root)), {})
            for line in file["lines"]:
                seen[line["line_number"]] = seen.get(line["line_number"], 0) + line["count"]
    if not lines:
        sys.exit("coverage: no file of ours was counted")
    for name, counts in sorted(lines.items()):
        hit = sum(1 for c in counts.values() if c)
        missed = [str(n) for n, c in sorted(counts.items()) if not c]
        print(f"{100 * hit / len(counts):6.1f} %  {name}  {'missed: ' + ' '.join(missed[:12]) if missed else ''}")


if __name__ == "__main__":
    main()
