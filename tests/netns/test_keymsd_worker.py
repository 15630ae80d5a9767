#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""keymsds whose own network workers are an attacker's: these have all that a worker can have, and lie, break rules, flood or do nothing."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

STANDIN = Path(__file__).resolve().parents[1] / "standin"
sys.path.insert(0, str(STANDIN))
import worker  # noqa: E402
from gateway import Refused, agree, apply, proc, wait_for  # noqa: E402
from two_gateways import PROGRAMS, SHORT, TwoGateways, run, seconds  # noqa: E402

# keymsd starts it with a socket and no environment, so it has to say itself where everything is.
PROGRAM = """\
#!{python} -IB
import sys
sys.path.insert(0, {standin!r})
import worker
worker.main({mode!r}, {directory!r})
"""
# Of a session's messages (docs/PROTOCOL.md, "Form").
HELLO_I, HELLO_R, FINAL, READY = 1, 2, 7, 16


class WithWorkers(TwoGateways):
    modes = {"berlin": "faithful", "hamburg": "faithful"}

    def gateway(self, name, **config):
        (self.directory / f"{name}.worker").mkdir()
        program = self.directory / f"{name}.carrier"
        self.be(name, self.modes.get(name))
        return super().gateway(name, network={"carrier": str(program)}, **config)

    def tearDown(self):
        # What a worker does here it means to do.
        for gateway in (self.a, self.b):
            self.assertNotIn("Traceback", gateway.told())

    def be(self, name, mode):
        """What the next worker is: keymsd's own, without a mode."""
        program, made = self.directory / f"{name}.carrier", self.directory / f"{name}.new"
        if mode:
            made.write_text(PROGRAM.format(python=sys.executable, standin=str(STANDIN), mode=mode, directory=str(self.directory / f"{name}.worker")),
                            encoding="utf-8")
            made.chmod(0o755)
        else:
            made.symlink_to(PROGRAMS["keymsd-carrier"])
        made.replace(program)

    def order(self, gateway, *words):
        made = self.directory / f"{gateway.name}.new"
        made.write_text(" ".join(map(str, words)), encoding="utf-8")
        made.replace(self.directory / f"{gateway.name}.worker" / "orders")

    def did(self, gateway, *words):
        """The lines of its worker that begin with these words."""
        log = self.directory / f"{gateway.name}.worker" / "log"
        lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        return [line for line in lines if line[1:1 + len(words)] == [str(word) for word in words]]

    def await_done(self, gateway, *words, more_than=0, limit=15):
        return wait_for(lambda: f"{gateway.name}'s worker has {words}: {gateway.told()[-3000:]}",
                        lambda: len(self.did(gateway, *words)) > more_than and self.did(gateway, *words), limit)[-1]

    def attest(self):
        """Now, and not when its turn has come."""
        with contextlib.suppress(Refused):
            self.a.ask("attest", peer="hamburg", wait=1)

    def runs(self):
        return [gateway.peer(other)["granted_runs"] for gateway, other in ((self.a, "hamburg"), (self.b, "berlin"))]

    def standings(self):
        return [self.a.standing("hamburg"), self.b.standing("berlin")]

    def await_no_channels(self):
        for gateway in (self.a, self.b):
            wait_for(f"{gateway.name}'s channels have ended", lambda g=gateway: len(self.did(g, "opened")) == len(self.did(g, "ended")), 15)

    def deny(self):
        """What was granted, and its channel."""
        self.a.ask("deny", peer="hamburg", why="a test")
        self.await_standing("closed", 10)
        self.await_no_channels()

    def attacked(self, gateway, *orders, shown):
        """One session by these orders, of which the worker has to tell that it did what is `shown`. The runs that were granted in it."""
        before, runs = len(self.did(gateway, *shown)), self.runs()
        self.order(gateway, *orders)
        until = time.monotonic() + 15
        while len(self.did(gateway, *shown)) == before:
            self.assertLess(time.monotonic(), until, f"{gateway.name}: {orders}: {gateway.told()[:1500]}")
            self.attest()
            time.sleep(0.05)  # where it is refused at once
        self.await_no_channels()
        return [now - then for now, then in zip(self.runs(), runs)]

    def responds(self, gateway):
        """At once, whatever its worker does."""
        began = time.monotonic()
        gateway.status()
        self.assertLess(time.monotonic() - began, seconds(1))


