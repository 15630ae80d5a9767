#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign init and recover: on a TPM of the test's own, with what may happen to TPM, registers and store; with keymsd, as a script."""

import argparse
import base64
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import cbor2

import command_tree
from command_tree import run
from fake_keymsd import FakeKeymsd


class Gateway(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = Path(scratch.name)
        self.state, self.control, self.tpm = self.dir / "lib" / "state", self.dir / "control", None
        self.config = self.dir / "keymsd.toml"
        self.config.write_text(f'[tpm]\ntcti = "swtpm:path={self.dir}/tpm"\n[state]\ndirectory = "{self.state}"\n[sockets]\ncontrol = "{self.control}"\n')
        self.addCleanup(self.power_off)

    def power_on(self, name="state-of-tpm"):
        (self.dir / name).mkdir(exist_ok=True)
        self.tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.dir / name}", "--server", f"type=unixio,path={self.dir}/tpm",
                                     "--ctrl", f"type=unixio,path={self.dir}/tpm.ctrl", "--flags", "not-need-init,startup-clear"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not (self.dir / "tpm").exists():
            self.assertLess(time.monotonic(), deadline, "swtpm does not start")
            time.sleep(0.01)

    def power_off(self):
        if self.tpm:
            self.tpm.kill()
            self.tpm.wait(timeout=10)
            (self.dir / "tpm").unlink(missing_ok=True)
        self.tpm = None

    def reboot(self, name="state-of-tpm"):
        self.power_off()
        self.power_on(name)

    def tool(self, *words):
        subprocess.run(words, check=True, timeout=60, stdout=subprocess.DEVNULL, env=os.environ | {"TPM2TOOLS_TCTI": f"swtpm:path={self.dir}/tpm"})

    def ends(self, status, verb, *arguments, user=""):
        done = run(verb, *map(str, arguments), "--config", str(self.config), *(("--user", user) if verb == "init" else ()))
        self.assertEqual(done.returncode, status, f"{verb} {arguments}: {done.stdout}{done.stderr}")
        return done

    def init(self):
        self.power_on()
        return self.ends(0, "init", "berlin-1").stdout

    def keymsd(self):
        daemon = FakeKeymsd(self.control)
        self.addCleanup(daemon.close)
        return daemon


