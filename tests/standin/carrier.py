#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A carrier for docs/PROTOCOL.md, "The attestation service", written from that page alone.

Carries sessions between two services over TCP, in clear, with a secret that the one who
opens the channel invents. A frame on the stream is a length (u32) and that many bytes; the
first is the secret. For tests: what an IKE daemon would do, with nothing that protects.
"""

import argparse
import ipaddress
import secrets
import selectors
import socket
import struct
import sys

HELLO, CONNECT, DATA, CLOSE, UNREACHABLE = 0x01, 0x02, 0x03, 0x04, 0x05
WELCOME, OPEN, GRANT, DENY = 0x81, 0x82, 0x83, 0x84
VERSION, PROTOCOL, PROTOCOL_VERSION = 1, 1, 1
MOST, MOST_UNSENT = 32773, 256 * 1024


def text(words):
    return bytes([len(words)]) + words.encode("ascii")


def take_text(data):
    size = data[0]
    assert len(data) > size, "a length beyond the end"
    return data[1:1 + size].decode("ascii"), data[1 + size:]


def item(data):
    return struct.pack(">H", len(data)) + data


def hello(name, opens_channels=True):
    return struct.pack(">BHB", HELLO, VERSION, int(opens_channels)) + text(name)


def connect(channel, opened_by_peer, secret, peer, address, certificate=b"", peer_certificate=b""):
    return (struct.pack(">BIBHBB", CONNECT, channel, int(opened_by_peer), PROTOCOL, PROTOCOL_VERSION, PROTOCOL_VERSION)
            + bytes([len(secret)]) + secret + item(certificate) + item(peer_certificate) + text(peer) + text(address))


def data(channel, message):
    return struct.pack(">BI", DATA, channel) + message


def close(channel, reason, sentence=""):
    return struct.pack(">BI", CLOSE, channel) + text(reason) + text(sentence)


def unreachable(peer, sentence):
    return bytes([UNREACHABLE]) + text(peer) + text(sentence)


def decode_open(rest):
    peer, rest = take_text(rest)
    count, rest = rest[0], rest[1:]
    endpoints = []
    for _ in range(count):
        size = rest[0]
        assert size in (4, 16), size
        endpoints.append((str(ipaddress.ip_address(rest[1:1 + size])), struct.unpack_from(">H", rest, 1 + size)[0]))
        rest = rest[3 + size:]
    assert not rest, "bytes too many"
    return peer, endpoints


class Channel:
    def __init__(self, stream, opened_by_peer, secret=None, peer=""):
        stream.setblocking(False)
        self.stream, self.opened_by_peer, self.secret, self.peer = stream, opened_by_peer, secret, peer
        self.certificate = self.peer_certificate = b""
        try:
            self.address = "%s port %d" % stream.getpeername()[:2]
        except OSError:
            self.address = "who has gone already"
        self.number, self.received, self.unsent = None, b"", b""
        self.granted = self.closing = False

    def frames(self):
        while len(self.received) >= 4:
            size = struct.unpack_from(">I", self.received)[0]
            assert 1 <= size <= MOST - 5, size
            if len(self.received) < 4 + size:
                return
            yield self.received[4:4 + size]
            self.received = self.received[4 + size:]

    def push(self):
        """False: the peer has gone."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.stream.send(self.unsent):]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


