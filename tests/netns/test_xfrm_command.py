#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`countersign xfrm`, in a network namespace of its own."""

import json
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import require  # noqa: E402

PROGRAM = sys.argv.pop(1)
BYPASS = "policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 5"


class Watch(unittest.TestCase):
    def start(self, *arguments):
        process = subprocess.Popen(["unshare", "--net", PROGRAM, "xfrm", "watch", *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.process = process

    def inside(self, *argv):
        subprocess.run(["nsenter", "--net", f"--target={self.process.pid}", *argv], check=True, timeout=10)

    def line(self):
        return json.loads(self.process.stdout.readline())

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=10)
        self.assertEqual((self.process.returncode, err), (0, ""))
        return out

    def test_events_and_what_no_event_tells(self):
        self.start("--json", "--audit", "1")
        self.assertEqual(self.line()["event"], "began")
        begun = time.monotonic()
        self.inside("ip", "xfrm", *BYPASS.split())
        told = self.line()
        self.assertLess(time.monotonic() - begun, 1)
        self.assertEqual((told["schema_version"], told["event"], told["told"]), (1, "policy_new", True))
        self.assertEqual((told["policy"]["direction"], told["policy"]["templates"]), ("out", []))
        begun = time.monotonic()
        self.inside("sysctl", "-qw", "net.ipv4.conf.all.disable_policy=1")
        found = self.line()
        self.assertLess(time.monotonic() - begun, 2)
        self.assertEqual((found["event"], found["told"], found["interface"]["name"]), ("interface", False, "all"))
        self.assertTrue(found["interface"]["disable_policy"])
        ended = json.loads(self.end())
        self.assertEqual((ended["event"], ended["events"], ended["lost"], ended["repairs"]), ("ended", 1, 0, 1))

    def test_in_words(self):
        self.start()
        self.assertIn(" following 0 policies and 0 SAs\n", self.process.stdout.readline())
        self.inside("ip", "xfrm", *BYPASS.split())
        self.inside("ip", "xfrm", "policy", "flush")
        self.inside("ip", "xfrm", "policy", "setdefault", "out", "block")
        said = [self.process.stdout.readline().partition(" ")[2] for _ in range(3)]
        self.assertTrue(said[0].startswith("policy new: policy out 10.1.0.0/16 → 10.2.0.0/16; allow, priority 5, index "), said[0])
        self.assertTrue(said[0].endswith("; in clear\n"), said[0])
        self.assertEqual(said[1:], ["policies flushed:\n", "default policy: in allow, fwd allow, out block\n"])
        self.assertIn(" 3 events, lost some 0 times, 0 audits, 0 changes that were not told\n", self.end(signal.SIGINT))

    def test_without_privilege_it_says_what_it_needs(self):
        for verb in (["watch"], ["show"], ["show", "--json"]):
            with self.subTest(verb=verb):
                done = subprocess.run(["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", PROGRAM, "xfrm", *verb],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
                self.assertEqual(done.returncode, 3)
                self.assertIn("run as root, or with CAP_NET_ADMIN", done.stderr)
        self.assertFalse(json.loads(done.stdout)["complete"])

    def test_an_ike_daemon_that_does_not_answer(self):
        self.start("--json", "--vici", "/nonexistent/vici", "--grace", "1")
        self.assertEqual(self.line()["event"], "began")
        time.sleep(1.2)  # without SAs there is nothing to answer for
        self.assertEqual(json.loads(self.end())["event"], "ended")


if __name__ == "__main__":
    require.root("it makes network namespaces")
    require.programs("unshare", "nsenter", "setpriv", "ip", "sysctl")
    unittest.main(verbosity=2)
