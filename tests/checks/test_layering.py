#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of breach is found in a small made-up tree."""

import tempfile
import unittest
from pathlib import Path

import layering


class Includes(unittest.TestCase):
    def breaches(self, files):
        with tempfile.TemporaryDirectory() as scratch:
            for name, text in files.items():
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return [b for b in layering.include_breaches(Path(scratch)) if b]

    def test_downwards_is_fine(self):
        self.assertEqual(self.breaches({"base/a.h": "", "tpm/b.cpp": '#include "base/a.h"\n#include <tss2/tss2_esys.h>\n',
                                        "keyms/c.cpp": '#include "tpm/d.h"\n', "tpm/d.h": ""}), [])

    def test_upwards_is_found_with_file_and_line(self):
        self.assertEqual(self.breaches({"tpm/a.h": "", "base/b.h": '#pragma once\n#include "tpm/a.h"\n'}),
                         ["base/b.h:2: base/ must not depend on tpm/ (it may use: nothing of ours)"])

    def test_sideways_is_found(self):
        self.assertIn("xfrm/ must not depend on tpm/", self.breaches({"tpm/a.h": "", "xfrm/b.h": ' #  include "tpm/a.h"\n'})[0])

    def test_production_never_includes_tests(self):
        self.assertIn("keyms/ must not depend on tests/", self.breaches({"tests/a.h": "", "keyms/b.h": '#include "tests/a.h"\n'})[0])

    def test_tpm_stack_has_one_owner(self):
        self.assertIn("only for tests, tpm", self.breaches({"keyms/a.cpp": "#include <tss2/tss2_esys.h>\n"})[0])

    def test_relative_include_is_found(self):
        self.assertIn("no file of the tree", self.breaches({"tpm/a.h": "", "tpm/b.h": '#include "a.h"\n'})[0])

    def test_unknown_folder_is_found(self):
        self.assertIn("has no place", self.breaches({"base/a.h": "", "extra/b.h": '#include "base/a.h"\n'})[0])


class Links(unittest.TestCase):
    def breaches(self, *rows):
        return [b for b in layering.link_breaches([{"name": n, "folder": f, "file": "", "links": l} for n, f, l in rows]) if b]

    def test_downwards_is_fine(self):
        self.assertEqual(self.breaches(("cs_base", "base", [""]), ("cs_tpm", "tpm", ["countersign::base", "PkgConfig::TSS2"])), [])

    def test_upwards_is_found_through_the_alias(self):
        self.assertEqual(self.breaches(("cs_keyms", "keyms", [""]), ("cs_xfrm", "xfrm", ["countersign::keyms"])),
                         ["target cs_xfrm: xfrm/ must not depend on keyms/ (it may use: base)"])

    def test_data_plane_never_reaches_the_tpm(self):
        found = self.breaches(("cs_tpm", "tpm", [""]), ("cs_keyms_ipc", "keyms/ipc", ["$<LINK_ONLY:cs_tpm>"]),
                              ("nfq-signer", "nfq-signer", ["countersign::keyms_ipc"]))
        self.assertEqual(found, ["target nfq-signer: reaches tpm/ by linking nfq-signer -> cs_keyms_ipc -> cs_tpm"])

    def test_tpm_library_elsewhere_is_found(self):
        self.assertIn("only for", self.breaches(("countersign", "tools", ["tss2-esys"]))[0])


if __name__ == "__main__":
    unittest.main()
