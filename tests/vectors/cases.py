# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of vectors.json (make_vectors.py says what is in one). What is expected stands here by hand; no verifier
computed it."""

from dataclasses import replace

import negative_packets
import shapes
from primitives import ORDER
from reference import Extension, digest, extend, gate_tag, parse, path_of, prefix, sign, sign_batch, statement, translate, tree

SALT = bytes(range(0x30, 0x40))
BATCH_SIZES = (1, 2, 3, 4, 5, 7, 8, 64, 65, 256)
PORT = 4510  # of the translator
NAMES = ("p256-16", "p256-32", "ed25519-16", "ed25519-32")


def case(name, records, steps, now=1000, window=64, translator=None):
    """steps: (packet, reason) or, for one that is accepted, (packet, "none", what comes out)"""
    return {"name": name, "records": list(records), "now": now, "window": window,
            **({"translator": translator} if translator else {}), "packets": [s[0].hex() for s in steps],
            "expect": [s[1] for s in steps], "stripped": [s[2].hex() if s[1] == "none" else None for s in steps]}


def signed(name, record, lane, batch, salt, plain, made, leaves=None, identifications=None, translator=None):
    """A signed batch, of which the packets of some leaves arrive."""
    leaves = list(range(len(plain))) if leaves is None else leaves
    packets = [translate(p, translator) if translator and not parse(p).udp else p for p in made.packets]
    return case(name, [record], [(packets[i], "none", plain[i]) for i in leaves], translator=translator) | {"sign": {
        "record": record, "lane": lane, "batch": batch, "salt": salt.hex(), "original": [p.hex() for p in plain],
        "identification": identifications or [None] * len(plain), "leaf": leaves}}


def batch_case(records, name, record, packets, leaves=None, identifications=None, lane=7, batch=1000, translator=None):
    made = sign_batch(records[record], lane, batch, SALT, packets, identifications)
    return signed(name, record, lane, batch, SALT, packets, made, leaves, identifications, translator)


def _zero_checksums(records):
    """Checksums that come out as zero: 0xFFFF in UDP, zero in the IPv4 header."""
    def esp(value=0x1111, header=None):
        return shapes.ipv4(shapes.UDP, shapes.udp(shapes.esp(24), value=value), header_checksum=header)
    grown = sign_batch(records["ed25519-16"], 7, 1000, SALT, [esp()]).packets[0]
    value = (0x1111 - int.from_bytes(grown[26:28], "big")) % 65535
    header = (len(grown) - len(esp())) % 65535  # 112 more in the sum, so 112 becomes 0
    yield batch_case(records, "udp-checksum-becomes-zero", "ed25519-16", [esp(value)])
    yield batch_case(records, "udp-checksum-was-ffff", "ed25519-16", [esp(0xFFFF)])
    yield batch_case(records, "header-checksum-becomes-zero", "ed25519-16", [esp(header=header)])
    yield batch_case(records, "header-checksum-was-zero", "ed25519-16", [esp(header=0)])


def _df_cleared(records):
    for number, name in enumerate(("ipv4-esp-df", "ipv4-ah-tunnel-df")):
        packets = [shapes.shapes(i + 1)[name] for i in range(3)]
        yield batch_case(records, f"original-{name}", NAMES[1 + 2 * number], packets, identifications=[0xBEEF, None, 0x0001])
    yield batch_case(records, "original-alone", "ed25519-16", [shapes.shapes(1)["ipv4-esp-df"]], identifications=[0x0100])


def _sizes(records):
    for name in NAMES:
        for size in BATCH_SIZES:
            if size >= 64 and name not in ("p256-16", "ed25519-32"):
                continue
            leaves = list(range(size)) if size <= 8 else sorted({0, 1, size // 2, size - 2, size - 1})
            packets = [shapes.ipv4(shapes.ESP, shapes.esp(8 + i % 5, sequence=i + 1)) for i in range(size)]
            yield batch_case(records, f"batch-{size}-{name}", name, packets, leaves)


def _largest(records):
    """The deepest tree, and an AH header of 1028 bytes."""
    record, n, count = records["p256-32"], 32, 32768
    packets = [shapes.ipv4(shapes.ESP, shapes.esp(8, sequence=i)) for i in range(count)]
    digests = [digest(parse(packet)) for packet in packets]
    levels = tree(prefix(record, SALT, 7, 1000, count), digests, n)
    signature = sign(record, statement(record, 7, 1000, count, SALT, levels[-1][0]))
    steps = []
    for i in (0, 12345, count - 1):
        extension = Extension(path_of(levels, i, n), b"", b"", signature, SALT, 1000, record.key_id, record.pcr_digest[:4], 7, i,
                              count, bytes(8), 0x22)
        extension = replace(extension, tag=gate_tag(record, digests[i], extension))
        steps.append((extend(parse(packets[i]), extension.encoded()), "none", packets[i]))
    yield case("batch-32768-p256-32", ["p256-32"], steps)
    yield batch_case(records, "ah-header-of-1028", "ed25519-16", [shapes.ipv4(shapes.AH, shapes.ah(1028 - 112 - 12, b""))])
    yield batch_case(records, "ah-header-of-1024-ipv6", "p256-32", [shapes.ipv6(shapes.AH, shapes.ah(1024 - 112 - 12, b"\0"))])


def _on_the_way(records):
    """What routers and NAT change outside passes through, and is still there after stripping."""
    body = shapes.esp(25)
    before = shapes.ipv4(shapes.UDP, shapes.udp(body, shapes.V4))
    natted = shapes.ipv4(shapes.UDP, shapes.udp(body, (bytes([203, 0, 113, 9]), shapes.V4[1]), ports=(61000, 4500)), ttl=57,
                         sender=bytes([203, 0, 113, 9]))
    made = sign_batch(records["p256-16"], 0, 5, SALT, [before])
    arrived = extend(parse(natted), made.extensions[0].encoded())
    yield case("nat-and-hops", ["p256-16"], [(arrived, "none", natted)])
    df = shapes.shapes(1)["ipv4-esp-df"]
    made = sign_batch(records["p256-16"], 0, 7, SALT, [df], [0xBEEF])
    rewritten = shapes.ipv4(shapes.ESP, df[20:], identification=0xABCD, flags=shapes.DF)
    yield case("original-over-what-arrived", ["p256-16"], [(extend(parse(rewritten), made.extensions[0].encoded()), "none", df)])
    # 0xFFFF is a valid header checksum that no sender computes; it comes back as 0, which means the same.
    plain = shapes.ipv4(shapes.ESP, shapes.esp(24), header_checksum=0xFFFF)
    made = sign_batch(records["p256-16"], 0, 6, SALT, [plain])
    yield case("header-checksum-was-ffff", ["p256-16"], [(made.packets[0], "none", plain[:10] + bytes(2) + plain[12:])])


def _translated(records):
    """Inside the translator's UDP, and beside it; and what routers and NAT change there."""
    for number, name in enumerate(("ipv4-esp-options", "ipv4-esp-wrong-header-checksum", "ipv6-esp", "ipv6-esp-eight-headers",
                                   "ipv4-udp-checksum", "ipv4-ah-options", "ipv6-ah-padding", "ipv6-ah-before-destination")):
        yield batch_case(records, f"translated-{name}", NAMES[number % 4], [shapes.shapes(1)[name]], translator=PORT)
    df = shapes.shapes(1)["ipv4-esp-df"]
    yield batch_case(records, "translated-df-cleared", "p256-16", [df], identifications=[0xBEEF], translator=PORT)
    plain = shapes.ipv4(shapes.ESP, shapes.esp(24))
    made = sign_batch(records["p256-16"], 0, 5, SALT, [plain]).packets[0]
    natted = shapes.ipv4(shapes.UDP, bytes.fromhex("ee48") + translate(made, PORT)[22:26] + bytes.fromhex("abcd") +
                         translate(made, PORT)[28:], ttl=57, sender=bytes([203, 0, 113, 9]))
    yield case("translated-nat-and-hops", ["p256-16"], [
        (natted, "none", shapes.ipv4(shapes.ESP, shapes.esp(24), ttl=57, sender=bytes([203, 0, 113, 9]))),
        (made, "none", plain)], translator=PORT)


