#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign policy propose, agree, plan, apply and what follows: keymsd is a script, its attestation key a real one of no TPM."""

import argparse
import base64
import hashlib
import json
import struct
import sys
import unittest

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import command_tree
from command_tree import run
from fake_keymsd import HOSTILE, TOLD, Verbs, base64_of

LATER = "2026-02-01T13:10:00Z"


class AttestationKey:
    """As a TPM has it, to whoever gets only its public area and signatures."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        point = self.key.public_key().public_numbers()
        self.area = (struct.pack(">HHIH", 0x0023, 0x000b, 0x00050072, 0) + struct.pack(">5H", 0x0010, 0x0018, 0x000b, 0x0003, 0x0010)
                     + b"".join(struct.pack(">H", 32) + n.to_bytes(32, "big") for n in (point.x, point.y)))
        self.name = "000b" + hashlib.sha256(self.area).hexdigest()

    def sign(self, policy):
        r, s = utils.decode_dss_signature(self.key.sign(b"countersign core policy v1\0" + policy, ec.ECDSA(hashes.SHA256())))
        return struct.pack(">HH", 0x0018, 0x000b) + b"".join(struct.pack(">H", 32) + n.to_bytes(32, "big") for n in (r, s))


class Policy(Verbs):
    def setUp(self):
        super().setUp()
        self.ours, self.theirs = AttestationKey(), AttestationKey()
        self.daemon.answers |= {"sign": self.sign, "plan": self.plan(), "apply": self.plan() | {"confirm_by": None}}
        self.policy = self.file("policy.toml", run(
            "policy", "new", "--here", "berlin-1", "--here-key", self.ours.name, "--there", "hamburg-1", "--there-key", self.theirs.name, "--here-address", "192.0.2.1",
            "--here-network", "10.1.0.0/16", "--there-address", "192.0.2.2", "--there-network", "10.2.0.0/16").stdout.encode())

    def sign(self, arguments, key=None, end="left"):
        key = key or self.ours
        return {"key": base64_of(key.area), "signature": base64_of(key.sign(base64.b64decode(arguments["policy"]))), "end": end}

    def plan(self, **other):
        return {"peer": "hamburg-1", "version": 3, "value": "ab" * 32, "fingerprint": "012345 678901", "changes": ["10.1.0.0/16 becomes 10.1.0.0/15" + HOSTILE],
                "now": "aa" * 32, "at_start": "bb" * 32, "refused_by": []} | other

    def proposal(self):
        """As hamburg-1 made it, and the digits it reads aloud."""
        self.daemon.answers["sign"] = lambda arguments: self.sign(arguments, self.theirs, "right")
        done = self.ends(0, "policy", "propose", self.policy, "--out", self.scratch / "proposal")
        self.daemon.answers["sign"] = self.sign
        return self.scratch / "proposal", done.stdout.partition("read aloud: ")[2].splitlines()[0]

    def agreed(self):
        proposal, digits = self.proposal()
        self.ends(0, "policy", "agree", proposal, "--fingerprint", digits, "--out", self.scratch / "agreed")
        return self.scratch / "agreed"

    def test_propose(self):
        out = self.scratch / "proposal"
        told = self.ends(0, "policy", "propose", self.policy, "--out", out).stdout
        self.assertIn("berlin-1 has signed it\nhamburg-1 has not signed it\nread aloud: ", told)
        self.assertIn("countersign policy agree FILE", told)
        made = cbor2.loads(out.read_bytes())
        self.assertEqual((made[2], made.get(3)), ([self.ours.area, made[2][1]], None))
        self.assertEqual(base64.b64decode(self.last()[1]["policy"]), made[1])
        self.assertIn("berlin-1 has signed it", run("policy", "check", str(out)).stdout)
        self.assertIn("is signed already; countersign policy agree", self.ends(1, "policy", "propose", out, "--out", out).stderr)

    def test_propose_refuses(self):
        out = self.scratch / "proposal"
        for answer, told in ((lambda a: self.sign(a, self.theirs), "the signature for berlin-1 does not hold"), (lambda a: self.sign(a) | {"end": "middle"}, "for which gateway"),
                             (lambda a: self.sign(a) | {"signature": "x"}, "our signature: "), (lambda a: self.sign({"policy": base64_of(b"another")}), "does not hold")):
            self.daemon.answers["sign"] = answer
            self.assertIn(told, self.ends(1, "policy", "propose", self.policy, "--out", out).stderr)
        self.daemon.refuse("sign", "denied", "the policy is none of berlin-1")
        self.assertIn("none of berlin-1", self.ends(1, "policy", "propose", self.policy, "--out", out).stderr)
        self.ends(3, "policy", "propose", self.scratch / "none", "--out", out)
        self.ends(1, "policy", "propose", self.file("bad.toml", b"x = 1"), "--out", out)
        self.assertFalse(out.exists())
        self.daemon.answers["sign"] = self.sign
        self.ends(3, "policy", "propose", self.policy, "--out", self.scratch / "no" / "such")
        self.ends(2, "policy", "propose", self.policy)
        self.assertEqual(run("policy", "propose", str(self.policy), "--out", str(out), "--socket", str(self.scratch / "none")).returncode, 3)

    def test_agree_wants_the_digits_typed(self):
        proposal, digits = self.proposal()
        before = proposal.read_bytes()
        seen, out = self.type_in(0, [digits[:-1], digits.replace(" ", "")], "policy", "agree", proposal)
        self.assertIn("group 8 of the fingerprint", seen)
        self.assertIn("[gateways.hamburg-1]", out)
        self.assertIn(f"  changes: 10.1.0.0/16 becomes 10.1.0.0/15{TOLD}\n", out)
        self.assertLess(out.index("changes: "), out.index("berlin-1 has signed it"))
        self.assertNotIn(digits, out.partition("changes: ")[0])  # nobody can copy them from there
        self.assertEqual([one["verb"] for one in self.daemon.asked[-2:]], ["plan", "sign"])
        self.assertEqual(base64.b64decode(self.daemon.asked[-2]["arguments"]["agreement"]), before)
        made = cbor2.loads(proposal.read_bytes())
        self.assertEqual((made[2][0], made[3][0]), (self.ours.area, self.theirs.area))

    def test_agree_with_other_digits_signs_nothing(self):
        proposal, digits = self.proposal()
        before, other = proposal.read_bytes(), "000002 000004 000006 000009 000003 000005 000008 000007"
        self.assertIn("of another policy; do not sign it", self.ends(1, "policy", "agree", proposal, "--fingerprint", other).stderr)
        self.ends(2, "policy", "agree", proposal, "--fingerprint", digits[:-1])
        self.assertIn("or give --fingerprint", self.ends(2, "policy", "agree", proposal).stderr)
        self.type_in(1, [other], "policy", "agree", proposal)
        self.type_in(2, ["1", "2", "3"], "policy", "agree", proposal)
        self.assertEqual((proposal.read_bytes(), self.last()[0]), (before, "plan"))

    def test_agree_with_options(self):
        proposal, digits = self.proposal()
        before = proposal.read_bytes()
        self.daemon.refuse("plan", "denied", "the store is closed")
        told = self.ends(0, "policy", "agree", proposal, "--fingerprint", digits, "--out", self.scratch / "agreed").stdout
        self.assertIn("What it changes here keymsd does not tell: the store is closed", told)
        self.assertIn("Next, at both gateways, with this file: countersign policy plan, then apply", told)
        self.assertEqual(proposal.read_bytes(), before)
        self.assertTrue(json.loads(run("policy", "check", "--json", str(self.scratch / "agreed")).stdout)["agreed"])

    def test_agree_refuses_what_nobody_or_somebody_else_signed(self):
        proposal, digits = self.proposal()
        made = cbor2.loads(proposal.read_bytes())
        unsigned = self.file("unsigned", cbor2.dumps({0: 1, 1: made[1]}, canonical=True))
        self.assertIn("nobody has signed it; countersign policy propose", self.ends(1, "policy", "agree", unsigned, "--fingerprint", digits).stderr)
        wrong = self.file("wrong", cbor2.dumps({0: 1, 1: made[1], 3: [made[3][0], made[3][1][:-1] + b"x"]}, canonical=True))
        self.assertIn("the signature for hamburg-1 does not hold", self.ends(1, "policy", "agree", wrong, "--fingerprint", digits).stderr)
        self.ends(1, "policy", "agree", self.policy, "--fingerprint", digits)
        self.ends(3, "policy", "agree", self.scratch / "none")
        self.assertNotIn("plan", [one["verb"] for one in self.daemon.asked])

    def test_plan(self):
        agreed = self.agreed()
        told = self.ends(0, "policy", "plan", agreed).stdout
        self.assertIn(f"hamburg-1, version 3, fingerprint 012345 678901\n  changes: 10.1.0.0/16 becomes 10.1.0.0/15{TOLD}\n", told)
        self.assertIn("aa" * 32, told)
        self.assertEqual(base64.b64decode(self.last()[1]["agreement"]), agreed.read_bytes())
        self.daemon.answers["plan"] = self.plan(refused_by=["it is too late"])
        self.assertIn("  AGAINST: it is too late\n", self.ends(1, "policy", "plan", agreed).stdout)
        self.assertEqual(self.tells(1, "policy", "plan", agreed)["refused_by"], ["it is too late"])
        for verb in (("plan", self.proposal()[0]), ("apply", self.proposal()[0]), ("apply", agreed, "--confirm-within", "5m", "--fallback", self.proposal()[0])):
            self.assertIn("is not agreed: berlin-1 has not signed it", self.ends(1, "policy", *verb).stderr)
        self.ends(1, "policy", "plan", self.policy)
        self.ends(3, "policy", "plan", self.scratch / "none")

    def test_apply(self):
        agreed = self.agreed()
        told = self.ends(0, "policy", "apply", agreed).stdout
        self.assertIn("hamburg-1, version 3: in force\n", told)
        self.assertNotIn("UNDONE", told)
        self.assertEqual(self.last(), ("apply", {"agreement": base64_of(agreed.read_bytes())}))
        self.daemon.answers["apply"] = self.plan(confirm_by=LATER)
        told = self.ends(0, "policy", "apply", agreed, "--confirm-within", "5m", "--fallback", agreed).stdout
        self.assertIn(f"UNDONE at {LATER} unless you type: countersign policy confirm hamburg-1\n", told)
        self.assertEqual((self.last()[1]["confirm_within"], self.last()[1]["fallback"]), (300, base64_of(agreed.read_bytes())))
        self.assertEqual(self.tells(0, "policy", "apply", agreed)["confirm_by"], LATER)
        for wrong in (["--confirm-within", "5m"], ["--fallback", agreed], ["--fallback", agreed, "--confirm-within", "soon"], ["--fallback", agreed, "--confirm-within", "0s"]):
            self.ends(2, "policy", "apply", agreed, *wrong)
        self.ends(3, "policy", "apply", agreed, "--confirm-within", "5m", "--fallback", self.scratch / "none")
        self.daemon.refuse("apply", "denied", "version 3 is not above 4, the highest run")
        self.assertIn("not above 4", self.ends(1, "policy", "apply", agreed).stderr)

    def test_confirm_and_retire(self):
        self.daemon.answers |= {"confirm": {"peer": "hamburg-1", "version": 3}, "retire": {"peer": "hamburg-1"}}
        self.assertEqual(self.ends(0, "policy", "confirm", "hamburg-1").stdout, "hamburg-1, version 3: confirmed, it stays in force\n")
        self.assertEqual(self.last(), ("confirm", {"peer": "hamburg-1"}))
        self.assertIn("hamburg-1: no policy with it is in force any more", self.ends(0, "policy", "retire", "hamburg-1").stdout)
        self.assertEqual(self.last(), ("retire", {"peer": "hamburg-1"}))
        self.assertEqual(self.tells(0, "policy", "confirm", "hamburg-1")["version"], 3)
        self.ends(2, "policy", "confirm")

    def test_rollback(self):
        agreed = self.agreed()
        self.daemon.answers["rollback"] = self.plan(version=4)
        self.assertIn("hamburg-1, version 4: in force\n", self.ends(0, "policy", "rollback", "hamburg-1").stdout)
        self.assertEqual(self.last(), ("rollback", {"peer": "hamburg-1"}))
        self.ends(0, "policy", "rollback", "--file", agreed)
        self.assertEqual(self.last(), ("rollback", {"agreement": base64_of(agreed.read_bytes())}))
        self.assertIn("PEER or --file is required", self.ends(2, "policy", "rollback").stderr)
        self.ends(2, "policy", "rollback", "hamburg-1", "--file", agreed)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
