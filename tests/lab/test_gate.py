#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate before real ESP and AH: what gateway A lets out, the middle sees; what it lets in, its SAs count."""

import json
import os
from pathlib import Path

import labtest
from labtest import HOST_B, WAN
from lablib.pcap import AH, ESP

PROGRAM = "/usr/local/bin/countersign"
PEER = f"b={WAN[4]['b']},{WAN[6]['b']}"


class GateTest(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        build = Path(os.environ.get("CS_BUILD", Path(__file__).resolve().parents[2] / "build/dev"))
        labtest.push_programs(cls.gwa, [build / "tools/countersign"], "/usr/local/bin")

    def setUp(self):
        self.addCleanup(self.clear_ipsec)
        self.addCleanup(self.gate, "remove")

    def gate(self, *arguments):
        return self.gwa.run([PROGRAM, "gate", *arguments]).out

    def counters(self):
        return json.loads(self.gate("show", "--json"))["peers"][0]["counters"]

    def decrypted(self, at):
        """What the SA for gateway A has taken."""
        sas = json.loads(self.gwa.run([PROGRAM, "xfrm", "show", "--json"]).out)["sas"]
        return sum(sa["usage"]["packets"] for sa in sas if sa["destination"] == at)

    def tried(self, kind, tunnel, ping_out, ping_in):
        proto, wan = tunnel.proto, WAN[tunnel.version]
        open_to = ["open", "b", "--without-attestation", "--sa"]
        self.assertIn(f"by {kind}", self.gate("set-up", f"--{kind}", "--peer", PEER))
        with self.wire("wana") as seen:
            self.assert_silence(*ping_out)
        self.assertEqual([p for p in seen if p.proto in (ESP, AH)], [], "IPsec left a closed gate")
        self.assert_silence(*ping_in)
        self.gate(*open_to, f"{wan['b']}/{proto}/{tunnel.spi + 1:#x}")
        self.assert_silence(*ping_out)
        self.assert_silence(*ping_in)
        self.assertEqual(self.decrypted(wan["a"]), 0, "an SA of A took a packet that the gate should have dropped")
        counters = self.counters()
        for way in ("in", "out"):
            for reason in ("closed", "unknown"):
                self.assertGreater(counters[way][reason]["packets"], 0, f"{way} {reason}")
            self.assertEqual(counters[way]["passed"]["packets"], 0)
        self.gate(*open_to, f"{wan['b']}/{proto}/{tunnel.spi:#x}", "--sa", f"{wan['a']}/{proto}/{tunnel.spi + 0x1000:#x}")
        self.assertEqual(self.ping(*ping_out), 3)
        self.assertGreaterEqual(self.decrypted(wan["a"]), 3)

    def test_an_esp_tunnel_by_nft(self):
        self.tried("nft", labtest.esp_tunnel(self.lab, 4), (self.hosta, HOST_B[4]), (self.hostb, "10.1.0.2"))

    def test_a_killed_keeper_leaves_it_closed(self):
        labtest.esp_tunnel(self.lab, 4)
        keeper = self.gwa.popen([PROGRAM, "gate", "set-up", "--peer", PEER, "--keep"], stdout=-1)
        labtest.await_line(keeper.stdout, b"closed")
        self.gwa.run(["nft", "flush", "ruleset"])
        labtest.await_line(keeper.stdout, b"is back: closed")
        self.gwa.run(["sh", "-c", "kill -9 $(pidof countersign)"])
        keeper.communicate(timeout=10)
        with self.wire("wana") as seen:
            self.assert_silence(self.hosta, HOST_B[4])
        self.assertEqual([p for p in seen if p.proto in (ESP, AH)], [])

    def test_what_nobody_admitted_is_held_by_nft(self):
        labtest.esp_tunnel(self.lab, 4)
        self.gate("set-up", "--nft", "--peer", PEER, "--hold", "9")
        self.gate("open", "b", "--without-attestation", "--sa", f"{WAN[4]['b']}/esp/0x1")
        with self.wire("wana") as seen:
            self.assert_silence(self.hosta, HOST_B[4])
        self.assertEqual([p for p in seen if p.proto in (ESP, AH)], [], "held, and nobody listens")
        self.assertGreater(self.counters()["out"]["held"]["packets"], 0)

    def test_ah_by_nft_ipv6(self):
        self.tried("nft", labtest.transport(self.lab, 6, "ah"), (self.gwa, WAN[6]["b"]), (self.gwb, WAN[6]["a"]))

    def test_an_esp_tunnel_by_iptables_ipv6(self):
        self.tried("iptables", labtest.esp_tunnel(self.lab, 6), (self.hosta, HOST_B[6]), (self.hostb, "2001:db8:a::2"))


if __name__ == "__main__":
    labtest.main()
