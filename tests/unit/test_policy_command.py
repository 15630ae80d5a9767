#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign policy: each verb by its exit code and what it tells, from nothing to a file with a signature that is wrong."""

import argparse
import hashlib
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import cbor2

import command_tree
from command_tree import run

KEYS = {"here": "000b" + "a1" * 32, "there": "000b" + "b2" * 32}
WHO = ["--here", "berlin-1", "--here-key", KEYS["here"], "--there", "hamburg-1", "--there-key", KEYS["there"]]
ENDS = ["--here-address", "192.0.2.1", "--here-network", "10.1.0.0/16", "--there-address", "192.0.2.2", "--there-network", "10.2.0.0/16"]
SWANCTL = """\
connections { lab { local_addrs = 192.0.2.1
  remote_addrs = 192.0.2.2
  children { office { local_ts = 10.1.0.0/16
    remote_ts = 10.2.0.0/16
    esp_proposals = aes256gcm16-ecp256
    mark_in = 0x10000/0x10000
    mark_in_sa = yes
    set_mark_out = 0x20000/0x30000
    colour = blue } } } }
"""


class Verbs(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)

    def ends(self, status, *arguments, **more):
        done = run("policy", *map(str, arguments), **more)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def file(self, name, content):
        path = self.scratch / name
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
        return path

    def policy(self, *more, name="policy.toml"):
        return self.file(name, self.ends(0, "new", *WHO, *ENDS, *more).stdout)

    def encoded(self, policy):
        out = self.scratch / (policy.name + ".cbor")
        self.ends(0, "encode", policy, "--out", out)
        return out


class New(Verbs):
    def test_with_flags_alone(self):
        done = self.ends(0, "check", self.policy("--name", "berlin-hamburg"))
        self.assertTrue(done.stdout.startswith("berlin-hamburg, version 1: it can be kept\ncore properties value: "), done.stdout)

    def test_what_is_missing_is_told_where_nobody_can_be_asked(self):
        done = self.ends(2, "new", "--here", "berlin-1", "--there-network", "10.2.0.0/16")
        self.assertIn("missing is --here-network, --there; give these options", done.stderr)
        self.assertEqual(done.stdout, "")
        for wrong in (["--here", "Berlin"], ["--here-key", "xy"], ["--here-network", "10.1.0.1/16"], ["--proposal", "rot13"]):
            self.ends(2, "new", *wrong)

    def test_a_key_that_is_not_known_is_left_to_be_filled_in(self):
        done = self.ends(0, "new", *WHO[:6], *ENDS)
        self.assertIn("to be filled in: gateways.hamburg-1: it has no attestation_key", done.stderr)
        unfinished = self.file("policy.toml", done.stdout)
        line = done.stdout.splitlines().index("[gateways.hamburg-1]") + 1
        self.assertIn(f"policy.toml:{line}:", self.ends(1, "check", unfinished).stderr)
        self.file("policy.toml", done.stdout.replace('# attestation_key = "000b…"', f'attestation_key = "{KEYS["there"]}"'))
        self.ends(0, "check", unfinished)

    def test_on_a_terminal_it_asks(self):
        answers = ["Berlin", "berlin-1", "192.0.2.1", "10.1.0.0/16, 10.3.0.0/16", KEYS["here"], "hamburg-1", "", "10.2.0.0/33", "10.2.0.0/16", ""]
        master, slave = pty.openpty()
        with subprocess.Popen([command_tree.PROGRAM, "policy", "new"], stdin=slave, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
            os.close(slave)
            seen = b""
            for answer in answers:
                seen += self.read_prompt(master)
                os.write(master, answer.encode() + b"\n")
            text = process.stdout.read()
            process.wait(timeout=20)
        os.close(master)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"'Berlin' is no name of a gateway", seen)
        self.assertIn(b"Networks behind the other gateway", seen)
        text = text.replace('# attestation_key = "000b…"', f'attestation_key = "{KEYS["there"]}"')
        shown = json.loads(self.ends(0, "show", "--json", self.file("asked.toml", text)).stdout)["policy"]
        self.assertEqual(shown["tunnels"]["tunnel-1"]["traffic"], {"berlin-1": ["10.1.0.0/16", "10.3.0.0/16"], "hamburg-1": ["10.2.0.0/16"]})
        self.assertEqual(shown["tunnels"]["tunnel-1"]["address"]["hamburg-1"], "any")

    def read_prompt(self, master):
        seen, end = b"", time.monotonic() + 20
        while not seen.endswith(b": ") and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 4096)
        return seen