class Init(Gateway):
    def test_it_makes_all_of_it_once(self):
        first = self.init()
        self.assertEqual(first.count("made: "), 3)
        key = re.search(r"^attestation key  (000b[0-9a-f]{64})\nread aloud       ((?:\d{6} ){7}\d{6})$", first, re.M)
        groups = [int(group[:5]) for group in key[2].split()]
        self.assertEqual("".join(f"{group:04x}" for group in groups), key[1][4:36])
        self.assertIn(f"countersign policy new --here berlin-1 --here-key {key[1]}", first)
        self.assertIn("systemctl start keymsd", first)
        again = self.ends(0, "init", "berlin-1").stdout
        self.assertIn("all of it was there\n", again)
        self.assertIn(key[0], again)
        self.reboot()
        self.assertIn(key[0], self.ends(0, "init", "berlin-1").stdout)
        self.assertIn("this gateway is berlin-1 already", self.ends(1, "init", "hamburg-1").stderr)

    def test_what_the_command_line_says(self):
        for wrong in (("init",), ("init", "Berlin"), ("init", "a-name-of-17-char")):
            self.assertEqual(run(*wrong).returncode, 2)

    def test_without_what_it_needs(self):
        self.assertIn("opening the TPM", self.ends(3, "init", "berlin-1").stderr)
        self.config.rename(self.dir / "other")
        self.assertIn("keymsd.toml", self.ends(3, "init", "berlin-1").stderr)
        self.config.write_text("[tmp]\n")
        self.assertIn('did you mean "tpm"?', self.ends(1, "init", "berlin-1").stderr)
        self.assertFalse(self.state.exists())

    def test_while_keymsd_runs(self):
        self.power_on()
        self.keymsd().answers["status"] = {}
        self.assertIn("keymsd runs, and TPM and store are its own; stop it first: systemctl stop keymsd", self.ends(3, "init", "berlin-1").stderr)
        self.assertFalse(self.state.exists())

    def test_while_somebody_has_the_store(self):
        self.init()
        held = subprocess.Popen([sys.executable, "-c", "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.execute('PRAGMA locking_mode=EXCLUSIVE')\n"
                                 "db.execute('BEGIN EXCLUSIVE')\nprint(flush=True)\ninput()", str(self.state / "store.db")],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        held.stdout.readline()
        for verb in (("init", "berlin-1"), ("recover",), ("recover", "--begin-anew", "--yes")):
            self.assertIn("it is in use", self.ends(3, *verb).stderr)
        held.communicate(b"\n", timeout=20)
        self.ends(0, "recover")

    @unittest.skipUnless(os.geteuid() == 0, "only root gives files away")
    def test_whose_the_state_is(self):
        self.dir.chmod(0o711)
        self.power_on()
        for end in ("tpm", "tpm.ctrl"):
            (self.dir / end).chmod(0o666)  # tpm2-tss opens a swtpm anew for each command, unlike a device
        self.assertIn("there is no user nobody-there", self.ends(3, "init", "berlin-1", user="nobody-there").stderr)
        self.assertFalse(self.state.exists())
        nobody = pwd.getpwnam("nobody")
        self.ends(0, "init", "berlin-1", user="nobody")
        everything = [self.state, *self.state.rglob("*")]
        self.assertGreater(len(everything), 4)
        for path in everything:
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), (nobody.pw_uid, nobody.pw_gid), path)
        self.assertNotEqual(self.state.parent.stat().st_uid, nobody.pw_uid)
        self.ends(0, "init", "berlin-1", user="nobody")
        self.ends(0, "recover")  # as that user, too
        os.chown(self.state, 0, 0)
        self.assertIn("chown it to the user that keymsd runs as", self.ends(1, "recover").stderr)
        mine = self.dir / "mine"
        mine.write_text("")
        os.link(mine, self.state / "logs" / "link")
        self.assertIn("is no plain file of one name", self.ends(1, "init", "berlin-1", user="nobody").stderr)
        (self.state / "logs" / "link").unlink()
        (self.state / "logs" / "link").symlink_to(mine)
        self.ends(1, "init", "berlin-1", user="nobody")
        self.assertEqual(mine.stat().st_uid, 0)
        (self.state / "logs" / "link").unlink()
        self.ends(0, "init", "berlin-1", user="nobody")
        self.assertIn("the state of berlin-1 aside", self.ends(0, "recover", "--begin-anew", "--yes").stdout)


class Recover(Gateway):
    def test_nothing_is_wrong(self):
        self.init()
        self.assertIn("nothing is to be recovered\nto do: systemctl start keymsd\n", self.ends(0, "recover").stdout)
        self.reboot()
        self.ends(0, "recover")

    def test_it_was_never_set_up(self):
        self.power_on()
        told = self.ends(1, "recover").stdout
        self.assertIn("there is no store: it was never made", told)
        self.assertIn("to do: countersign init NEID", told)

    def test_an_update_changed_a_register(self):
        self.init()
        self.reboot()
        self.tool("tpm2_pcrextend", "4:sha256=" + "aa" * 32)
        told = self.ends(1, "recover").stdout
        self.assertIn("not in the state it was sealed to", told)
        self.assertIn("PCR sha256:4", told)
        self.assertIn("lost: nothing", told)
        self.reboot()
        self.ends(0, "recover")

    def edit(self):
        self.config.write_text(self.config.read_text() + "[kernel]\naudit_seconds = 30\n")

    def test_the_configuration_was_edited(self):
        self.init()
        former = self.config.read_text()
        self.edit()
        self.reboot()
        told = self.ends(1, "recover").stdout
        self.assertIn("keymsd's configuration was edited before this boot", told)
        self.assertIn("PCR sha256:15", told)
        self.config.write_text(former)
        self.reboot()
        self.ends(0, "recover")
        self.edit()
        self.assertIn("this boot is not what is in force: the static register: the configuration was", self.ends(1, "recover").stdout)
        self.reboot()
        self.ends(0, "recover")

    def test_the_store_was_put_back(self):
        self.init()
        shutil.copytree(self.state, self.dir / "copy")
        self.edit()
        self.ends(1, "recover")  # sealed anew, as keymsd does at its start
        shutil.rmtree(self.state)
        (self.dir / "copy").rename(self.state)
        told = self.ends(1, "recover").stdout
        self.assertIn("the store is not what this TPM last wrote", told)
        self.assertIn("rolled back", told)

    def test_another_tpm(self):
        self.init()
        self.reboot("another")
        told = self.ends(1, "recover").stdout
        self.assertIn("the TPM was cleared or replaced", told)
        self.assertIn("--begin-anew", told)

    def test_a_damaged_store(self):
        self.init()
        store = self.state / "store.db"
        store.write_bytes(b"x" * store.stat().st_size)
        self.assertIn("to do: ", self.ends(1, "recover").stdout)
        self.ends(0, "recover", "--begin-anew", "--yes")

    def test_without_a_tpm(self):
        self.assertIn("opening the TPM", self.ends(3, "recover").stderr)

    def test_begin_anew(self):
        first = self.init()
        self.assertIn("or give --yes", self.ends(2, "recover", "--begin-anew").stderr)
        self.assertTrue(self.state.exists())
        told = self.ends(0, "recover", "--begin-anew", "--yes").stdout
        self.assertIn("the state of berlin-1 aside", told)
        self.assertIn("countersign init NEID", told)
        (aside,) = self.state.parent.glob("state.aside-*")
        self.assertTrue((aside / "store.db").exists())
        self.assertFalse(self.state.exists())
        self.reboot()
        second = self.ends(0, "init", "berlin-1").stdout
        self.assertNotEqual(re.findall("000b[0-9a-f]{64}", first), re.findall("000b[0-9a-f]{64}", second))
        shutil.rmtree(self.state)
        self.assertIn("renaming ", self.ends(3, "recover", "--begin-anew", "--yes").stderr)


