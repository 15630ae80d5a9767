#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The middle does what a hostile network does, and the kernel's own IPsec answers as it must."""

import time

import labtest
from labtest import HOST_B, WAN
from lablib import middle
from lablib.middle import Hostile

PINGS = 6


class HostileMiddle(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.clear_ipsec)
        for version in (4, 6):
            labtest.esp_tunnel(cls.lab, version)

    def xfrm_counter(self, name):
        lines = self.gwb.run(["cat", "/proc/net/xfrm_stat"]).out.splitlines()
        return int(dict(line.split() for line in lines)[name])

    def under(self, action, version, **options):
        """Pings A to B while the middle does `action` to ESP toward B; returns (answered, statistics)."""
        engine = Hostile(self.lab)
        engine.start(action, **options)
        try:
            # At once, so that one can overtake another.
            answered = self.ping(self.hosta, HOST_B[version], "-l", str(PINGS), "-i", "0.2", count=PINGS, wait=1)
            if action == "replay":
                time.sleep(0.5)  # they come 200 ms late
        finally:
            done = engine.stop()
        return answered, done

    def each_version(self):
        for version in (4, 6):
            with self.subTest(version=version):
                yield version

    def test_pass_changes_nothing(self):
        for version in self.each_version():
            answered, done = self.under("pass", version)
            self.assertEqual((answered, done["malformed"]), (PINGS, 0))
            self.assertGreaterEqual(done["seen"], PINGS)

    def test_drop(self):
        for version in self.each_version():
            answered, done = self.under("drop", version, every=3)
            self.assertEqual((answered, done["acted"]), (PINGS - 2, 2))

    def test_corrupt_is_refused_by_the_kernel(self):
        for version in self.each_version():
            before = self.xfrm_counter("XfrmInStateProtoError")
            answered, done = self.under("corrupt", version, every=2)
            self.assertEqual((answered, done["acted"]), (PINGS - 3, 3))
            self.assertEqual(self.xfrm_counter("XfrmInStateProtoError") - before, 3)

    def test_duplicate_and_replay_are_refused_by_the_kernel(self):
        for action in ("duplicate", "replay"):
            for version in self.each_version():
                before = self.xfrm_counter("XfrmInStateSeqError")
                answered, done = self.under(action, version)
                self.assertEqual((answered, done["reinjected"]), (PINGS, PINGS))
                self.assertEqual(self.xfrm_counter("XfrmInStateSeqError") - before, PINGS)

    def test_reorder_is_tolerated_within_the_replay_window(self):
        for version in self.each_version():
            answered, done = self.under("reorder", version, every=2)
            self.assertEqual(answered, PINGS)
            self.assertEqual(done["acted"], PINGS // 2)

    def test_nat_hides_the_sender(self):
        middle.nat(self.lab, True)
        self.addCleanup(middle.nat, self.lab, False)
        with self.wire("wanb") as seen:
            self.ping(self.gwa, WAN[4]["b"])
        sources = {p.data[12:16] for p in seen if p.version == 4}
        self.assertNotIn(bytes([192, 0, 2, 1]), sources)
        self.assertIn(bytes([198, 51, 100, 254]), sources)


if __name__ == "__main__":
    labtest.main()
