#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer as a service on both gateways, under the real kernel's ESP and AH, with nftables' own queue.
A stand-in serves the keys (tests/standin)."""

import socket
import tempfile
from pathlib import Path

import labtest
from labtest import HOST_B, WAN
from lablib import middle
from lablib.pcap import AH, ESP, UDP
import test_strongswan
from signertest import APPLY, HERE, MARKS, NATTED, SignerTest

# Options a packet passes by, and a fragment header that cuts nothing: what stands before ESP or AH on IPv6.
HEADERS = ("hop-by-hop", "destination", "routing")
NEXT_HEADER = {"hop-by-hop": 0, "routing": 43, "atomic": 44, "destination": 60}
PORT = 4510  # the translator's
WAN_A4, WAN_A6 = socket.inet_pton(socket.AF_INET, WAN[4]["a"]), socket.inet_pton(socket.AF_INET6, WAN[6]["a"])
# The kernel looks into UDP for ESP only where a socket asks it to. Ends when its standard input does.
UDP_ENCAP = """
use Socket;
socket(S, AF_INET, SOCK_DGRAM, 0) && setsockopt(S, 17, 100, pack("i", 2)) && bind(S, sockaddr_in(4500, INADDR_ANY)) or die $!;
print STDERR "open\\n";
<STDIN>;
"""
NO_DEFRAGMENTATION = "add table ip6 early; add chain ip6 early pre { type filter hook prerouting priority -450; }; add rule ip6 early pre notrack"


# As docs/OPERATIONS.md has it: the firewall's own file brings the rules back.
RELOAD = """
nfq-signer rules --nft > /etc/countersign.nft
printf 'flush ruleset\\ninclude "/etc/countersign.nft"\\n' > /etc/nftables.conf
nft -f /etc/nftables.conf
nfq-signer rules --nft --check
nfq-signer rules --tc --interface wan --check
"""


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

    def test_esp_in_udp_through_nat(self):
        middle.nat(self.lab, True)
        self.addCleanup(middle.nat, self.lab, False)
        self.on_both(self.open_udp_4500)
        self.tunnel(4, nat=NATTED)
        before = [self.packets(gateway, "inbound", "verified") for gateway in (self.gwa, self.gwb)]
        with self.wire("wanb") as seen:
            self.assertEqual(self.ping(self.hosta, HOST_B[4], count=5), 5)
        encapsulated = [p for p in seen if p.proto == UDP and 4500 in (p.sport, p.dport)]
        self.assertGreaterEqual(len(encapsulated), 10)
        self.assertFalse([p for p in seen if p.proto == ESP or bytes([192, 0, 2, 1]) in p.data[12:20]], "it did not pass NAT")
        self.assert_all_signed(seen, 10)
        after = [self.packets(gateway, "inbound", "verified") for gateway in (self.gwa, self.gwb)]
        self.assertTrue(all(now - then >= 5 for then, now in zip(before, after)), f"{before} {after}")

    def open_udp_4500(self, gateway):
        process = gateway.popen(["perl", "-e", UDP_ENCAP], stdin=-1, stderr=-1)
        self.addCleanup(process.communicate)  # closes its standard input
        labtest.await_line(process.stderr, b"open")

    def test_fragments_are_whole_again_before_they_are_verified(self):
        for version, proto in ((4, "ah"), (4, "esp"), (6, "ah"), (6, "esp")):
            with self.subTest(version=version, proto=proto):
                self.clear_ipsec()
                labtest.transport(self.lab, version, proto, **MARKS)
                before = self.packets(self.gwb, "inbound", "verified")
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.gwa, WAN[version]["b"], "-M", "dont", "-s", "2000"), 3)
                self.assertEqual(self.packets(self.gwb, "inbound", "verified") - before, 3)
                self.assertEqual(sum(is_fragment(p) for p in seen), 3 * 2 * 2, "they were not fragmented")
        # What nothing puts together is dropped, and said to be a fragment.
        self.gwb.run(["nft", NO_DEFRAGMENTATION])
        self.addCleanup(self.gwb.run, ["nft", "delete table ip6 early"])
        self.assertEqual(self.ping(self.gwa, WAN[6]["b"], "-s", "2000", count=1, wait=0.5), 0)
        self.assertEqual(self.packets(self.gwb, "inbound", "dropped", "fragment"), 2)

    def test_behind_extension_headers(self):
        self.on_both(lambda gateway: gateway.run(["sysctl", "-q", "-w", "net.ipv6.conf.all.seg6_enabled=1", "net.ipv6.conf.wan.seg6_enabled=1"]))
        for proto in ("esp", "ah"):
            with self.subTest(proto=proto):
                self.clear_ipsec()
                labtest.transport(self.lab, 6, proto, **MARKS)
                before = self.packets(self.gwb, "inbound", "verified")
                with self.wire("wanb") as seen:
                    self.assertEqual(self.answered_behind_headers(proto), [*HEADERS, "atomic"])
                self.assertEqual(headers_of_a(seen), set(NEXT_HEADER.values()))
                self.assertEqual(self.packets(self.gwb, "inbound", "verified") - before, 4)
                before = self.packets(self.gwb, "inbound", "dropped", "no_extension")
                self.gwa.run(["sh", "-c", "nft flush ruleset; tc qdisc del dev wan clsact"])  # what leaves is unsigned
                try:
                    with self.wire("wanb") as seen:
                        self.assertEqual(self.answered_behind_headers(proto), [])
                finally:
                    self.gwa.run(["sh", "-c", APPLY])
                self.assertEqual(headers_of_a(seen), set(NEXT_HEADER.values()))
                self.assertEqual(self.packets(self.gwb, "inbound", "dropped", "no_extension") - before, 4)

    def answered_behind_headers(self, proto):
        answered = self.gwa.run(["perl", f"{HERE}/extension_headers.pl", WAN[6]["b"]]).out.split()
        engine = middle.Hostile(self.lab)
        engine.start("atomic", proto=proto)
        try:
            return answered + ["atomic"] * self.ping(self.gwa, WAN[6]["b"], count=1, wait=0.5)
        finally:
            engine.stop()

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
        for _ in range(10):
            self.hosta.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1220", HOST_B[4]], check=False)
            if "mtu 1400" in (route := self.gwa.run(["ip", "route", "get", WAN[4]["b"]]).out):
                return
        self.fail(route)

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

    def test_offload_under_traffic_closes_until_it_is_gone(self):
        tunnel = self.tunnel(4)
        with self.wire("wana") as seen, self.traffic(self.hosta) as traffic:
            traffic.await_flow()
            self.gwa.run(["modprobe", "esp4_offload"])
            now = self.await_status(self.gwa, lambda now: now.get("state") == "closed", limit=2)
            self.assertIn("modprobe -r esp4_offload", now["reason"])
            silences = [traffic.assert_stands()]
            # New SAs are encrypted behind every hook.
            tunnel.renew(self.lab)
            silences.append(traffic.assert_stands())
            self.clear_states()
            self.gwa.run(["modprobe", "-r", "esp4_offload"])
            self.await_status(self.gwa, lambda now: now.get("state") == "open", limit=2)
            tunnel.renew(self.lab)
            traffic.await_flow()
        self.assertFalse(esp_of_a(seen, silences))
        self.assert_all_signed(seen, 20)
        self.assert_no_plaintext(seen)

    def test_strongswan_takes_the_marks(self):
        marks = self.gwa.run(["nfq-signer", "rules", "--swanctl"]).out
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["systemctl", "stop", "strongswan"]))
        self.on_both(lambda gateway: gateway.run(["sh", "-ec", RELOAD]))
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            test_strongswan.certificates(directory)
            peers = {"gwa": ("gwb", WAN[4]["b"]), "gwb": ("gwa", WAN[4]["a"])}
            self.on_both(lambda gateway: test_strongswan.start(gateway, peers[gateway.name][0], directory, peers[gateway.name][1], marks))
        with self.wire("wana") as seen:
            self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "30"])
            self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
            self.gwb.run(["nft", "flush", "ruleset"])  # what B has not verified finds no SA
            self.assert_silence(self.hosta, HOST_B[4])
            self.gwb.run(["nft", "-f", "/etc/nftables.conf"])
            self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
            self.gwa.run(["nft", "flush", "ruleset"])  # what A has not signed does not leave
            self.assert_silence(self.hosta, HOST_B[4])
            self.gwa.run(["nft", "-f", "/etc/nftables.conf"])
        self.assert_no_plaintext(seen)
        self.assert_all_signed([p for p in seen if p.proto == ESP], 12)  # IKE is on port 4500 too

    def clear_states(self):
        self.on_both(lambda gateway: labtest.ip(gateway, ["xfrm state flush"]))

    def test_it_runs_with_little(self):
        pid = self.gwa.run(["systemctl", "show", "-P", "MainPID", "nfq-signer"]).out.strip()
        told = dict(line.split(":\t") for line in self.gwa.run(["cat", f"/proc/{pid}/status"]).out.splitlines() if ":\t" in line)
        self.assertEqual(int(told["CapPrm"], 16), 1 << 12, "CAP_NET_ADMIN alone")
        self.assertEqual(told["NoNewPrivs"], "1")
        self.assertEqual(told["Seccomp"], "2")
        self.assertNotEqual(told["Uid"].split()[0], "0")
        done = self.gwa.run(["nfq-signer", "run"], check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("running as root", done.err)


def esp_of_a(seen, times):
    """What gateway A sent meanwhile."""
    return [p for p in seen if p.proto == ESP and p.data[12:16] == WAN_A4 and any(begin < p.time < end for begin, end in times)]


def headers_of_a(seen):
    """The extension headers A's packets begin with."""
    return {p.proto for p in seen if p.version == 6 and p.data[8:24] == WAN_A6} - {50, 51, 58}


def is_fragment(packet):
    if packet.version == 6:
        return packet.proto == NEXT_HEADER["atomic"]
    return bool(int.from_bytes(packet.data[6:8], "big") & 0x3FFF)


if __name__ == "__main__":
    labtest.main()
