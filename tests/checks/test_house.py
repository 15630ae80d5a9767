#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule of the house is seen when broken."""

import tempfile
import unittest
from pathlib import Path

import house

LICENSED = f"// {house.SPDX}\n"


class House(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def test_licence_line(self):
        self.write("a.cpp", LICENSED)
        self.write("b.cpp", "int x;\n")
        self.assertEqual(house.tracked(self.root), ["a.cpp", "b.cpp"])
        self.assertEqual([b.split(":")[0] for b in house.licence_breaches(self.root, ["a.cpp", "b.cpp"])], ["b.cpp"])

    def test_readme_of_each_folder(self):
        for folder in house.FOLDERS:
            self.write(f"{folder}/README.md", "# x\n## Map\n## Depends on\n")
        self.assertEqual(list(house.readme_breaches(self.root)), [])
        (self.root / "tpm/README.md").unlink()
        self.write("xfrm/README.md", "Map\nDepends on\n" + "line\n" * house.README_LINES)
        self.write("keyms/README.md", "# x\n")
        found = list(house.readme_breaches(self.root))
        for name in ("tpm/README.md: missing", "xfrm/README.md: 32 lines", "keyms/README.md: no 'Map'", "keyms/README.md: no 'Depends on'"):
            self.assertTrue(any(b.startswith(name) for b in found), (name, found))

    def test_mirror(self):
        self.write("a.cpp", "// from packages.invalid\n")
        self.assertEqual(len(list(house.mirror_breaches(self.root, ["a.cpp"], {"packages.invalid"}))), 1)
        self.assertEqual(list(house.mirror_breaches(self.root, ["a.cpp"], {"other.invalid"})), [])

    def test_ci_runs_the_documented_command_only(self):
        self.write("README.md", "run scripts/test\n")
        good = '#!/usr/bin/env bash\nset -euo pipefail\ncd "$(dirname "$0")/.."\nexec scripts/test\n'
        self.write(".ci/run", good)
        self.assertEqual(list(house.command_breaches(self.root)), [])
        self.write(".ci/run", good.replace("scripts/test", "scripts/test --quick"))
        self.assertEqual(len(list(house.command_breaches(self.root))), 1)
        self.write(".ci/run", good)
        self.write("README.md", "nothing\n")
        self.assertEqual(len(list(house.command_breaches(self.root))), 1)


if __name__ == "__main__":
    unittest.main()
