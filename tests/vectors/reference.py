# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire format a second time, from docs/WIRE.md alone: short and slow, it shares no code with nfq-signer/.

    sign_batch(record, lane, batch, salt, packets) -> Batch      the signed packets, and every value on the way
    translate(packet, port)                        -> bytes      the signed packet inside UDP
    Verifier(records).verify(packet, now)          -> bytes      the packet before it was signed, or Refused

A packet is bytes from its IP header on. The packets of docs/WIRE.md section 7 that are refused raise Refused, whose
text is the reason; a packet that cannot be signed raises Refused or ValueError."""

import hashlib
import struct
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

import primitives

ESP, AH, UDP = 50, 51, 17
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
NODE_SIZE = {1: 16, 2: 32, 3: 16, 4: 32}
ECDSA_SUITES, VERSION, MAX_COUNT, MAX_PACKET, DF = (1, 2), 1, 32768, 65535, 0x4000
FIXED = struct.Struct(">64s16sQI4sHHH8sBB")  # the extension from signature to words: 112 bytes


class Refused(Exception):
    """A packet is refused; the text is the reason, in the words of section 7."""


def need(condition, reason):
    if not condition:
        raise Refused(reason)


def u16(data, at):
    return int.from_bytes(data[at:at + 2], "big")


@dataclass(frozen=True)
class Record:
    """What both ends hold for one key and one direction, section 2. The private key is the signer's only."""
    key_id: int
    session: bytes
    direction: int
    suite: int
    public_key: bytes
    pcr_digest: bytes
    gate_secret: bytes
    lanes: tuple
    end: int
    private_key: bytes = b""


# Section 1: the packet.

@dataclass(frozen=True)
class Packet:
    data: bytes
    udp: int       # where the UDP header is; 0: none
    start: int     # of the SPI, of the AH header
    limit: int     # the end of ESP, of the AH header: behind the extension, if there is one
    protocol: int  # ESP or AH

    @property
    def version(self):
        return self.data[0] >> 4

    @property
    def payload(self):
        return self.data[self.start:]


def _behind_ipv4(data):
    """(where it goes on, with which protocol)"""
    header = (data[0] & 15) * 4
    need(20 <= header <= len(data) and u16(data, 2) == len(data), "malformed")
    need(not u16(data, 6) & 0x3FFF, "fragment")
    return header, data[9]


def _behind_ipv6(data):
    need(len(data) >= 40 and u16(data, 4) == len(data) - 40, "malformed")
    at, following, headers = 40, data[6], 0
    while following in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION):
        headers += 1
        need(headers <= 8 and at + 8 <= len(data), "malformed")
        need(following != FRAGMENT or not u16(data, at + 2) & 0xFFF9, "fragment")
        size = 8 if following == FRAGMENT else (data[at + 1] + 1) * 8
        need(at + size <= len(data), "malformed")
        at, following = at + size, data[at]
    return at, following


def _behind_ip(data):
    need(20 <= len(data) <= MAX_PACKET and data[0] >> 4 in (4, 6), "malformed")
    return _behind_ipv4(data) if data[0] >> 4 == 4 else _behind_ipv6(data)


def parse(data):
    """What section 1 allows, or Refused."""
    at, protocol = _behind_ip(data)
    need(protocol in (ESP, AH, UDP), "not_ipsec")
    if protocol == AH:
        need(at + 12 <= len(data), "malformed")
        limit = at + (data[at + 1] + 2) * 4
        need(at + 12 <= limit <= len(data), "malformed")
        return Packet(data, 0, at, limit, AH)
    udp = at if protocol == UDP else 0
    if udp:
        need(udp + 8 <= len(data) and u16(data, udp + 4) == len(data) - udp, "malformed")
        at = udp + 8
        need(data[at:at + 4] != bytes(4) and data[at:] != b"\xff", "not_ipsec")
    need(at + 8 <= len(data), "malformed")
    return Packet(data, udp, at, len(data), ESP)


def _follow(checksum, before, after):
    """RFC 1624 in the integers: one's complement numbers are the residues of 65535."""
    return (checksum + before - after) % 65535


