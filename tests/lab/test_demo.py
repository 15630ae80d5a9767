#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/demo as a user runs it, with a build and a lab of its own: its verdicts, its report, and that nothing stays behind."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import labtest
from lablib import pcap
from lablib.paths import REPO, RUN_ROOT
from remains import mounts, remains

NAME = f"demo{os.getpid() % 100000}"
TRIED = ["signed", "flipped-bit", "replay", "unattested", "drift", "expired", "killed-signer"]
# Whatever a page can fetch from elsewhere, and what could fetch it.
FOREIGN = re.compile(r"""https?:|//[a-z]|\bsrc\s*=|\bhref\s*=\s*["'](?!#)|url\(|@import|<(?:link|script|iframe|img|object)\b""", re.IGNORECASE)


class Demo(unittest.TestCase):
    def setUp(self):
        self.mounts = mounts()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.out = Path(scratch.name) / "report"
        self.addCleanup(subprocess.run, [str(REPO / "scripts/lab"), "--name", NAME, "down"], stdout=subprocess.DEVNULL, check=False)

    def start(self):
        environment = {name: value for name, value in os.environ.items() if name != "CS_BUILD"} | {"CS_LAB": NAME}
        return subprocess.Popen([str(REPO / "scripts/demo"), "--out", str(self.out)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True, env=environment)

    def test_all_is_as_it_should_be(self):
        process = self.start()
        said, _ = process.communicate(timeout=1500)
        print(said)
        self.assertEqual(process.returncode, 0)
        told = json.loads((self.out / "verdicts.json").read_text())
        self.assertEqual([verdict["name"] for verdict in told["verdicts"]], TRIED)
        for verdict in told["verdicts"]:
            self.assertTrue(verdict["passed"] and verdict["checks"] and all(check["holds"] for check in verdict["checks"]), verdict)
            self.assertIn(f"PASS  {verdict['title']}\n", said)
        self.assertTrue(told["passed"])
        page = (self.out / "report.html").read_text()
        self.assertIsNone(FOREIGN.search(page))
        for verdict in told["verdicts"]:
            self.assertIn(f'id="{verdict["name"]}"', page)
        for side in ("wana", "wanb"):
            seen = pcap.packets((self.out / f"{side}.pcap").read_bytes())
            self.assertGreater(sum(packet.proto == pcap.ESP for packet in seen), 100)
        self.assertEqual(remains(NAME, self.mounts, process.pid), {})

    def test_interrupted_it_leaves_nothing(self):
        process = self.start()
        deadline = time.monotonic() + 30
        while not (RUN_ROOT / NAME).exists():
            self.assertLess(time.monotonic(), deadline, "it does not begin")
            time.sleep(0.1)
        time.sleep(3)  # somewhere in the boot
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("interrupted", said)
        self.assertEqual(remains(NAME, self.mounts, process.pid), {})


if __name__ == "__main__":
    labtest.main()
