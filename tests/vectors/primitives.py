# SPDX-License-Identifier: GPL-3.0-or-later
"""SipHash-2-4, and ECDSA P-256 with a deterministic nonce (RFC 6979) so that vectors come out the same everywhere, by
plain integers. Not in constant time: for keys that are published in vectors.json, and for nothing else."""

import hashlib
import hmac
import struct

PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
             0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def _add(a, b):
    """The sum of two points; None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % PRIME == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, PRIME)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, PRIME)
    x = (slope * slope - a[0] - b[0]) % PRIME
    return x, (slope * (a[0] - x) - a[1]) % PRIME


def _multiply(factor, point):
    total = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point, factor = _add(point, point), factor >> 1
    return total


def public_key(private):
    """04, x, y: the uncompressed point of a private key of 32 bytes."""
    x, y = _multiply(int.from_bytes(private, "big"), GENERATOR)
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _nonces(private, digest):
    """RFC 6979, section 3.2, with HMAC-SHA-256."""
    def mac(key, data):
        return hmac.digest(key, data, "sha256")

    seed = private + (int.from_bytes(digest, "big") % ORDER).to_bytes(32, "big")
    v, k = b"\x01" * 32, b"\x00" * 32
    for separator in (b"\x00", b"\x01"):
        k = mac(k, v + separator + seed)
        v = mac(k, v)
    while True:
        v = mac(k, v)
        if 0 < int.from_bytes(v, "big") < ORDER:
            yield int.from_bytes(v, "big")
        k = mac(k, v + b"\x00")
        v = mac(k, v)


def ecdsa(private, message):
    """(r, s) over SHA-256, as they come out; s may be above half of the order."""
    digest = hashlib.sha256(message).digest()
    z, secret = int.from_bytes(digest, "big"), int.from_bytes(private, "big")
    for nonce in _nonces(private, digest):
        r = _multiply(nonce, GENERATOR)[0] % ORDER
        s = pow(nonce, -1, ORDER) * (z + r * secret) % ORDER
        if r and s:
            return r, s


def siphash(key, message):
    """SipHash-2-4 with 64 bits of output, as its reference implementation writes them."""
    mask = 2**64 - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def half(a, b, left, a_left):
        v[a] = v[a] + v[b] & mask
        v[b] = (v[b] << left | v[b] >> 64 - left) & mask ^ v[a]
        v[a] = (v[a] << a_left | v[a] >> 64 - a_left) & mask if a_left else v[a]

    def rounds(times):
        for _ in range(times):
            half(0, 1, 13, 32)
            half(2, 3, 16, 0)
            half(0, 3, 21, 0)
            half(2, 1, 17, 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])