def positive(records):
    for number, name in enumerate(shapes.shapes(1)):
        yield batch_case(records, name, NAMES[number % 4], [shapes.shapes(i + 1)[name] for i in range(2)])
    yield batch_case(records, "esp-and-ah-in-one-batch", "p256-32", [shapes.shapes(1)["ipv4-esp"], shapes.shapes(2)["ipv6-ah"]])
    yield batch_case(records, "first-lane-and-batch", "ed25519-16", [shapes.shapes(1)["ipv6-esp"]], lane=0, batch=0)
    yield batch_case(records, "last-lane-and-batch", "last-lane", [shapes.shapes(1)["ipv6-esp"]], lane=65535, batch=2**64 - 1)
    for family in (_zero_checksums, _df_cleared, _sizes, _largest, _on_the_way, _translated):
        yield from family(records)


class Forger:
    """A signed batch whose extensions can be changed; the gate tag follows unless told otherwise."""

    def __init__(self, record, packets, lane=7, batch=1000, salt=SALT, identifications=None):
        self.record, self.plain = record, packets
        self.batch = sign_batch(record, lane, batch, salt, packets, identifications)
        self.packets = self.batch.packets

    def forged(self, leaf=0, /, *, plain=None, retag=True, **changes):
        """plain: the extension goes behind another packet"""
        packet = parse(plain or self.plain[leaf])
        extension = replace(self.batch.extensions[leaf], **changes)
        if retag:
            extension = replace(extension, tag=gate_tag(self.record, digest(packet), extension))
        return extend(packet, extension.encoded())


