#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference passes the vectors, refuses every change, gives back what it signed; and docs/WIRE.md's examples are its."""

import json
import random
import re
import unittest
from dataclasses import replace
from pathlib import Path

import examples
import make_vectors
import primitives
import reference
import shapes
from cases import SALT, Forger
from reference import ESP, Extension, Record, Refused, Verifier

WIRE = (Path(__file__).resolve().parents[2] / "docs/WIRE.md").read_text()
VECTORS = json.loads(make_vectors.FILE.read_text())
RECORDS = make_vectors.all_records()


def section(number):
    return re.search(rf"^## {number}\. .*?(?=^## |\Z)", WIRE, re.M | re.S)[0]


def outcome(verifier, packet, now=1000):
    """(reason, what comes out)"""
    try:
        return "none", verifier.verify(packet, now)
    except Refused as refused:
        return str(refused), None


def from_json(told):
    return Record(**{k: bytes.fromhex(v) if isinstance(v, str) else tuple(v) if isinstance(v, list) else v for k, v in told.items()})


class Primitives(unittest.TestCase):
    def test_siphash(self):
        """The first 3 and the 16th of the vectors of its reference implementation."""
        key, told = bytes(range(16)), {0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 2: "5a4fa9d909806c0d", 15: "e545be4961ca29a1"}
        for size, tag in told.items():
            self.assertEqual(primitives.siphash(key, bytes(range(size))).hex(), tag)

    def test_ecdsa(self):
        """RFC 6979, A.2.5, SHA-256, "sample"; its s is above half of the order."""
        private = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
        self.assertEqual(primitives.public_key(private)[:9].hex(), "0460fed4ba255a9d31")
        r, s = primitives.ecdsa(private, b"sample")
        self.assertEqual(f"{r:064X}", "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716")
        self.assertEqual(f"{s:064X}", "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8")
        low = reference.sign(replace(RECORDS["p256-16"], private_key=private), b"sample")
        self.assertEqual(int.from_bytes(low[32:], "big"), primitives.ORDER - s)


class Vectors(unittest.TestCase):
    def test_the_file_is_what_the_script_writes(self):
        self.assertEqual(make_vectors.FILE.read_text(), make_vectors.as_json())
        self.assertLess(make_vectors.FILE.stat().st_size, 400_000)

    def test_verify(self):
        for case in VECTORS["cases"]:
            verifier = Verifier([from_json(VECTORS["records"][name]) for name in case["records"]], case["window"],
                                case.get("translator"))
            found = [outcome(verifier, bytes.fromhex(packet), case["now"]) for packet in case["packets"]]
            told = [(e, s and bytes.fromhex(s)) for e, s in zip(case["expect"], case["stripped"], strict=True)]
            self.assertEqual(found, told, case["name"])

    def test_sign(self):
        for case in VECTORS["cases"]:
            if sign := case.get("sign"):
                made = reference.sign_batch(from_json(VECTORS["records"][sign["record"]]), sign["lane"], sign["batch"],
                                            bytes.fromhex(sign["salt"]), [bytes.fromhex(p) for p in sign["original"]],
                                            sign["identification"])
                packets = [made.packets[i] for i in sign["leaf"]]
                if port := case.get("translator"):
                    packets = [p if reference.parse(p).udp else reference.translate(p, port) for p in packets]
                self.assertEqual([p.hex() for p in packets], case["packets"], case["name"])
                self.assertEqual([sign["original"][i] for i in sign["leaf"]], case["stripped"], case["name"])

    def test_every_reason_and_no_other(self):
        rows = "".join(line.rsplit("|", 2)[1] for line in section(7).splitlines() if re.match(r"\| \d", line))
        self.assertEqual({e for case in VECTORS["cases"] for e in case["expect"]}, {"none", *re.findall(r"`(\w+)`", rows)})

    def test_names_are_unique(self):
        names = [case["name"] for case in VECTORS["cases"]]
        self.assertEqual(len(names), len(set(names)))


class Document(unittest.TestCase):
    def test_examples(self):
        """Section 10 holds the blocks that make_vectors.py --examples prints, and no other hex."""
        blocks = re.findall(r"(?:^    .*\n)+", section(10) + "\n", re.M)
        self.assertEqual([b.rstrip() for b in blocks], examples.text(RECORDS).split("\n\n"))
        prose = re.sub(r"(?:^    .*\n)+", "", section(10), flags=re.M)
        self.assertEqual(re.findall(r"\b[0-9a-f]{8,}\b", prose), [])


    def test_the_translated_example(self):
        blocks = re.findall(r"(?:^    .*\n)+", section(11) + "\n", re.M)
        self.assertEqual(blocks[-1].rstrip(), examples.translated(RECORDS))


