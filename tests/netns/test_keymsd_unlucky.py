#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""keymsd when its machine fails it: TPM reset or locked out, disk full, store old, damaged or another machine's, port taken."""

import base64
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import agree, apply, processor_seconds, wait_for  # noqa: E402
from two_gateways import SHORT, SILENT, TwoGateways, run  # noqa: E402


class Tpm(TwoGateways):
    def test_reset_under_the_running_daemon(self):
        self.agreed_and_granted(more=SILENT)
        keys = self.a.peer("hamburg")["keys"]
        self.a.lose_tpm()
        self.a.power_on()
        # What it knew was lost: it is told anew, and evidence is of the new boot.
        wait_for("hamburg has other keys", lambda: self.a.peer("hamburg")["standing"] == "granted" and self.a.peer("hamburg")["keys"] != keys, 45)
        self.await_standing("granted")
        self.await_event(self.a, text="the TPM was lost")

    def test_gone_and_back(self):
        # Nothing else would ask for it: no renewal is near.
        self.agreed_and_granted(more=SILENT)
        self.a.lose_tpm()
        self.await_standing("closed", 15)
        self.await_event(self.b, peer="berlin", reason="own_registers")
        self.assertEqual([one["code"] for one in self.a.status()["faults"]], ["registers"])
        self.assertIn("the TPM", self.a.status()["faults"][0]["text"])
        time.sleep(12)  # in which it looks for it more than once, and tells so once
        self.assertLessEqual(len(self.a.events(event="trouble", reason="registers")), 2, self.a.events(reason="registers"))
        self.a.power_on()
        self.await_standing("granted", 45)
        self.assertEqual(self.a.status()["faults"], [])

    def test_locked_out_by_somebody_who_guesses(self):
        self.agreed_and_granted(more=SILENT)
        self.a.stop()
        self.guess()
        self.a.start()
        self.await_standing("granted", 10)

    def guess(self):
        """Until the TPM takes no guess any more: its lockout is for what is not exempt from it."""
        def tool(*argv, fails=False):
            done = subprocess.run(argv, cwd=self.a.directory, env={"PATH": "/usr/bin:/bin:/usr/sbin", "TPM2TOOLS_TCTI": self.a.tcti}, check=False,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            self.assertEqual(done.returncode != 0, fails, f"{argv}: {done.stdout}")
            return done.stdout

        tool("tpm2_flushcontext", "-t")
        tool("tpm2_createprimary", "-Q", "-c", "primary.ctx", "-p", "right")
        said = ""
        for _ in range(40):
            tool("tpm2_flushcontext", "-t")
            said = tool("tpm2_create", "-Q", "-C", "primary.ctx", "-p", "x", "-P", "wrong", "-u", "u", "-r", "r", fails=True)
            if "lockout" in said.lower():
                break
        self.assertIn("lockout", said.lower())
        tool("tpm2_flushcontext", "-t")
        Path(self.a.directory / "primary.ctx").unlink()


class State(TwoGateways):
    def config_of(self, name):
        return self.directory / name / "state"

    def await_locked(self, gateway, *words):
        status = wait_for(lambda: f"it says {words}: {gateway.status()}",
                          lambda: (gateway.status() if any(w in gateway.status()["faults"][0]["text"] for w in words) else None)
                          if gateway.status()["faults"] else None, 10)
        self.assertEqual((status["state"], status["peers"]), ("locked", []))
        self.assertTrue(status["faults"][0]["hint"])
        self.assertIn("locked", gateway.run("status", "--socket", gateway.control, status=None))
        return status

    def replace_state(self, gateway, source):
        """And the next boot, as one does with a disk."""
        gateway.stop()
        gateway.power_off()
        gateway.power_on()
        shutil.rmtree(gateway.directory / "state")
        shutil.copytree(source, gateway.directory / "state")
        gateway.start()

    def test_an_older_store_is_refused(self):
        agreement = self.agreed_and_granted(more=SILENT)
        self.assertTrue(agreement)
        self.a.stop()
        old, new = self.directory / "old", self.directory / "new"
        shutil.copytree(self.a.directory / "state", old)
        self.a.start()
        self.await_standing("granted", 10)
        second = agree(self.a, self.b, version=2, predecessor=self.a.peer("hamburg")["policy"]["value"], more=SILENT)
        for gateway in (self.a, self.b):
            apply(gateway, second)
        self.await_standing("granted", 10)
        self.a.stop()
        shutil.copytree(self.a.directory / "state", new)
        self.a.start()
        self.replace_state(self.a, old)
        self.await_locked(self.a, "older", "rolled back", "before", "generation")
        time.sleep(2)  # in which it would open
        self.assertEqual(self.b.standing("berlin"), "closed")
        # The right one opens again.
        self.replace_state(self.a, new)
        self.await_standing("granted", 10)

    def test_a_damaged_store_is_told_of_and_stays_closed(self):
        self.agreed_and_granted(more=SILENT)
        self.a.stop()
        store = self.a.directory / "state" / "store.db"
        whole = store.read_bytes()
        for what, bytes_ in (("in the middle", whole[:4096] + bytes(200) + whole[4296:]), ("cut", whole[:5000]), ("no store", b"x" * len(whole)),
                             ("empty", b"")):
            with self.subTest(what):
                for rest in store.parent.glob("store.db-*"):
                    rest.unlink()
                store.write_bytes(bytes_)
                self.a.start()
                self.await_locked(self.a, "store")
                self.assertNotEqual(self.b.standing("berlin"), "granted")
                self.a.stop()
        for rest in store.parent.glob("store.db-*"):
            rest.unlink()
        store.write_bytes(whole)
        self.a.start()
        self.await_standing("granted", 10)

    def test_another_machines_store_does_not_open(self):
        self.agreed_and_granted(more=SILENT)
        self.b.stop()
        self.replace_state(self.a, self.b.directory / "state")
        self.await_locked(self.a, "TPM", "store", "key")

    def boot(self):
        self.a.power_off()
        self.a.power_on()
        self.a.start()

    def test_a_configuration_that_was_edited_is_told_before_a_boot_locks_the_store(self):
        self.agreed_and_granted()
        self.a.configure(kernel={"audit_seconds": 30})
        self.await_event(self.a, event="trouble", reason="configuration", text="was edited")
        fault, = self.a.status()["faults"]
        self.assertEqual((fault["code"], fault["hint"]), ("configuration", "systemctl restart keymsd, before this machine is booted anew"))
        self.assertEqual(self.a.standing("hamburg"), "granted")
        # As the words say: without a restart the store stays closed, with the former file it opens.
        self.boot()
        wait_for("locked", lambda: [one["code"] for one in self.a.status()["faults"]] == ["locked"], 15)
        self.a.configure(kernel={"audit_seconds": 60})
        self.boot()
        self.await_standing("granted", 45)
        # And with one it opens.
        self.a.configure(kernel={"audit_seconds": 30})
        self.a.stop()
        self.a.start()
        self.await_standing("granted", 45)
        self.boot()
        self.await_standing("granted", 45)
        self.assertEqual(self.a.status()["faults"], [])

    def test_a_port_that_is_taken_is_waited_for(self):
        self.agreed_and_granted(more=SILENT)
        self.b.stop()
        with socket.create_server(("127.0.0.1", self.b.port)):
            self.b.start()
            fault = wait_for("a fault", lambda: [one for one in self.b.status()["faults"] if one["code"] == "carrier"], 15)[0]
            self.assertIn(str(self.b.port), fault["text"])
            size, spent = self.log_size(self.b), processor_seconds(self.b.daemon.pid)
            time.sleep(5)  # in which it tries again, and must not spin
            self.assertEqual(self.log_size(self.b), size)
            self.assertLess(processor_seconds(self.b.daemon.pid) - spent, 0.5)
        self.await_standing("granted", 8)
        self.assertEqual(self.b.status()["faults"], [])

    def log_size(self, gateway):
        return sum(len(base64.b64decode(one["log"])) for one in gateway.ask("log")["logs"])


class FullDisk(TwoGateways):
    def gateway(self, name, **config):
        state = self.directory / name / "state"
        if name == "berlin":
            state = self.directory / "disk"
            state.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(state)], check=True)
            self.addCleanup(subprocess.run, ["umount", "--lazy", str(state)], check=True)
            config = {"state": {"directory": str(state)}}
        return super().gateway(name, **config)

    def fill(self):
        with open(self.directory / "disk" / "filler", "wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def test_while_it_runs(self):
        self.agreed_and_granted(more=SHORT)
        self.fill()
        # To go on it needs no more room than it has.
        runs = self.a.peer("hamburg")["granted_runs"]
        wait_for("two renewals", lambda: self.a.peer("hamburg")["granted_runs"] >= runs + 2, 40)
        self.await_standing("granted", 5)

    def test_at_its_start(self):
        self.agreed_and_granted(more=SILENT)
        self.a.stop()
        self.fill()
        self.a.start()
        time.sleep(3)  # in which it tries more than once
        self.assertNotEqual(self.a.standing("hamburg"), "granted")
        status = self.a.status()
        self.assertTrue(status["faults"], status)
        (self.directory / "disk" / "filler").unlink()
        self.await_standing("granted", 40)


if __name__ == "__main__":
    run()