class Carrier:
    def __init__(self, service, listener, name="carrier.py", opens_channels=True):
        """`service`: where its socket is, or one that is connected to it."""
        if isinstance(service, socket.socket):
            self.service = service
        else:
            self.service = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.service.connect(str(service))
        self.service.send(hello(name, opens_channels))
        assert self.receive() == struct.pack(">BH", WELCOME, VERSION), "no welcome of this version"
        self.listener = listener
        self.channels, self.next_number = {}, 1
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.service, selectors.EVENT_READ, self.from_service)
        if listener:
            self.selector.register(listener, selectors.EVENT_READ, self.accept)

    def receive(self):
        message = self.service.recv(MOST + 1)
        assert len(message) <= MOST
        return message

    def run(self):
        while True:
            for key, events in self.selector.select(self.pause()):
                if key.data(key.fileobj, events) is False:
                    return

    def pause(self):
        """How long it may wait for others; none: as long as they like."""
        return None

    def watch(self, channel):
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.unsent else 0)
        callback = lambda _stream, happened: self.from_peer(channel, happened)
        if channel.stream in self.selector.get_map():
            self.selector.modify(channel.stream, events, callback)
        else:
            self.selector.register(channel.stream, events, callback)

    def accept(self, listener, _events):
        self.watch(Channel(listener.accept()[0], True))

    def start(self, channel):
        channel.number, self.next_number = self.next_number, self.next_number + 1
        self.channels[channel.number] = channel
        self.service.send(connect(channel.number, channel.opened_by_peer, channel.secret, channel.peer, channel.address,
                                  channel.certificate, channel.peer_certificate))

    def forget(self, channel, pass_on=False):
        """Whatever was granted over it is revoked here."""
        channel.granted = False
        if channel.stream.fileno() < 0:
            return
        if pass_on and channel.unsent:
            try:
                channel.stream.settimeout(2)
                channel.stream.sendall(channel.unsent)
            except OSError:
                pass
        if channel.stream in self.selector.get_map():
            self.selector.unregister(channel.stream)
        channel.stream.close()

    def end(self, channel, reason):
        """The peer's side has ended, or is ended by us; the service answers with a close of its own."""
        self.forget(channel)
        if channel.number is not None and not channel.closing:
            channel.closing = True
            self.service.send(close(channel.number, reason))

    def to_peer(self, channel, message):
        frame = struct.pack(">I", len(message)) + message
        if len(channel.unsent) + len(frame) > MOST_UNSENT:
            self.end(channel, "peer_too_slow")
            return
        channel.unsent += frame
        if channel.push():
            self.watch(channel)
        else:
            self.end(channel, "peer_closed")

    def carry(self, channel, message):
        """From the service."""
        self.to_peer(channel, message)

    def deliver(self, channel, message):
        """To the service."""
        self.service.send(data(channel.number, message))

    def greeted(self, channel, frame):
        """The peer's first."""
        channel.secret = frame
        self.start(channel)

    def from_peer(self, channel, events):
        if events & selectors.EVENT_WRITE:
            if not channel.push():
                return self.end(channel, "peer_closed")
            self.watch(channel)
        if not events & selectors.EVENT_READ:
            return None
        try:
            got = channel.stream.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            got = b""
        channel.received += got
        for frame in channel.frames():
            if channel.number is None:
                self.greeted(channel, frame)
            else:
                self.deliver(channel, frame)
        if not got:
            self.end(channel, "peer_closed")
        return None

    def open(self, rest):
        peer, endpoints = decode_open(rest)
        for endpoint in endpoints:
            try:
                stream = socket.create_connection(endpoint, timeout=3)
            except OSError as error:
                why = str(error)
                continue
            channel = Channel(stream, False, secrets.token_bytes(32), peer)
            self.start(channel)
            self.to_peer(channel, channel.secret)
            return
        self.service.send(unreachable(peer, why[:255]))

    def from_service(self, _service, _events):
        message = self.receive()
        return self.take(message) if message else False

    def take(self, message):
        kind = message[0]
        if kind == OPEN:
            self.open(message[1:])
            return None
        number, rest = struct.unpack_from(">I", message, 1)[0], message[5:]
        channel = self.channels[number]
        if kind == CLOSE:
            if not channel.closing:
                channel.closing = True  # what its stream has to say yet is nobody's any more
                self.forget(channel, pass_on=True)
                self.service.send(close(number, "closed"))
            del self.channels[number]
        elif channel.closing:
            if kind == DENY:  # it crossed our close, and is the service's own
                del self.channels[number]
        elif kind == DATA:
            self.carry(channel, rest)
        elif kind == GRANT:
            channel.granted = True
        elif kind == DENY:
            channel.closing = True
            self.forget(channel, pass_on=True)
            self.service.send(close(number, "revoked"))
            del self.channels[number]
        else:
            raise AssertionError(f"a message of type {kind}")
        return None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--service", required=True, help="the attestation service's socket")
    arguments.add_argument("--listen", help="ADDRESS:PORT for peers' carriers")
    args = arguments.parse_args()
    listener = None
    if args.listen:
        address, _, port = args.listen.rpartition(":")
        listener = socket.create_server((address, int(port)))
        print(listener.getsockname()[1], flush=True)
    try:
        Carrier(args.service, listener).run()
    except ConnectionError:
        pass  # the service has gone, and with it all channels


if __name__ == "__main__":
    sys.exit(main())