class Drawn(Verbs):
    def test_from_swanctl(self):
        configuration = self.file("swanctl.conf", SWANCTL)
        done = self.ends(0, "from-swanctl", configuration, *WHO, "--here-keymsd", "192.0.2.1")
        self.assertIn("swanctl.conf:9: colour is not understood here", done.stderr)
        self.assertNotIn("to be filled in", done.stderr)
        drawn = self.file("drawn.toml", done.stdout)
        self.ends(0, "check", drawn)
        # It differs from what `new` makes in what the configuration says otherwise.
        changes = json.loads(self.ends(0, "diff", "--json", self.policy("--tunnel", "office", "--name", "unnamed"), drawn).stdout)["changes"]
        self.assertEqual([(one["effect"], one["sentence"]) for one in changes],
                         [("other", "its keymsd listens at 192.0.2.2:4739 becomes nowhere"),
                          ("other", "the mark of inbound policies none becomes 0x10000/0x10000"),
                          ("stronger", "the longest life of an SA any becomes 66m")])

    def test_without_names_they_are_to_be_filled_in(self):
        done = self.ends(0, "from-swanctl", self.file("swanctl.conf", SWANCTL))
        self.assertIn("to be filled in: gateways.HERE: its NeID is not right", done.stderr)
        self.assertIn("[gateways.THERE]", done.stdout)

    def test_what_is_not_understood_is_refused(self):
        done = self.ends(3, "from-swanctl", self.file("swanctl.conf", "connections {\n include x }\n"))
        self.assertIn("swanctl.conf:2: include is not read here", done.stderr)
        self.ends(3, "from-swanctl", self.scratch / "nothing")

    def test_from_kernel_needs_a_tunnel(self):
        done = self.ends(3, "from-kernel", "--peer", "192.0.2.222")
        self.assertIn("countersign: ", done.stderr)


class Files(Verbs):
    def test_wrong_ones_are_told_with_line_and_column(self):
        text = self.policy().read_text()
        for other, told in ((text.replace("[signing]", "[singing]"), 'did you mean "signing"?'),
                            (text.replace('"aes256gcm16"', '"aes256gmc16"'), "is no algorithm"),
                            (text.replace("least_replay_window = 32", "least_replay_window = 0"), "1 to 4294967295")):
            done = self.ends(1, "check", self.file("wrong.toml", other))
            self.assertRegex(done.stderr, r"wrong\.toml:\d+:\d+: ")
            self.assertIn(told, done.stderr)
        report = json.loads(self.ends(1, "check", "--json", self.file("wrong.toml", "x = 1")).stdout)
        self.assertFalse(report["complete"])
        self.ends(3, "check", self.scratch / "nothing")
        self.ends(1, "check", "-")
        self.ends(1, "check", self.file("cut", self.encoded(self.policy()).read_bytes()[:-1]))

    def test_every_form_has_the_same_value(self):
        policy = self.policy()
        encoded = self.encoded(policy)
        value = hashlib.sha256(encoded.read_bytes()).hexdigest()
        proposal = self.file("proposal.cbor", cbor2.dumps({0: 1, 1: encoded.read_bytes()}, canonical=True))
        shown = self.file("shown.toml", self.ends(0, "show", encoded).stdout)
        for form in (policy, encoded, proposal, shown):
            report = json.loads(self.ends(0, "check", "--json", form).stdout)
            self.assertEqual((report["core_properties_value"], report["schema_version"], report["good"]), (value, 1, True), form)
            self.assertIn(report["fingerprint"], self.ends(0, "check", form).stdout)
            self.assertEqual(self.ends(0, "diff", policy, form).stdout, "they are the same\n")
        self.assertFalse(report.get("agreed", False))
        with policy.open() as text:
            self.assertEqual(self.ends(0, "check", "-", stdin=text).stdout, self.ends(0, "check", policy).stdout)

    def test_a_proposal_tells_who_has_signed(self):
        encoded = self.encoded(self.policy()).read_bytes()
        missing = self.file("proposal.cbor", cbor2.dumps({0: 1, 1: encoded}, canonical=True))
        self.assertIn("berlin-1 has not signed it", self.ends(0, "check", missing).stdout)
        self.assertIn("# hamburg-1 has not signed it\n", self.ends(0, "show", missing).stdout)
        wrong = self.file("wrong.cbor", cbor2.dumps({0: 1, 1: encoded, 3: [b"key", b"signature"]}, canonical=True))
        done = self.ends(1, "check", wrong)
        self.assertIn("the signature for hamburg-1 does not hold", done.stdout)
        report = json.loads(self.ends(0, "show", "--json", wrong).stdout)
        self.assertEqual((report["agreed"], report["signatures"]["berlin-1"]["state"], report["signatures"]["hamburg-1"]["state"]), (False, "missing", "wrong"))

    def test_diff_says_what_it_means(self):
        before = self.policy()
        after = self.file("after.toml", before.read_text().replace('"10.1.0.0/16"', '"10.0.0.0/15"').replace('"cut"', '"report"'))
        lines = self.ends(0, "diff", before, after).stdout.splitlines()
        self.assertEqual(lines[0], "wider: tunnel tunnel-1: 10.1.0.0/16 of berlin-1 becomes 10.0.0.0/15: more is protected")
        self.assertEqual(lines[1], "weaker: attestation: on failure: cut becomes report")
        self.ends(3, "diff", before, self.scratch / "nothing")
        self.ends(1, "diff", before, self.file("empty", ""))

    def test_what_cannot_be_written_is_told(self):
        done = self.ends(3, "encode", self.policy(), "--out", self.scratch / "no" / "such")
        self.assertIn("writing ", done.stderr)
        self.ends(3, "encode", self.policy(), "--out", "/dev/full")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
