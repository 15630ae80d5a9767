# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages and keys of docs/PROTOCOL.md, "The attestation session", written from that page alone.

A body is what CBOR makes of it: maps of numbers, lists, bytes, texts.
"""

import hashlib
import hmac
import re

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

REFUSE, HELLO_I, HELLO_R, EVIDENCE, GET, PART, RESULT, FINAL, DENIED = range(9)
READY, ALIVE, SAS, SAS_GONE, NOTICE, DENY = range(16, 22)
LAST_SECOND = 253402300799
BANKS = {0x0004: 20, 0x000B: 32, 0x000C: 48, 0x000D: 64, 0x0012: 32}


class Refused(Exception):
    pass


def must(holds, what):
    if not holds:
        raise Refused(what)


# What a value may be: each returns a function that refuses all else.

def number(least=0, most=2**64 - 1):
    return lambda value: must(type(value) is int and least <= value <= most, f"no number from {least} to {most}: {value!r}")


def blob(least, most=None):
    most = least if most is None else most
    return lambda value: must(type(value) is bytes and least <= len(value) <= most, f"not {least} to {most} bytes")


def text(pattern):
    return lambda value: must(type(value) is str and re.fullmatch(pattern, value, re.ASCII), f"no such text: {value!r}")


def boolean(value):
    must(type(value) is bool, "neither true nor false")


def several(item, least, most):
    def check(value):
        must(type(value) is list and least <= len(value) <= most, f"not {least} to {most} items")
        for one in value:
            item(one)
    return check


def parts(*items):
    def check(value):
        must(type(value) is list and len(value) == len(items), f"not {len(items)} parts")
        for item, one in zip(items, value):
            item(one)
    return check


def fields(must_have, may_have=None):
    may_have = may_have or {}

    def check(value):
        must(type(value) is dict and all(type(key) is int for key in value), "no map of numbers")
        must(must_have.keys() <= value.keys(), "a key is missing")
        for key, one in value.items():
            must(key in must_have or key in may_have, f"key {key} is unknown")
            (must_have.get(key) or may_have[key])(one)
    return check


TEXT = text("[ -~]{1,512}")
CODE = text("[a-z0-9_]{1,48}")
NE_ID = text("[a-z][a-z0-9-]{0,15}")
STRUCTURE = blob(1, 1024)
HASH = blob(32)
REASON = parts(CODE, TEXT)
REASONS = fields({0: several(REASON, 1, 16)})
CREDENTIAL = fields({0: STRUCTURE, 1: STRUCTURE})
VOUCHERS = several(fields({0: number(), 1: blob(1, 6144)}), 1, 4)
SPI, SENSE = number(256, 2**32 - 1), number(1, 2)
LOG = number(0, 4)


def share(value):
    blob(65)(value)
    must(value[0] == 4, "a share that does not begin with 4")


def hello(value):
    fields({0: number(1, 1), 1: NE_ID, 2: NE_ID, 3: HASH, 4: HASH, 5: number(1), 6: share, 7: STRUCTURE, 8: blob(1, 512), 9: STRUCTURE,
            10: boolean, 12: number(1, 2**32 - 1)}, {11: VOUCHERS})(value)
    must(value[1] != value[2], "to itself")


def pcr_values(value):
    several(parts(number(0, 0xFFFF), number(0, 23), blob(0, 64)), 0, 96)(value)
    for bank, _, digest in value:
        must(bank in BANKS and len(digest) == BANKS[bank], "not of its bank")
    places = [(bank, pcr) for bank, pcr, _ in value]
    must(places == sorted(set(places)), "PCRs out of order")


BODIES = {
    REFUSE: REASON,
    HELLO_I: hello,
    HELLO_R: hello,
    EVIDENCE: fields({0: STRUCTURE, 1: STRUCTURE, 2: STRUCTURE, 3: pcr_values, 6: several(number(), 5, 5)},
                     {4: fields({0: STRUCTURE, 1: STRUCTURE, 2: STRUCTURE, 3: blob(1, 64)}),
                      5: fields({0: STRUCTURE, 1: STRUCTURE, 2: STRUCTURE}), 7: STRUCTURE, 8: CREDENTIAL, 9: VOUCHERS}),
    GET: fields({0: LOG, 1: number(), 2: number(1, 262144)}),
    PART: fields({0: LOG, 1: number(), 2: blob(1, 16384)}),
    RESULT: fields({}, {0: HASH, 1: CREDENTIAL}),
    FINAL: fields({}, {0: HASH}),
    DENIED: REASONS,
    READY: fields({}),
    ALIVE: fields({}),
    SAS: fields({0: several(parts(SPI, SENSE, number(50, 51), TEXT, HASH), 1, 64)}),
    SAS_GONE: fields({0: several(parts(SPI, SENSE), 1, 64)}),
    NOTICE: fields({0: number(1, 5), 1: TEXT}),
    DENY: REASONS,
}


def strict(data):
    """One item, in its one encoding."""
    try:
        item = cbor2.loads(data)
        again = cbor2.dumps(item, canonical=True)
    except Exception as error:  # whatever a decoder finds wrong
        raise Refused(str(error)) from error
    must(again == data, "another encoding, or bytes behind the end")
    return item


def evidence_statement(data):
    value = strict(data)
    fields({0: number(1, 4), 1: blob(32, 65), 2: number(1, 2**32 - 1), 3: number(0, LAST_SECOND), 4: number(1, 2**32 - 1),
            5: number(0, 0xFFFF), 6: number(0, 0xFFFF), 7: HASH, 8: number(0, LAST_SECOND)})(value)
    must(len(value[1]) == (65 if value[0] <= 2 else 32), "a key of another suite")
    must(value[0] > 2 or value[1][0] == 4, "a point that does not begin with 4")
    must(value[5] <= value[6], "lanes out of order")
    return value


def endpoint_statement(data):
    must(len(data) <= 512, "too long")
    value = strict(data)
    fields({0: NE_ID, 1: HASH, 2: number(), 3: number(0, LAST_SECOND)})(value)
    must(value[2] <= value[3], "it ends before it begins")
    return value


class Message:
    """What stands in a message; `covered` is what its HMAC is of."""

    def __init__(self, data):
        must(len(data) <= 32768, "too long")
        # Which form it has, its second item says; the HMAC is none of CBOR's business.
        must(len(data) >= 2 and 0x82 <= data[0] <= 0x84, "no array of 2 to 4")
        has_hmac = data[0] != 0x82
        must(not has_hmac or len(data) >= 32, "no HMAC")
        self.covered, self.hmac = (data[:-32], data[-32:]) if has_hmac else (data, b"")
        item = strict(self.covered)
        must(type(item) is list and type(item[0]) is int and item[0] in BODIES, "no type that there is")
        self.type, self.body = item[0], item[-1]
        form = 2 if self.type <= HELLO_R else 3 if self.type <= DENIED else 4
        must(len(item) == form, "not as many parts as its type has")
        self.epoch = item[1] if form == 4 else 0
        self.number = item[-2] if form > 2 else 0
        number(0, 2**32 - 1)(self.epoch)
        number()(self.number)
        BODIES[self.type](self.body)

    def encoded(self, key=None):
        return encode(self.type, self.body, key, self.number, self.epoch)


def encode(kind, body, key=None, counter=0, epoch=0):
    BODIES[kind](body)
    front = [kind] if kind <= HELLO_R else [kind, counter] if kind <= DENIED else [kind, epoch, counter]
    data = cbor2.dumps([*front, body], canonical=True)
    return data if kind <= HELLO_R else data + hmac_of(key, data)


def hmac_of(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def long(data):
    return len(data).to_bytes(4, "big") + data


def channel_of(secret):
    return sha256(b"countersign channel v1\0", secret)


def begin(hello_i, hello_r):
    return sha256(b"countersign transcript v1\0", long(hello_i), long(hello_r))


def go_on(transcript, message):
    return sha256(transcript, long(message))


def qualifying(role, transcript, nonces, channel, certificates, statement):
    return sha256(b"countersign quote v1\0", bytes([role]), transcript, *nonces, channel, *certificates, sha256(statement))


def expand(pseudorandom, label, size=32):
    return HKDFExpand(algorithm=hashes.SHA256(), length=size, info=label.encode()).derive(pseudorandom)


def run_keys(th1, z):
    early = hmac_of(th1, z)
    return [expand(early, "cs run i"), expand(early, "cs run r")]


def late_keys(th3, z):
    late = hmac_of(th3, z)
    keys = {name: [expand(late, f"cs {name} {side}", 16 if name == "gate" else 32) for side in "ir"] for name in ("confirm", "gate", "link")}
    return {"session": expand(late, "cs session"), **keys}


def proof(secret, transcript):
    return hmac_of(secret, b"countersign proof v1\0" + transcript)


def agree(private, peers_share):
    return private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peers_share))
