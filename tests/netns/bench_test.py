#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-bench measures every mode here, says so in JSON, and leaves nothing behind. No figure is judged."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

import require

DRAIN = {"accept", "example", "mangle", "naive", "sign", "sign-tpm", "accept-in", "verify", "drop", "flood"}
LIVE = DRAIN | {"sign-remote-1ms", "sign-remote-20ms", "accept-twice", "end-to-end"}
LIVE_RATIOS = {"end-to-end/accept", "calm latency end-to-end/accept"}
RATIOS = {"mangle/accept", "sign/accept", "sign/mangle", "sign/naive", "sign/example-accept", "sign-tpm/sign", "verify/accept", "flood/drop"}
MODE_KEYS = {"mode", "setup", "batch", "pps", "gbps", "cpu_us_per_packet", "latency_us", "overhead_bytes", "memory_mib", "drops"}
ALL_DROPPED = {"drop": {"unseen"}, "flood": {"bad_tag"}}
PROGRAM = ""


def bench(*words, **more):
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', os.defpath)}:{require.SBIN}"}
    return subprocess.run([PROGRAM, *words], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment, **more)


def measure(*words):
    done = bench("--seconds", "0.2", "--rounds", "1", "--json", *words)
    if done.returncode != 0:
        raise AssertionError(f"nfq-bench {' '.join(words)}: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


class Bench(unittest.TestCase):
    def check_mode(self, mode):
        self.assertEqual(set(mode), MODE_KEYS)
        name = mode["mode"]
        for key in ("pps", "gbps", "cpu_us_per_packet"):
            self.assertGreater(mode[key], 0, name)
        self.assertEqual(set(mode["drops"]), ALL_DROPPED.get(name, set()), name)
        self.assertEqual(mode["memory_mib"] is not None, mode["setup"] == "live", name)
        delivers = mode["setup"] == "live" and name not in ALL_DROPPED
        self.assertEqual(mode["latency_us"] is not None, delivers, name)
        for load in (mode["latency_us"] or {}).values():
            self.assertGreaterEqual(load["p99"], load["p90"], name)
            self.assertGreaterEqual(load["p90"], load["p50"], name)
            self.assertGreater(load["p50"], 0, name)

    def check_all(self, result, drain, live):
        for setup, names in (("drain", drain), ("live", live)):
            self.assertEqual({m["mode"] for m in result["modes"] if m["setup"] == setup}, names)
        for mode in result["modes"]:
            self.check_mode(mode)

    def test_every_mode_moves_packets(self):
        with tempfile.TemporaryDirectory() as scratch:
            picture = Path(scratch) / "picture.svg"
            result = measure("--signer-latency-ms", "1,20", "--sweep", "--plot", str(picture))
            tree = xml.etree.ElementTree.parse(picture)
        self.assertEqual(result["schema_version"], 1)
        self.check_all(result, DRAIN, LIVE)
        self.assertEqual(set(result["ratios"]["drain"]), RATIOS)
        self.assertEqual(set(result["ratios"]["live"]), RATIOS | LIVE_RATIOS)
        self.assertGreater(result["beside_flood"]["kept"], 0)
        bars = [e for e in tree.iter() if e.tag.endswith("rect")]
        self.assertEqual(len(bars), 1 + 2 * len(RATIOS) + len(LIVE_RATIOS))  # and the background
        self.assertEqual(len([e for e in tree.iter() if e.tag.endswith("polyline")]), 3)
        self.assertEqual(result["sweep"][0]["load_percent"], 5)
        self.assertEqual(result["sweep"][-1]["load_percent"], 150)

    def test_overhead_is_that_of_the_wire_format(self):
        result = measure("--setup", "drain", "--modes", "accept,mangle,naive,sign,verify", "--batch", "16")
        overhead = {m["mode"]: m["overhead_bytes"] for m in result["modes"]}
        self.assertEqual(overhead, {"accept": 0, "naive": 112, "mangle": 176, "sign": 176, "verify": 176})

    def test_ah_ipv6_two_queues_other_suite(self):
        names = {"mangle", "sign", "verify", "flood", "end-to-end"}
        result = measure("--protocol", "ah", "--ipv6", "--queues", "2", "--suite", "ed25519", "--node-size", "32",
                         "--size", "600", "--batch", "8", "--modes", ",".join(names))
        self.check_all(result, names - {"end-to-end"}, names)
        self.assertEqual(
            [result[key] for key in ("protocol", "ip_version", "suite", "node_size", "queues", "size")],
            ["ah", 6, "ed25519", 32, 2, 600])
        sign = next(m for m in result["modes"] if m["mode"] == "sign" and m["setup"] == "drain")
        self.assertEqual(sign["overhead_bytes"], 112 + 3 * 32)

    def test_it_leaves_the_machine_alone(self):
        def links():
            return subprocess.run(["ip", "-o", "link"], check=True, text=True, stdout=subprocess.PIPE,
                                  env=os.environ | {"PATH": f"{os.defpath}:{require.SBIN}"}).stdout

        before = links()
        measure("--modes", "accept", "--setup", "drain")
        self.assertEqual(links(), before)

    def test_a_wrong_command_line_is_refused(self):
        for words in (["--modes", "nonsense"], ["--batch", "0"], ["--queues", "17"], ["--size", "10"]):
            self.assertGreater(bench(*words).returncode, 100, words)
        done = bench("--modes", "end-to-end", "--setup", "drain")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--setup live", done.stderr)

    def test_without_root_it_says_so(self):
        nobody = 65534
        try:
            done = bench("--modes", "accept", user=nobody, group=nobody)
        except PermissionError:
            self.skipTest("the build directory is closed to others")
        self.assertEqual(done.returncode, 1)
        self.assertIn("needs root", done.stderr)


def main():
    global PROGRAM
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    PROGRAM = args.program
    require.root("nfq-bench makes network namespaces")
    require.programs("ip", "nft", "iptables", "ip6tables", "swtpm")
    tried = bench("--modes", "accept", "--setup", "drain", "--seconds", "0.05", "--rounds", "1")
    if "steering packets into a queue" in tried.stderr:
        require.missing(tried.stderr.strip(), "use a kernel with NFQUEUE")
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