class WithKeymsd(Gateway):
    def test_it_says_what_keymsd_says(self):
        daemon = self.keymsd()
        daemon.answers["status"] = {"state": "ready", "faults": []}
        self.assertEqual(self.ends(0, "recover").stdout, "keymsd runs, and is ready\nnothing is to be recovered\n")
        fault = {"code": "store-locked", "text": "PCR 4 has changed", "hint": "reboot"}
        daemon.answers["status"] = {"state": "locked", "faults": [fault]}
        told = self.ends(1, "recover").stdout
        self.assertIn("store-locked: PCR 4 has changed\n  to do: reboot\n", told)
        self.assertIn("countersign recover --request FILE", told)
        daemon.answers["status"] = {"state": "at_fault", "kernel": {"drift": [{"code": "policy-missing", "sentence": "gone", "hint": "bring it back"}]}}
        self.assertIn("policy-missing: gone\n  to do: bring it back\n", self.ends(1, "recover").stdout)
        self.assertIn("stop it first", self.ends(3, "recover", "--begin-anew", "--yes").stderr)

    def test_the_approvers_way(self):
        daemon, file = self.keymsd(), self.dir / "request"
        daemon.answers["request"] = {"request": base64.b64encode(b"asked").decode()}
        told = self.ends(0, "recover", "--request", file).stdout
        self.assertIn("countersign recover --approval FILE", told)
        self.assertRegex(told, r"read aloud to who signs: (\d{6} ){7}\d{6}\n")
        self.assertEqual((file.read_bytes(), daemon.asked[-1]["arguments"]), (b"asked", {}))
        agreement = self.dir / "agreement"
        agreement.write_bytes(cbor2.dumps({0: 1}))
        self.ends(0, "recover", "--request", file, "--agreement", agreement)
        self.assertEqual(daemon.asked[-1]["arguments"], {"agreement": base64.b64encode(agreement.read_bytes()).decode()})
        daemon.answers["approve"] = {"text": "the store opens again"}
        self.assertEqual(self.ends(0, "recover", "--approval", file).stdout, "the store opens again\n")
        self.assertEqual(daemon.asked[-1]["arguments"], {"approval": base64.b64encode(b"asked").decode()})
        daemon.refuse("approve", "unverified", "it is not of this approver")
        self.assertIn("not of this approver", self.ends(1, "recover", "--approval", file).stderr)
        daemon.answers["request"] = {"request": "?"}
        self.assertIn("the request: base64", self.ends(1, "recover", "--request", file).stderr)
        self.ends(3, "recover", "--approval", self.dir / "none")
        for wrong in (("--agreement", file), ("--request", file, "--approval", file), ("--request", file, "--begin-anew")):
            self.ends(2, "recover", *wrong)

    def test_the_approvers_way_needs_it(self):
        self.assertIn("systemctl start keymsd", self.ends(3, "recover", "--request", self.dir / "x").stderr)
        self.assertIn("systemctl start keymsd", run("recover", "--approval", str(self.config), "--config", str(self.config), "--socket", str(self.dir / "y")).stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
