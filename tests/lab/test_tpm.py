#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground is real: a TPM 2.0 per gateway with the lab CA's certificates, and IMA that replays to PCR 10."""

import hashlib
import re
import struct
import tempfile
from pathlib import Path

import labtest
from lablib.proc import run

EK_CERTIFICATES = {"0x01c00002": "0x81010001", "0x01c00016": "0x81010016"}  # NV index → EK: RSA-2048, P-384
PLATFORM_CERTIFICATE = "0x01c08000"
IMA = "/sys/kernel/security/ima/binary_runtime_measurements"


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


if __name__ == "__main__":
    labtest.main()