class FaithfulWorkers(WithWorkers):
    def test_a_worker_carries_no_key_and_no_secret(self):
        signers = self.signers()
        self.agreed_and_granted(more=SHORT)
        for signer in signers:
            wait_for("it has both keys", lambda s=signer: s.inbound and s.outbound, 10)
        self.a.ask("attest", peer="hamburg", wait=10)
        hidden = [message[name] for signer in signers for message in [*signer.inbound.values(), *signer.outbound.values()]
                  for name in ("private_key", "gate_secret") if name in message]
        self.assertGreaterEqual(len(hidden), 6)
        for gateway in (self.a, self.b):
            carried = (self.directory / f"{gateway.name}.worker" / "carried").read_bytes()
            # They are those of sessions that went through these workers: the public keys are there.
            for signer in signers:
                self.assertTrue([one for one in signer.inbound.values() if one["public_key"] in carried])
            for secret in hidden:
                self.assertGreaterEqual(len(secret), 16)
                self.assertNotIn(secret, carried)


    def test_what_is_said_last_is_carried_before_it_ends(self):
        self.agreed_and_granted(more=SHORT)
        [pid] = self.a.workers()
        os.kill(pid, signal.SIGSTOP)
        self.a.daemon.terminate()
        time.sleep(0.3)  # others want the processor, too
        os.kill(pid, signal.SIGCONT)
        self.a.stop()
        self.await_event(self.b, 2, peer="berlin", event="denied", reason="stopping")


class LyingWorkers(WithWorkers):
    modes = {"berlin": "liar", "hamburg": "liar", "kiel": "faithful"}

    def agreed_and_denied(self):
        """With a session behind them, and none now."""
        self.agreed_and_granted(more=SHORT)
        self.deny()

    def granted_in_the_end(self):
        """Nothing but the lies has kept them from it."""
        for gateway in (self.a, self.b):
            self.order(gateway)
        runs = self.runs()
        self.attest()
        self.await_standing("granted", 20)
        self.assertTrue(all(now > then for now, then in zip(self.runs(), runs)))

    def change_each(self, way, last):
        """Up to and without the message of type `last`, whose number it tells."""
        number = 0
        while True:
            number += 1
            granted = self.attacked(self.a, "change", way, number, shown=("changed", way, number))
            kind = int(self.did(self.a, "changed", way, number)[0][4])
            if kind == last:
                return granted
            with self.subTest(way=way, number=number, kind=kind):
                self.assertEqual((granted, self.standings()), ([0, 0], ["closed", "closed"]))

    def test_a_changed_byte_in_any_message_of_the_initiator_grants_nothing(self):
        berlin, hamburg = self.signers()
        self.agreed_and_denied()
        # Both have granted when ready is changed. What waits for it is hamburg's signing.
        self.assertEqual(self.change_each("out", READY), [1, 1])
        self.assertTrue(berlin.outbound)
        self.assertFalse(hamburg.outbound)
        self.granted_in_the_end()
        wait_for("it signs", lambda: hamburg.outbound, 10)

    def test_a_changed_byte_in_any_message_of_the_responder_grants_nothing(self):
        berlin, hamburg = self.signers()
        self.agreed_and_denied()
        # Who sends final has granted, and signs nothing until there is an answer.
        self.assertEqual(self.change_each("in", FINAL), [0, 1])
        self.assertEqual(self.a.standing("hamburg"), "closed")
        self.assertFalse(berlin.outbound or berlin.inbound or hamburg.outbound)
        self.granted_in_the_end()

    def test_a_channel_secret_that_the_peer_has_not_grants_nothing(self):
        self.agreed_and_denied()
        for gateway in (self.a, self.b):
            self.assertEqual(self.attacked(gateway, "secret", shown=("lied", "secret")), [0, 0])
            self.order(gateway)
            self.await_event(self.b, event="denied", reason="quote_freshness")
        self.granted_in_the_end()

    def test_what_an_earlier_session_has_said_grants_nothing(self):
        self.agreed_and_denied()
        # A hello has nothing that keeps it from being taken; what follows is under keys of a share that is new.
        for gateway, peer, hello, refused in ((self.a, "hamburg", HELLO_R, "get"), (self.b, "berlin", HELLO_I, "evidence")):
            self.assertEqual(self.attacked(gateway, "replay", shown=("lied", "replay")), [0, 0])
            self.order(gateway)
            replayed = [int(line[2]) for line in self.did(gateway, "replayed")]
            self.assertEqual(replayed[0], hello)
            self.assertGreater(len(replayed), 1)
            self.await_event(gateway, peer=peer, reason="protocol_violation", text=f"{refused} is not authenticated")
        self.granted_in_the_end()

    def test_what_it_has_said_itself_grants_nothing(self):
        self.agreed_and_denied()
        for gateway, peer, numbers in ((self.a, "hamburg", (1, 2, 7)), (self.b, "berlin", (1, 2, 4))):
            for number in numbers:
                with self.subTest(gateway=gateway.name, number=number):
                    before = len(self.refused(gateway, peer))
                    self.assertEqual(self.attacked(gateway, "reflect", number, shown=("reflected",)), [0, 0])
                    wait_for("it is refused here", lambda g=gateway, p=peer, n=before: len(self.refused(g, p)) > n, 5)
            self.order(gateway)
        self.granted_in_the_end()

    @staticmethod
    def refused(gateway, peer):
        """As a thing that has no place there; not what the peer says of it."""
        return [one for one in gateway.events(peer=peer, reason="protocol_violation") if "as it says" not in one["text"]]

    def test_another_name_or_certificate_grants_nothing(self):
        # berlin's worker has another gateway's name to give that berlin would take.
        kiel = self.gateway("kiel")
        agreement = agree(self.a, kiel, more=SHORT)
        for gateway in (self.a, kiel):
            apply(gateway, agreement)
        wait_for("kiel is granted", lambda: self.a.standing("kiel") == kiel.standing("berlin") == "granted", 15)
        kiel.stop()
        self.agreed_and_denied()
        for gateway, lie in ((self.a, ("name", "kiel")), (self.a, ("certificate", "ours")), (self.a, ("certificate", "peers")),
                             (self.b, ("name", "kiel")), (self.b, ("certificate", "ours")), (self.b, ("certificate", "peers"))):
            with self.subTest(gateway=gateway.name, lie=lie):
                self.assertEqual((self.attacked(gateway, *lie, shown=("lied", *lie)), self.a.peer("kiel")["standing"]), ([0, 0], "closed"))
            self.order(gateway)
        self.await_event(self.a, peer="hamburg", reason="other_endpoint")
        self.await_event(self.a, peer="hamburg", reason="not_ready")
        self.granted_in_the_end()


