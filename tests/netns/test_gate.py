#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign gate in a network namespace of its own: what it says, killed at any point, and back after a flush."""

import argparse
import json
import os
import random
import subprocess
import sys
import time
import unittest

PROGRAM = None
KINDS = ("nft", "iptables")
PEER = "branch=192.0.2.2,2001:db8::2"
PATIENCE = 20


class Gate(unittest.TestCase):
    def setUp(self):
        # It holds the namespace; the kernel removes all of it with this process.
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.addCleanup(self.holder.wait)
        self.addCleanup(self.holder.kill)
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            time.sleep(0.01)
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    def run_in(self, *command):
        return subprocess.run([*self.inside, *command], text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def gate(self, *arguments, expect=0):
        ended = self.run_in(PROGRAM, "gate", *arguments)
        self.assertEqual(ended.returncode, expect, ended.stdout + ended.stderr)
        return ended.stdout + ended.stderr

    def show(self, expect=0):
        return json.loads(self.gate("show", "--json", expect=expect))

    def opening(self):
        return self.show()["peers"][0]["opening"]

    def test_a_peer_is_opened_and_closed(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.assertIn(f"by {kind}", self.gate("set-up", f"--{kind}", "--peer", PEER, "--ike"))
                shown = self.show()
                self.assertEqual((shown["schema_version"], shown["kind"], shown["complete"]), (1, kind, True))
                peer = shown["peers"][0]
                self.assertEqual((peer["name"], peer["addresses"]), ("branch", ["192.0.2.2", "2001:db8::2"]))
                self.assertEqual(peer["opening"], "closed")
                self.assertEqual(peer["counters"]["out"]["closed"], {"packets": 0, "bytes": 0})

                self.gate("open", "branch", "--without-attestation", "--sa", "2001:db8::2/esp/0xc0ffee01", "--sa", "192.0.2.1/ah/0x100")
                peer = self.show()["peers"][0]
                self.assertEqual(peer["opening"], "listed")
                self.assertCountEqual(peer["admitted"], [
                    {"way": "out", "protocol": "esp", "destination": "2001:db8::2", "spi": "0xc0ffee01"},
                    {"way": "in", "protocol": "ah", "destination": "192.0.2.1", "spi": "0x00000100"}])
                self.assertIn("Nobody attested this peer", self.gate("open", "branch", "--without-attestation"))
                self.assertIn("which nothing attested", self.gate("show"))
                self.assertIn("branch: any", self.gate("set-up", f"--{kind}", "--peer", PEER, "--ike").replace("open to any SA", "any"))
                self.gate("close", "branch")
                self.assertEqual(self.show()["peers"][0]["admitted"], [])
                self.gate("open", "branch", "--without-attestation")
                self.assertIn("all peers: 1", self.gate("close", "--all"))
                self.assertEqual(self.opening(), "closed")
                self.gate("remove")
                self.assertIn("all peers: 0", self.gate("close", "--all"))
                self.assertIn("there is no gate", self.gate("show", expect=3))

    def test_what_is_wrong_is_told(self):
        self.gate("set-up", "--nft", "--peer", PEER)
        self.assertIn("--without-attestation", self.gate("open", "branch", expect=2))
        self.assertEqual(self.opening(), "closed")
        self.assertIn("no peer nobody", self.gate("open", "nobody", "--without-attestation", expect=3))
        self.assertIn("PEER or --all", self.gate("close", expect=2))
        self.assertIn("no name of a peer", self.gate("close", "b;flush", expect=3))
        self.assertIn("remove it first", self.gate("set-up", "--iptables", "--peer", PEER, expect=3))
        for wrong in ("branch", "branch=", "branch=192.0.2.300", "branch=192.0.2.2,"):
            self.gate("set-up", "--peer", wrong, expect=2)
        for wrong in ("192.0.2.2", "192.0.2.2/udp/0x1", "192.0.2.2/esp/1", "192.0.2.2/esp/0x0", "192.0.2.2/esp/0x100000000", "192.0.2.2/esp/0x1g", "x/esp/0x1"):
            self.gate("open", "branch", "--without-attestation", "--sa", wrong, expect=2)
        self.run_in("nft", "flush chain inet countersign_gate in")
        self.assertIn("NOT COMPLETE", self.gate("show", expect=1))

    def test_killed_at_any_point_it_is_as_before_or_as_wanted(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}", file=sys.stderr)
        chance = random.Random(seed)
        for kind in KINDS:
            self.gate("set-up", f"--{kind}", "--peer", PEER)
            whole = self.took("open", "branch", "--without-attestation")
            for turn in range(24):
                before = self.opening()
                command = (["close", "branch"], ["open", "branch", "--without-attestation"],
                           ["set-up", f"--{kind}", "--peer", PEER + ",192.0.2.3" * (turn // 3 % 2)])[turn % 3]
                with self.subTest(kind=kind, command=command):
                    wanted = {"close": "closed", "open": "any"}.get(command[0])
                    process = subprocess.Popen([*self.inside, PROGRAM, "gate", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    time.sleep(chance.random() * whole)
                    process.kill()
                    process.wait()
                    time.sleep(0.02)  # what the program itself had started
                    shown = json.loads(self.run_in(PROGRAM, "gate", "show", "--json").stdout)
                    now = shown["peers"][0]["opening"]
                    self.assertIn(now, {before, wanted or "closed"})
                    # With iptables one family may have the new rules and the other the old: of one configuration or told.
                    if kind == "nft":
                        self.assertTrue(shown["complete"])
                    self.gate("set-up", f"--{kind}", "--peer", PEER)
            self.gate("remove")

    def took(self, *arguments):
        start = time.monotonic()
        self.gate(*arguments)
        return time.monotonic() - start

    def test_flushed_it_is_back_within_a_second_and_says_so(self):
        keeper = subprocess.Popen([*self.inside, PROGRAM, "gate", "set-up", "--nft", "--peer", PEER, "--keep"], text=True, stdout=subprocess.PIPE)
        self.addCleanup(keeper.stdout.close)
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        keeper.stdout.readline()
        self.assertIn("branch: closed", keeper.stdout.readline())
        self.gate("open", "branch", "--without-attestation")
        self.run_in("nft", "flush", "ruleset")
        start = time.monotonic()
        self.assertIn("was lost, and is back: closed", keeper.stdout.readline())
        print(f"back after {time.monotonic() - start:.2f} s", file=sys.stderr)
        self.assertEqual(self.opening(), "closed")
        self.gate("open", "branch", "--without-attestation")
        keeper.kill()
        keeper.wait()
        self.assertEqual(self.opening(), "any", "it outlives who made it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options, rest = parser.parse_known_args()
    PROGRAM = options.program
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
