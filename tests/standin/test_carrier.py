#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two attestation services talk through a carrier that knows docs/PROTOCOL.md only."""

import argparse
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CARRIER = Path(__file__).with_name("carrier.py")
PROGRAM = None


class Program:
    def __init__(self, *argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def hear(self):
        return self.process.stdout.readline().split()

    def end(self):
        self.process.kill()
        self.process.communicate()


class ThirdPartyCarrier(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.services, self.carriers = [], []
        for name in "ab":
            service = self.start(PROGRAM, f"{scratch.name}/{name}")
            self.assertEqual(service.hear(), ["listening"])
            carrier = self.start(sys.executable, str(CARRIER), "--service", f"{scratch.name}/{name}", "--listen", "127.0.0.1:0")
            self.assertEqual(service.hear(), ["hello", "carrier.py"])
            self.services.append(service)
            self.carriers.append(carrier)
        self.a, self.b = self.services
        self.port = int(self.carriers[1].hear()[0])

    def start(self, *argv):
        program = Program(*argv)
        self.addCleanup(program.end)
        return program

    def open(self):
        self.a.say(f"open b 127.0.0.1 {self.port}")
        verb, ours, by_peer, secret = self.a.hear()
        self.assertEqual((verb, by_peer), ("connect", "0"))
        verb, theirs, by_peer, same = self.b.hear()
        self.assertEqual((verb, by_peer, same), ("connect", "1", secret))
        return ours, theirs

    def test_messages_of_every_size_go_both_ways_in_order(self):
        ours, theirs = self.open()
        sizes = ["1", "2", "1000", "32767", "32768"] * 8
        for size in sizes:
            self.a.say(f"data {ours} {size}")
            self.assertEqual(self.b.hear(), ["data", theirs, size])
            self.assertEqual(self.a.hear(), ["data", ours, size])
        self.a.say(f"grant {ours}")
        self.a.say(f"data {ours} 7")
        self.assertEqual(self.a.hear(), ["data", ours, "7"])

    def test_a_close_reaches_the_other_service(self):
        ours, theirs = self.open()
        self.a.say(f"data {ours} 32768")
        self.a.say(f"close {ours}")
        self.assertEqual(self.b.hear(), ["data", theirs, "32768"])
        self.assertEqual(self.b.hear(), ["close", theirs, "peer_closed"])

    def test_a_denied_channel_ends_at_both(self):
        ours, theirs = self.open()
        self.b.say(f"deny {theirs}")
        self.assertEqual(self.a.hear(), ["close", ours, "peer_closed"])
        self.assertNotEqual(self.open()[0], ours)

    def test_a_carrier_that_dies_ends_its_channels(self):
        _, theirs = self.open()
        self.carriers[0].end()
        self.assertEqual(self.a.hear()[0], "gone")
        self.assertEqual(self.b.hear(), ["close", theirs, "peer_closed"])

    def test_where_nobody_listens_is_told(self):
        self.a.say("open b 127.0.0.1 1")
        self.assertEqual(self.a.hear(), ["unreachable", "b"])


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])
