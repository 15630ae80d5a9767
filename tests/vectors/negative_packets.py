# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that steps 1 and 2 of docs/WIRE.md section 7 refuse."""

import shapes
from reference import extend, parse, translate
from shapes import AH, DESTINATION, ESP, HOP_BY_HOP, MF, NO_NEXT, ROUTING, TCP, UDP, ah, esp, filler, fragment, ipv4, ipv6, udp


def put(data, at, value):
    return data[:at] + value + data[at + len(value):]


def short(packet, size):
    """The first bytes, the IP header's length corrected"""
    at, length = (2, size) if packet[0] >> 4 == 4 else (4, size - 40)
    return put(packet[:size], at, length.to_bytes(2, "big"))


def step_1(good):
    """(name, reason, packets); good: a signed ESP packet over IPv4 without options"""
    six, dash = ipv6(ESP, esp(24)), ipv6(UDP, udp(esp(24)), DESTINATION)
    yield "truncated", "malformed", [good[:n] for n in (0, 1, 10, 19, 20, 24, 28, 60, len(good) - 4, len(good) - 1)]
    yield "bytes-behind", "malformed", [good + b"\0", six + b"\0"]
    yield "truncated-ipv6", "malformed", [six[:n] for n in (1, 20, 39, 40, 44, len(six) - 1)]
    yield "ip-version", "malformed", [put(good, 0, bytes([v << 4 | 5])) for v in (0, 3, 5, 6, 15)] + [put(six, 0, b"\x40")]
    yield "ipv4-header-length", "malformed", [put(good, 0, b"\x44"), put(good, 0, b"\x40"), short(put(good, 0, b"\x4f"), 28),
                                               put(ipv4(TCP, filler(8)), 0, b"\x4f")]
    yield "ipv6-headers-truncated", "malformed", [short(dash, n) for n in (40, 41, 47, 48, 55, 56, 60, 63)]
    yield "ipv6-header-too-long", "malformed", [put(ipv6(p, esp(24), h), 41, b"\xff") for p in (ESP, TCP)
                                                 for h in (HOP_BY_HOP, DESTINATION, ROUTING)]
    yield "ipv6-nine-headers", "malformed", [ipv6(ESP, esp(24), *[DESTINATION] * 9)]
    yield "udp-length", "malformed", [
        ipv4(UDP, udp(esp(24), length=n)) for n in (0, 7, 8, 31, 33)] + [ipv6(UDP, udp(esp(24), length=0))]
    yield "udp-truncated", "malformed", [short(ipv4(UDP, udp(esp(24))), n) for n in (20, 27)]
    yield "udp-short-payload", "malformed", [ipv4(UDP, udp(p)) for p in (b"", b"\0", b"\xfe", bytes(3), b"\xff\xff", filler(7))]
    yield "esp-short", "malformed", [ipv4(ESP, filler(n)) for n in (0, 1, 7)] + [ipv6(ESP, filler(7))]
    header = ah(16, filler(20), TCP)
    yield "ah-payload-len", "malformed", [
        ipv4(AH, put(header, 1, bytes([n]))) for n in (0, 11, 255)] + [ipv6(AH, put(header, 1, b"\x00"))]
    yield "ah-truncated", "malformed", [short(ipv4(AH, header), n) for n in (20, 21, 22, 31, 47)]
    yield "ah-ipv6-not-a-multiple-of-8", "malformed", [ipv6(AH, header), ipv6(AH, put(ah(16, filler(200), TCP), 1, bytes([33])))]
    yield "ipv4-fragment", "fragment", [ipv4(ESP, esp(24), flags=f) for f in (MF, 1, 0x1FFF, MF | 5, MF | shapes.DF)]
    yield "ipv6-fragment", "fragment", [ipv6(ESP, esp(24), HOP_BY_HOP, fragment(*f)) for f in ((0, 1), (1, 0), (0x1FFF, 1))]
    yield "second-fragment-header", "fragment", [ipv6(ESP, esp(24), fragment(), fragment(0, 1))]
    yield "fragment-of-something-else", "fragment", [ipv4(TCP, filler(20), flags=MF), ipv6(TCP, filler(20), fragment(3, 0)),
                                                     ipv4(UDP, udp(esp(24)), flags=MF)]
    yield "other-protocols", "not_ipsec", [ipv4(TCP, filler(20)), ipv4(0, filler(20)), ipv4(60, filler(20)),
                                           ipv6(TCP, filler(20), HOP_BY_HOP), ipv6(NO_NEXT, b""), ipv6(135, filler(8)), ipv4(1, b"")]
    yield "keepalive", "not_ipsec", [ipv4(UDP, udp(b"\xff")), ipv6(UDP, udp(b"\xff", shapes.V6))]
    yield "non-esp-marker", "not_ipsec", [ipv4(UDP, udp(bytes(4) + filler(28))), ipv6(UDP, udp(bytes(4))), ipv4(UDP, udp(bytes(8)))]