def esp_packets(count=4):
    return [shapes.ipv4(shapes.ESP, shapes.esp(24 + 4 * i, sequence=i + 1)) for i in range(count)]


def negative(records):
    plain = sign_batch(records["ed25519-16"], 7, 1000, SALT, esp_packets(1)).packets[0]
    for name, reason, packets in negative_packets.step_1(plain):
        yield case(name, ["ed25519-16"], [(packet, reason) for packet in packets])
    for name, reason, packets in negative_packets.translated(plain, PORT):
        yield case(name, ["ed25519-16"], [(packet, reason) for packet in packets], translator=PORT)
    for family in (_extensions, _records, _stale, _tags, _paths, _signatures, _unmoved, _first_reason):
        yield from family(records)


def _extensions(records):
    for name, packet in negative_packets.step_2(Forger, records):
        yield case(name, ["ed25519-16", "p256-32"], [(packet, "no_extension")])


def _records(records):
    one = records["ed25519-16"]
    f = Forger(one, esp_packets())
    packet = f.packets[1]
    yield case("no-record", [], [(packet, "unknown_key")])
    yield case("other-key-id", ["ed25519-32", "other-key-id"], [(packet, "unknown_key")])
    yield case("suite-of-the-packet-not-of-the-record", ["ed25519-16"], [(f.forged(kind=0x21), "unknown_key")])
    yield case("just-before-the-end", ["ed25519-16"], [(packet, "none", f.plain[1])], now=1999)
    yield case("at-the-end", ["ed25519-16"], [(packet, "expired_key")], now=2000)
    yield case("after-the-end", ["ed25519-16"], [(packet, "expired_key")], now=2**40)
    yield case("lane-not-allowed", ["ed25519-16"], [(f.forged(lane=8), "unknown_lane")])
    yield case("lane-of-another-record", ["one-lane"], [(Forger(one, esp_packets(), lane=0).packets[0], "unknown_lane")])
    yield case("pcr-tag", ["ed25519-16"], [(f.forged(pcr_tag=bytes(4)), "pcr_mismatch")])


