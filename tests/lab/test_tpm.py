#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground is real: a TPM 2.0 per gateway with the lab CA's certificates, and IMA that replays to PCR 10."""

import hashlib
import json
import os
import re
import struct
import subprocess
import tempfile
from pathlib import Path

import labtest
from lablib.paths import REPO
from lablib.proc import run

EK_CERTIFICATES = {"0x01c00002": "0x81010001", "0x01c00016": "0x81010016"}  # NV index → EK: RSA-2048, P-384
PLATFORM_CERTIFICATE = "0x01c08000"
SECURITY = "/sys/kernel/security"
IMA = f"{SECURITY}/ima/binary_runtime_measurements"
EV_SEPARATOR = 4
COUNTERSIGN = Path(os.environ.get("CS_BUILD", REPO / "build/dev")) / "tools/countersign"


def read_pcrs(node, bank):
    out = node.run(["tpm2_pcrread", f"{bank}:0,1,2,3,4,5,6,7,8,9,10"]).out
    return {int(n): bytes.fromhex(v) for n, v in re.findall(r"^\s*(\d+)\s*:\s*0x([0-9A-F]+)$", out, re.MULTILINE)}


class Tpm(labtest.LabTest):
    def nv_read(self, node, index, scratch):
        node.run(["tpm2_nvread", "-C", "o", index, "-o", "/tmp/nv"])
        node.pull(["/tmp/nv"], scratch)
        pem = Path(scratch) / f"{node.name}-{index}.pem"
        run(["openssl", "x509", "-inform", "der", "-in", str(Path(scratch) / "nv"), "-out", str(pem)])
        return pem

    def verify(self, pem):
        ca = self.lab.ca
        run(["openssl", "verify", "-CAfile", str(ca.root_certificate()), "-untrusted", str(ca.issuer_certificate()), str(pem)])

    def test_ek_certificates_verify_and_belong_to_this_tpm(self):
        for node in (self.gwa, self.gwb):
            for index, handle in EK_CERTIFICATES.items():
                with self.subTest(node=node.name, index=index), tempfile.TemporaryDirectory() as scratch:
                    pem = self.nv_read(node, index, scratch)
                    self.verify(pem)
                    self.assertIn(f"CN = {node.name}", run(["openssl", "x509", "-in", str(pem), "-noout", "-subject"]))
                    node.run(["tpm2_readpublic", "-c", handle, "-f", "pem", "-o", "/tmp/ek.pem"])
                    self.assertEqual(run(["openssl", "x509", "-in", str(pem), "-noout", "-pubkey"]), node.run(["cat", "/tmp/ek.pem"]).out,
                                     "the certificate's key is not this TPM's EK")

    def test_platform_certificates_verify(self):
        for node in (self.gwa, self.gwb):
            with self.subTest(node=node.name), tempfile.TemporaryDirectory() as scratch:
                pem = self.nv_read(node, PLATFORM_CERTIFICATE, scratch)
                self.verify(pem)
                self.assertIn("LabGateway", run(["openssl", "x509", "-in", str(pem), "-noout", "-text"]))

    def test_firmware_left_a_boot_log(self):
        for node in (self.gwa, self.gwb):
            size = int(node.run(["sh", "-c", "wc -c < /sys/kernel/security/tpm0/binary_bios_measurements"]).out)
            self.assertGreater(size, 0)


def ima_entries(content):
    """(template hash, template data) of a binary measurement list."""
    at = 0
    while at < len(content):
        _, digest, name_length = struct.unpack_from("<I20sI", content, at)
        at += 28 + name_length
        data_length, = struct.unpack_from("<I", content, at)
        data = content[at + 4:at + 4 + data_length]
        assert len(data) == data_length, "the list ends inside an entry"
        at += 4 + data_length
        yield digest, data


def replay(entries, bank, target):
    """How many entries lead to `target`, or None. The list may be longer: it was read after the PCR."""
    size = hashlib.new(bank).digest_size
    value = bytes(size)
    for number, (digest, data) in enumerate(entries, start=1):
        violation = digest == bytes(20)  # zeros in the list, ones in the PCR
        value = hashlib.new(bank, value + (b"\xff" * size if violation else hashlib.new(bank, data).digest())).digest()
        if value == target:
            return number
    return None


