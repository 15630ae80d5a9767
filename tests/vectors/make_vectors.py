#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes vectors.json: what every implementation of docs/WIRE.md must accept, refuse and give back. The same bytes on every
run. `--examples` prints the blocks of docs/WIRE.md sections 10 and 11 instead.

The file is one object:

records   name -> {key_id, session, direction, suite, private_key, public_key, pcr_digest, gate_secret, lanes: [number],
          end: seconds}. Bytes are hex, the rest numbers. private_key: the scalar (P-256) or the seed (Ed25519), 32 bytes;
          public_key: 04, x, y (P-256) or the 32 bytes (Ed25519).
cases     each {name, records, now, window, translator, packets, expect, stripped} and, if it shows signing, {sign}:
  records   names: what the verifier holds
  now       the time at the verifier, in seconds, on the clock of the records' `end`
  window    W
  translator  the translator's port; absent: there is none
  packets   hex, in the order they arrive at one new verifier
  expect    for each the reason of section 7, or "none": accepted
  stripped  for each the packet that comes out, hex; null where it is refused
  sign      {record, lane, batch, salt, original: [hex], identification: [number or null], leaf: [number]}: `original` are
            the packets of a batch before signing; where `identification` has a number, DF was cleared and it was written.
            packets[i] is what a signer makes of original[leaf[i]], to the byte with Ed25519; with ECDSA but for signature
            and gate tag, if its nonce is not of RFC 6979. With `translator`, what is not ESP in UDP was translated then.
"""

import argparse
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

import cases
import examples
import primitives
from reference import ECDSA_SUITES, Record

FILE = Path(__file__).resolve().with_name("vectors.json")
SUITE_NAMES = {1: "p256-16", 2: "p256-32", 3: "ed25519-16", 4: "ed25519-32"}


def secret(words, size):
    return hashlib.shake_256(f"countersign vectors: {words}".encode()).digest(size)


def record(name, suite, direction=0, key=None, key_id=None):
    """Everything in it follows from the name; key: whose key pair it has instead"""
    private = secret(f"{key or name} key", 32)
    if suite in ECDSA_SUITES:
        public = primitives.public_key(private)
    else:
        public = ed25519.Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    number = int.from_bytes(secret(f"{name} id", 4), "big") if key_id is None else key_id
    return Record(number, secret("session", 32), direction, suite, public, secret("pcr", 32), secret(f"{name} gate", 16),
                  tuple(range(8)), 2000, private)


def all_records():
    made = {name: record(name, suite) for suite, name in SUITE_NAMES.items()}
    one, two = made["ed25519-16"], made["p256-16"]
    changed = {
        # Each differs in one thing from ed25519-16, and has its key pair and its gate secret.
        "other-session": {"session": secret("another session", 32)},
        "other-direction": {"direction": 1},
        "other-key-id": {"key_id": 0x01020304},
        "other-pcr": {"pcr_digest": secret("pcr", 4) + secret("another pcr", 28)},  # the same tag
        "one-lane": {"lanes": (7,)},
        "last-lane": {"lanes": (65535,)},
    }
    for name, fields in changed.items():
        made[name] = Record(**(vars(one) | fields))
    # The peer's own direction, as a session really has it: the same key id, another gate secret and key.
    made["backwards"] = record("backwards", one.suite, direction=1, key_id=one.key_id)
    made["p256-one-id"] = Record(**(vars(two) | {"key_id": one.key_id, "gate_secret": one.gate_secret}))
    return made


def as_json():
    records = all_records()
    found = [examples.esp_case(records), examples.ah_case(records), *cases.positive(records), *cases.negative(records)]
    told = {name: {k: v.hex() if isinstance(v, bytes) else v for k, v in vars(r).items()} for name, r in records.items()}
    return json.dumps({"records": told, "cases": found}, indent=1) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--examples", action="store_true", help="print the blocks of docs/WIRE.md sections 10 and 11")
    if arguments.parse_args().examples:
        print(examples.text(all_records()), examples.translated(all_records()), sep="\n\n")
    else:
        FILE.write_text(as_json())


if __name__ == "__main__":
    main()
