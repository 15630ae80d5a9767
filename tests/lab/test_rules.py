#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of `nfq-signer rules` under real kernel IPsec. No engine runs: what is steered is lost."""

import json
import os
from pathlib import Path

import labtest
from labtest import HOST_B, WAN
from lablib.paths import REPO
from lablib.pcap import ESP, UDP

PROGRAM = "/usr/local/sbin/nfq-signer"
# The connections too: one masqueraded ESP packet makes the kernel send the answers of the tunnel to its host.
CLEAR = """
printf 'xfrm state flush\nxfrm policy flush\n' | ip -batch -
nft flush ruleset
conntrack -F 2>&1
tc qdisc del dev wan clsact 2>&1
true
"""
# What the engine's verdicts would do, done by rules of somebody else.
STAND_IN = """
table inet standin {
  chain out {
    type filter hook postrouting priority 200
    rt ipsec missing meta l4proto esp meta mark set meta mark | 0x30000
  }
  chain in {
    type filter hook input priority -200
    meta l4proto esp meta mark set meta mark | 0x10000
  }
}
"""
# Sends one packet of `protocol`, its payload a number in hex, to an address; the kernel makes the header.
SEND = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
socket.socket(family, socket.SOCK_RAW, int(sys.argv[1])).sendto(bytes.fromhex(sys.argv[3]), (sys.argv[2], 0))
"""
FOREIGN_ESP = "12345678" "00000001" + "ab" * 40
# UDP from and to 4500, 8 + 24 bytes, no checksum; then an SPI.
FOREIGN_UDP = "1194" "1194" "0020" "0000" "12345678" "00000001" + "ab" * 16


class Rules(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        build = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
        cls.on_both(lambda gateway: labtest.push_programs(gateway, [build / "nfq-signer/nfq-signer"], "/usr/local/sbin"))

    def setUp(self):
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["sh", "-c", CLEAR]))

    def rules(self, gateway, *lines, check=True):
        """`nfq-signer rules` with each of the lines, in order; the first that fails ends it."""
        return gateway.run(["sh", "-ec", "\n".join(f"{PROGRAM} rules {line}" for line in lines)], check=check)

    def steered(self, gateway, direction):
        """How many packets the rules sent to the queue."""
        listed = json.loads(gateway.run(["nft", "-j", "list", "counter", "inet", "countersign", direction]).out)
        return next(entry["counter"]["packets"] for entry in listed["nftables"] if "counter" in entry)

    def xfrm_counter(self, gateway, name):
        lines = gateway.run(["cat", "/proc/net/xfrm_stat"]).out.splitlines()
        return int(dict(line.split() for line in lines)[name])

    def esp_on_wire(self):
        """How many ESP packets leave gateway A while hosta pings; nothing may be answered."""
        with self.wire("wana") as seen:
            self.assert_silence(self.hosta, HOST_B[4])
        self.assert_no_plaintext(seen)
        return sum(p.proto == ESP for p in seen)

    def test_this_kernel_takes_all_of_it(self):
        said = self.rules(self.gwa, "--interface wan").out
        for kind in ("nft", "iptables", "tc"):
            self.assertIn(f"{kind}: works here; not in place", said)

    def test_nft_without_engine_nothing_leaves_and_removal_restores(self):
        for version in (4, 6):
            labtest.esp_tunnel(self.lab, version)
            self.assertEqual(self.ping(self.hosta, HOST_B[version]), 3)
        for queues in ("1", "4"):
            self.rules(self.gwa, f"--nft --apply --queues {queues}", "--nft --check")
            with self.wire("wana") as seen:
                for number, version in enumerate((4, 6), start=1):
                    with self.subTest(version=version, queues=queues):
                        self.assert_silence(self.hosta, HOST_B[version])
                        # Once each: the plaintext before it was encrypted is not counted.
                        self.assertEqual(self.steered(self.gwa, "outbound"), number)
            self.assertFalse([p for p in seen if p.proto == ESP], "unsigned ESP left the gateway")
        self.assertIn("jhash esp spi mod 4", self.gwa.run(["nft", "list", "ruleset"]).out)
        self.rules(self.gwa, "--nft --remove", "--nft --remove")
        self.assertEqual(self.gwa.run(["nft", "list", "ruleset"]).out, "")
        for version in (4, 6):
            self.assertEqual(self.ping(self.hosta, HOST_B[version]), 3)

    def test_nft_without_engine_nothing_is_accepted(self):
        self.rules(self.gwb, "--nft --apply")
        for number, version in enumerate((4, 6), start=1):
            labtest.esp_tunnel(self.lab, version)
            self.assert_silence(self.hosta, HOST_B[version])
            self.assertEqual(self.steered(self.gwb, "inbound"), number)

    def test_nft_steers_ah(self):
        for version in (4, 6):
            labtest.transport(self.lab, version, "ah")
            self.assertEqual(self.ping(self.gwa, WAN[version]["b"]), 3)
        for gateway, direction in ((self.gwa, "outbound"), (self.gwb, "inbound")):
            self.rules(gateway, "--nft --apply")
            before = 0
            for version in (4, 6):
                with self.subTest(version=version, direction=direction):
                    self.assert_silence(self.gwa, WAN[version]["b"])
                    steered = self.steered(gateway, direction)
                    self.assertGreater(steered, before)
                    before = steered
            self.rules(gateway, "--nft --remove")

    def test_iptables_the_same(self):
        labtest.esp_tunnel(self.lab, 4)
        for gateway in (self.gwa, self.gwb):
            self.rules(gateway, "--iptables --apply", "--iptables --apply")
            self.assert_silence(self.hosta, HOST_B[4])
            self.rules(gateway, "--iptables --remove")
            self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)

    def test_ipsec_of_hosts_behind_us_is_not_ours(self):
        labtest.esp_tunnel(self.lab, 4)
        self.rules(self.gwa, "--nft --apply")
        # In the tunnel: the outer packet alone.
        self.hosta.run(["python3", "-c", SEND, "50", HOST_B[4], FOREIGN_ESP])
        self.assertEqual(self.steered(self.gwa, "outbound"), 1)
        # Beside it, masqueraded: from our address and port, and yet not ours.
        self.gwa.run(["nft", "add table ip masq; add chain ip masq post { type nat hook postrouting priority srcnat; }; "
                             "add rule ip masq post oifname wan masquerade"])
        with self.wire("wana") as seen:
            for protocol, payload in (("50", FOREIGN_ESP), ("17", FOREIGN_UDP)):
                self.hosta.run(["python3", "-c", SEND, protocol, WAN[4]["b"], payload])
        passed = [p for p in seen if p.proto in (ESP, UDP) and bytes.fromhex("12345678") in p.data]
        self.assertEqual(len(passed), 2)
        self.assertEqual({p.data[12:16] for p in passed}, {bytes([192, 0, 2, 1])}, "the test wants them masqueraded")
        self.assertEqual(self.steered(self.gwa, "outbound"), 1)

    def test_marks_hold_when_the_rules_are_flushed(self):
        labtest.esp_tunnel(self.lab, 4, inbound="mark 0x10000 mask 0x10000", outbound="output-mark 0x20000 mask 0x30000")
        lines = [f"{kind} --interface wan {action}" for kind in ("--nft", "--tc") for action in ("--apply", "--apply", "--check")]

        def without_steering(gateway):
            self.rules(gateway, *lines)
            gateway.run(["nft", "flush", "ruleset"])
            self.assertEqual(self.rules(gateway, "--nft --check", check=False).code, 1)
        self.on_both(without_steering)
        self.assertEqual(self.esp_on_wire(), 0, "unsigned ESP left a gateway without rules")
        # Without the filter they leave, and are not accepted.
        self.rules(self.gwa, "--tc --interface wan --remove", "--tc --interface wan --remove")
        self.assertEqual(self.rules(self.gwa, "--tc --interface wan --check", check=False).code, 1)
        before = self.xfrm_counter(self.gwb, "XfrmInNoStates")
        self.assertEqual(self.esp_on_wire(), 1)
        self.assertEqual(self.xfrm_counter(self.gwb, "XfrmInNoStates") - before, 1)
        # It is the marks and nothing else: with those of the verdicts it all passes.
        self.rules(self.gwa, "--tc --interface wan --apply")
        self.on_both(lambda gateway: gateway.run(["nft", STAND_IN]))
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)


if __name__ == "__main__":
    labtest.main()