class RuleBreakers(WithWorkers):
    modes = {"berlin": "breaker", "hamburg": "breaker"}

    def test_each_breach_ends_it_in_words_and_the_next_comes_later(self):
        names = list(worker.BREACHES)
        halves = {self.a: names[::2], self.b: names[1::2]}
        for gateway, half in halves.items():
            self.order(gateway, *half)
        before = {gateway: proc(gateway.daemon.pid, "VmRSS") for gateway in halves}
        self.agreed(more=SHORT)
        until = time.monotonic() + 60
        while not all(len(self.did(gateway, "began")) > len(half) for gateway, half in halves.items()):
            self.assertLess(time.monotonic(), until, halves)
            for gateway, half in halves.items():
                self.responds(gateway)
                if len(self.did(gateway, "began")) <= len(half):
                    self.assertEqual(gateway.peer("hamburg" if gateway is self.a else "berlin")["granted_runs"], 0)
            time.sleep(0.1)  # the processors are the workers', too
        for gateway, half in halves.items():
            self.assertEqual([line[2] for line in self.did(gateway, "broke")], half)
            for name in half:
                with self.subTest(breach=name):
                    self.await_event(gateway, event="trouble", text=worker.BREACHES[name][1])
            began = [float(line[0]) for line in self.did(gateway, "began")]
            for times, (one, following) in enumerate(zip(began, began[1:])):
                self.assertGreater(following - one, 0.1 * 2 ** times)
        # Who comes behind them breaks none.
        self.attest()
        self.await_standing("granted", 30)
        for gateway, then in before.items():
            self.assertLess(proc(gateway.daemon.pid, "VmRSS") - then, 8 * 1024)


