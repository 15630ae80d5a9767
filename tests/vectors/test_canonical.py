#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the C++ makes of random states is what the second implementation of docs/XFRM.md makes of their JSON."""

import json
import subprocess
import sys
import unittest

import canonical_form
import cbor2

SAMPLES = sys.argv.pop(1)


class Canonical(unittest.TestCase):
    def test_both_implementations_agree(self):
        told_policies = told_sas = 0
        lines = subprocess.run([SAMPLES], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        for number, line in enumerate(lines):
            with self.subTest(number=number):
                sample = json.loads(line)
                policies, sas, policies_sha256, whole_sha256 = canonical_form.forms(
                    sample["tunnel"], sample["state"], sample["known_bypasses"])
                self.assertEqual(cbor2.loads(bytes.fromhex(sample["policies"])), cbor2.loads(policies))
                self.assertEqual(cbor2.loads(bytes.fromhex(sample["sas"])), cbor2.loads(sas))
                self.assertEqual((sample["policies"], sample["sas"]), (policies.hex(), sas.hex()))
                self.assertEqual((sample["policies_sha256"], sample["whole_sha256"]), (policies_sha256, whole_sha256))
                told_policies += len(cbor2.loads(policies)[2])
                told_sas += len(cbor2.loads(sas)[2])
        self.assertGreater(min(told_policies, told_sas, len(lines)), 200, "the samples tell too little")


if __name__ == "__main__":
    unittest.main()
