#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crash, reboot, ctrl-C, kill: what is said, and that nothing stays behind. Uses labs of its own."""

import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import labtest
from lablib.paths import REPO, RUN_ROOT
from remains import mounts, remains

NAME = f"life{os.getpid() % 100000}"


def lab(*argv, limit=150):
    return subprocess.run([str(REPO / "scripts/lab"), "--name", NAME, *argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit, check=False)


def naming(text):
    """Command lines of all processes that name `text`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found


class Lifecycle(unittest.TestCase):
    def setUp(self):
        self.mounts = mounts()
        self.addCleanup(lab, "down")

    def assert_nothing_left(self):
        self.assertEqual(remains(NAME, self.mounts, os.getpid()), {})

    def test_crash_and_lost_tpm_are_told_and_reboot_brings_both_back(self):
        up = lab("up", "--topology", "guests", "--guests", "1")
        self.assertEqual(up.returncode, 0, up.stderr)
        self.assertEqual(lab("run", "g1", "--", "sh", "-c", "echo kept > /root/kept; sync").returncode, 0)
        ek = lab("run", "g1", "--", "tpm2_readpublic", "-c", "0x81010001").stdout
        self.assertIn("name:", ek)

        started = time.monotonic()
        crashed = lab("run", "g1", "--", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; sleep 60")
        self.assertLess(time.monotonic() - started, 30, "a crash is noticed, not waited out")
        self.assertEqual(crashed.returncode, 125)
        for words in ("g1 crashed", "its kernel panicked: sysrq triggered crash", "end of its console", "reboot g1"):
            self.assertIn(words, crashed.stderr)
        self.assertEqual(lab("status").returncode, 1)
        self.assertIn("crashed", lab("status").stdout)
        self.assertEqual(lab("run", "g1", "--", "true").returncode, 125)

        back = lab("reboot", "g1")
        self.assertEqual(back.returncode, 0, back.stderr)
        self.assertEqual(lab("run", "g1", "--", "cat", "/root/kept").stdout, "kept\n")
        self.assertEqual(lab("run", "g1", "--", "tpm2_readpublic", "-c", "0x81010001").stdout, ek)

        self.assertEqual(subprocess.call(["pkill", "-f", f"swtpm.*{RUN_ROOT / NAME}/g1/tpm"]), 0)
        lost = lab("run", "g1", "--", "tpm2_getrandom", "4")
        self.assertNotEqual(lost.returncode, 0)
        self.assertIn("g1 has lost its TPM", lost.stderr)
        self.assertIn("reboot g1", lost.stderr)
        status = lab("status")
        self.assertEqual((status.returncode, "no TPM" in status.stdout), (1, True), status.stdout)

        self.assertEqual(lab("down").returncode, 0)
        self.assert_nothing_left()

    def interrupted_up(self, sig, seconds):
        process = subprocess.Popen([str(REPO / "scripts/lab"), "--name", NAME, "up", "--topology", "guests"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        time.sleep(seconds)
        self.assertTrue((RUN_ROOT / NAME).exists(), "interrupted before it began: proves nothing")
        os.killpg(process.pid, sig)
        process.communicate(timeout=60)
        return process.returncode

    def test_interrupted_up_leaves_nothing(self):
        for sig, seconds in ((signal.SIGINT, 1), (signal.SIGINT, 5), (signal.SIGTERM, 5)):
            with self.subTest(signal=sig.name, seconds=seconds):
                self.assertNotEqual(self.interrupted_up(sig, seconds), 0)
                self.assert_nothing_left()

    def test_killed_up_is_cleared_by_down(self):
        self.interrupted_up(signal.SIGKILL, 5)
        self.assertEqual(lab("down").returncode, 0)
        self.assert_nothing_left()

    def test_interrupted_image_build_leaves_nothing(self):
        """mmdebstrap mounts /proc and /dev below the root it makes: removing that too early would reach into them."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(signal=sig.name), tempfile.TemporaryDirectory() as cache:
                process = subprocess.Popen([str(REPO / "scripts/lab"), "--name", NAME, "image"], stdin=subprocess.DEVNULL, start_new_session=True,
                                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"CS_CACHE": cache})
                # From when dpkg is there, mmdebstrap is at work inside the root: it has mounts.
                self.await_true(lambda c=cache: any(Path(c).glob("build-*/root/usr/bin/dpkg")), 30, "mmdebstrap did not begin")
                os.killpg(process.pid, sig)
                process.communicate(timeout=30)
                self.await_true(lambda c=cache: not naming(c), 5, "processes are left")
                self.assertEqual(mounts() - self.mounts, set(), "mounts")
                self.assertEqual([p.name for p in Path(cache).glob("guest-*")], [], "a half-built image")

    def await_true(self, condition, limit, complaint):
        deadline = time.monotonic() + limit
        while not condition():
            self.assertLess(time.monotonic(), deadline, complaint)
            time.sleep(0.1)

    def test_down_without_up_is_no_error(self):
        done = lab("down")
        self.assertEqual((done.returncode, done.stdout), (0, f"lab: '{NAME}' was not up\n"))

    def test_a_guest_without_its_tpm_does_not_come_up(self):
        """swtpm_setup that fails is told by name, and nothing stays."""
        broken = Path("/run") / f"{NAME}-bin"
        broken.mkdir()
        self.addCleanup(subprocess.call, ["rm", "-rf", str(broken)])
        (broken / "swtpm_setup").write_text("#!/bin/sh\necho no TPM today\nexit 1\n")
        (broken / "swtpm_setup").chmod(0o755)
        done = subprocess.run([str(REPO / "scripts/lab"), "--name", NAME, "up", "--topology", "guests"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                              env=os.environ | {"PATH": f"{broken}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, 125)
        self.assertIn("swtpm_setup", done.stderr)
        self.assertIn("no TPM today", done.stderr)
        self.assert_nothing_left()


if __name__ == "__main__":
    labtest.main()
