#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign key make, packet sign and packet verify: what is signed verifies and comes back byte
for byte, what was changed is refused with its reason, and the exit code says it.

The captures are made here from bytes, by nothing the program shares."""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = None  # set by main
SNAPLEN = 262144
TIME = 1700000000 * 10**9 + 21  # of pcapng, in nanoseconds


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(protocol, payload, flags=0, options=b""):
    def header(check):
        return struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, flags, 64, protocol, check) + bytes(
            [192, 0, 2, 1, 192, 0, 2, 2]) + options
    return header(checksum(header(0))) + payload


def ipv6(protocol, payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + bytes(range(16)) + bytes(range(16, 32)) + payload


def esp(sequence, size=40):
    return struct.pack(">II", 0x1001, sequence) + bytes((sequence + i) % 256 for i in range(size))


def ah(sequence, icv=12, size=40):
    return struct.pack(">BBHII", 6, (12 + icv) // 4 - 2, 0, 0x2002, sequence) + bytes(icv) + bytes(range(size))


def udp(payload, port=4500):
    # No pseudo header: a wrong checksum must come back as wrong as it was.
    return struct.pack(">HHHH", 4500, port, 8 + len(payload), 0x1234) + payload


IPSEC = {
    "esp4": ipv4(50, esp(1)),
    "esp4-small": ipv4(50, esp(2, 0)),  # padded on Ethernet
    "esp4-options": ipv4(50, esp(3), options=bytes([1, 1, 1, 0])),
    "esp6": ipv6(50, esp(4)),
    "esp6-destination-options": ipv6(60, bytes([50, 0, 1, 4, 0, 0, 0, 0]) + esp(5)),
    "udp4": ipv4(17, udp(esp(6, 33))),
    "udp6": ipv6(17, udp(esp(7))),
    "ah4": ipv4(51, ah(8)),
    "ah6": ipv6(51, ah(9)),
}
OTHER = {
    "tcp": ipv4(6, bytes(20)),
    "ike": ipv4(17, udp(bytes(4) + b"IKE header and more")),
    "keepalive": ipv4(17, udp(b"\xff")),
    "dns": ipv4(17, struct.pack(">HHHH", 53, 999, 12, 0) + b"abcd"),
    "tcp-fragment": ipv4(6, bytes(24), flags=0x2001),
}


def ethernet(packet, tags=b""):
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    frame = bytes(range(12)) + tags + kind + packet
    return frame + b"\xee" * (60 - len(frame))


LINKS = {  # number of the link type: how a packet looks there
    1: ethernet,
    101: bytes, 12: bytes, 14: bytes,
    113: lambda p: bytes(14) + (b"\x86\xdd" if p[0] >> 4 == 6 else b"\x08\x00") + p,
    276: lambda p: (b"\x86\xdd" if p[0] >> 4 == 6 else b"\x08\x00") + bytes(18) + p,
    0: lambda p: struct.pack("<I", 30 if p[0] >> 4 == 6 else 2) + p,
    108: lambda p: struct.pack(">I", 24 if p[0] >> 4 == 6 else 2) + p,
}


def pcap(frames, link=1, order="<", nano=False, cut=None):
    out = struct.pack(order + "IHHIIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, link)
    for number, frame in enumerate(frames):
        kept = frame[:cut]
        out += struct.pack(order + "IIII", 1700000000 + number, 999999 - number, len(kept), len(frame)) + kept
    return out


def frames_of(capture, order="<"):
    at, out = 24, []
    while at < len(capture):
        size = struct.unpack(order + "I", capture[at + 8:at + 12])[0]
        out.append(capture[at + 16:at + 16 + size])
        at += 16 + size
    return out


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def pcapng(frames, link=1):
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", link, 0, 0) + b"\x09\0\x01\0\x09\0\0\0")
    for frame in frames:
        out += block(5, b"statistics") + block(6, struct.pack("<IIIII", 0, TIME >> 32, TIME & 0xFFFFFFFF, len(frame), len(frame)) + frame)
    return out


class Tool(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.make_key("key")

    def run_it(self, *arguments, expect=0):
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, text=True, timeout=30, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, expect, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def make_key(self, name, *more, suite="ed25519-16"):
        self.run_it("key", "make", "--suite", suite, "--out", name, *more)

    def sign(self, capture, *more, expect=0):
        (self.folder / "a").write_bytes(capture)
        return self.run_it("packet", "sign", "--key", "key", "--in", "a", "--out", "b", *more, expect=expect)

    def verify(self, capture, *more, expect=0, key="key.pub"):
        (self.folder / "b").write_bytes(capture)
        return json.loads(self.run_it("packet", "verify", "--json", "--key", key, "--in", "b", *more, expect=expect).stdout)

    def signed(self, capture, *more):
        self.sign(capture, *more)
        return (self.folder / "b").read_bytes()

    def stripped(self, capture, *more):
        report = self.verify(capture, "--out", "c", *more)
        return report, (self.folder / "c").read_bytes()

    def reasons(self, capture, *more, **options):
        return [packet["reason"] for packet in self.verify(capture, *more, **options)["packets"]]


class Whole(Tool):
    def check(self, capture, ipsec, *more):
        signed = self.signed(capture, *more)
        self.assertGreaterEqual(len(signed), len(capture) + 112 * ipsec)
        report, stripped = self.stripped(signed)
        self.assertEqual([p["reason"] for p in report["packets"]], ["none"] * ipsec)
        self.assertEqual(stripped, capture)
        return report

    def test_every_packet_in_every_link(self):
        for link, frame in LINKS.items():
            with self.subTest(link=link):
                frames = [frame(packet) for packet in (*IPSEC.values(), *OTHER.values())]
                report = self.check(pcap(frames, link), len(IPSEC))
                self.assertEqual(report["counts"], {"frames": len(frames), "verified": len(IPSEC), "refused": 0,
                                                    "not_ipsec": len(OTHER), "reasons": {}})

    def test_ip_of_one_family(self):
        self.check(pcap([IPSEC["esp4"], IPSEC["ah4"]], 228), 2)
        self.check(pcap([IPSEC["esp6"], IPSEC["ah6"]], 229), 2)

    def test_vlan_tags(self):
        tag = b"\x81\x00\x00\x05"
        for tags, found in ((tag, 1), (b"\x88\xa8\x00\x09" + tag, 1), (tag * 3, 0)):
            self.check(pcap([ethernet(IPSEC["ah4"], tags)]), found)

    def test_both_byte_orders_and_both_clocks(self):
        for order in "<>":
            for nano in (False, True):
                with self.subTest(order=order, nano=nano):
                    self.check(pcap(map(ethernet, IPSEC.values()), 1, order, nano), len(IPSEC))

    def test_every_suite(self):
        for suite in ("p256-16", "p256-32", "ed25519-16", "ed25519-32"):
            with self.subTest(suite=suite):
                os.remove(self.folder / "key")
                os.remove(self.folder / "key.pub")
                self.make_key("key", suite=suite)
                self.check(pcap(map(ethernet, IPSEC.values())), len(IPSEC), "--batch", "4")

    def test_batches_with_other_traffic_in_between(self):
        frames = [LINKS[101](p) for _ in range(5) for p in (*IPSEC.values(), *OTHER.values())]
        for size in (1, 2, 7, 45, 32768):
            with self.subTest(size=size):
                report = self.check(pcap(frames, 101), 45, "--batch", size)
                self.assertEqual({p["batch"] for p in report["packets"]}, set(range(-(-45 // size))))
                self.assertEqual([p["count"] for p in report["packets"]], [min(size, 45 - i // size * size) for i in range(45)])

    def test_the_lane_is_the_one_asked_for(self):
        capture = pcap([ethernet(IPSEC["esp4"])])
        self.assertEqual(self.check(capture, 1)["packets"][0]["lane"], 0)
        self.assertEqual(self.check(capture, 1, "--lane", "15")["packets"][0]["lane"], 15)
        self.assertIn("may sign in lanes 0 to 15", self.sign(capture, "--lane", "16", expect=2).stderr)

    def test_the_report_tells_the_packet(self):
        packet = self.check(pcap([ethernet(OTHER["tcp"]), ethernet(IPSEC["udp4"])]), 1)["packets"][0]
        for field, value in {"frame": 2, "time": "1700000001.999998000", "verdict": "verified", "reason": "none", "source": "192.0.2.1",
                             "target": "192.0.2.2", "protocol": "esp-in-udp", "spi": 0x1001, "sequence": 6, "index": 0, "count": 1}.items():
            self.assertEqual(packet[field], value, field)
        text = self.run_it("packet", "verify", "--key", "key.pub", "--in", "b").stdout.splitlines()
        self.assertRegex(text[0], r"^#2 1700000001\.999998000 192\.0\.2\.1 > 192\.0\.2\.2 esp-in-udp spi 0x00001001 seq 6: verified \(key \d+, lane 0, batch 0, packet 1 of 1\)$")
        self.assertEqual(text[1], "2 frames: 1 verified, 0 refused, 1 not IPsec")

    def test_pcapng_becomes_pcap_with_its_times(self):
        frames = [ethernet(packet) for packet in IPSEC.values()]
        report, stripped = self.stripped(self.signed(pcapng(frames)))
        self.assertEqual(report["counts"]["verified"], len(IPSEC))
        self.assertEqual(frames_of(stripped), frames)
        self.assertEqual(struct.unpack("<IIII", stripped[:4] + stripped[20:32])[:4], (0xA1B23C4D, 1, 1700000000, 21))

    def test_other_udp_ports(self):
        capture = pcap([ethernet(ipv4(17, udp(esp(1), 4501)[2:4] + udp(esp(1), 4501)[2:]))])
        self.check(capture, 0)
        self.sign(capture, "--udp-port", "4501")
        report, stripped = self.stripped((self.folder / "b").read_bytes(), "--udp-port", "4501")
        self.assertEqual((report["counts"]["verified"], stripped), (1, capture))

    def test_in_the_translators_udp(self):
        translator = ("--translator-port", "4510")
        for link in (1, 101):
            capture = pcap([LINKS[link](p) for p in (*IPSEC.values(), *OTHER.values())], link)
            signed = self.signed(capture, *translator)
            plain = [p for name, p in IPSEC.items() if not name.startswith("udp")]
            self.assertEqual(len(signed), len(capture) + 112 * len(IPSEC) + 12 * len(plain))
            self.assertEqual(self.verify(signed)["counts"]["verified"], 2)  # the others are just UDP
            report, stripped = self.stripped(signed, *translator)
            self.assertEqual((report["counts"]["verified"], stripped), (len(IPSEC), capture))
            self.assertEqual({p["protocol"] for p in report["packets"]}, {"esp", "ah", "esp-in-udp"})

    def test_nothing_in_it(self):
        self.check(pcap([]), 0)
        self.stripped(self.signed(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))))


class Refused(Tool):
    def test_each_changed_byte_is_refused_with_a_reason(self):
        capture = self.signed(pcap([IPSEC["esp4"], IPSEC["ah4"]], 101))
        last = frames_of(capture)[1]
        for offset in (24, 30, len(last) - 1):  # the AH header: payload length is 21
            changed = bytearray(capture)
            changed[-len(last) + offset] ^= 1
            report = self.verify(bytes(changed), expect=1)
            self.assertEqual([p["reason"] for p in report["packets"]], ["none", "bad_tag"], offset)
            self.assertEqual(report["counts"]["reasons"], {"bad_tag": 1})

    def test_reasons_of_the_extension(self):
        first = frames_of(self.signed(pcap([IPSEC["esp4"]], 101)))[0]
        for from_end, reason in ((1, "no_extension"), (2, "no_extension"), (3, "bad_tag"), (16, "unknown_lane"), (20, "pcr_mismatch"),
                                 (24, "unknown_key"), (26, "bad_tag"), (60, "bad_tag"), (130, "bad_tag")):
            changed = bytearray(first)
            changed[-from_end] ^= 0x80
            self.assertEqual(self.reasons(pcap([bytes(changed)], 101), expect=1), [reason], from_end)

    def test_reasons_in_the_translators_udp(self):
        wire = frames_of(self.signed(pcap([IPSEC["esp4"]], 101), "--translator-port", "4510"))[0]
        for changed, reason in ((wire[:28] + b"\2" + wire[29:], "untranslatable"), (wire[:25] + b"\0" + wire[26:], "malformed"),
                                (wire[:6] + b"\x20" + wire[7:], "fragment"), (wire[:40] + b"\xee" + wire[41:], "bad_tag")):
            self.assertEqual(self.reasons(pcap([changed], 101), "--translator-port", "4510", expect=1), [reason])
            self.assertEqual(self.reasons(pcap([changed], 101)), [])
        self.assertEqual(self.reasons(pcap([wire], 101, cut=60), "--translator-port", "4510", expect=1), ["truncated"])

    def test_refused_packets_are_not_in_the_stripped_capture(self):
        capture = self.signed(pcap([IPSEC["esp4"], OTHER["tcp"], IPSEC["esp6"]], 101))
        changed = bytearray(capture)
        changed[24 + 16 + 30] ^= 1
        self.verify(bytes(changed), "--out", "c", expect=1)
        self.assertEqual(frames_of((self.folder / "c").read_bytes()), [OTHER["tcp"], IPSEC["esp6"]])

    def test_unsigned(self):
        self.assertEqual(self.reasons(pcap(IPSEC.values(), 101), expect=1), ["no_extension"] * len(IPSEC))

    def test_wrong_key(self):
        self.make_key("other")
        self.assertEqual(self.reasons(self.signed(pcap([IPSEC["esp4"]], 101)), key="other.pub", expect=1), ["unknown_key"])

    def test_a_key_of_the_same_number(self):
        self.make_key("one", "--key-id", "7")
        self.make_key("two", "--key-id", "7")
        (self.folder / "a").write_bytes(pcap([IPSEC["esp4"]], 101))
        self.run_it("packet", "sign", "--key", "one", "--in", "a", "--out", "b")
        self.run_it("packet", "verify", "--key", "one.pub", "--in", "b")
        self.assertIn("refused: bad_tag (key 7", self.run_it("packet", "verify", "--key", "two.pub", "--in", "b", expect=1).stdout)
        self.assertIn("there is one with that id", self.run_it("packet", "verify", "--key", "one.pub", "--key", "two.pub", "--in", "b", expect=2).stderr)

    def test_several_keys(self):
        capture = self.signed(pcap([IPSEC["esp4"]], 101))
        self.make_key("other")
        self.assertEqual(self.reasons(capture, "--key", "other.pub"), ["none"])

    def test_expired_key(self):
        os.remove(self.folder / "key")
        os.remove(self.folder / "key.pub")
        self.make_key("key", "--not-after", "2099-05-05T05:05:05Z")
        capture = self.signed(pcap([IPSEC["esp4"]], 101))
        self.assertEqual(self.reasons(capture, "--at", "2099-05-05T05:05:04Z"), ["none"])
        self.assertEqual(self.reasons(capture, "--at", "2099-05-05T05:05:05Z", expect=1), ["expired_key"])

    def test_too_big_for_a_signature(self):
        frames = [ipv4(50, esp(1, 65535 - 28 - 111)), ipv4(50, esp(2, 65535 - 28 - 112))]
        said = self.sign(pcap(frames, 101), expect=1).stdout
        self.assertIn("refused: too_big", said)
        self.assertIn("2 frames: 1 signed, 1 refused (too_big 1), 0 not IPsec", said)
        self.assertEqual(frames_of((self.folder / "b").read_bytes())[0], frames[0])

    def test_fragments(self):
        capture = pcap([ipv4(50, esp(1), flags=0x2000), ipv4(50, esp(1), flags=3), ipv4(17, udp(esp(1)), flags=0x2000),
                        ipv6(44, bytes([50, 0, 0, 1, 0, 0, 0, 1]) + esp(1)), ipv6(44, bytes([6, 0, 0, 9, 0, 0, 0, 1]) + bytes(40)),
                        OTHER["tcp-fragment"]], 101)
        report = self.verify(capture, expect=1)
        self.assertEqual([(p["frame"], p["reason"]) for p in report["packets"]], [(n, "fragment") for n in (1, 2, 3, 4)])

    def test_packets_the_capture_cut(self):
        frames = [ethernet(p) for p in (*IPSEC.values(), OTHER["tcp"] + bytes(200))]
        frames[-1] = ethernet(ipv4(6, bytes(220)))
        capture = pcap(frames, cut=72)
        report = self.verify(capture, "--out", "c", expect=1)
        self.assertIn("truncated", report["counts"]["reasons"])
        self.assertNotIn("malformed", report["counts"]["reasons"])
        self.assertEqual(report["counts"]["not_ipsec"], 1)
        self.assertIn("truncated", self.sign(capture, expect=1).stdout)

    def test_a_length_that_lies(self):
        self.assertEqual(self.reasons(pcap([IPSEC["esp4"][:-1]], 101), expect=1), ["malformed"])
        self.assertEqual(self.reasons(pcap([OTHER["tcp"][:-1]], 101)), [])


class Failed(Tool):
    def test_a_capture_that_breaks_off_is_told_as_far_as_it_goes(self):
        signed = self.signed(pcap([IPSEC["esp4"], IPSEC["esp6"]], 101))
        report = self.verify(signed[:-1], "--out", "c", expect=2)
        self.assertEqual([p["reason"] for p in report["packets"]], ["none"])
        self.assertRegex(report["error"], r"the capture b: at offset \d+: the file ends within a frame")
        self.assertEqual(frames_of((self.folder / "c").read_bytes()), [IPSEC["esp4"]])
        said = self.sign(pcap([IPSEC["esp4"], IPSEC["esp6"]], 101)[:-1], "--batch", "9", expect=2)
        self.assertIn("1 signed", said.stdout)
        self.assertEqual(self.reasons((self.folder / "b").read_bytes()), ["none"])

    def test_files_that_are_not_what_they_should_be(self):
        (self.folder / "a").write_bytes(b"not a capture")
        (self.folder / "other-link").write_bytes(pcap([b"x" * 80], 147))
        for arguments, told in (
                (("sign", "--key", "key", "--in", "a", "--out", "b"), "neither pcap nor pcapng"),
                (("sign", "--key", "key", "--in", "nowhere", "--out", "b"), "No such file"),
                (("sign", "--key", "key", "--in", "other-link", "--out", "b"), "link type 147"),
                (("sign", "--key", "key.pub", "--in", "a", "--out", "b"), "the private key is wanted"),
                (("verify", "--key", "key", "--in", "a"), "the public key is wanted"),
                (("verify", "--key", "nokey", "--in", "a"), "nokey"),
                (("verify", "--in", "a"), "--key is required"),
                (("verify", "--key", "key.pub", "--in", "a", "--at", "now"), "RFC 3339"),
                (("sign", "--key", "key", "--in", "a", "--out", "b", "--batch", "32769"), "--batch"),
                (("sign", "--key", "key", "--in", "a", "--out", "b", "--batch", "0"), "--batch"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(told, self.run_it("packet", *arguments, expect=2).stderr)

    def test_the_capture_is_not_overwritten_while_it_is_read(self):
        capture = pcap([IPSEC["esp4"]], 101)
        (self.folder / "a").write_bytes(capture)
        self.run_it("packet", "sign", "--key", "key", "--in", "a", "--out", "./a", expect=2)
        self.assertEqual((self.folder / "a").read_bytes(), capture)

    def test_a_key_others_can_read(self):
        os.chmod(self.folder / "key", 0o644)
        self.assertIn("chmod 600 key", self.sign(pcap([]), expect=2).stderr)

    def test_an_ended_key_does_not_sign(self):
        text = (self.folder / "key").read_text()
        at = text.index('"not_after": "') + 14
        (self.folder / "key").write_text(text[:at] + "2020" + text[at + 4:])
        self.assertIn("ended at 2020", self.sign(pcap([IPSEC["esp4"]], 101), expect=2).stderr)

    def test_a_full_disk(self):
        (self.folder / "a").write_bytes(pcap([IPSEC["esp4"]], 101))
        self.assertIn("ENOSPC", self.run_it("packet", "sign", "--key", "key", "--in", "a", "--out", "/dev/full", expect=2).stderr)

    def test_keys_are_not_overwritten(self):
        before = (self.folder / "key").read_bytes()
        self.assertIn("never overwritten", self.run_it("key", "make", "--suite", "p256-16", "--out", "key", expect=2).stderr)
        self.assertEqual((self.folder / "key").read_bytes(), before)
        self.assertIn("there is no suite", self.run_it("key", "make", "--suite", "rsa", "--out", "k", expect=2).stderr)
        self.assertIn("cannot sign any more", self.run_it("key", "make", "--suite", "p256-16", "--out", "k", "--not-after", "2020-01-01T00:00:00Z", expect=2).stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    global PROGRAM
    PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
