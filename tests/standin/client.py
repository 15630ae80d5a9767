# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer's end of docs/PROTOCOL.md, "The data plane's socket", written from that page alone."""

import socket
import struct

HELLO, SIGN_REQUEST, STATUS, APPLIED = 0x01, 0x02, 0x03, 0x04
RECORD = struct.Struct(">I32s32sIBB16sHHQI")
STATUSES = ("done", "busy", "failed", "unknown_key", "not_a_statement", "other_suite", "other_session", "other_direction",
            "other_key", "other_pcr", "lane_not_allowed", "batch_repeated")


def hello(version=1, workers=2, instance=bytes(16)):
    return struct.pack(">BHH16s", HELLO, version, workers, instance)


def sign_request(ticket, key, statement):
    return struct.pack(">BQI", SIGN_REQUEST, ticket, key) + statement


def status(*counters):
    return struct.pack(">B5Q", STATUS, *counters)


def applied(key):
    return struct.pack(">BI", APPLIED, key)


def statement(record, lane, batch, count=3, **other):
    """docs/WIRE.md, section 4, over a salt and a root of any kind."""
    fields = {**record, "version": 1, "node": 16 if record["suite"] in (1, 3) else 32, **other}
    return (b"countersign batch v1" + bytes([0, fields["version"], fields["suite"], fields["node"]]) + fields["session"]
            + struct.pack(">BIHQH", fields["direction"], fields["key"], lane, batch, count) + b"S" * 16 + fields["pcr_digest"] + b"R" * 32)


def vec8(data):
    size, rest = data[0], data[1:]
    assert len(rest) >= size, "a length beyond the end"
    return rest[:size], rest[size:]


def record(data):
    names = ("peer", "session", "pcr_digest", "key", "direction", "suite", "gate_secret", "first_lane", "last_lane", "not_after", "lifetime_ms")
    return dict(zip(names, RECORD.unpack_from(data))), data[RECORD.size:]


def decode_peer(data):
    identity, mode, count = struct.unpack_from(">IBB", data)
    addresses, data = [], data[6:]
    for _ in range(count):
        address, data = vec8(data)
        addresses.append(socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address))
    return {"peer": identity, "mode": mode, "addresses": addresses}, data


def decode_outbound(data):
    fields, data = record(data)
    kind, data = data[0], data[1:]
    if kind == 0:
        return {**fields, "kind": "session", "private_key": data[:32]}, data[32:]
    assert kind == 1, kind
    fields["public_key"], data = vec8(data)
    return {**fields, "kind": "remote"}, data


def decode_inbound(data):
    fields, data = record(data)
    fields["public_key"], data = vec8(data)
    return fields, data


def decode_reply(data):
    ticket, code = struct.unpack_from(">QB", data)
    size = 64 if code == 0 else 0
    return {"ticket": ticket, "status": STATUSES[code], "signature": data[9:9 + size]}, data[9 + size:]


def numbers(form, *names):
    return lambda data: (dict(zip(names, struct.unpack_from(form, data))), data[struct.calcsize(form):])


MESSAGES = {
    0x81: ("welcome", numbers(">H", "version")),
    0x82: ("peer", decode_peer),
    0x83: ("outbound_key", decode_outbound),
    0x84: ("inbound_key", decode_inbound),
    0x85: ("remove_key", numbers(">IB", "key", "table")),
    0x86: ("remove_peer", numbers(">I", "peer")),
    0x87: ("end_of_state", numbers(">")),
    0x88: ("sign_reply", decode_reply),
}


def decode(data):
    name, read = MESSAGES[data[0]]
    fields, rest = read(data[1:])
    assert not rest, f"{name}: {len(rest)} bytes too many"
    return {"message": name, **fields}


class Closed(Exception):
    """keymsd has ended the connection."""


class Client:
    def __init__(self, path, timeout=5):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        try:
            data = self.socket.recv(2048)
        except ConnectionError as error:
            raise Closed from error
        if not data:
            raise Closed
        assert len(data) <= 1024
        return decode(data)

    def silent(self, seconds):
        """Whether nothing comes for so long."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(2048)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    def state(self, **fields):
        """Says hello; all messages between welcome and end_of_state."""
        self.send(hello(**fields))
        assert self.receive() == {"message": "welcome", "version": 1}
        found = []
        while (message := self.receive())["message"] != "end_of_state":
            found.append(message)
        return found

    def sign(self, key, data, ticket=1):
        self.send(sign_request(ticket, key, data))
        reply = self.receive()
        assert (reply["message"], reply["ticket"]) == ("sign_reply", ticket), reply
        return reply
