#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign inspect: each verb by its exit code and its JSON, on evidence made here from bytes: good, changed,
cut short, from standard input, and on what is no file to read at all."""

import argparse
import datetime
import hashlib
import json
import os
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import command_tree
from command_tree import run

NONCE = bytes(range(16))
ZERO = bytes(32)


def sized(data):
    return struct.pack(">H", len(data)) + data


def quote(key, register):
    """TPMS_ATTEST of PCR 0, which is `register`, and its signature as OpenSSL has it."""
    clock = struct.pack(">QIIB", 1000, 1, 0, 1)
    selection = struct.pack(">IHB", 1, 0x000B, 3) + b"\x01\0\0"
    attest = b"\xffTCG" + struct.pack(">H", 0x8018) + sized(b"") + sized(NONCE) + clock + bytes(8) + selection + sized(hashlib.sha256(register).digest())
    return attest, key.sign(attest, ec.ECDSA(hashes.SHA256()))


def boot_log(events):
    """Crypto-agile, with the one bank sha256: of (PCR, data of the event)."""
    names = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 0x000B, 32, 0)
    log = struct.pack("<II20sI", 0, 3, b"", len(names)) + names
    for register, data in events:
        log += struct.pack("<IIIH", register, 0xD, 1, 0x000B) + hashlib.sha256(data).digest() + struct.pack("<I", len(data)) + data
    return log


def ima_list(files):
    """The binary form, ima-ng."""
    out = b""
    for name in files:
        fields = [b"sha256:\0" + hashlib.sha256(name).digest(), name + b"\0"]
        data = b"".join(struct.pack("<I", len(field)) + field for field in fields)
        out += struct.pack("<I", 10) + hashlib.sha1(data).digest() + struct.pack("<I", 6) + b"ima-ng" + struct.pack("<I", len(data)) + data
    return out


def certificate(key, subject, extensions):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A maker of TPMs")])
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    made = x509.CertificateBuilder(name, subject or name, key.public_key(), 77, now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))
    for extension, critical in extensions:
        made = made.add_extension(extension, critical)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def endorsement_certificate(key):
    tpm = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(f"2.23.133.2.{n}"), text) for n, text in ((1, "id:49424D00"), (2, "x"), (3, "id:1"))])
    return certificate(key, x509.Name([]), ((x509.SubjectAlternativeName([x509.DirectoryName(tpm)]), True), (x509.BasicConstraints(False, None), True),
            (x509.KeyUsage(False, False, False, False, True, False, False, False, False), True),
            (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.1")]), False)))


def root_certificate():
    return certificate(ec.generate_private_key(ec.SECP256R1()), None, [(x509.BasicConstraints(True, None), True)])


def extended(value, data):
    return hashlib.sha256(value + hashlib.sha256(data).digest()).digest()


class Evidence:
    """A folder of files that verify."""

    def __init__(self, folder):
        self.folder = Path(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        attest, signature = quote(key, ZERO)
        self.write("attest", attest)
        self.write("signature", signature)
        self.write("key", key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        self.write("pcrs", f"sha256:0={ZERO.hex()}\n".encode())
        self.write("other-pcrs", f"sha256:0={'11' * 32}\n".encode())
        self.write("boot-log", boot_log([(0, b"firmware"), (4, b"loader"), (0, b"more of it")]))
        self.write("boot-pcrs", f"sha256:0={extended(extended(ZERO, b'firmware'), b'more of it').hex()}\n".encode())
        self.write("list", ima_list([b"/bin/a", b"/bin/longer"]))
        self.write("other-pcr10", f"sha256:10={'11' * 32}\n".encode())
        self.write("certificate", endorsement_certificate(key))
        (self.folder / "roots").mkdir()
        self.write("roots/of-another.der", root_certificate())
        (self.folder / "a-folder").mkdir()
        self.write("empty", b"")

    def write(self, name, data):
        (self.folder / name).write_bytes(data)


# Verb: what is good; what is refused; the files of the first.
A_QUOTE = ("--attest", "attest", "--signature", "signature", "--key", "key")
VERBS = {
    "bootlog": (("boot-log", "--pcrs", "boot-pcrs"), ("boot-log", "--pcrs", "other-pcrs"), ("boot-log", "boot-pcrs")),
    "ima": (("list",), ("list", "--pcrs", "other-pcr10"), ("list",)),
    "quote": ((*A_QUOTE, "--pcrs", "pcrs", "--nonce", NONCE.hex()), (*A_QUOTE, "--pcrs", "other-pcrs"), ("attest", "signature", "key", "pcrs")),
    "cert": (("certificate",), ("certificate", "--roots", "roots"), ("certificate",)),
}


class Inspect(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.evidence = Evidence(scratch.name)

    def ask(self, verb, *arguments, expect, **more):
        done = run("inspect", verb, *arguments, cwd=self.evidence.folder, **more)
        self.assertEqual(done.returncode, expect, f"{verb} {arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def json_of(self, *arguments, **more):
        answer = json.loads(self.ask(*arguments, "--json", **more).stdout)
        self.assertEqual(answer["schema_version"], 1)
        return answer

    def each(self):
        for verb, (good, bad, files) in VERBS.items():
            yield verb, good, bad, files

    def each_file(self):
        """Each file of each verb, as an index of the arguments."""
        for verb, good, _, files in self.each():
            for name in files:
                yield verb, list(good), good.index(name)

    def test_good(self):
        for verb, good, _, _ in self.each():
            self.assertNotEqual(self.ask(verb, *good, expect=0).stdout, "")
            answer = self.json_of(verb, *good, expect=0)
            self.assertIs(answer["complete"], True)
            self.assertNotIn("error", answer)

    def test_refused(self):
        for verb, good, bad, _ in self.each():
            self.assertNotEqual(self.ask(verb, *bad, expect=1).stdout, self.ask(verb, *good, expect=0).stdout)
            self.assertIs(self.json_of(verb, *bad, expect=1)["complete"], True)

    def test_standard_input(self):
        for verb, arguments, at in self.each_file():
            name, arguments[at] = arguments[at], "-"
            with (self.evidence.folder / name).open("rb") as file:
                self.ask(verb, *arguments, expect=0, stdin=file)

    def unreadable(self, verb, arguments, told=None):
        done = self.ask(verb, *arguments, expect=3)
        self.assertTrue(done.stderr.startswith("countersign: "), done.stderr)
        if told:
            self.assertIn(told, done.stderr)
        answer = self.json_of(verb, *arguments, expect=3)
        self.assertIs(answer["complete"], False)
        self.assertTrue(answer["error"])

    def test_what_is_no_file_to_read(self):
        for verb, arguments, at in self.each_file():
            for name, told in (("nowhere", "ENOENT"), ("a-folder", None), ("/proc/self/mem", "EIO"), ("/dev/zero", None)):
                arguments[at] = name
                self.unreadable(verb, arguments, told)
            arguments[at] = "empty"
            self.unreadable(verb, arguments)

    def test_without_permission(self):
        if os.geteuid() == 0:
            return  # root may read everything; /proc/self/mem above is what not even root can
        for verb, arguments, at in self.each_file():
            (self.evidence.folder / arguments[at]).chmod(0)
            self.unreadable(verb, arguments, "EACCES")
            (self.evidence.folder / arguments[at]).chmod(0o600)

    def test_cut_short(self):
        for verb, arguments, at in self.each_file():
            whole = (self.evidence.folder / arguments[at]).read_bytes()
            arguments[at] = "cut"
            for size in (1, len(whole) // 2, len(whole) - 3):
                self.evidence.write("cut", whole[:size])
                self.unreadable(verb, arguments)

    def test_a_full_disk(self):
        for verb, good, _, _ in self.each():
            with open("/dev/full", "w", encoding="ascii") as full:
                self.assertIn("standard output", self.ask(verb, *good, expect=2, stdout=full).stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
