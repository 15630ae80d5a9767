#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cs-standin-keymsd against a second implementation of the protocol (client.py), as a running program."""

import argparse
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client import Client, Closed, applied, hello, sign_request, statement, status

PROGRAM = None
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def key(number, suite=1, **other):
    return {"key": number, "session": "11" * 32, "pcr_digest": "22" * 32, "direction": 0, "suite": suite, "gate_secret": "33" * 16,
            "lanes": [10, 19], "lifetime_ms": 60000, "private_key": f"{number:02x}" * 32, **other}


def public_of(entry):
    private = bytes.fromhex(entry["private_key"])
    if entry["suite"] <= 2:
        return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1()).public_key()
    return ed25519.Ed25519PrivateKey.from_private_bytes(private).public_key()


def public_bytes(entry):
    public = public_of(entry)
    if entry["suite"] <= 2:
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def verify(entry, signature, data):
    public = public_of(entry)
    if entry["suite"] > 2:
        return public.verify(signature, data)
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    assert s <= P256_ORDER // 2, "s is not the lower one"
    return public.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))


SCENARIO = {"peers": [
    {"id": 1, "mode": "enforce", "addresses": ["192.0.2.1", "2001:db8::1"],
     "outbound": [key(7), key(8, remote=True), key(9, suite=4, remote=True)],
     "inbound": [key(7, direction=1), key(6, suite=3, direction=1)]},
    {"id": 2, "mode": "audit"},
]}


