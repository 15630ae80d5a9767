#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Core policies of two running keymsds: the next version, one that falls back, one that goes, and those that are refused."""

import base64
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import Refused, agree, apply, propose, wait_for  # noqa: E402
from two_gateways import SILENT, TwoGateways, run  # noqa: E402


class Policies(TwoGateways):
    def setUp(self):
        super().setUp()
        self.first = self.agreed(more=SILENT)

    def next_after(self, version, before=None, more=SILENT):
        """An agreement of that version."""
        before = before or self.a.peer("hamburg")["policy"]["value"]
        return agree(self.a, self.b, version=version, predecessor=before, more=more)

    def versions(self):
        return [one.peer(other.name)["policy"]["version"] for one, other in ((self.a, self.b), (self.b, self.a))]

    def test_the_next_version_is_applied_by_one_and_then_by_both(self):
        self.await_standing("granted")
        second = self.next_after(2)
        told = apply(self.a, second)
        self.assertEqual((told["peer"], told["version"]), ("hamburg", 2))
        self.assertIn("hamburg refuses to attest until version 2 is applied there, too", told["changes"])
        self.await_standing("closed", 10)
        # Both say that it is the policy.
        for one, other in ((self.a, self.b), (self.b, self.a)):
            wait_for(lambda o=one: f"{o.name}: {o.events()}",
                     lambda o=one, p=other: [e for e in o.events(peer=p.name) if "policy" in e["text"] and e["event"] != "policy"], 15)
        apply(self.b, second)
        self.await_standing("granted", 10)
        self.assertEqual(self.versions(), [2, 2])

    def test_what_nobody_confirms_falls_back(self):
        second = self.next_after(2, more="")
        third = self.next_after(3, before=self.a.peer("hamburg")["policy"]["value"])
        told = apply(self.a, second, confirm_within=3, fallback=base64.b64encode(third.read_bytes()).decode())
        self.assertTrue(told["confirm_by"])
        self.assertEqual(self.a.peer("hamburg")["pending"]["version"], 2)
        wait_for("the fallback", lambda: self.a.peer("hamburg")["policy"]["version"] == 3, 10)
        self.assertIsNone(self.a.peer("hamburg")["pending"])
        self.await_event(self.a, event="policy", reason="not_confirmed")
        apply(self.b, third)
        self.await_standing("granted")

    def test_it_falls_back_although_keymsd_was_killed_meanwhile(self):
        second, third = self.next_after(2), self.next_after(3)
        apply(self.a, second, confirm_within=4, fallback=base64.b64encode(third.read_bytes()).decode())
        self.a.kill()
        self.a.start()
        wait_for("it is open", lambda: self.a.peer("hamburg"))
        self.assertEqual(self.a.peer("hamburg")["pending"]["version"], 2)
        wait_for("the fallback", lambda: self.a.peer("hamburg")["policy"]["version"] == 3, 10)
        # Its time has come while keymsd was away.
        fourth, fifth = self.next_after(4), self.next_after(5)
        apply(self.a, fourth, confirm_within=1, fallback=base64.b64encode(fifth.read_bytes()).decode())
        self.a.kill()
        time.sleep(1.5)  # longer than it had to be confirmed
        self.a.start()
        wait_for("the fallback", lambda: (self.a.peer("hamburg") or {"policy": {"version": 0}})["policy"]["version"] == 5, 10)

    def test_what_is_confirmed_stays(self):
        second, third = self.next_after(2), self.next_after(3)
        for gateway, other in ((self.a, "hamburg"), (self.b, "berlin")):
            apply(gateway, second, confirm_within=3, fallback=base64.b64encode(third.read_bytes()).decode())
            gateway.ask("confirm", peer=other)
        time.sleep(4)  # longer than it had to be confirmed
        self.assertEqual(self.versions(), [2, 2])
        self.await_standing("granted")
        with self.assertRaisesRegex(Refused, "nothing is to be confirmed"):
            self.a.ask("confirm", peer="hamburg")

    def test_rollback_and_what_it_needs(self):
        second, third = self.next_after(2), self.next_after(3)
        with self.assertRaisesRegex(Refused, "no fallback is kept"):
            self.a.ask("rollback", peer="hamburg")
        # A fallback that is not above what it follows could never be run.
        with self.assertRaisesRegex(Refused, "higher version"):
            apply(self.a, third, confirm_within=60, fallback=base64.b64encode(second.read_bytes()).decode())
        self.assertEqual(self.a.peer("hamburg")["policy"]["version"], 1)
        for gateway, other in ((self.a, "hamburg"), (self.b, "berlin")):
            apply(gateway, second, confirm_within=600, fallback=base64.b64encode(third.read_bytes()).decode())
            self.assertEqual(gateway.ask("rollback", peer=other)["version"], 3)
        self.await_standing("granted")
        self.assertEqual(self.versions(), [3, 3])

    def test_an_old_agreement_is_refused_and_so_is_half_a_one(self):
        second = self.next_after(2)
        for gateway in (self.a, self.b):
            apply(gateway, second)
        self.await_standing("granted")
        for old in (self.first,):
            with self.assertRaisesRegex(Refused, "version 2 has been run already"):
                apply(self.a, old)
        self.a.stop()
        self.a.start()
        wait_for("it is open", lambda: self.a.peer("hamburg"))
        with self.assertRaisesRegex(Refused, "version 2 has been run already"):
            apply(self.a, self.first)
        half = propose(self.a, self.b, version=3, predecessor=self.a.peer("hamburg")["policy"]["value"])[0]
        for gateway in (self.a, self.b):
            with self.assertRaisesRegex(Refused, "hamburg"):
                apply(gateway, half)
        whole = bytearray(self.next_after(3).read_bytes())
        whole[-10] ^= 1
        spoilt = self.directory / "spoilt"
        spoilt.write_bytes(whole)
        with self.assertRaises(Refused):
            apply(self.a, spoilt)
        self.assertEqual(self.versions(), [2, 2])
        self.await_standing("granted")

    def test_a_retired_policy_cuts_and_stays_retired(self):
        self.await_standing("granted")
        self.a.ask("retire", peer="hamburg")
        self.assertIsNone(self.a.peer("hamburg"))
        wait_for("hamburg is told", lambda: self.b.standing("berlin") == "closed", 10)
        self.a.kill()
        self.a.start()
        wait_for("it is open", lambda: self.a.status()["state"] == "no_policy")
        with self.assertRaisesRegex(Refused, "has been run already"):
            apply(self.a, self.first)
        second = self.next_after(2, before=self.b.peer("berlin")["policy"]["value"])
        for gateway in (self.a, self.b):
            apply(gateway, second)
        self.await_standing("granted")


if __name__ == "__main__":
    run()
