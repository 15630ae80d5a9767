#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign digest-list: what it makes is what hashlib and cryptography say, and what was changed is refused."""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import command_tree
from command_tree import run


class DigestLists(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.here = Path(scratch.name)
        tree = self.here / "tree"
        (tree / "bin").mkdir(parents=True)
        (tree / "bin/a file").write_bytes(b"one")
        (tree / "b").write_bytes(b"two" * 100000)
        (tree / "link").symlink_to("b")
        os.mkfifo(tree / "pipe")
        self.tree = tree

    def make(self, *more):
        return run("digest-list", "make", str(self.tree), "--name", "a-list", *more)

    def key(self, key):
        path = self.here / "key"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return path

    def signed(self, key):
        path = self.here / "list"
        path.write_text(self.make("--as", "/usr").stdout)
        done = run("digest-list", "sign", str(path), "--key", str(self.key(key)))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        path.write_text(done.stdout)
        return path

    def test_a_list_is_of_the_files_of_a_directory(self):
        wanted = sorted((hashlib.sha256((self.tree / name).read_bytes()).hexdigest(), name) for name in ("bin/a file", "b"))
        for options, root in ((("--as", "/usr"), "/usr"), ((), str(self.tree)), (("--list-version", "7", "--as", "/"), "")):
            done = self.make(*options)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            lines = done.stdout.splitlines()
            self.assertEqual(lines[:5], ["countersign digest list v1", "name a-list", f"version {7 if '7' in options else 1}", "algorithm sha256", "entries 2"])
            self.assertEqual(lines[5:], [f"{digest}  {root}/{name}" for digest, name in wanted])

    def test_a_signature_is_what_another_implementation_verifies(self):
        for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
            path = self.signed(key)
            covered, _, last = path.read_bytes().rpartition(b"signature ")
            signature = bytes.fromhex(last.decode().strip())
            how = () if isinstance(key, ed25519.Ed25519PrivateKey) else (ec.ECDSA(hashes.SHA256()),)
            key.public_key().verify(signature, covered, *how)
            spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            name = hashlib.sha256(spki).hexdigest()
            shown = run("digest-list", "check", str(path), "--json")
            self.assertEqual(shown.returncode, 0)
            self.assertEqual(json.loads(shown.stdout), {"schema": 1, "name": "a-list", "version": 1, "entries": 2, "signed": True, "key": name})
            self.assertIn("signed by " + name, run("digest-list", "check", str(path)).stdout)

    def test_what_is_not_signed_or_was_changed_is_refused(self):
        path = self.here / "list"
        path.write_text(self.make().stdout)
        done = run("digest-list", "check", str(path))
        self.assertEqual(done.returncode, 1)
        self.assertIn("signed by nobody", done.stdout)
        path = self.signed(ed25519.Ed25519PrivateKey.generate())
        path.write_text(path.read_text().replace("/usr/b", "/usr/c"))
        done = run("digest-list", "check", str(path), "--json")
        self.assertEqual(done.returncode, 1)
        self.assertIn("its signature does not hold", json.loads(done.stdout)["error"]["message"])

    def test_what_cannot_be_read_says_so(self):
        self.assertEqual(run("digest-list", "make", str(self.here / "nowhere"), "--name", "x").returncode, 3)
        self.assertEqual(run("digest-list", "make", str(self.tree), "--name", "two words").returncode, 3)
        self.assertEqual(run("digest-list", "check", str(self.tree / "b")).returncode, 3)
        path = self.here / "list"
        path.write_text(self.make().stdout)
        done = run("digest-list", "sign", str(path), "--key", str(path))
        self.assertEqual(done.returncode, 3)
        self.assertIn("openssl genpkey", done.stderr)
        (self.tree / "a\nb").write_bytes(b"")
        self.assertIn("control character", self.make().stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