def _stale(records):
    one, plain = records["ed25519-16"], esp_packets(2)

    def signed_as(batch, lane=7):
        return Forger(one, plain, batch=batch, lane=lane).packets
    old, edge, new = signed_as(36), signed_as(37), signed_as(100)
    yield case("window", ["ed25519-16"], [
        (old[0], "none", plain[0]), (new[0], "none", plain[0]), (old[1], "stale"), (old[0], "stale"), (edge[0], "none", plain[0]),
        (edge[1], "none", plain[1]), (signed_as(0)[0], "stale"), (signed_as(0, lane=0)[0], "none", plain[0]),
        (signed_as(101)[0], "none", plain[0]), (edge[1], "stale"), (new[1], "none", plain[1])])
    other = Forger(one, plain, batch=100, lane=0, salt=bytes(16)).packets
    yield case("each-lane-its-window", ["ed25519-16"], [
        (new[0], "none", plain[0]), (other[0], "none", plain[0]), (signed_as(1000, lane=0)[0], "none", plain[0]),
        (other[1], "stale"), (new[1], "none", plain[1]), (edge[1], "none", plain[1])])
    yield case("window-of-one", ["ed25519-16"], [(new[0], "none", plain[0]), (signed_as(99)[0], "stale"),
                                                 (new[1], "none", plain[1]), (new[1], "none", plain[1])], window=1)
    yield case("window-at-the-last-batch", ["ed25519-16"], [
        (signed_as(2**64 - 1)[0], "none", plain[0]), (signed_as(2**64 - 65)[0], "stale"),
        (signed_as(2**64 - 64)[0], "none", plain[0]), (signed_as(0)[0], "stale")])


def _tags(records):
    f = Forger(records["ed25519-16"], esp_packets())
    good = f.packets[1]

    def flipped(at):
        return good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]
    places = {"spi": 20, "sequence-number": 27, "ciphertext": 30, "esp-last-byte": -145, "path": -144, "signature": -60,
              "salt": -40, "batch": -25, "tag": -10, "tag-last-byte": -3}
    yield case("one-bit", ["ed25519-16"], [(flipped(at), "bad_tag") for at in places.values()])
    yield case("index", ["ed25519-16"], [(f.forged(1, retag=False, index=0), "bad_tag")])
    yield case("extension-of-another-packet", ["ed25519-16"], [(f.forged(1, plain=f.plain[2], retag=False), "bad_tag")])
    yield case("reflection", ["backwards"], [(good, "bad_tag")])
    df = Forger(records["p256-16"], [shapes.ipv4(shapes.ESP, shapes.esp(24), identification=0, flags=shapes.DF)],
                identifications=[9])
    yield case("original-identification", ["p256-16"], [(df.forged(retag=False, original=bytes.fromhex("00014000")), "bad_tag")])
    as_ah = shapes.ipv4(shapes.AH, shapes.ah(12, b""))
    cut = parse(as_ah).payload
    yield case("ah-as-esp", ["ed25519-16"], [(Forger(records["ed25519-16"], [as_ah]).forged(
        plain=shapes.ipv4(shapes.ESP, cut), retag=False), "bad_tag")])


def _paths(records):
    """Who has the gate secret and changes a packet of a batch that has verified already."""
    f = Forger(records["ed25519-16"], esp_packets())
    ext = f.batch.extensions[1]
    other = Forger(records["ed25519-16"], esp_packets()[::-1]).batch.extensions[1]
    changed = {"payload": {"plain": f.plain[2]}, "nodes-swapped": {"path": ext.path[::-1]}, "index": {"index": 0},
               "count": {"count": 3}, "salt": {"salt": bytes(16)}, "signature": {"signature": bytes(64)},
               "signature-of-another-batch": {"signature": other.signature}, "node": {"path": (ext.path[0], bytes(16))}}
    for name, fields in changed.items():
        yield case(f"verified-batch-{name}", ["ed25519-16"],
                   [(f.packets[0], "none", f.plain[0]), (f.forged(1, **fields), "bad_path"), (f.packets[1], "none", f.plain[1])])
    p = Forger(records["p256-16"], esp_packets())
    high = _high_s(p.batch.extensions[1].signature)
    yield case("verified-batch-high-s", ["p256-16"], [(p.packets[0], "none", p.plain[0]), (p.forged(1, signature=high), "bad_path")])


