#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two keymsds that judge each other's files: the kernel's list is made here, and PCR 10 of each swtpm extended as the kernel would."""

import hashlib
import json
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import wait_for  # noqa: E402
from two_gateways import SILENT, TwoGateways, run, seconds  # noqa: E402


def sized(data):
    return struct.pack("<I", len(data)) + data


class Kernel:
    """IMA's of one gateway: template ima-ng, files by SHA-256, its own hash of each entry by SHA-1 as it has always been."""

    def __init__(self, path):
        self.path = path
        self.path.write_bytes(b"")
        self.unextended = []
        self.measure("boot_aggregate", hashlib.sha256(bytes(32 * 10)).digest())

    def measure(self, name, digest):
        fields = sized(b"sha256:\0" + digest) + sized(name.encode() + b"\0")
        self.unextended.append(hashlib.sha256(fields).hexdigest())
        with open(self.path, "ab") as out:
            out.write(struct.pack("<I", 10) + hashlib.sha1(fields).digest() + sized(b"ima-ng") + sized(fields))

    def run(self, path):
        self.measure(path, hashlib.sha256(path.encode()).digest())

    def extend(self, tcti):
        for digest in self.unextended:
            subprocess.run(["tpm2_pcrextend", f"10:sha256={digest}"], env={"PATH": "/usr/bin:/bin", "TPM2TOOLS_TCTI": tcti}, check=True)
        self.unextended.clear()


class Ima(TwoGateways):
    def setUp(self):
        self.kernels = {}
        super().setUp()
        self.image = self.directory / "image"
        self.image.mkdir()
        self.key = self.directory / "list.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", self.key], check=True, stderr=subprocess.DEVNULL)
        for name in ("shell", "ping"):
            self.accept(name, 1)
        told = self.a.run("digest-list", "check", self.directory / "image.list")
        rules = {"list_keys": [re.search("signed by ([0-9a-f]{64})", told)[1]], "ignored": ["/var/"]}
        self.rules = "".join(f"[gateways.{one}.ima]\n" + "".join(f"{field} = {json.dumps(value)}\n" for field, value in rules.items())
                             for one in ("berlin", "hamburg"))

    def gateway(self, name, **config):
        path = self.directory / f"{name}.ima"
        self.kernels[name] = Kernel(path)
        return super().gateway(name, tpm={"ima_log": str(path)}, **config)

    def accept(self, name, version):
        """One more file that every gateway may run: both have the list, and reread it."""
        path = f"/usr/bin/{name}"
        (self.image / name).write_bytes(path.encode())
        plain, signed = (self.directory / f"image.{end}" for end in ("plain", "list"))
        plain.write_text(self.a.run("digest-list", "make", "--name", "image", "--list-version", version, "--as", "/usr/bin", self.image))
        signed.write_text(self.a.run("digest-list", "sign", "--key", self.key, plain))
        for gateway in (self.a, self.b):
            lists = Path(gateway.sections["trust"]["digest_lists"])
            lists.mkdir(exist_ok=True)
            (lists / "image.list").write_bytes(signed.read_bytes())
            gateway.daemon.send_signal(signal.SIGHUP)

    def runs(self, gateway, *programs):
        """This TPM speaks to one at a time."""
        gateway.stop()
        for program in programs:
            self.kernels[gateway.name].run(program)
        self.kernels[gateway.name].extend(gateway.tcti)
        gateway.start()

    def begin(self):
        for gateway in (self.a, self.b):
            self.runs(gateway, "/usr/bin/shell")
        self.agreed_and_granted(more=SILENT + self.rules)

    def await_refusal(self, by, of, code):
        wait_for(lambda: f"{by.name} refuses {of.name} for {code}: {by.peer(of.name)}",
                 lambda: code in {reason["code"] for reason in by.peer(of.name)["reasons"]}, seconds(15))

    def test_what_is_in_the_list_is_granted_and_so_is_nothing_new(self):
        self.begin()
        for _ in range(2):
            before = self.b.peer("berlin")["granted_runs"]
            self.a.ask("attest", peer="hamburg", wait=10)
            self.assertEqual(self.b.peer("berlin")["granted_runs"], before + 1)
        self.runs(self.a, "/usr/bin/ping", "/var/lib/anything")
        self.await_standing("granted")

    def test_a_file_in_no_list_is_named_and_accepted_once_it_is_in_one(self):
        self.begin()
        self.runs(self.b, "/usr/bin/miner")
        self.await_refusal(self.a, self.b, "ima_file")
        self.await_standing("closed")
        told = self.a.run("explain", "hamburg", "--socket", self.a.control, status=None)
        self.assertIn("/usr/bin/miner", told)
        self.accept("miner", 2)
        self.await_standing("granted", seconds(45))

    def test_a_list_that_hides_an_entry_is_refused(self):
        self.begin()
        kernel = self.kernels["berlin"]
        before = kernel.path.read_bytes()
        self.runs(self.a, "/usr/bin/miner")
        self.await_refusal(self.b, self.a, "ima_file")
        kernel.path.write_bytes(before)
        self.await_refusal(self.b, self.a, "ima_log")
        kernel.path.write_bytes(b"")
        self.a.ask("attest", peer="hamburg", wait=1)
        self.await_refusal(self.b, self.a, "ima_log")
        self.await_standing("closed", 1)


if __name__ == "__main__":
    run()
