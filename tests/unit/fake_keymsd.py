# SPDX-License-Identifier: GPL-3.0-or-later
"""A control socket that answers as a test has written down (docs/PROTOCOL.md, "The control socket"), and the verbs that ask it."""

import base64
import json
import os
import pty
import select
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import command_tree
from command_tree import run

HOSTILE = "\x1b[2J\u202e"
TOLD = r"\x1b[2J\xe2\x80\xae"  # as a terminal may have it


def base64_of(data):
    return base64.b64encode(data).decode()


class Refusal(Exception):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class FakeKeymsd:
    """`answers`: for each verb its result, or what makes it of the arguments and may raise a Refusal; bytes are sent as they are. `asked` has the requests, in their order."""

    def __init__(self, path):
        self.path, self.answers, self.asked, self.stream = str(path), {}, [], []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        with connection, connection.makefile("rwb") as lines:
            request = json.loads(lines.readline())
            self.asked.append(request)
            if request["verb"] == "events":
                for event in self.stream:
                    lines.write(json.dumps(event).encode() + b"\n")
                return
            answer = self.answers[request["verb"]]
            if isinstance(answer, bytes):
                lines.write(answer)
                return
            lines.write(json.dumps({"version": 1, **self.said(answer, request["arguments"])}).encode() + b"\n")

    @staticmethod
    def said(answer, arguments):
        try:
            return {"ok": True, "result": answer(arguments) if callable(answer) else answer}
        except Refusal as refusal:
            return {"ok": False, "error": {"kind": refusal.kind, "message": str(refusal)}}

    def refuse(self, verb, kind, message):
        def raises(_):
            raise Refusal(kind, message)
        self.answers[verb] = raises


class Verbs(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.daemon = FakeKeymsd(self.scratch / "control")
        self.addCleanup(self.daemon.close)

    def with_socket(self, arguments):
        return [*map(str, arguments), "--socket", self.daemon.path]

    def ends(self, status_, *arguments, **more):
        done = run(*self.with_socket(arguments), **more)
        self.assertEqual(done.returncode, status_, f"{arguments}: {done.stdout}{done.stderr}")
        self.assertTrue(done.stdout.isascii(), done.stdout)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        return done

    def tells(self, status_, *arguments):
        return json.loads(self.ends(status_, *arguments, "--json").stdout)

    def last(self):
        return self.daemon.asked[-1]["verb"], self.daemon.asked[-1]["arguments"]

    def file(self, name, content):
        path = self.scratch / name
        path.write_bytes(content)
        return path

    def type_in(self, status_, answers, *arguments):
        """On a terminal; each answer after a prompt. What it told there, and its standard output."""
        master, slave = pty.openpty()
        with subprocess.Popen([command_tree.PROGRAM, *self.with_socket(arguments)], stdin=slave, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
            os.close(slave)
            seen = ""
            for answer in answers:
                seen += self.prompt(master)
                os.write(master, answer.encode() + b"\n")
            out = process.stdout.read()
            process.wait(timeout=20)
        while select.select([master], [], [], 0)[0]:
            try:
                seen += os.read(master, 4096).decode()
            except OSError:
                break
        os.close(master)
        self.assertEqual(process.returncode, status_, seen + out)
        return seen, out

    def prompt(self, master):
        seen, end = b"", time.monotonic() + 20
        while not seen.endswith(b": ") and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 4096)
        return seen.decode()
