# SPDX-License-Identifier: GPL-3.0-or-later
"""Just enough of a capture file to say which protocols crossed the wire."""

import struct
from dataclasses import dataclass

ESP, AH, TCP, UDP, ICMP, ICMP6 = 50, 51, 6, 17, 1, 58
ETHERTYPES = {0x0800: 4, 0x86DD: 6}


@dataclass(frozen=True)
class Packet:
    version: int
    proto: int
    sport: int  # of UDP, else 0
    dport: int
    data: bytes  # from the IP header on
    time: float  # seconds since 1970


def packets(capture):
    """IPv4 and IPv6 packets of an Ethernet capture as tcpdump -w writes it here; a cut-off end is ignored."""
    found, at = [], 24
    if len(capture) < at:
        return found
    unit = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}.get(struct.unpack_from("<I", capture)[0])
    if not unit:
        raise ValueError("not a little-endian pcap file")
    while at + 16 <= len(capture):
        seconds, part, length = struct.unpack_from("<III4x", capture, at)
        frame = capture[at + 16:at + 16 + length]
        at += 16 + length
        packet = parse(frame, seconds + part * unit)
        if packet:
            found.append(packet)
    return found


def parse(frame, time):
    if len(frame) < 34 or int.from_bytes(frame[12:14], "big") not in ETHERTYPES:
        return None
    version, data = ETHERTYPES[int.from_bytes(frame[12:14], "big")], frame[14:]
    header = (data[0] & 15) * 4 if version == 4 else 40
    proto = data[9] if version == 4 else data[6]
    ports = struct.unpack_from("!HH", data, header) if proto == UDP and len(data) >= header + 4 else (0, 0)
    return Packet(version, proto, *ports, data, time)