def _high_s(signature):
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def _signatures(records):
    """Who has the gate secret and changes the first packet of a batch that arrives."""
    one = records["ed25519-16"]
    f, p = Forger(one, esp_packets()), Forger(records["p256-16"], esp_packets())
    ext, sig = f.batch.extensions[1], p.batch.extensions[1].signature
    s = int.from_bytes(ext.signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    changed = {"payload": {"plain": f.plain[2]}, "nodes-swapped": {"path": ext.path[::-1]}, "index": {"index": 0},
               "count": {"count": 3}, "salt": {"salt": bytes(16)}, "batch": {"batch": 1001}, "lane": {"lane": 0},
               "zeros": {"signature": bytes(64)}, "s-plus-order": {"signature": ext.signature[:32] + s.to_bytes(32, "little")}}
    for name, fields in changed.items():
        yield case(f"new-batch-{name}", ["ed25519-16"], [(f.forged(1, **fields), "bad_signature")])
    ecdsa = {"high-s": _high_s(sig), "zeros": bytes(64), "r-zero": bytes(32) + sig[32:], "s-zero": sig[:32] + bytes(32),
             "r-is-order": ORDER.to_bytes(32, "big") + sig[32:], "ones": b"\xff" * 64}
    for name, value in ecdsa.items():
        yield case(f"ecdsa-{name}", ["p256-16"], [(p.forged(1, signature=value), "bad_signature")])
    for name in ("other-session", "other-direction", "other-pcr"):
        yield case(f"new-batch-{name}", [name], [(f.packets[1], "bad_signature")])
    yield case("new-batch-other-key", ["other-key-id"], [(f.forged(1, key_id=0x01020304), "bad_signature")])
    yield case("new-batch-other-suite", ["p256-one-id"], [(f.forged(1, kind=0x21), "bad_signature")])


def _unmoved(records):
    """Nothing that fails moves a window or is remembered."""
    one, plain = records["ed25519-16"], esp_packets(2)
    f, late = Forger(one, plain, batch=10), Forger(one, plain, batch=2**63)
    yield case("failures-change-nothing", ["ed25519-16"], [
        (f.packets[0], "none", plain[0]), (late.forged(signature=bytes(64)), "bad_signature"), (late.forged(retag=False, lane=0), "bad_tag"),
        (late.forged(lane=8), "unknown_lane"), (f.packets[1], "none", plain[1]), (late.packets[0], "none", plain[0]),
        (f.packets[1], "stale")])
    bad = f.forged(1, signature=bytes(64))
    yield case("a-bad-signature-is-not-remembered", ["ed25519-16"], [
        (bad, "bad_signature"), (bad, "bad_signature"), (f.packets[0], "none", plain[0]), (bad, "bad_path")])


def _first_reason(records):
    """Packets with several faults: the first step decides, and in step 4 the order there."""
    f = Forger(records["ed25519-16"], esp_packets(), batch=1)
    new = Forger(records["ed25519-16"], esp_packets(), batch=1000)
    all_wrong = {"lane": 8, "pcr_tag": bytes(4), "retag": False}
    yield case("first-key", ["ed25519-32"], [(f.forged(**all_wrong), "unknown_key")], now=3000)
    yield case("first-end", ["ed25519-16"], [(f.forged(**all_wrong), "expired_key")], now=3000)
    yield case("first-lane", ["ed25519-16"], [(f.forged(**all_wrong), "unknown_lane")])
    started = (new.packets[0], "none", new.plain[0])
    yield case("first-pcr", ["ed25519-16"], [started, (f.forged(pcr_tag=bytes(4), retag=False), "pcr_mismatch")])
    yield case("first-stale", ["ed25519-16"], [started, (f.forged(salt=bytes(16), retag=False), "stale")])
    yield case("first-tag", ["ed25519-16"], [(new.forged(signature=bytes(64), retag=False), "bad_tag")])