class Changes(unittest.TestCase):
    """Every bit of what is covered, alone and with a gate tag that follows."""

    def setUp(self):
        packets = [shapes.ipv4(ESP, shapes.esp(12 + 4 * i, sequence=i + 1)) for i in range(3)]
        self.record = RECORDS["ed25519-16"]
        self.forger = Forger(self.record, packets)

    def flips(self, start, end):
        good = self.forger.packets[1]
        for bit in range(start * 8, end * 8):
            changed = bytearray(good)
            changed[bit // 8] ^= 0x80 >> bit % 8
            yield bit, bytes(changed)

    def verifiers(self):
        """One that knows nothing, and one that has verified the batch."""
        used = Verifier([self.record])
        self.assertEqual(outcome(used, self.forger.packets[0])[0], "none")
        return Verifier([self.record]), used

    def refused(self, packet, why):
        for verifier in self.verifiers():
            self.assertNotEqual(outcome(verifier, packet)[0], "none", why)

    def test_every_bit(self):
        for bit, packet in self.flips(20, len(self.forger.packets[1])):
            self.refused(packet, bit)

    def test_every_bit_with_the_gate_secret(self):
        good, end = self.forger.packets[1], len(self.forger.packets[1])
        for bit, packet in self.flips(20, end):
            if end - 10 <= bit // 8 < end - 2:
                continue  # the tag itself
            size = len(self.forger.batch.extensions[1].encoded())
            d = reference.digest(reference.parse(shapes.ipv4(ESP, packet[20:end - size])))
            tag = primitives.siphash(self.record.gate_secret, d + packet[-size:-10] + packet[-2:])
            self.refused(packet[:-10] + tag + packet[-2:], bit)
        self.assertEqual(outcome(Verifier([self.record]), good)[0], "none")

    def test_every_length(self):
        good = self.forger.packets[1]
        for size in range(20, len(good)):
            cut = shapes.ipv4(ESP, good[20:size])
            self.refused(cut, size)
            self.assertEqual(outcome(Verifier([self.record]), good[:size])[0], "malformed")

    def test_noise(self):
        """Nothing but a reason, whatever arrives."""
        noise = random.Random(1)
        for _ in range(3000):
            packet = bytearray(noise.choice(self.forger.packets + [noise.randbytes(noise.randrange(200))]))
            for _ in range(noise.randrange(1, 4) if packet else 0):
                packet[noise.randrange(len(packet))] = noise.randrange(256)
            outcome(Verifier([self.record]), bytes(packet))


def random_packet(source):
    """One of all shapes, with another length, another checksum, another seed."""
    body = shapes.esp(source.randrange(8, 1400), source.randrange(1, 2**32), source.randrange(2**32))
    ports = (source.randrange(65536), source.randrange(65536))
    headers = source.choices([shapes.HOP_BY_HOP, shapes.DESTINATION, shapes.ROUTING, shapes.fragment()], k=source.randrange(9))
    options = bytes(4 * source.randrange(11))
    plain = {"options": options, "identification": source.randrange(65536), "flags": source.choice([0, shapes.DF])}
    header = shapes.ah(4 * source.randrange(12), source.randbytes(source.randrange(1400)), sequence=source.randrange(2**32))
    return source.choice([
        lambda: shapes.ipv4(ESP, body, **plain),
        lambda: shapes.ipv6(ESP, body, *headers),
        lambda: shapes.ipv4(shapes.AH, header, **plain),
        lambda: shapes.ipv6(shapes.AH, header, *headers),
        lambda: shapes.ipv4(shapes.UDP, shapes.udp(body, source.choice([None, shapes.V4]), ports), **plain),
        lambda: shapes.ipv6(shapes.UDP, shapes.udp(body, source.choice([None, shapes.V6]), ports), *headers),
        lambda: shapes.ipv4(shapes.UDP, shapes.udp(body, value=source.randrange(65536)), header_checksum=source.randrange(65535)),
    ])()


def checksums_hold(packet):
    """Computed anew; a UDP checksum of zero is none."""
    parsed = reference.parse(packet)
    if parsed.version == 4 and shapes.checksum(packet[:(packet[0] & 15) * 4]):
        return False
    if not parsed.udp or packet[parsed.udp + 6:parsed.udp + 8] == bytes(2):
        return True
    addresses = packet[12:20] if parsed.version == 4 else packet[8:40]
    datagram = packet[parsed.udp:]
    return shapes.checksum(addresses + len(datagram).to_bytes(4, "big") + bytes([0, 0, 0, 17]) + datagram) == 0


class Identity(unittest.TestCase):
    def test_sign_then_strip(self):
        source = random.Random(2)
        left = 240
        while left > 0:
            record = RECORDS[source.choice(["p256-16", "p256-32", "ed25519-16", "ed25519-32"])]
            plain = [random_packet(source) for _ in range(source.choice([1, 2, 3, 9, 14]))]
            identifications = [source.randrange(65536) if p[0] >> 4 == 4 and p[6:8] == b"\x40\0" and source.random() < 0.5 else None
                               for p in plain]
            made = reference.sign_batch(record, 7, source.randrange(2**64), source.randbytes(16), plain, identifications)
            order = list(range(len(plain)))
            source.shuffle(order)
            verifier = Verifier([record])
            for i in order:
                self.assertEqual(outcome(verifier, made.packets[i]), ("none", plain[i]), plain[i].hex())
                self.assertEqual(checksums_hold(made.packets[i]), checksums_hold(plain[i]), plain[i].hex())
                self.assertEqual(made.packets[i][6:8] == b"\x40\0" and plain[i][0] >> 4 == 4,
                                 plain[i][0] >> 4 == 4 and plain[i][6:8] == b"\x40\0" and identifications[i] is None)
            left -= len(plain)

    def test_translated_there_and_back(self):
        source = random.Random(3)
        for _ in range(200):
            plain, port = random_packet(source), source.randrange(1, 65536)
            if reference.parse(plain).udp:
                continue
            wire = reference.translate(plain, port)
            self.assertEqual(len(wire), len(plain) + 12)
            self.assertEqual(checksums_hold(wire), checksums_hold(plain), plain.hex())
            self.assertEqual(reference.translate_back(wire, port), plain)
            self.assertEqual(reference.translate_back(wire, port ^ 1), wire)

    def test_depth_is_the_length_of_the_path(self):
        for count in [*range(1, 70), 127, 128, 129, 1000]:
            levels = reference.tree(SALT, [bytes(32)] * count, 16)
            for index in range(count):
                self.assertEqual(len(reference.path_of(levels, index, 16)), reference.depth(index, count))


class Limits(unittest.TestCase):
    def test_room(self):
        """The largest that can be signed is signed and comes back; a byte more is not."""
        record = RECORDS["ed25519-16"]
        largest = {4: shapes.ipv4(ESP, shapes.esp(65535 - 20 - 112)), 6: shapes.ipv6(ESP, shapes.esp(65535 - 40 - 112)),
                   51: shapes.ipv4(shapes.AH, shapes.ah(1028 - 12 - 112, b""))}
        more = {4: shapes.ipv4(ESP, shapes.esp(65535 - 20 - 111)), 6: shapes.ipv6(ESP, shapes.esp(65535 - 40 - 111)),
                51: shapes.ipv4(shapes.AH, shapes.ah(1028 - 8 - 112, b""))}
        for name, plain in largest.items():
            signed = reference.sign_batch(record, 7, 1, SALT, [plain]).packets[0]
            self.assertEqual(outcome(Verifier([record]), signed), ("none", plain), name)
            with self.assertRaises(ValueError):
                reference.sign_batch(record, 7, 1, SALT, [more[name]])

    def test_ipv6_above_65535(self):
        packet = shapes.ipv6(ESP, shapes.esp(65535 - 40))
        reference.parse(packet)
        self.assertEqual(outcome(Verifier([]), shapes.ipv6(ESP, shapes.esp(65535 - 39)))[0], "malformed")

    def test_not_signed(self):
        record, df = RECORDS["ed25519-16"], shapes.shapes(1)["ipv4-esp-df"]
        for packets, identifications in (([], None), ([shapes.shapes(1)["ipv6-esp"]], [1]), ([df[:6] + b"\xc0" + df[7:]], [1])):
            with self.assertRaises(ValueError):
                reference.sign_batch(record, 7, 1, SALT, packets, identifications)

    def test_largest_extension(self):
        path, original = (bytes(32),) * reference.depth(0, 32768), bytes(4)
        extension = Extension(path, original, b"", bytes(64), bytes(16), 0, 0, bytes(4), 0, 0, 32768, bytes(8), 0x32)
        self.assertEqual(len(extension.encoded()), 596)


if __name__ == "__main__":
    unittest.main()
