#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/lab as its user sees it: exit codes, output, files, time limits, what is wrong in words."""

import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

import labtest
from lablib.paths import REPO
from lablib.proc import LabError, run


def lab(*argv, **kwargs):
    return subprocess.run([str(REPO / "scripts/lab"), *argv], stdin=kwargs.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=90, check=False, **kwargs)


class Tool(labtest.LabTest):
    NODES = ("gwa", "mid")  # a guest and a namespace answer alike

    def test_exit_code_and_both_streams_come_back(self):
        for node in self.NODES:
            with self.subTest(node=node):
                done = lab("run", node, "--", "sh", "-c", "echo to out; echo to err >&2; exit 7")
                self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "to out\n", "to err\n"))

    def test_arguments_arrive_as_they_are(self):
        words = ["a b", "$HOME", "it's", "*", ""]
        for node in self.NODES:
            with self.subTest(node=node):
                self.assertEqual(lab("run", node, "--", "printf", "%s|", *words).stdout, "|".join(words) + "|")

    def test_standard_input_reaches_the_command(self):
        with tempfile.TemporaryFile("w+") as file:
            file.write("from here\n")
            for node in self.NODES:
                file.seek(0)
                self.assertEqual(lab("run", node, "--", "cat", stdin=file).stdout, "from here\n")

    def test_time_limit(self):
        for node in self.NODES:
            with self.subTest(node=node):
                started, ours = time.monotonic(), f"60.{os.getpid()}"  # a namespace shows the machine's other sleeps too
                self.assertEqual(lab("run", "--timeout", "2", node, "--", "sleep", ours).returncode, 124)
                self.assertLess(time.monotonic() - started, 20)
                self.assertNotEqual(lab("run", node, "--", "pgrep", "-x", "-f", f"sleep {ours}").returncode, 0, "it still runs there")

    def test_unknown_node_and_missing_lab_are_said_so(self):
        done = lab("run", "gwc", "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("no node 'gwc'", done.stderr)
        self.assertIn("gwa", done.stderr)
        done = lab("--name", "nosuchlab", "run", "gwa", "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("scripts/lab --name nosuchlab up", done.stderr)

    def test_a_second_up_is_refused_with_the_way_out(self):
        done = lab("up")
        self.assertEqual(done.returncode, 125)
        self.assertIn("down", done.stderr)

    def test_files_and_directories_go_both_ways(self):
        for node in self.NODES:
            with self.subTest(node=node), tempfile.TemporaryDirectory() as scratch:
                there, source = Path(scratch) / "sent", Path(scratch) / "tree"
                (source / "deep").mkdir(parents=True)
                (source / "deep/random").write_bytes(os.urandom(1 << 20))
                (source / "script").write_text("#!/bin/sh\necho ran\n")
                (source / "script").chmod(0o755)
                self.assertEqual(lab("push", node, str(source), str(there)).returncode, 0)
                self.assertEqual(lab("run", node, "--", f"{there}/tree/script").stdout, "ran\n")
                self.assertEqual(lab("pull", node, f"{there}/tree", f"{scratch}/back").returncode, 0)
                digests = [hashlib.sha256((base / "tree/deep/random").read_bytes()).hexdigest() for base in (Path(scratch), Path(scratch) / "back")]
                self.assertEqual(digests[0], digests[1])
                lab("run", node, "--", "rm", "-rf", str(there))

    def test_push_of_a_missing_file_is_an_error(self):
        done = lab("push", "gwa", "/no/such/file", "/tmp")
        self.assertEqual(done.returncode, 125)
        self.assertIn("/no/such/file", done.stderr)

    def test_pull_of_a_missing_file_is_an_error(self):
        with tempfile.TemporaryDirectory() as scratch:
            done = lab("pull", "gwa", "/no/such/file", scratch)
        self.assertEqual(done.returncode, 125)
        self.assertIn("/no/such/file", done.stderr)

    def test_capture_to_a_file(self):
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "x.pcap"
            capture = subprocess.Popen([str(REPO / "scripts/lab"), "capture", "mid", "wana", "-w", str(file), "-c", "2", "--timeout", "30", "-f", "icmp"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            labtest.await_line(capture.stderr, b"listening on")
            self.ping(self.gwa, "192.0.2.254", count=2)
            self.assertEqual(capture.wait(timeout=30), 0)
            capture.stderr.close()
            self.assertEqual(len(labtest.pcap.packets(file.read_bytes())), 2)

    def test_status_names_every_node(self):
        done = lab("status")
        self.assertEqual(done.returncode, 0)
        for node in ("hosta", "gwa", "mid", "gwb", "hostb"):
            self.assertIn(node, done.stdout)

    def test_binaries_built_on_the_host_run_in_the_guest(self):
        build = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
        # batch: its libraries have to be in the guest, and find their way on a processor without AVX.
        programs = [build / f"tests/unit/{name}_test" for name in ("bytes", "clock", "secret", "batch")]
        labtest.push_programs(self.gwa, programs, "/tmp/unit")
        for program in programs:
            with self.subTest(program=program.name):
                done = self.gwa.run([f"/tmp/unit/{program.name}", "--gtest_brief=1"], limit=120, check=False)
                self.assertEqual(done.code, 0, done.out + done.err)

    def test_a_warning_on_the_host_is_not_taken_for_data(self):
        """apt warns about doubled sources, where the image builder asks it for its mirror."""
        self.assertEqual(run(["sh", "-c", "echo W: careful >&2; echo data"]), "data\n")
        with self.assertRaisesRegex(LabError, "exit code 3\nsaid\nbecause"):
            run(["sh", "-c", "echo because >&2; echo said; exit 3"])


if __name__ == "__main__":
    labtest.main()
