# SPDX-License-Identifier: GPL-3.0-or-later
"""A network worker for docs/PROTOCOL.md, "The network worker", written from that page alone, in the hands of an attacker.

Carries sessions in clear between two of its kind, with a secret that the one who calls invents: whoever has
a worker has the endpoint's key, all messages and the channels' secrets. MODES says how each of them misbehaves.
For tests, which find in its directory what it has done (`log`) and carried (`carried`), and leave it `orders` there.
"""

import contextlib
import os
import secrets
import select
import socket
import struct
import time
from pathlib import Path

import carrier

STATS, OWN_ENDPOINT, KNOWN_PEER, LISTENER, CONFIGURED, DIAL = 0x41, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5
REASONS = 26  # keyms/carrier/refusal.h
STATS_EVERY, GREETED_WITHIN = 10, 3
SECRET = 32
READY = 16  # the first message of what was granted


def stats():
    return struct.pack(f">B{4 + REASONS}Q", STATS, *[0] * (4 + REASONS))


def type_of(message):
    """Of a session's message, whose first two bytes nobody has hidden."""
    return message[1]


class Worker(carrier.Carrier):
    """Does its work, and shuts itself into nothing. The first that two of them say: the secret and a certificate; a certificate."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.note("began")
        self.sockets, self.coming, self.greetings = [], [], []
        self.certificate, self.key, self.peers = b"", b"", []
        self.stats_due = time.monotonic() + STATS_EVERY
        service = socket.socket(fileno=3)
        service.setblocking(True)
        super().__init__(service, None, "worker.py", opens_channels=False)

    def note(self, *words):
        with open(self.directory / "log", "a", encoding="utf-8") as log:
            log.write(" ".join(map(str, (f"{time.monotonic():.3f}", *words))) + "\n")

    def notes(self):
        """Of its predecessors as well."""
        return [line.split()[1:] for line in (self.directory / "log").read_text(encoding="utf-8").splitlines()]

    def orders(self):
        try:
            return (self.directory / "orders").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def pause(self):
        now = time.monotonic()
        if now >= self.stats_due:
            self.stats_due = now + STATS_EVERY
            self.service.send(stats())
        for due, channel in list(self.greetings):
            if now >= due and channel.number is None:
                self.forget(channel)
        self.greetings = [one for one in self.greetings if now < one[0]]
        return max(0, min([self.stats_due, *(due for due, _ in self.greetings)]) - now)

    def receive(self):
        message, descriptors, _, _ = socket.recv_fds(self.service, carrier.MOST + 1, 1)
        self.sockets = [socket.socket(fileno=one) for one in descriptors]
        return message

    def take(self, message):
        kind, rest = message[0], message[1:]
        if kind == OWN_ENDPOINT:
            _, rest = carrier.take_text(rest)
            size = struct.unpack_from(">H", rest)[0]
            self.certificate, self.key = rest[2:2 + size], rest[2 + size:]
            self.peers = []
        elif kind == KNOWN_PEER:
            self.peers.append(carrier.take_text(rest)[0])
        elif kind == LISTENER:
            self.coming.append(self.sockets.pop())
        elif kind == CONFIGURED:
            self.configured()
        elif kind == DIAL:
            self.dial(carrier.take_text(rest)[0], self.sockets.pop())
        else:
            return super().take(message)
        return None

    def configured(self):
        for one in self.listener or []:
            self.selector.unregister(one)
            one.close()
        self.listener, self.coming = self.coming, []
        for one in self.listener:
            self.selector.register(one, select.EPOLLIN, self.accept)

    def dial(self, peer, stream):
        _, ready, _ = select.select([], [stream], [], GREETED_WITHIN)
        error = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready else 0
        if error or not ready:
            self.service.send(carrier.unreachable(peer, os.strerror(error) if error else "no answer"))
            return
        channel = carrier.Channel(stream, False, secrets.token_bytes(SECRET), peer)
        channel.certificate = self.certificate
        self.greetings.append((time.monotonic() + GREETED_WITHIN, channel))
        self.to_peer(channel, channel.secret + self.certificate)

    def greeted(self, channel, frame):
        if channel.opened_by_peer:
            channel.certificate, channel.secret, channel.peer_certificate = self.certificate, frame[:SECRET], frame[SECRET:]
            self.to_peer(channel, self.certificate)
        else:
            channel.peer_certificate = frame
        if channel.stream.fileno() >= 0:
            self.start(channel)

    def start(self, channel):
        super().start(channel)
        self.note("opened", channel.number)

    def forget(self, channel, pass_on=False):
        if channel.stream.fileno() < 0:
            return
        super().forget(channel, pass_on)
        if channel.number is not None:
            self.note("ended", channel.number)
        elif channel.peer:
            self.service.send(carrier.unreachable(channel.peer, "no worker answers there"))

    def keep(self, channel, way, message):
        self.note(way, channel.number, type_of(message))
        with open(self.directory / "carried", "ab") as carried:
            carried.write(message)

    def carry(self, channel, message):
        self.keep(channel, "out", message)
        super().carry(channel, message)

    def deliver(self, channel, message):
        self.keep(channel, "in", message)
        if not channel.closing:
            super().deliver(channel, message)


class Liar(Worker):
    """Each channel by the orders that are there when it begins; without, it is faithful.

    change WAY N: one byte of the N-th message.  reflect N: keymsd's own N-th message comes back to it.
    secret: not the one that the peer has.  name NEID: whom the channel leads to.  certificate OURS|PEERS: another one.
    replay: what the last faithful channel has carried until it was granted, each in its place, with all that was that one's.
    """

    kept = None

    def start(self, channel):
        channel.orders = self.orders()
        channel.counts = {"out": 0, "in": 0}
        channel.said, channel.script = [], None
        if channel.orders:
            do, *what = channel.orders
            if do == "secret":
                channel.secret = secrets.token_bytes(SECRET)
            elif do == "name":
                channel.peer = what[0]
            elif do == "certificate":
                setattr(channel, {"ours": "certificate", "peers": "peer_certificate"}[what[0]], self.kept.certificate + b"\0")
            elif do == "replay":
                channel.script = list(self.kept.said)
                channel.secret, channel.certificate, channel.peer_certificate = self.kept.secret, self.kept.certificate, self.kept.peer_certificate
            if do not in ("change", "reflect"):
                self.note("lied", *channel.orders)
        super().start(channel)
        if channel.script:
            self.act(channel)

    def act(self, channel):
        """Up to where keymsd has its turn."""
        while channel.script and channel.script[0][0] == "in":
            message = channel.script.pop(0)[1]
            self.note("replayed", type_of(message))
            self.service.send(carrier.data(channel.number, message))

    def remember(self, channel, way, message):
        channel.said.append((way, message))
        if not channel.orders and type_of(message) == READY:
            self.kept = channel

    def meddled(self, channel, way, message):
        channel.counts[way] += 1
        number = str(channel.counts[way])
        if channel.orders[:3] != ["change", way, number]:
            return message
        at = len(message) // 2
        self.note("changed", way, number, type_of(message))
        return message[:at] + bytes([message[at] ^ 1]) + message[at + 1:]

    def carry(self, channel, message):
        self.remember(channel, "out", message)
        if channel.script is not None:
            if channel.script:
                channel.script.pop(0)
                self.act(channel)
            return
        message = self.meddled(channel, "out", message)
        if channel.orders == ["reflect", str(channel.counts["out"])]:
            self.note("reflected", type_of(message))
            self.service.send(carrier.data(channel.number, message))
            return
        super().carry(channel, message)

    def deliver(self, channel, message):
        self.remember(channel, "in", message)
        if channel.script is None:
            super().deliver(channel, self.meddled(channel, "in", message))


def connect(number, peer="", by_peer=True):
    return carrier.connect(number, by_peer, bytes(SECRET), peer, "192.0.2.1 port 1")


# Each with how keymsd says what was wrong.
BREACHES = {
    "garbage": ([b"\x7f" + bytes(range(256))], "a message of type 127"),
    "too_long": ([carrier.data(1, bytes(100_000))], "received a message of 100005 bytes"),
    "grant": ([connect(1), struct.pack(">BI", carrier.GRANT, 1)], "a message of type 131"),
    "configured": ([bytes([CONFIGURED])], "a message of type 196"),
    "channels": ([connect(number) for number in range(1025)], "more than 1024 channels"),
    "close": ([carrier.close(7, "closed")], "channel 7 is not open"),
    "data": ([carrier.data(7, b"\x82\x01\xa0")], "channel 7 is not open"),
    "connect": ([connect(1), connect(1)], "channel 1 is there already"),
    "hello": ([carrier.hello("worker.py", False)], "hello a second time"),
    "cut": ([connect(1)[:30]], "connect"),
    "secret": ([carrier.connect(1, True, bytes(16), "", "")], "the channel's secret has 16 bytes"),
    "empty": ([carrier.data(1, b"")], "the message has 0 bytes"),
}


class Breaker(Worker):
    """The n-th that is started breaks the rule that the orders name n-th; who comes behind them is faithful."""

    def configured(self):
        super().configured()
        breaches = self.orders()
        before = sum(one[0] == "began" for one in self.notes()) - 1
        if before >= len(breaches):
            return
        self.note("broke", breaches[before])
        with contextlib.suppress(OSError):
            for message in BREACHES[breaches[before]][0]:
                self.service.send(message)
        wait_for_the_end(self.service)


def words(number):
    return f"{number:08d}" * 20


# What one peer's worker may say, as often as it likes. Each makes messages of a number that nobody has had, and of a peer.
FLOODS = {
    "strangers": lambda number, _peer: [connect(number, "nobody"), carrier.close(number, "closed")],
    "nameless": lambda number, _peer: [connect(number), carrier.data(number, b"\x82\x01\xa0"), carrier.close(number, "closed")],
    "channels": lambda number, peer: [connect(number, peer), carrier.close(number, "closed")],
    "calls": lambda number, peer: [connect(number, peer, False), carrier.close(number, "closed")],
    "garbage": lambda number, peer: [connect(number, peer), carrier.data(number, b"\x82\x01" + bytes(30000)), carrier.close(number, "closed")],
    "reasons": lambda number, peer: [connect(number, peer), carrier.close(number, f"r{number}", words(number))],
    "unreachable": lambda number, peer: [carrier.unreachable(peer, words(number))],
    "stats": lambda _number, _peer: [stats()],
}


class Flooder(Worker):
    """Faithful, but for `orders`: a flood's name and how many of it, which it takes away when it is through."""

    def pause(self):
        orders = self.orders()
        if orders:
            self.flood(orders[0], int(orders[1]))
            (self.directory / "orders").unlink()
        return min(super().pause(), 0.05)

    def flood(self, kind, times):
        self.answers = 0
        for _ in range(times):
            number, self.next_number = self.next_number, self.next_number + 1
            for message in FLOODS[kind](number, self.peers[0]):
                self.force(message)
        self.drain(0.5)
        self.note("flooded", kind, times, self.answers)

    def force(self, message):
        """Reads meanwhile: who does not read is not read from."""
        while True:
            try:
                self.service.send(message, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                self.drain()
                select.select([self.service], [self.service], [])

    def drain(self, patience=0):
        while select.select([self.service], [], [], patience)[0]:
            message = self.receive()
            if not message:
                raise ConnectionResetError
            self.answers += 1
            # The answers to what is not there any more mean nothing.
            if message[0] >= OWN_ENDPOINT or self.channel_in(message):
                self.take(message)

    def channel_in(self, message):
        return struct.unpack_from(">I", message, 1)[0] in self.channels

    def take(self, message):
        if message[0] < OWN_ENDPOINT and not self.channel_in(message):
            return None
        return super().take(message)


def wait_for_the_end(service):
    """Reads nothing, until keymsd has gone."""
    until = select.poll()
    until.register(service, 0)
    until.poll()
    raise SystemExit


class Ender(Worker):
    def __init__(self, directory):
        self.directory = Path(directory)
        self.note("ends")
        raise SystemExit


class Hanger(Worker):
    def __init__(self, directory):
        self.directory = Path(directory)
        self.note("hangs")
        wait_for_the_end(3)


class Deaf(Worker):
    """Says hello, and reads nothing that comes."""

    def __init__(self, directory):
        super().__init__(directory)
        self.note("deaf")
        wait_for_the_end(self.service)


MODES = {"faithful": Worker, "liar": Liar, "breaker": Breaker, "flooder": Flooder, "ender": Ender, "hanger": Hanger, "deaf": Deaf}


def main(mode, directory):
    """Of the program that keymsd starts."""
    with contextlib.suppress(ConnectionError):  # keymsd has gone, and with it all channels
        MODES[mode](directory).run()