class Ima(labtest.LabTest):
    def test_list_replays_to_pcr_10(self):
        for node in (self.gwa, self.gwb):
            banks = {bank: read_pcrs(node, bank) for bank in ("sha1", "sha256")}
            with tempfile.TemporaryDirectory() as scratch:
                node.run(["cp", IMA, "/tmp/ima"])
                node.pull(["/tmp/ima"], scratch)
                entries = list(ima_entries((Path(scratch) / "ima").read_bytes()))
            self.assertGreater(len(entries), 50, "ima_policy=tcb measures every program that ran")
            for bank, pcrs in banks.items():
                with self.subTest(node=node.name, bank=bank):
                    self.assertIsNotNone(replay(entries, bank, pcrs[10]), f"PCR 10 of {node.name} is no state of its list")
            boot_aggregate = hashlib.sha256(b"".join(banks["sha256"][i] for i in range(10))).digest()
            self.assertIn(boot_aggregate, entries[0][1], "the first entry binds the list to PCRs 0 to 9")


class Logs(labtest.LabTest):
    """A gateway's logs, carried away and replayed by `countersign inspect` to what its TPM holds."""

    LOGS = {"boot": f"{SECURITY}/tpm0/binary_bios_measurements", "ima": IMA, "ima_text": f"{SECURITY}/ima/ascii_runtime_measurements"}
    BANKS = ("sha1", "sha256")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.on_both(cls.carry_away)

    @classmethod
    def carry_away(cls, node):
        here = cls.files(node)
        here.mkdir()
        lines = [f"{bank}:{n}={value.hex()}" for bank in cls.BANKS for n, value in read_pcrs(node, bank).items()]
        (here / "boot_pcrs").write_text("\n".join(line for line in lines if ":10=" not in line))
        (here / "ima_pcrs").write_text("\n".join(line for line in lines if ":10=" in line))
        node.run(["sh", "-c", "mkdir -p /tmp/logs; " + "; ".join(f"cat {path} > /tmp/logs/{name}" for name, path in cls.LOGS.items())])
        node.pull([f"/tmp/logs/{name}" for name in cls.LOGS], str(here))

    @classmethod
    def files(cls, node):
        return Path(cls.scratch.name) / node.name

    def inspect(self, node, verb, log, pcrs, status=0):
        here = self.files(node)
        done = subprocess.run([str(COUNTERSIGN), "inspect", verb, str(here / log), "--pcrs", str(here / pcrs), "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_the_boot_log_replays_to_the_tpm(self):
        for node in (self.gwa, self.gwb):
            with self.subTest(node=node.name):
                report = self.inspect(node, "bootlog", "boot", "boot_pcrs")
                self.assertTrue(report["complete"] and report["verdict"] == "good")
                self.assertGreater(report["events"], 8, "at least a separator for each of PCRs 0 to 7")

    def test_the_ima_list_replays_to_the_tpm(self):
        for node in (self.gwa, self.gwb):
            with self.subTest(node=node.name):
                report, text = (self.inspect(node, "ima", log, "ima_pcrs") for log in ("ima", "ima_text"))
                self.assertGreater(report["entries"], 50, "ima_policy=tcb measures every program that ran")
                self.assertEqual([p["rule"] for p in report["pcrs"]], ["recomputed"] * len(self.BANKS))
                self.assertEqual(report["pcrs"], text["pcrs"])

    def test_a_log_that_lacks_an_event_does_not(self):
        report = self.inspect(self.gwa, "bootlog", "boot", "boot_pcrs")
        log = (self.files(self.gwa) / "boot").read_bytes()
        separator = log.rfind(struct.pack("<II", EV_SEPARATOR, len(report["banks"]))) - 4  # its PCR stands before its type
        (self.files(self.gwa) / "shorter").write_bytes(log[:separator])
        shorter = self.inspect(self.gwa, "bootlog", "shorter", "boot_pcrs", status=1)
        self.assertLess(shorter["events"], report["events"])
        self.assertEqual(shorter["verdict"], "refused")


if __name__ == "__main__":
    labtest.main()
