# SPDX-License-Identifier: GPL-3.0-or-later
"""IPsec packets of every shape that docs/WIRE.md section 1 allows, and the parts to build others."""

import hashlib
import struct

ESP, AH, UDP, TCP, NO_NEXT = 50, 51, 17, 6, 59
V4, V6 = (bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])), (bytes.fromhex("20010db8" + "00" * 11 + "01"),
                                                            bytes.fromhex("20010db8" + "00" * 11 + "02"))
DF, MF = 0x4000, 0x2000


def filler(size, seed=0):
    """Bytes that look encrypted and are the same every time."""
    return hashlib.shake_128(b"filler %d" % seed).digest(size)


def checksum(data):
    """RFC 1071, the slow way."""
    total = 0
    for high, low in zip(data[::2], (data + b"\0")[1::2]):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(protocol, payload, options=b"", identification=0x1234, flags=0, ttl=64, header_checksum=None, sender=V4[0]):
    def header(value):
        return struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), identification,
                           flags, ttl, protocol, value, sender, V4[1]) + options
    return header(checksum(header(0)) if header_checksum is None else header_checksum) + payload


def ipv6(protocol, payload, *headers):
    """headers: (type, its bytes from the second on), outermost first"""
    chain = b""
    for i, (_, rest) in enumerate(headers):
        chain += bytes([headers[i + 1][0] if i + 1 < len(headers) else protocol]) + rest
    first = headers[0][0] if headers else protocol
    return struct.pack(">IHBB16s16s", 0x60012345, len(chain) + len(payload), first, 63, *V6) + chain + payload


HOP_BY_HOP = (0, bytes([0, 5, 2, 0, 0, 1, 0]))  # router alert
DESTINATION = (60, bytes([1, 1, 12]) + bytes(12))  # 16 bytes of PadN
ROUTING = (43, bytes([2, 2, 0]) + bytes(4) + V6[0])  # mobile IPv6, no segments left


def fragment(offset=0, more=0, reserved=0, reserved_byte=0):
    return 44, struct.pack(">BHI", reserved_byte, offset << 3 | reserved << 1 | more, 0xCAFE0001)


def udp(payload, addresses=None, ports=(4500, 4500), value=0, length=None):
    """addresses: their checksum is computed; else it is value."""
    size = 8 + len(payload) if length is None else length
    if addresses:
        pseudo = addresses[0] + addresses[1] + struct.pack(">II", size, UDP)
        value = checksum(pseudo + struct.pack(">HHHH", *ports, size, 0) + payload) or 0xFFFF
    return struct.pack(">HHHH", *ports, size, value) + payload


def esp(size, spi=0xC0FFEE01, sequence=1):
    """size bytes, 8 or more"""
    return struct.pack(">II", spi, sequence) + filler(size - 8, sequence)


def ah(icv, rest, next_header=4, spi=0xA11CE001, sequence=1):
    return struct.pack(">BBHII", next_header, (12 + icv) // 4 - 2, 0, spi, sequence) + filler(icv, sequence) + rest


def esp_shapes(n):
    """name -> packet, for the n-th packet of an SA: ESP, in UDP or not"""
    body, odd = esp(24 + 4 * n, sequence=n), esp(25 + 2 * n, sequence=n)
    return {
        "ipv4-esp": ipv4(ESP, body),
        "ipv4-esp-shortest": ipv4(ESP, esp(8, sequence=n)),
        "ipv4-esp-options": ipv4(ESP, body, options=bytes([148, 4, 0, 0]) + bytes([1] * 8)),
        "ipv4-esp-df": ipv4(ESP, body, identification=0, flags=DF),
        "ipv4-esp-reserved-flag": ipv4(ESP, body, flags=0x8000),
        "ipv4-esp-wrong-header-checksum": ipv4(ESP, body, header_checksum=0xBAD0 + n),
        "ipv4-udp-no-checksum": ipv4(UDP, udp(body)),
        "ipv4-udp-checksum": ipv4(UDP, udp(body, V4)),
        "ipv4-udp-checksum-odd": ipv4(UDP, udp(odd, V4)),
        "ipv4-udp-wrong-checksum": ipv4(UDP, udp(odd, value=0x1111 * n)),
        "ipv4-udp-other-ports": ipv4(UDP, udp(body, V4, ports=(31337, 4501)), options=bytes([1, 1, 1, 0])),
        "ipv6-esp": ipv6(ESP, body),
        "ipv6-esp-hop-by-hop": ipv6(ESP, body, HOP_BY_HOP),
        "ipv6-esp-destination": ipv6(ESP, body, DESTINATION),
        "ipv6-esp-routing": ipv6(ESP, body, ROUTING),
        "ipv6-esp-atomic-fragment": ipv6(ESP, body, fragment()),
        "ipv6-esp-atomic-fragment-reserved-bits": ipv6(ESP, body, fragment(reserved=3, reserved_byte=255)),
        "ipv6-esp-eight-headers": ipv6(ESP, body, HOP_BY_HOP, DESTINATION, ROUTING, DESTINATION, fragment(), fragment(),
                                       HOP_BY_HOP, DESTINATION),
        "ipv6-udp-no-checksum": ipv6(UDP, udp(body)),
        "ipv6-udp-checksum": ipv6(UDP, udp(body, V6)),
        "ipv6-udp-checksum-odd": ipv6(UDP, udp(odd, V6), DESTINATION),
    }


def ah_shapes(n):
    """The same with AH, in transport and in tunnel mode"""
    segment, inner = filler(20 + n, n), ipv4(TCP, filler(20, n))
    return {
        "ipv4-ah": ipv4(AH, ah(16, segment, TCP, sequence=n)),
        "ipv4-ah-tunnel-df": ipv4(AH, ah(20, inner, sequence=n), flags=DF, identification=0),
        "ipv4-ah-options": ipv4(AH, ah(16, inner, sequence=n), options=bytes([68, 4, 5, 0])),
        "ipv4-ah-no-icv": ipv4(AH, ah(0, segment, TCP, sequence=n)),
        "ipv4-ah-nothing-behind": ipv4(AH, ah(12, b"", NO_NEXT, sequence=n)),
        "ipv6-ah": ipv6(AH, ah(20, segment, TCP, sequence=n)),
        "ipv6-ah-padding": ipv6(AH, ah(16, segment, TCP, sequence=n)),
        "ipv6-ah-no-icv-padding": ipv6(AH, ah(0, segment, TCP, sequence=n), HOP_BY_HOP, DESTINATION),
        "ipv6-ah-before-destination": ipv6(AH, ah(12, bytes([TCP]) + DESTINATION[1] + segment, 60, sequence=n), fragment()),
    }


def shapes(n):
    return esp_shapes(n) | ah_shapes(n)
