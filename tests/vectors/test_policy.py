#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the C++ encodes of random core policies is what the second implementation of docs/POLICY.md makes of their text."""

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

import cbor2
import policy_form

SAMPLES = sys.argv.pop(1)
PAGE = Path(__file__).resolve().parents[2] / "docs/POLICY.md"


class Policy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lines = subprocess.run([SAMPLES], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        cls.samples = [json.loads(line) for line in lines]

    def test_both_implementations_agree(self):
        self.assertGreater(len(self.samples), 100)
        for number, sample in enumerate(self.samples):
            with self.subTest(number=number):
                theirs, ours = bytes.fromhex(sample["cbor"]), policy_form.encode(sample["toml"])
                self.assertEqual(cbor2.loads(theirs), cbor2.loads(ours))
                self.assertEqual(theirs.hex(), ours.hex())
                self.assertEqual(sample["fingerprint"], policy_form.fingerprint(policy_form.value(ours)))

    def test_what_is_left_out_is_the_default(self):
        """The page's example has the value of the same policy with every field written."""
        text = self.samples[0]["toml"]
        kept = ("name", "attestation_key", "addresses", "keymsd", "traffic", "proposals", "[gateways", "[tunnels")
        short = "\n".join(line for line in text.splitlines() if line.startswith(kept))
        self.assertLess(len(short), len(text) / 2)
        self.assertEqual(policy_form.encode(short).hex(), self.samples[0]["cbor"])

    def test_the_page_has_every_field(self):
        page = PAGE.read_text()
        for sample in self.samples:
            section = ""
            for line in sample["toml"].splitlines():
                if found := re.match(r"\[(.*)\]$", line):
                    section = found[1].rpartition(".")[2] if found[1].startswith("gateways") else ""
                elif found := re.match(r"([a-z_]+)(?:\.\S+)? = ", line):
                    name = f"ima.{found[1]}" if section == "ima" else found[1]
                    self.assertRegex(page, rf"`{name}(\.[A-Z]+)?`")


if __name__ == "__main__":
    unittest.main()
