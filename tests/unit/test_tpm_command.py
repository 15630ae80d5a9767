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


def authority():
    """A vendor's root; nothing below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A maker of TPMs")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))
    return made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())


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

    def hold(self, blob):
        """Puts it where a maker puts the certificate of the P-256 endorsement key."""
        path = self.dir / "blob"
        path.write_bytes(blob)
        self.tool("tpm2_nvdefine", EK_P256, "-C", "p", "-s", str(len(blob)), "-a", "ppwrite|ppread|ownerread|authread|no_da|platformcreate")
        self.tool("tpm2_nvwrite", EK_P256, "-C", "p", "-i", str(path))

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

    def test_certificates_are_judged(self):
        root = authority()
        self.hold(root.public_bytes(serialization.Encoding.DER) + bytes(20))  # padded, as real ones are
        roots = self.dir / "roots"
        roots.mkdir()
        done = self.status("--no-signing", "--roots", str(roots))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("verdict: refused", done.stdout)
        found = json.loads(self.status("--no-signing", "--json", "--roots", str(roots)).stdout)
        (endorsement,) = found["endorsement_certificates"]
        self.assertEqual((endorsement["index"], endorsement["verdict"]), (EK_P256, "refused"))
        self.assertEqual(endorsement["certificates"][0]["subject"], "CN=A maker of TPMs")

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