class Standin(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = Path(self.directory.name) / "socket"
        self.scenario = Path(self.directory.name) / "scenario.json"
        self.log = Path(self.directory.name) / "log"
        self.process = None

    def start(self, *options, scenario=None):
        self.write(scenario or SCENARIO)
        with self.log.open("w") as log:
            self.process = subprocess.Popen([PROGRAM, "--socket", self.path, "--scenario", self.scenario, *options],
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.addCleanup(self.stop)
        self.assertEqual(self.process.stdout.readline(), "ready\n", self.log.read_text())

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def write(self, scenario):
        self.scenario.write_text(scenario if isinstance(scenario, str) else json.dumps(scenario))

    def change(self, scenario):
        self.write(scenario)
        self.process.send_signal(signal.SIGHUP)

    def client(self):
        client = Client(self.path)
        self.addCleanup(client.socket.close)
        return client

    def remote(self, number=8, *options, **fields):
        """A client, and the record of a key that signs in the stand-in."""
        self.start(*options)
        client = self.client()
        found = [m for m in client.state(**fields) if m["message"] == "outbound_key" and m["key"] == number]
        return client, found[0]

    # The state.

    def test_state_is_the_scenario(self):
        self.start()
        state = self.client().state()
        self.assertEqual([(m["message"], m["peer"]) for m in state],
                         [("peer", 1), ("peer", 2), *[("inbound_key", 1)] * 2, *[("outbound_key", 1)] * 3])
        self.assertEqual(state[0], {"message": "peer", "peer": 1, "mode": 3, "addresses": ["192.0.2.1", "2001:db8::1"]})
        self.assertEqual(state[1], {"message": "peer", "peer": 2, "mode": 2, "addresses": []})
        entries = SCENARIO["peers"][0]
        for message, entry in zip(state[2:], sorted(entries["inbound"], key=lambda e: e["key"]) + entries["outbound"]):
            for name in ("session", "pcr_digest", "gate_secret"):
                self.assertEqual(message[name].hex(), entry[name])
            for name in ("key", "direction", "suite"):
                self.assertEqual(message[name], entry[name])
            self.assertTrue(50000 < message["lifetime_ms"] <= 60000)
            self.assertTrue(abs(message["not_after"] - time.time() - 60) < 10)
            if message.get("kind") == "session":
                self.assertEqual(message["private_key"].hex(), entry["private_key"])
            else:
                self.assertEqual(message["public_key"], public_bytes(entry))
        self.assertEqual([m.get("kind") for m in state[4:7]], ["session", "remote", "remote"])
        self.assertEqual((state[3]["first_lane"], state[3]["last_lane"]), (10, 19))

    def test_large_state_reaches_a_slow_reader_whole(self):
        self.start(scenario={"peers": [{"id": i, "mode": "off", "addresses": ["192.0.2.1"] * 16} for i in range(3000)]})
        client = self.client()
        client.send(hello())
        time.sleep(0.5)
        client.receive()
        self.assertEqual([client.receive()["peer"] for _ in range(3000)], list(range(3000)))
        self.assertEqual(client.receive()["message"], "end_of_state")

    def test_lanes_are_of_one_instance(self):
        self.start()

        def lanes(**fields):
            with Client(self.path) as client:
                return {m["key"]: (m["first_lane"], m["last_lane"]) for m in client.state(**fields) if m["message"] == "outbound_key"}
        self.assertEqual(lanes(instance=b"a" * 16, workers=4)[7], (10, 13))
        self.assertEqual(lanes(instance=b"b" * 16, workers=4)[7], (14, 17))
        self.assertEqual(lanes(instance=b"a" * 16, workers=4)[7], (10, 13))
        self.assertNotIn(7, lanes(instance=b"c" * 16, workers=4))
        self.assertIn("has no lanes left", self.log.read_text())
        self.assertNotIn(7, lanes(instance=b"d" * 16, workers=2), "it is lost")

    def test_lifetime_goes_on_between_connections(self):
        self.start(scenario={"peers": [{"id": 1, "mode": "off", "inbound": [key(1, lifetime_ms=60000), key(2, lifetime_ms=300)]}]})
        first = [m["lifetime_ms"] for m in self.client().state() if m["message"] == "inbound_key"]
        time.sleep(0.4)
        second = [m["lifetime_ms"] for m in self.client().state() if m["message"] == "inbound_key"]
        self.assertEqual((len(first), len(second)), (2, 1), "what has ended is not sent")
        self.assertTrue(first[0] - 10000 < second[0] <= first[0] - 400)

    # Signing.

    def test_signatures_verify(self):
        self.start()
        client = self.client()
        found = {m["key"]: m for m in client.state() if m["message"] == "outbound_key"}
        for number, entry in ((8, SCENARIO["peers"][0]["outbound"][1]), (9, SCENARIO["peers"][0]["outbound"][2])):
            for batch in range(20):
                data = statement(found[number], found[number]["first_lane"], batch)
                reply = client.sign(number, data, ticket=1000 + batch)
                self.assertEqual(reply["status"], "done")
                verify(entry, reply["signature"], data)
            with self.assertRaises(InvalidSignature):
                verify(entry, reply["signature"], statement(found[number], 0, 0))

    def test_nothing_else_is_signed(self):
        client, record = self.remote()
        lane = record["first_lane"]
        good = statement(record, lane, 5)
        cases = [
            ("unknown_key", 7, good),  # nfq-signer's own
            ("unknown_key", 99, good),
            ("other_key", 8, statement(record, lane, 5, key=9)),
            ("not_a_statement", 8, b"X" + good[1:]),
            ("not_a_statement", 8, statement(record, lane, 5, version=2)),
            ("not_a_statement", 8, statement(record, lane, 5, count=0)),
            ("other_suite", 8, statement(record, lane, 5, suite=2)),
            ("other_suite", 8, statement(record, lane, 5, node=32)),
            ("other_session", 8, statement(record, lane, 5, session=b"x" * 32)),
            ("other_direction", 8, statement(record, lane, 5, direction=1)),
            ("other_pcr", 8, statement(record, lane, 5, pcr_digest=b"x" * 32)),
            ("lane_not_allowed", 8, statement(record, record["last_lane"] + 1, 5)),
            ("lane_not_allowed", 8, statement(record, lane - 1, 5)),
            ("done", 8, good),
            ("batch_repeated", 8, good),
            ("batch_repeated", 8, statement(record, lane, 4)),
            ("done", 8, statement(record, record["last_lane"], 5)),
            ("done", 8, statement(record, lane, 6)),
        ]
        for expected, number, data in cases:
            self.assertEqual(client.sign(number, data)["status"], expected, (number, data))

    def test_batches_stay_signed_when_the_connection_is_anew(self):
        client, record = self.remote(instance=b"i" * 16)
        self.assertEqual(client.sign(8, statement(record, record["first_lane"], 5))["status"], "done")
        again = self.client()
        again.state(instance=b"i" * 16)
        self.assertEqual(again.sign(8, statement(record, record["first_lane"], 5))["status"], "batch_repeated")
        self.assertEqual(again.sign(8, statement(record, record["first_lane"], 6))["status"], "done")

    def timed(self, count, *options):
        """Seconds until so many requests, sent at once, are answered; and the tickets in the order of the answers."""
        client, record = self.remote(8, *options)
        start = time.monotonic()
        for i in range(count):
            client.send(sign_request(i, 8, statement(record, record["first_lane"], i)))
        replies = [client.receive() for _ in range(count)]
        self.assertEqual({r["status"] for r in replies}, {"done"})
        return time.monotonic() - start, [r["ticket"] for r in replies]

    def test_latency(self):
        seconds, tickets = self.timed(4, "--latency-ms", "100")
        self.assertTrue(0.4 <= seconds < 1.5, seconds)
        self.assertEqual(tickets, [0, 1, 2, 3])

    def test_depth(self):
        seconds, _ = self.timed(4, "--latency-ms", "200", "--depth", "4")
        self.assertTrue(0.2 <= seconds < 0.7, seconds)

    def test_jitter_lets_answers_overtake(self):
        _, tickets = self.timed(30, "--jitter-ms", "100", "--depth", "30")
        self.assertEqual(sorted(tickets), list(range(30)))
        self.assertNotEqual(tickets, list(range(30)))

    def test_busy_above_the_limit(self):
        client, record = self.remote(8, "--latency-ms", "60000")
        for i in range(257):
            client.send(sign_request(i, 8, statement(record, record["first_lane"], i)))
        self.assertEqual(client.receive(), {"message": "sign_reply", "ticket": 256, "status": "busy", "signature": b""})

    def test_stall_after(self):
        client, record = self.remote(8, "--stall-after", "2")
        for i in range(2):
            self.assertEqual(client.sign(8, statement(record, record["first_lane"], i))["status"], "done")
        client.send(sign_request(2, 8, statement(record, record["first_lane"], 2)))
        self.assertTrue(client.silent(0.3))

    def test_die_after(self):
        client, record = self.remote(8, "--die-after", "1")
        self.assertEqual(client.sign(8, statement(record, record["first_lane"], 0))["status"], "done")
        with self.assertRaises(Closed):
            client.receive()
        self.assertEqual(self.process.wait(5), -signal.SIGKILL)
        self.process.stdout.close()
        self.start()
        self.assertEqual(len(self.client().state()), 7, "the socket it left behind is replaced")

    # Changes.

    def test_hangup_sends_the_differences(self):
        self.start()
        client = self.client()
        before = client.state()
        changed = copy.deepcopy(SCENARIO)
        first, second = changed["peers"]
        first["mode"] = "off"
        del first["outbound"][0]
        first["inbound"].append(key(20, direction=1))
        first["inbound"][0]["pcr_digest"] = "44" * 32
        changed["peers"] = [first, {**second, "id": 3}]
        self.change(changed)
        seen = [client.receive() for _ in range(7)]
        self.assertEqual([(m["message"], m.get("key", m.get("peer"))) for m in seen],
                         [("remove_peer", 2), ("remove_key", 7), ("remove_key", 7), ("peer", 1), ("peer", 3), ("inbound_key", 7), ("inbound_key", 20)])
        self.assertEqual((seen[1]["table"], seen[2]["table"], seen[3]["mode"], seen[5]["pcr_digest"]), (0, 1, 0, b"\x44" * 32))
        self.assertTrue(client.silent(0.2), "and no second end_of_state")
        record = next(m for m in before if m["key" if "key" in m else "peer"] == 8)
        self.assertEqual(client.sign(8, statement(record, record["first_lane"], 0))["status"], "done", "an unchanged key signs on")

    def test_hangup_takes_a_key_from_the_desk(self):
        client, record = self.remote()
        changed = copy.deepcopy(SCENARIO)
        del changed["peers"][0]["outbound"][1]
        self.change(changed)
        self.assertEqual(client.receive(), {"message": "remove_key", "key": 8, "table": 0})
        self.assertEqual(client.sign(8, statement(record, record["first_lane"], 0))["status"], "unknown_key")

    def test_hangup_with_a_bad_scenario_changes_nothing(self):
        client, record = self.remote()
        self.change("{")
        self.assertTrue(client.silent(0.2))
        self.assertEqual(client.sign(8, statement(record, record["first_lane"], 0))["status"], "done")
        self.assertIn("the scenario", self.log.read_text())

    # The connection.

    def test_another_version_is_told_ours(self):
        self.start()
        client = self.client()
        client.send(hello(version=2))
        self.assertEqual(client.receive(), {"message": "welcome", "version": 1})
        with self.assertRaises(Closed):
            client.receive()

    def test_what_breaks_a_rule_ends_the_connection(self):
        self.start()
        for data in (hello()[:-1], hello() + b"\0", status(1, 2, 3, 4, 5), b"\xff", b"\x81\0\1", hello(workers=0), bytes(2000)):
            with Client(self.path) as client:
                client.send(data)
                with self.assertRaises(Closed):
                    client.receive()
        self.assertEqual(len(self.client().state()), 7, "the next one is served")

    def test_status_is_heard(self):
        client, _ = self.remote()
        client.send(status(11, 12, 13, 14, 15))
        client.send(applied(7))
        deadline = time.monotonic() + 10
        while "status: " not in self.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertIn("status: signed 11 in 12 batches, accepted 13, dropped 14, bad signatures 15", self.log.read_text())
        self.assertIn("applied: key 7", self.log.read_text())

    def test_the_newest_connection_counts(self):
        self.start()
        older = self.client()
        older.state()
        newer = self.client()
        newer.state()
        with self.assertRaises(Closed):
            older.receive()

    def test_another_user_is_turned_away(self):
        self.start("--uid", str(os.getuid() + 1))
        with Client(self.path) as client, self.assertRaises(Closed):
            client.receive()

    def test_ends_on_sigterm(self):
        self.start()
        self.process.terminate()
        self.assertEqual(self.process.wait(5), 0)

    # The scenario.

    def test_scenarios_that_are_refused(self):
        def peer(**other):
            return {"peers": [{"id": 1, "mode": "off", **other}]}
        cases = [
            ("parse error", "{"), ("peers", {}), ("unknown field", {"peers": [], "extra": 1}), ("mode", peer(mode="on")),
            ("twice", {"peers": [{"id": 1, "mode": "off"}] * 2}), ("twice", peer(inbound=[key(1), key(1)])),
            ("addresses", peer(addresses=["192.0.2"])), ("addresses", peer(addresses=["::1"] * 17)),
            ("suite", peer(inbound=[key(1, suite=0)])), ("suite", peer(inbound=[key(1, suite=5)])), ("key", peer(inbound=[key(1 << 32)])),
            ("lanes", peer(inbound=[key(1, lanes=[2, 1])])), ("session", peer(inbound=[key(1, session="11")])),
            ("not between 1 and", peer(inbound=[key(0)])), ("unknown field", peer(inbound=[key(1, kind="x")])),
        ]
        for expected, scenario in cases:
            self.write(scenario)
            done = subprocess.run([PROGRAM, "--socket", self.path, "--scenario", self.scenario], text=True, check=False, timeout=10,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (1, ""), scenario)
            self.assertIn(expected, done.stderr)

    def test_help_says_what_it_is(self):
        done = subprocess.run([PROGRAM, "--help"], text=True, check=True, stdout=subprocess.PIPE)
        self.assertIn("TEST EQUIPMENT", done.stdout)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])