def _words(data):
    data += bytes(len(data) % 2)
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def _regrown(packet, data, identity=None):
    """data is the packet with bytes put in or taken out; lengths and checksums follow. identity replaces
    identification and flags of IPv4."""
    new, grown = bytearray(data), len(data) - len(packet.data)
    if packet.protocol == AH:
        new[packet.start + 1] += grown // 4
    if packet.version == 6:
        new[4:6] = (len(data) - 40).to_bytes(2, "big")
    else:
        new[2:4] = len(data).to_bytes(2, "big")
        new[4:8] = identity or new[4:8]
        new[10:12] = _follow(u16(new, 10), _words(packet.data[2:8]), _words(bytes(new[2:8]))).to_bytes(2, "big")
    if packet.udp:
        at, length = packet.udp, len(data) - packet.udp
        new[at + 4:at + 6] = length.to_bytes(2, "big")
        if u16(new, at + 6):  # the length counts twice: in the header and in the pseudo header
            before = 2 * (length - grown) + _words(packet.data[at + 8:])
            now = _follow(u16(new, at + 6), before, 2 * length + _words(data[at + 8:]))
            new[at + 6:at + 8] = (now or 0xFFFF).to_bytes(2, "big")
    return bytes(new)


# Section 2: the extension.

@dataclass(frozen=True)
class Extension:
    path: tuple
    original: bytes  # 0 or 4
    padding: bytes   # 0 or 4
    signature: bytes
    salt: bytes
    batch: int
    key_id: int
    pcr_tag: bytes
    lane: int
    index: int
    count: int
    tag: bytes
    kind: int

    @property
    def suite(self):
        return self.kind & 15

    def encoded(self):
        head = b"".join(self.path) + self.original + self.padding
        return head + FIXED.pack(self.signature, self.salt, self.batch, self.key_id, self.pcr_tag, self.lane, self.index,
                                 self.count, self.tag, self.kind, (len(head) + FIXED.size) // 4)


def parse_extension(packet):
    """Steps 2 of section 7: the extension at the end of ESP or of the AH header."""
    body = packet.data[packet.start:packet.limit]
    size = body[-1] * 4
    need(FIXED.size <= size <= len(body) - (8 if packet.protocol == ESP else 12), "no_extension")
    *fixed, kind, _ = FIXED.unpack(body[-FIXED.size:])
    index, count = fixed[6], fixed[7]
    need(kind >> 5 == VERSION and kind & 15 in NODE_SIZE and index < count <= MAX_COUNT, "no_extension")
    node, head = NODE_SIZE[kind & 15], body[-size:-FIXED.size]
    nodes, has_original = node * depth(index, count), kind >> 4 & 1
    path, original, padding = head[:nodes], head[nodes:nodes + 4 * has_original], head[nodes + 4 * has_original:]
    need(len(path) == nodes and len(original) == 4 * has_original, "no_extension")
    may_pad = packet.protocol == AH and packet.version == 6
    need(padding == b"" or (padding == bytes(4) and may_pad), "no_extension")
    need(not has_original or (packet.version == 4 and u16(original, 2) == DF), "no_extension")
    return Extension(tuple(path[i:i + node] for i in range(0, nodes, node)), original, padding, *fixed, kind)


def extend(packet, extension, identity=None):
    """The packet's bytes with those of the extension in their place."""
    return _regrown(packet, packet.data[:packet.limit] + extension + packet.data[packet.limit:], identity)


def strip(packet, extension):
    cut = packet.limit - len(extension.encoded())
    return _regrown(packet, packet.data[:cut] + packet.data[packet.limit:], extension.original)


# Section 3: the tree.

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def digest(packet):
    """d_i of a packet without extension"""
    return sha256(bytes([0, packet.protocol]), packet.payload)


def prefix(record, salt, lane, batch, count):
    """P"""
    return sha256(b"\x03", salt, record.session, struct.pack(">BIHQH", record.direction, record.key_id, lane, batch, count))[:16]


def leaf(p, index, d):
    return sha256(b"\x01", p, struct.pack(">I", index), d)


def inner(p, level, index, left, right):
    return sha256(b"\x02", p, struct.pack(">BI", level, index), left, right)


def tree(p, digests, node_size):
    """full(l, j) of every level, the root alone on the last."""
    levels = [[leaf(p, i, d) for i, d in enumerate(digests)]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([inner(p, len(levels), i // 2, below[i][:node_size], below[i + 1][:node_size]) if i + 1 < len(below)
                       else below[i] for i in range(0, len(below), 2)])
    return levels


def depth(index, count):
    nodes = 0
    while count > 1:
        nodes += (index ^ 1) < count
        index, count = index >> 1, (count + 1) >> 1
    return nodes


def path_of(levels, index, node_size):
    path = []
    for level in levels[:-1]:
        if (index ^ 1) < len(level):
            path.append(level[index ^ 1][:node_size])
        index >>= 1
    return tuple(path)


def climb(p, d, extension):
    """The root that a packet's digest and path lead to."""
    x, index, k, level = leaf(p, extension.index, d), extension.index, extension.count, 0
    path, n = list(extension.path), NODE_SIZE[extension.suite]
    while k > 1:
        if (index ^ 1) < k:
            sibling = path.pop(0)
            pair = (sibling, x[:n]) if index & 1 else (x[:n], sibling)
            x = inner(p, level + 1, index >> 1, *pair)
        index, k, level = index >> 1, (k + 1) >> 1, level + 1
    return x


# Section 4: signature and gate tag.

def statement(record, lane, batch, count, salt, root):
    """The 153 bytes that are signed."""
    return (b"countersign batch v1" + bytes([0, VERSION, record.suite, NODE_SIZE[record.suite]]) + record.session
            + struct.pack(">BIHQH", record.direction, record.key_id, lane, batch, count) + salt + record.pcr_digest + root)


def sign(record, message):
    if record.suite not in ECDSA_SUITES:
        return ed25519.Ed25519PrivateKey.from_private_bytes(record.private_key).sign(message)
    r, s = primitives.ecdsa(record.private_key, message)
    return r.to_bytes(32, "big") + min(s, primitives.ORDER - s).to_bytes(32, "big")


def signature_verifies(record, signature, message):
    try:
        if record.suite not in ECDSA_SUITES:
            ed25519.Ed25519PublicKey.from_public_bytes(record.public_key).verify(signature, message)
            return True
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), record.public_key)
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        return s <= primitives.ORDER // 2
    except InvalidSignature:
        return False


def gate_tag(record, d, extension):
    """Over the encoded extension without its tag, the 8 bytes before the last 2."""
    encoded = extension.encoded()
    return primitives.siphash(record.gate_secret, d + encoded[:-10] + encoded[-2:])


# Signing a batch.

@dataclass(frozen=True)
class Batch:
    """Signed packets and what led to them."""
    packets: list
    digests: list
    prefix: bytes
    levels: list
    statement: bytes
    extensions: list


def _clear_df(packet, identification):
    """(field `original`, what takes the place of identification and flags); without identification nothing changes."""
    if identification is None:
        return b"", None
    if packet.version != 4 or u16(packet.data, 6) != DF:
        raise ValueError("only DF alone, on IPv4, can be cleared")
    return packet.data[4:8], struct.pack(">HH", identification, 0)


def sign_batch(record, lane, batch, salt, packets, identifications=None):
    """identifications: for each packet None, or the identification it gets as its DF is cleared."""
    parsed, n, count = [parse(data) for data in packets], NODE_SIZE[record.suite], len(packets)
    if not 0 < count <= MAX_COUNT:
        raise ValueError(f"a batch has 1 to {MAX_COUNT} packets, not {count}")
    digests = [digest(packet) for packet in parsed]
    p = prefix(record, salt, lane, batch, count)
    levels = tree(p, digests, n)
    message = statement(record, lane, batch, count, salt, levels[-1][0])
    signature, signed, extensions = sign(record, message), [], []
    for index, packet in enumerate(parsed):
        original, identity = _clear_df(packet, identifications[index] if identifications else None)
        extension = Extension(path_of(levels, index, n), original, b"", signature, salt, batch, record.key_id,
                              record.pcr_digest[:4], lane, index, count, bytes(8),
                              VERSION << 5 | (16 if original else 0) | record.suite)
        header = packet.limit - packet.start + len(extension.encoded())
        if packet.protocol == AH and packet.version == 6 and header % 8:
            extension = replace(extension, padding=bytes(4))
        size = len(extension.encoded())
        if len(packet.data) + size > MAX_PACKET or (packet.protocol == AH and packet.limit - packet.start + size > 1028):
            raise ValueError("there is no room for the extension")
        extension = replace(extension, tag=gate_tag(record, digests[index], extension))
        extensions.append(extension)
        signed.append(extend(packet, extension.encoded(), identity))
    return Batch(signed, digests, p, levels, message, extensions)


# Section 11.

def _with_protocol(data, at, protocol):
    """Of a packet whose IP headers are `at` bytes; the bytes behind may have become more or fewer."""
    new = bytearray(data)
    if data[0] >> 4 == 4:
        new[9], new[2:4] = protocol, len(data).to_bytes(2, "big")
        new[10:12] = _follow(u16(new, 10), _words(data[2:4] + data[8:10]), _words(bytes(new[2:4] + new[8:10]))).to_bytes(2, "big")
        return bytes(new)
    new[4:6] = (len(data) - 40).to_bytes(2, "big")
    told_at, header, following = 6, 40, data[6]
    while header < at:
        size = 8 if following == FRAGMENT else (data[header + 1] + 1) * 8
        told_at, following, header = header, data[header], header + size
    new[told_at] = protocol
    return bytes(new)


def translate(data, port):
    packet = parse(data)
    if packet.udp or len(data) + 12 > MAX_PACKET:
        raise ValueError("it is in UDP already, or there is no room")
    length = len(packet.payload) + 12
    head, ours = struct.pack(">HHH", port, port, length), bytes([1, packet.protocol, 0, 0])
    checksum = 0
    if packet.version == 6:
        total = _words(data[8:40]) + length + UDP + _words(head) + _words(ours + packet.payload)
        checksum = 65535 - total % 65535  # never 0: the residue is below 65535
    new = data[:packet.start] + head + checksum.to_bytes(2, "big") + ours + packet.payload
    return _with_protocol(new, packet.start, UDP)


def translate_back(data, port):
    """What was translated; what was not, as it is."""
    at, protocol = _behind_ip(data)
    if protocol != UDP or at + 8 > len(data) or u16(data, at + 2) != port:
        return data
    need(u16(data, at + 4) == len(data) - at, "malformed")
    need(data[at + 8:at + 9] == b"\1" and data[at + 9:at + 10] in (b"\x32", b"\x33") and data[at + 10:at + 12] == bytes(2),
         "untranslatable")
    return _with_protocol(data[:at] + data[at + 12:], at, data[at + 9])


# Section 7.

class Verifier:
    """Holds the records of what comes in, and each lane's window of batches that verified."""

    def __init__(self, records, window=64, translator=None):
        """translator: the port, if there is one"""
        self._records = {(r.key_id, r.suite): r for r in records}
        self._window = window
        self._translator = translator
        self._lanes = {}  # (key id, lane) -> {batch: (count, salt, signature, root)}

    def verify(self, data, now=0):
        packet = parse(translate_back(data, self._translator) if self._translator else data)
        need(packet.protocol == ESP or packet.version == 4 or (packet.limit - packet.start) % 8 == 0, "malformed")
        ext = parse_extension(packet)
        record = self._records.get((ext.key_id, ext.suite))
        need(record, "unknown_key")
        need(now < record.end, "expired_key")
        need(ext.lane in record.lanes, "unknown_lane")
        need(ext.pcr_tag == record.pcr_digest[:4], "pcr_mismatch")
        seen = self._lanes.get((ext.key_id, ext.lane), {})
        need(not seen or ext.batch > max(seen) - self._window, "stale")
        stripped = strip(packet, ext)
        d = digest(parse(stripped))
        need(ext.tag == gate_tag(record, d, ext), "bad_tag")
        root = climb(prefix(record, ext.salt, ext.lane, ext.batch, ext.count), d, ext)
        claimed = (ext.count, ext.salt, ext.signature, root)
        if ext.batch in seen:
            need(seen[ext.batch] == claimed, "bad_path")
            return stripped
        message = statement(record, ext.lane, ext.batch, ext.count, ext.salt, root)
        need(signature_verifies(record, ext.signature, message), "bad_signature")
        lowest = max([*seen, ext.batch]) - self._window
        self._lanes[ext.key_id, ext.lane] = {b: v for b, v in (seen | {ext.batch: claimed}).items() if b > lowest}
        return stripped
