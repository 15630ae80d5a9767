#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two keymsds through a third party's carrier, which knows docs/PROTOCOL.md, "The attestation service", and nothing else."""

import contextlib
import secrets
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
import carrier  # noqa: E402
from gateway import Refused, wait_for  # noqa: E402
from two_gateways import SILENT, TwoGateways, run  # noqa: E402


class Carrier(carrier.Carrier):
    """Keeps what it was given to carry: first of each channel its secret. With `other_secret` it tells its own keymsd another one than the peer's."""

    other_secret = False

    def __init__(self, *arguments):
        self.carried, self.denied = [], 0
        super().__init__(*arguments)

    def start(self, channel):
        if self.other_secret and channel.opened_by_peer:
            channel.secret = secrets.token_bytes(32)
        super().start(channel)

    def to_peer(self, channel, message):
        self.carried.append((channel.number, message))
        super().to_peer(channel, message)

    def forget(self, channel, pass_on=False):
        self.denied += channel.granted
        super().forget(channel, pass_on)

    def granted(self):
        return [one for one in list(self.channels.values()) if one.granted]


class ThirdPartysCarrier(TwoGateways):
    def gateway(self, name, **config):
        path = str(self.directory / f"{name}.carrier")
        made = super().gateway(name, network={"carrier": "", "carrier_socket": path, "carrier_socket_user": "root"}, **config)
        made.carrier_socket = path
        return made

    def carry(self, gateway, kind=Carrier):
        wait_for("the attestation service listens", lambda: Path(gateway.carrier_socket).is_socket(), 10)
        listener = socket.create_server(("127.0.0.1", gateway.port))
        self.addCleanup(listener.close)
        made = kind(gateway.carrier_socket, listener)
        self.addCleanup(made.service.close)
        threading.Thread(target=self.run_carrier, args=(made,), daemon=True).start()
        return made

    @staticmethod
    def run_carrier(made):
        try:
            made.run()
        except (OSError, ValueError):
            pass  # it was closed

    def both(self, **more):
        self.agreed(more=SILENT)
        carriers = [self.carry(gateway, **more) for gateway in (self.a, self.b)]
        self.await_standing("granted")
        for one in carriers:
            wait_for("the carrier is told", lambda c=one: len(c.granted()) == 1, 10)
        return carriers

    def test_grant_renew_deny_and_close(self):
        self.assertEqual(self.a.workers(), [])
        signers = self.signers()
        ours, theirs = self.both()
        self.assertEqual(self.a.status()["carrier"]["third_parties"], 1)
        keys = self.a.peer("hamburg")["keys"]
        self.a.ask("attest", peer="hamburg", wait=10)
        wait_for("other keys", lambda: self.a.peer("hamburg")["keys"] != keys, 10)
        self.assertEqual(len(ours.granted()), 1)

        self.b.ask("deny", peer="berlin", why="a test")
        for one in (ours, theirs):
            wait_for("it revokes", lambda c=one: c.denied == 1, 10)
        self.await_event(self.a, text="a test", event="denied")
        # Until an operator there lets it.
        time.sleep(3)  # in which it would come back
        self.assertEqual(self.b.standing("berlin"), "closed")
        with contextlib.suppress(Refused):  # there is no channel to ask over
            self.b.ask("attest", peer="berlin", wait=10)
        self.await_standing("granted", 15)

        # The carrier's connection breaks: the channel ends, and comes again over another one.
        wait_for("granted anew", lambda: len(theirs.granted()) == 1, 10)
        channel = theirs.granted()[0]
        channel.stream.shutdown(socket.SHUT_RDWR)
        wait_for("another channel", lambda: theirs.granted() and theirs.granted()[0].number != channel.number, 15)
        self.await_standing("granted", 15)
        for signer in signers:
            self.assertTrue(signer.outbound)

    def test_a_carrier_that_goes_is_missed_and_another_one_taken(self):
        ours, _ = self.both()
        ours.service.shutdown(socket.SHUT_RDWR)
        ours.listener.close()
        self.await_standing("closed", 10)
        self.await_event(self.a, text="carrier")
        self.carry(self.a)
        self.await_standing("granted", 20)

    def test_a_middle_with_a_secret_for_each_side_gains_nothing(self):
        class Middle(Carrier):
            other_secret = True

        self.agreed(more=SILENT)
        carriers = [self.carry(gateway, Middle) for gateway in (self.a, self.b)]
        # The quote is over the channel: the first to judge one says so.
        told = self.await_event(self.b, event="denied")
        self.assertEqual(told["reason"], "quote_freshness", told)
        time.sleep(1)  # in which a grant that is late would come
        for gateway, other in ((self.a, "hamburg"), (self.b, "berlin")):
            self.assertEqual(gateway.standing(other), "closed")
        self.assertFalse([one for made in carriers for one in made.granted()])

    def test_what_was_carried_once_is_refused_the_next_time(self):
        ours, _ = self.both()
        first = [message for number, message in ours.carried if number == ours.carried[0][0]]
        granted = self.b.peer("berlin")["granted_runs"]
        for what in (first, first[:2], [first[0], *first[2:]], [first[0], first[1], first[1]]):
            with socket.create_connection(("127.0.0.1", self.b.port), timeout=5) as again:
                again.settimeout(2)
                with contextlib.suppress(TimeoutError, ConnectionError):  # it may be refused before all is sent
                    for message in what:
                        again.sendall(struct.pack(">I", len(message)) + message)
                    while again.recv(65536):
                        pass
        self.assertEqual([one for one in self.b.events(event="granted") if one["count"] > 1], [])
        # berlin itself is back, with a run for each time that it was interrupted.
        self.await_standing("granted", 20)
        self.assertLessEqual(self.b.peer("berlin")["granted_runs"], granted + self.a.peer("hamburg")["granted_runs"])


if __name__ == "__main__":
    run()
