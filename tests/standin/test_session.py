#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attestation session's messages and keys against a second implementation (session.py)."""

import argparse
import json
import random
import subprocess
import sys
import unittest

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

import session as own

PROGRAM = None
SEED = 20261122


def theirs(*arguments, lines=()):
    done = subprocess.run([PROGRAM, *arguments], input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, check=True)
    return done.stdout


def accepted(reader, data):
    try:
        reader(data)
        return True
    except own.Refused:
        return False


READERS = {"m": own.Message, "s": own.evidence_statement, "e": own.endpoint_statement}


def changed(rng, data):
    """One thing is otherwise: mostly near the front, where the structure is."""
    data = bytearray(data)
    at = min(int(rng.expovariate(1 / 40)), len(data) - 1) if rng.random() < 0.7 else rng.randrange(len(data))
    how = rng.randrange(5)
    if how == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        data[at] = rng.choice((0, 1, 0x17, 0x18, 0x19, 0x1B, 0x20, 0x40, 0x60, 0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xF4, 0xF6, 0xF9, 0xFF, rng.randrange(256)))
    elif how == 2:
        data.insert(at, rng.randrange(256))
    elif how == 3:
        del data[at]
    else:
        data[at:] = data[at:at + rng.randrange(len(data) - at + 1)]
    return bytes(data)


def leaves(item, path=()):
    if isinstance(item, (list, dict)):
        yield path
        for key in item if isinstance(item, dict) else range(len(item)):
            yield from leaves(item[key], (*path, key))
    else:
        yield path


def restructured(rng, data, hmac_size):
    """Deterministic CBOR again, but one value is another, missing or too many."""
    item = cbor2.loads(data)
    path = rng.choice(list(leaves(item)))
    if not path:
        return data
    inside = item
    for key in path[:-1]:
        inside = inside[key]
    last, value = path[-1], inside[path[-1]]
    how = rng.randrange(6)
    if how == 0:
        del inside[last]
    elif how == 1 and isinstance(inside, list):
        inside.insert(last, value)
    elif how == 1:
        inside[rng.randrange(16)] = value
    elif isinstance(value, bytes):
        inside[last] = value[:-1] if how == 2 else value + b"\4" if how == 3 else b"" if how == 4 else bytes(rng.choice((32, 64, 65, 1024, 1025)))
    elif isinstance(value, str):
        inside[last] = value[:-1] if how == 2 else value + "x" if how == 3 else value.upper() if how == 4 else "a" * rng.choice((16, 17, 48, 49, 512, 513))
    elif isinstance(value, bool) or value is None:
        inside[last] = rng.choice((True, False, None, 0, 1, 1.5))
    elif isinstance(value, int):
        inside[last] = rng.choice((0, 1, 2, 3, 5, 6, 49, 52, 255, 256, 65535, 65536, 262144, 262145, 2**32 - 1, 2**32, 2**64 - 1, 253402300799,
                                   253402300800, value + 1, abs(value - 1), -1, 2**64, 1.5))
    elif isinstance(value, list):
        inside[last] = value * rng.choice((0, 2, 17)) if how < 4 else {}
    else:
        inside[last] = {} if how < 4 else []
    try:
        return cbor2.dumps(item, canonical=True) + bytes(hmac_size)
    except Exception:  # keys of several types have no order
        return data


