#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer as a service on both gateways, under the real kernel's ESP and AH, with nftables' own queue.
A stand-in serves the keys (tests/standin)."""

import socket

import labtest
from labtest import HOST_B, WAN
from lablib.pcap import AH, ESP, UDP
from signertest import APPLY, HERE, MARKS, SignerTest

PORT = 4510  # the translator's
WAN_A4 = socket.inet_pton(socket.AF_INET, WAN[4]["a"])


class Signer(SignerTest):
    def test_esp_is_signed_and_comes_through(self):
        for version in (4, 6):
            with self.subTest(version=version):
                self.tunnel(version)
                before = self.packets(self.gwb, "inbound", "verified")
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.hosta, HOST_B[version], count=5), 5)
                self.assert_protocols(seen, version, ESP, 10)
                self.assert_no_plaintext(seen)
                self.assert_all_signed(seen, 10)
                self.assertGreaterEqual(self.packets(self.gwb, "inbound", "verified") - before, 5)
                for gateway in (self.gwa, self.gwb):
                    self.assertGreaterEqual(self.packets(gateway, "outbound", "signed"), 5)

    def test_ah_is_signed_and_comes_through(self):
        for version in (4, 6):
            with self.subTest(version=version):
                labtest.transport(self.lab, version, "ah", **MARKS)
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.gwa, WAN[version]["b"], count=5), 5)
                self.assert_protocols(seen, version, AH, 10)
                self.assert_all_signed(seen, 10)

    def test_where_ipsec_is_dropped_the_translator_takes_it_through(self):
        drop = [("iptables", "-p", "esp"), ("iptables", "-p", "ah"), ("ip6tables", "-p", "esp"), ("ip6tables", "-m", "ah")]
        for tool, *match in drop:
            self.mid.run([tool, "-I", "FORWARD", *match, "-j", "DROP"])
            self.addCleanup(self.mid.run, [tool, "-D", "FORWARD", *match, "-j", "DROP"])
        self.tunnel(4)
        self.assert_silence(self.hosta, HOST_B[4])
        self.addCleanup(self.restart_both, f"install -t /etc/countersign {HERE}/nfq-signer.toml", APPLY)
        self.restart_both(f"printf '[translator]\\nport = {PORT}\\n' >> /etc/countersign/nfq-signer.toml",
                          f"nfq-signer rules --nft --apply --translator-port {PORT}")
        self.tunnel(6)
        with self.wire("wana") as seen:
            for version in (4, 6):
                self.assertEqual(self.ping(self.hosta, HOST_B[version]), 3)
            self.path_mtu_is_learned()
            self.clear_ipsec()
            labtest.transport(self.lab, 6, "ah", **MARKS)
            self.assertEqual(self.ping(self.gwa, WAN[6]["b"]), 3)
        self.assert_protocols(seen, 4, UDP, 6)
        self.assert_protocols(seen, 6, UDP, 12)
        self.assertFalse([p for p in seen if p.proto in (ESP, AH)])
        self.assert_no_plaintext([p for p in seen if p.proto != UDP])

    def restart_both(self, before, after):
        def restart(gateway):
            gateway.run(["sh", "-ec", f"{before}; systemctl restart nfq-signer; {after}"])
            self.await_keys(gateway)
        self.on_both(restart)

    def path_mtu_is_learned(self):
        """By a signed packet, in UDP, that is too long for the middle."""
        self.addCleanup(self.gwa.run, ["ip", "route", "flush", "cache"])
        self.addCleanup(self.mid.run, ["ip", "link", "set", "wanb", "mtu", "1500"])
        self.mid.run(["ip", "link", "set", "wanb", "mtu", "1400"])
        self.hosta.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1220", HOST_B[4]], check=False)
        self.assertIn("mtu 1400", self.gwa.run(["ip", "route", "get", WAN[4]["b"]]).out)

    def test_killed_stopped_and_flushed_under_traffic(self):
        self.tunnel(4)
        with self.wire("wana") as seen, self.traffic(self.hosta) as traffic:
            traffic.await_flow()
            self.gwa.run(["systemctl", "kill", "-s", "STOP", "nfq-signer"])
            silences = [traffic.assert_stands()]
            self.gwa.run(["systemctl", "kill", "-s", "CONT", "nfq-signer"])
            traffic.await_flow()
            self.gwa.run(["systemctl", "kill", "-s", "KILL", "nfq-signer"])  # systemd starts it anew
            traffic.await_flow()
            self.gwa.run(["nft", "flush", "ruleset"])
            silences.append(traffic.assert_stands())
            self.gwa.run(["sh", "-c", APPLY])
            traffic.await_flow()
            # What B has not verified finds no SA.
            self.gwb.run(["nft", "flush", "ruleset"])
            traffic.assert_stands()
            self.gwb.run(["sh", "-c", APPLY])
            traffic.await_flow()
        self.assertFalse(esp_of_a(seen, silences))
        self.assert_all_signed(seen, 100)
        self.assert_no_plaintext(seen)

    def test_it_runs_with_little_and_says_what_is_wrong(self):
        pid = self.gwa.run(["systemctl", "show", "-P", "MainPID", "nfq-signer"]).out.strip()
        told = dict(line.split(":\t") for line in self.gwa.run(["cat", f"/proc/{pid}/status"]).out.splitlines() if ":\t" in line)
        self.assertEqual(int(told["CapPrm"], 16), 1 << 12, "CAP_NET_ADMIN alone")
        self.assertEqual(told["NoNewPrivs"], "1")
        self.assertEqual(told["Seccomp"], "2")
        self.assertNotEqual(told["Uid"].split()[0], "0")
        done = self.gwa.run(["nfq-signer", "run"], check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("running as root", done.err)
        self.gwa.run(["modprobe", "esp4_offload"])
        self.addCleanup(self.gwa.run, ["modprobe", "-r", "esp4_offload"])
        now = self.await_status(self.gwa, lambda now: now.get("state") == "closed", limit=10)
        self.assertIn("modprobe -r esp4_offload", now["reason"])


def esp_of_a(seen, times):
    """What gateway A sent meanwhile."""
    return [p for p in seen if p.proto == ESP and p.data[12:16] == WAN_A4 and any(begin < p.time < end for begin, end in times)]


if __name__ == "__main__":
    labtest.main()
