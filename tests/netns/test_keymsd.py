#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two keymsds, each with a TPM of its own, over TLS: they attest, renew, and cut, without a kernel to watch."""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import wait_for  # noqa: E402
from two_gateways import SHORT, SILENCE, SILENT, TwoGateways, run, seconds  # noqa: E402

BACK_WITHIN = 5


class Attesting(TwoGateways):
    def test_two_gateways_attest_and_sign(self):
        signers = self.signers()
        self.agreed_and_granted()
        for signer in signers:
            wait_for("keys", lambda s=signer: len(s.inbound) == 1 and len(s.outbound) == 1, 10)
        (a_out,), (b_in,) = signers[0].outbound.values(), signers[1].inbound.values()
        for field in ("session", "pcr_digest", "key", "direction", "suite", "gate_secret"):
            self.assertEqual(a_out[field], b_in[field], field)

    def test_keys_are_renewed_ahead_and_overlap(self):
        signers = self.signers()
        self.agreed_and_granted(more=SHORT.replace(f"{SILENCE}s", "15s"))
        wait_for("three renewals, and the keys before them gone", lambda: all(len(one.removed) >= 4 for one in signers), 45)
        self.assertFalse([one for gateway in (self.a, self.b) for one in gateway.events(event="denied")])
        story = sorted(signers[0].story)
        signs, newest, takes, came = {}, {}, {"berlin": {}, "hamburg": {}}, {"berlin": [], "hamburg": []}
        for at, name, kind, table, key in story:
            if kind == "inbound_key":
                # Told again where only its end is another.
                if takes[name].setdefault(key, at) == at:
                    came[name].append(at)
            elif kind == "outbound_key":
                signs.setdefault(name, {}).setdefault(key, at)
                newest[name] = max(signs[name], key=signs[name].get)
            elif table == 1:
                next_came = min((one for one in came[name] if one > takes[name][key]), default=0)
                self.assertAlmostEqual(at - next_came, 5, delta=2, msg=f"{name}: the former key goes when the overlap is over: {story}")
                del takes[name][key]
            # What a gateway signs with, the other one takes, at every moment.
            for signer, verifier in (("berlin", "hamburg"), ("hamburg", "berlin")):
                if signer in newest:
                    self.assertIn(newest[signer], takes[verifier], story)


class Gone(TwoGateways):
    """Whatever has gone is missed, and comes back by itself."""

    def back(self, within=BACK_WITHIN):
        self.await_standing("granted", seconds(within))

    def await_closed(self, gateway, other, limit):
        wait_for(lambda: f"{gateway.name} misses {other.name}: {gateway.peer(other.name)}", lambda: gateway.standing(other.name) == "closed", seconds(limit))

    def test_a_gateway_that_hangs_is_cut_after_the_silence(self):
        self.agreed_and_granted(more=SILENT)
        for hangs, other in ((self.a, self.b), (self.b, self.a)):
            with self.subTest(hangs.name):
                os.kill(hangs.daemon.pid, signal.SIGSTOP)
                began = time.monotonic()
                try:
                    self.await_closed(other, hangs, SILENCE + 2)
                    self.assertGreater(time.monotonic() - began, SILENCE / 2)
                    time.sleep(4)  # what the other one does meanwhile has to end, too
                finally:
                    os.kill(hangs.daemon.pid, signal.SIGCONT)
                # Its calls while the other hung are still held up by what it waits for.
                self.back(15)
                self.assertEqual(other.events(event="denied", peer=hangs.name)[-1]["reason"], "silent")

    def test_a_daemon_that_is_stopped_says_so_and_comes_back(self):
        self.agreed_and_granted(more=SILENT)
        for gateway, other in ((self.a, self.b), (self.b, self.a)):
            with self.subTest(gateway.name):
                gateway.stop()
                self.await_closed(other, gateway, 1)
                self.assertIn("stopped", other.peer(gateway.name)["reasons"][0]["text"])
                gateway.start()
                self.back()

    def test_a_daemon_that_was_away_for_long_is_back_as_soon(self):
        self.agreed_and_granted(more=SILENT)
        self.b.kill()
        time.sleep(20)  # tries grow further apart in that time
        self.b.start()
        self.back()

    def test_killed_at_any_moment_they_come_back(self):
        self.agreed(more=SHORT)
        seed = random.SystemRandom().randrange(2**32)
        chance = random.Random(seed)
        for turn in range(8):
            gateway, other = chance.choice(((self.a, self.b), (self.b, self.a)))
            # Before, in, and after the start, the attestation and its keys.
            time.sleep(chance.uniform(0, 1.2))
            with self.subTest(turn=turn, seed=seed, gateway=gateway.name):
                gateway.kill()
                if turn % 3 == 2:
                    self.await_closed(other, gateway, SILENCE + 2)
                gateway.start()
                self.back()

    def test_a_network_worker_that_is_killed_is_started_anew(self):
        self.agreed_and_granted(more=SILENT)
        for gateway in (self.a, self.b):
            with self.subTest(gateway.name):
                before = gateway.workers()
                os.kill(before[0], signal.SIGKILL)
                wait_for("another worker", lambda g=gateway, w=before: g.workers() and g.workers() != w, 5)
                wait_for("both attest over another channel",
                         lambda: all(one.peer(other.name)["channel"] and one.standing(other.name) == "granted"
                                     for one, other in ((self.a, self.b), (self.b, self.a))), BACK_WITHIN)


if __name__ == "__main__":
    run()
