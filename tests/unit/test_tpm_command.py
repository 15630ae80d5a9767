#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign tpm status on a TPM of the test's own: without a certificate, with a good one, with nonsense, gone."""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import command_tree
from command_tree import run

EK_P256 = "0x01c0000a"


MAKER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A maker of TPMs")])
MAKER_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(subject, key, extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(MAKER, subject, key, x509.random_serial_number(), now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))
    for extension, critical in extensions:
        made = made.add_extension(extension, critical)
    return made.sign(MAKER_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def root():
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return certificate(MAKER, MAKER_KEY.public_key(), [(x509.BasicConstraints(True, None), True), (usage, True)])


def endorsement(key):
    tpm = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(f"2.23.133.2.{n}"), value) for n, value in ((1, "id:49424D00"), (2, "swtpm"), (3, "id:1"))])
    usage = x509.KeyUsage(False, False, False, False, True, False, False, False, False)
    return certificate(x509.Name([]), key, [
        (x509.BasicConstraints(False, None), True), (usage, True), (x509.SubjectAlternativeName([x509.DirectoryName(tpm)]), True),
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.1")]), False)])


class TpmStatus(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = Path(scratch.name)
        self.tcti = f"swtpm:path={self.dir}/tpm"
        self.tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.dir}", "--server", f"type=unixio,path={self.dir}/tpm",
                                     "--ctrl", f"type=unixio,path={self.dir}/tpm.ctrl", "--flags", "not-need-init,startup-clear"])
        self.addCleanup(self.stop)
        deadline = time.monotonic() + 20
        while not (self.dir / "tpm").exists():
            self.assertLess(time.monotonic(), deadline, "swtpm does not start")
            time.sleep(0.01)

    def stop(self):
        self.tpm.kill()
        self.tpm.wait(timeout=10)

    def tool(self, *words):
        subprocess.run(words, check=True, timeout=60, stdout=subprocess.DEVNULL, env=os.environ | {"TPM2TOOLS_TCTI": self.tcti})

    def hold(self, blob, index=EK_P256):
        """Puts it where a maker puts the certificate of the P-256 endorsement key."""
        path = self.dir / "blob"
        path.write_bytes(blob)
        self.tool("tpm2_nvdefine", index, "-C", "p", "-s", str(len(blob)), "-a", "ppwrite|ppread|ownerread|authread|no_da|platformcreate")
        self.tool("tpm2_nvwrite", index, "-C", "p", "-i", str(path))

    def status(self, *more):
        return run("tpm", "status", "--tcti", self.tcti, *more)

    def test_a_tpm_without_certificate_is_told_as_it_is(self):
        done = self.status()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("IBM", done.stdout)
        self.assertIn("sha256", done.stdout)
        self.assertIn("no endorsement certificate", done.stdout)
        found = json.loads(self.status("--json").stdout)
        self.assertEqual((found["schema_version"], found["endorsement_certificates"]), (1, []))
        self.assertEqual(found["lockout"]["failures"], 0)
        self.assertGreater(found["free_slots"]["objects"], 0)
        self.assertGreater(found["signatures_per_second"], 0)
        self.assertIsNone(json.loads(self.status("--json", "--no-signing").stdout)["signatures_per_second"])

    def judge(self, key):
        """What is said of a maker's certificate of this key: the exit code, the verdict, the checks that do not hold."""
        self.hold(endorsement(key) + bytes(20))  # padded, as real ones are
        roots = self.dir / "roots"
        roots.mkdir()
        (roots / "root.der").write_bytes(root())
        done = self.status("--no-signing", "--json", "--roots", str(roots))
        (found,) = json.loads(done.stdout)["endorsement_certificates"]
        self.assertEqual(found["index"], EK_P256)
        return done.returncode, found["verdict"], {c["code"]: c["verdict"] for c in found["certificates"][0]["checks"] if c["verdict"] != "good"}

    def test_a_certificate_of_the_tpms_own_key_is_good(self):
        self.tool("tpm2_createek", "-G", "ecc", "-c", str(self.dir / "ek"), "-f", "pem", "-u", str(self.dir / "ek.pem"))
        self.tool("tpm2_flushcontext", "-t")
        key = serialization.load_pem_public_key((self.dir / "ek.pem").read_bytes())
        self.assertEqual(self.judge(key), (0, "good", {}))

    def test_a_certificate_of_another_tpms_key_is_refused(self):
        self.assertEqual(self.judge(ec.generate_private_key(ec.SECP256R1()).public_key()), (1, "refused", {"key_matches": "refused"}))

    def test_a_key_made_otherwise_cannot_be_compared(self):
        self.hold(b"a nonce of the maker's", "0x01c0000b")
        self.assertEqual(self.judge(ec.generate_private_key(ec.SECP256R1()).public_key()), (1, "refused", {"key_matches": "unchecked"}))

    def test_nonsense_in_its_place_is_refused(self):
        self.hold(b"no certificate at all")
        done = self.status("--no-signing")
        self.assertEqual(done.returncode, 1)
        self.assertIn("verdict: refused, the TPM: ", done.stdout)

    def test_without_a_tpm_it_says_so(self):
        self.stop()
        done = self.status("--json")
        self.assertEqual(done.returncode, 3)
        self.assertIn("opening the TPM", done.stderr)
        self.assertFalse(json.loads(done.stdout)["complete"])
        self.assertEqual(run("tpm", "status", "--tcti", "nonsense:").returncode, 3)
        self.assertEqual(run("tpm", "status", "--roots", str(self.dir / "nowhere")).returncode, 3)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])
