#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels put into a kernel that has ESP: netns/esp_test.cpp, which makes its own two gateways in one guest."""

import os
from pathlib import Path

import labtest
from lablib.paths import REPO


class XfrmInstall(labtest.LabTest):
    def test_tunnels_of_every_kind(self):
        build = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
        labtest.push_programs(self.gwa, [build / "tests/netns/esp_test"], "/tmp/esp")
        done = self.gwa.run(["/tmp/esp/esp_test", "--gtest_brief=1"], limit=240, check=False)
        self.assertEqual(done.code, 0, done.out + done.err)


if __name__ == "__main__":
    labtest.main()