class FloodingWorkers(WithWorkers):
    """What they send breaks no rule; there is only no end of it."""

    modes = {"berlin": "flooder", "hamburg": "flooder"}
    TIMES, MOST = 6000, 4 * 1024

    def flood(self, kind, *gateways, times=TIMES):
        """In KiB, how much more memory each holds."""
        before = [proc(gateway.daemon.pid, "VmRSS") for gateway in gateways]
        done = [len(self.did(gateway, "flooded", kind, times)) for gateway in gateways]
        for gateway in gateways:
            self.order(gateway, kind, times)
        until = time.monotonic() + 60
        while not all(len(self.did(gateway, "flooded", kind, times)) > one for gateway, one in zip(gateways, done)):
            self.assertLess(time.monotonic(), until, kind)
            for gateway in gateways:
                self.responds(gateway)
            time.sleep(0.05)  # the processors are the workers', too
        return [proc(gateway.daemon.pid, "VmRSS") - one for gateway, one in zip(gateways, before)]

    def costs_little(self, kind, *gateways):
        # What is kept for the first ones is there from then on: the latest events, what the allocator does not give back.
        self.flood(kind, *gateways, times=200)
        with self.subTest(kind=kind):
            self.assertLess(max(self.flood(kind, *gateways)), self.MOST)

    def begin(self):
        self.agreed_and_granted(more=SHORT)
        self.processes = [gateway.workers() for gateway in (self.a, self.b)]

    def carried_yet(self):
        """By the processes that have flooded."""
        runs = self.runs()
        self.attest()
        wait_for(lambda: f"a run each, after {runs}: {self.runs()} {self.a.events()[-5:]}",
                 lambda: all(now > then for now, then in zip(self.runs(), runs)), 15)
        self.await_standing("granted")
        self.assertEqual(self.processes, [gateway.workers() for gateway in (self.a, self.b)])

    def test_channels_that_come_and_go_leave_no_memory(self):
        self.begin()
        for kind in ("channels", "garbage", "reasons"):
            self.costs_little(kind, self.a, self.b)
        # Each makes a run begin; of berlin's, the next would have to wait for a minute.
        self.costs_little("calls", self.b)
        self.carried_yet()

    def test_channels_that_are_refused_leave_their_places(self):
        self.begin()
        for kind in ("strangers", "nameless"):
            self.costs_little(kind, self.a, self.b)
        # Over another channel than the one that was there before.
        self.a.ask("deny", peer="hamburg", why="a test")
        self.await_standing("closed", 10)
        self.carried_yet()

    def test_words_and_numbers_leave_no_memory(self):
        self.begin()
        for kind in ("unreachable", "stats"):
            self.costs_little(kind, self.a, self.b)
        self.carried_yet()


class WorkersThatDoNothing(WithWorkers):
    modes = {}

    def replaced(self, *gateways):
        """By keymsd's own."""
        for gateway in gateways:
            self.be(gateway.name, None)
            for pid in gateway.workers():
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
        self.await_standing("granted", 20)

    def nothing_for(self, duration, *gateways):
        until = time.monotonic() + duration
        while time.monotonic() < until:
            for gateway in gateways:
                self.responds(gateway)
            self.assertEqual(self.runs(), [0, 0])
            time.sleep(0.1)  # the processors are the workers', too


class WorkersThatDoNotBegin(WorkersThatDoNothing):
    modes = {"berlin": "ender", "hamburg": "hanger"}

    def test_one_that_ends_and_one_that_hangs_are_told_and_replaced(self):
        self.agreed(more=SHORT)
        self.nothing_for(6, self.a, self.b)
        self.assertGreater(len(self.did(self.a, "ends")), 3)
        self.assertTrue(self.did(self.b, "hangs"))
        self.await_event(self.a, event="trouble", text="it ended with exit code 0")
        self.await_event(self.b, event="trouble", text="no hello from the carrier within 5 seconds")
        self.replaced(self.a, self.b)


class DeafWorkers(WorkersThatDoNothing):
    modes = {"berlin": "deaf"}

    def test_one_that_reads_nothing_is_told_and_replaced(self):
        self.agreed(more=SHORT)
        self.await_done(self.a, "deaf")
        self.nothing_for(2, self.a)
        with self.subTest("it is told"):
            wait_for(lambda: f"a word of it: {self.a.events()}", lambda: self.a.events(event="trouble") or self.a.events(event="attempt"), 40)
        self.replaced(self.a)


class StoppedWorkers(WorkersThatDoNothing):
    def test_one_that_stops_in_the_middle_is_told_and_replaced(self):
        self.agreed_and_granted(more=SHORT)
        [pid] = self.a.workers()
        os.kill(pid, signal.SIGSTOP)
        self.await_standing("closed", 15)
        for gateway, peer in ((self.a, "hamburg"), (self.b, "berlin")):
            self.await_event(gateway, peer=peer, event="denied", reason="silent")
            self.responds(gateway)
        self.replaced(self.a)


if __name__ == "__main__":
    run()