class Session(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vectors = json.loads(theirs("vectors"))
        cls.samples = [("m", bytes.fromhex(one)) for one in cls.vectors["messages"]]
        cls.samples += [("s", bytes.fromhex(one)) for one in cls.vectors["statements"]]
        cls.samples += [("e", bytes.fromhex(one)) for one in cls.vectors["endpoints"]]

    def test_samples_are_written_the_same(self):
        key = bytes.fromhex(self.vectors["key"])
        kinds = set()
        for kind, data in self.samples:
            if kind != "m":
                self.assertEqual(cbor2.dumps(READERS[kind](data), canonical=True), data)
                continue
            message = own.Message(data)
            kinds.add(message.type)
            self.assertEqual(message.encoded(key), data)
        self.assertEqual(kinds, set(own.BODIES), "a sample of each type")

    def test_both_take_and_refuse_the_same(self):
        rng = random.Random(SEED)
        tried = []
        for _ in range(12000):
            kind, data = rng.choice(self.samples)
            if rng.random() < 0.5:
                tried.append((kind, changed(rng, data)))
            else:
                hmac_size = 32 if kind == "m" and data[0] != 0x82 else 0
                tried.append((kind, restructured(rng, data[:len(data) - hmac_size], hmac_size)))
        verdicts = theirs("judge", lines=[f"{kind} {data.hex()}" for kind, data in tried]).split()
        self.assertEqual(len(verdicts), len(tried))
        for (kind, data), verdict in zip(tried, verdicts):
            mine = "yes" if accepted(READERS[kind], data) else "no"
            self.assertEqual(mine, verdict, f"{kind} {data[:200].hex()} ({len(data)} bytes)")
        self.assertGreater(verdicts.count("yes"), 500)
        self.assertGreater(verdicts.count("no"), 5000)

    def test_runs_have_the_same_keys_and_quotes(self):
        for run in self.vectors["runs"]:
            with self.subTest(messages=len(run["messages"])):
                self.follow(run)

    def follow(self, run):
        """Computes what each message must bear from those before it and Z."""
        z, channel = bytes.fromhex(run["z"]), own.channel_of(bytes.fromhex(run["channel_secret"]))
        secrets = [bytes.fromhex(one) for one in run["secrets"]]
        messages = [(role, own.Message(bytes.fromhex(data))) for role, data in run["messages"]]
        hellos = [message for _, message in messages[:2]]
        self.assertEqual([message.type for message in hellos], [own.HELLO_I, own.HELLO_R])
        transcript = own.begin(*(message.covered for message in hellos))
        nonces = [message.body[3] for message in hellos]
        certificates = [own.endpoint_statement(message.body[8])[1] for message in hellos]
        run_keys, late, counters, proofs = own.run_keys(transcript, z), None, [0, 0], 0
        for role, message in messages[2:]:
            if message.type in (own.RESULT, own.FINAL):
                key, counter = late["confirm"][role - 1], 0
            else:
                key, counter = run_keys[role - 1], counters[role - 1]
                counters[role - 1] += 1
            self.assertEqual(message.hmac, own.hmac_of(key, message.covered))
            self.assertEqual(message.number, counter)
            if message.type == own.EVIDENCE:
                statement = message.body[0]
                expected = own.qualifying(role, transcript, nonces, channel, certificates, statement)
                self.assertEqual(message.body[1][:32], expected)
                self.assertEqual(own.evidence_statement(statement)[2], hellos[2 - role].body[12])
                transcript = own.go_on(transcript, message.covered)
                if role == 2:
                    late = own.late_keys(transcript, z)
            if message.type in (own.RESULT, own.FINAL) and 0 in message.body:
                proofs += 1
                self.assertIn(message.body[0], [own.proof(secret, transcript) for secret in secrets])
            if message.type == own.RESULT:
                transcript = own.go_on(transcript, message.covered)
        self.assertEqual(messages[-1][1].type, own.FINAL)
        self.assertEqual(proofs, len(secrets))
        self.assertEqual(late["session"].hex(), run["session"])
        for name in ("confirm", "gate", "link"):
            self.assertEqual([key.hex() for key in late[name]], run[name])

    def test_two_shares_agree(self):
        one, two = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        share = [key.public_key().public_numbers() for key in (one, two)]
        share = [b"\4" + at.x.to_bytes(32, "big") + at.y.to_bytes(32, "big") for at in share]
        self.assertEqual(own.agree(one, share[1]), own.agree(two, share[0]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    known, rest = parser.parse_known_args()
    PROGRAM = known.program
    unittest.main(argv=[sys.argv[0], *rest])