def translated(good, port):
    """(name, reason, packets), for a verifier with a translator's port"""
    wrapped, end = translate(good, port), len(good) + 12
    ours = udp(b"", ports=(port, port))[:4]
    yield "translated-truncated", "untranslatable", [ipv4(UDP, udp(wrapped[28:28 + n], ports=(port, port))) for n in range(4)]
    yield "translated-header", "untranslatable", [put(wrapped, 28 + at, bytes([value])) for at, value in (
        (0, 0), (0, 2), (0, 0xFF), (1, 0), (1, 17), (1, 49), (1, 52), (1, 4), (2, 1), (3, 0x80))]
    yield "translated-ike-and-keepalive", "untranslatable", [ipv4(UDP, ours + udp(p)[4:]) for p in (b"\xff", bytes(4) + filler(28))]
    yield "translated-udp-length", "malformed", [put(wrapped, 24, n.to_bytes(2, "big")) for n in (0, 8, 12, end - 21, end - 19)]
    yield "translated-udp-header-truncated", "malformed", [short(wrapped, n) for n in range(20, 28)]
    yield "translated-esp-short", "malformed", [ipv4(UDP, udp(wrapped[28:32 + n], ports=(port, port))) for n in (0, 1, 7)]
    yield "translated-fragment", "fragment", [put(wrapped, 6, MF.to_bytes(2, "big")), put(wrapped, 6, b"\0\1")]
    yield "translated-unsigned", "no_extension", [translate(ipv4(ESP, esp(24)), port), translate(ipv6(AH, ah(20, filler(9), TCP)), port)]
    yield "translated-esp-as-ah", "malformed", [put(wrapped, 29, bytes([AH]))]
    yield "translated-one-bit", "bad_tag", [put(wrapped, at, bytes([wrapped[at] ^ 1])) for at in (32, 39, 45, end - 100, end - 10)]


def step_2(forger, records):
    """(name, packet) without an extension, or with one that does not parse"""
    f = forger(records["ed25519-16"], [ipv4(ESP, esp(24, sequence=i + 1)) for i in range(4)])
    good, ext = f.packets[1], f.batch.extensions[1]
    yield "unsigned", ipv4(ESP, esp(24))
    yield "unsigned-ending-in-28", ipv4(ESP, esp(200)[:-1] + b"\x1c")
    yield "unsigned-ah", ipv4(AH, ah(16, filler(300), TCP))
    single = forger(records["ed25519-16"], [ipv4(ESP, esp(24))]).packets[0]
    yield "words-27-alone", single[:-1] + b"\x1b"
    for words in (0, 1, 27, 35, 37, 254, 255):
        yield f"words-{words}", put(good, len(good) - 1, bytes([words]))
    for kind, name in ((0x03, "version-0"), (0x43, "version-2"), (0xE3, "version-7"), (0x20, "suite-0"), (0x25, "suite-5"),
                       (0x2B, "suite-11"), (0x2F, "suite-15"), (0x24, "suite-of-the-other-node-size"), (0x33, "flag-without-original")):
        yield name, f.forged(1, kind=kind)
    yield "index-is-count", f.forged(1, index=4)
    yield "index-above-count", f.forged(1, index=65535)
    yield "count-0", f.forged(1, count=0, index=0, path=())
    yield "count-32769", f.forged(1, count=32769, index=32768, path=ext.path[:1])
    yield "count-65535", f.forged(1, count=65535, path=ext.path * 8)
    yield "path-too-short", f.forged(1, path=ext.path[:1])
    yield "path-too-long", f.forged(1, path=ext.path + ext.path[:1])
    yield "path-of-another-depth", f.forged(1, count=5)
    yield "padding-on-esp", f.forged(1, padding=bytes(4))
    yield "padding-on-esp-ipv6", forger(records["ed25519-16"], [ipv6(ESP, esp(24))]).forged(padding=bytes(4))
    yield "padding-of-8", f.forged(1, padding=bytes(8))
    yield "original-without-flag", f.forged(1, original=bytes.fromhex("00004000"))
    for value in ("00000000", "00006000", "0000c000", "00004001", "00002000"):
        yield f"original-{value}", f.forged(1, original=bytes.fromhex(value), kind=0x33)
    yield "original-on-ipv6", forger(records["ed25519-16"], [ipv6(ESP, esp(24))]).forged(
        original=bytes.fromhex("00004000"), kind=0x33)
    yield "esp-of-4-bytes-left", put(ipv4(ESP, esp(4 + 112)), 24, single[-112:])
    yield from _ah(forger, records)


def _ah(forger, records):
    four = forger(records["ed25519-16"], [ipv4(AH, ah(16, filler(20), TCP))])
    yield "padding-on-ah-ipv4", four.forged(padding=bytes(4))
    plain = parse(ipv4(AH, ah(12, b"")))
    encoded = four.batch.extensions[0].encoded()
    yield "ah-of-8-bytes-left", extend(parse(ipv4(AH, ah(0, b""))), encoded[4:])
    yield "ah-extension-not-in-the-header", ipv4(AH, plain.payload + encoded)
    six = forger(records["p256-32"], [ipv6(AH, ah(16, filler(20), TCP))])
    yield "padding-not-zero", six.forged(padding=b"\0\0\0\1")
    yield "padding-of-12", six.forged(padding=bytes(12))
    even = forger(records["p256-32"], [ipv6(AH, ah(20, filler(20), TCP))])
    yield "padding-of-8-on-ah", even.forged(padding=bytes(8))
    yield "original-on-ah-ipv6", six.forged(original=bytes.fromhex("00004000"), padding=b"", kind=0x32)
