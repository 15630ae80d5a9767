#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer as a service on both gateways, under the real kernel's ESP and AH, with nftables' own queue.
A stand-in serves the keys (tests/standin)."""

import json
import os
import secrets
import tempfile
import time
from pathlib import Path

import labtest
from labtest import HOST_B, WAN
from lablib.paths import REPO
from lablib.pcap import AH, ESP, UDP

BUILD = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
SCENARIO = "/run/countersign/scenario.json"
CONTROL = "/run/countersign/nfq-signer/control"
CONFIG = "/etc/countersign/nfq-signer.toml"
PORT = 4510  # the translator's
INBOUND_MARK = "mark 0x10000 mask 0x10000"
OUTPUT_MARK = "output-mark 0x20000 mask 0x30000"
SET_UP = """
set -e
for user in keymsd nfq-signer; do
  id -u $user > /dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin $user
done
install -d -o keymsd /run/countersign/keymsd
install -d /etc/countersign
cp /usr/local/share/nfq-signer.toml /etc/countersign/
install -m 0600 -o keymsd /dev/null {scenario}
mkdir -p /etc/systemd/system && cp /usr/local/share/nfq-signer.service /etc/systemd/system/
systemctl daemon-reload
"""
STAND_IN = ("systemctl stop nfq-signer keymsd 2>/dev/null; systemctl reset-failed keymsd 2>/dev/null; exec systemd-run --quiet --unit=keymsd --uid=keymsd --gid=nfq-signer /usr/local/sbin/cs-standin-keymsd "
            "--socket /run/countersign/keymsd/data-plane --scenario {scenario} --uid $(id -u nfq-signer)")


def a_key(number, direction, addresses):
    return {"key": number, "session": secrets.token_hex(32), "pcr_digest": secrets.token_hex(32), "direction": direction,
            "suite": 1, "gate_secret": secrets.token_hex(16), "lanes": [0, 15], "lifetime_ms": 3600000,
            "private_key": "00" + secrets.token_hex(31)}


class Signer(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        there, back = a_key(1, 0, None), a_key(2, 1, None)
        for gateway, other, outbound, inbound in ((cls.gwa, "b", there, back), (cls.gwb, "a", back, there)):
            gateway.push([BUILD / "nfq-signer/nfq-signer", BUILD / "tests/standin/cs-standin-keymsd"], "/usr/local/sbin")
            gateway.push([REPO / "nfq-signer/nfq-signer.toml", BUILD / "nfq-signer/nfq-signer.service"], "/usr/local/share")
            gateway.run(["sh", "-c", SET_UP.format(scenario=SCENARIO)])
            peer = {"id": 1, "mode": "enforce", "addresses": [WAN[4][other], WAN[6][other]], "outbound": [outbound], "inbound": [inbound]}
            with tempfile.TemporaryFile() as file:
                file.write(json.dumps({"peers": [peer]}).encode())
                file.seek(0)
                gateway.run(["sh", "-c", f"cat > {SCENARIO}"], stdin=file)
            gateway.run(["sh", "-c", STAND_IN.format(scenario=SCENARIO)])

    def setUp(self):
        self.addCleanup(self.clear)
        self.clear_ipsec()
        for gateway in (self.gwa, self.gwb):
            gateway.run(["systemctl", "start", "nfq-signer"])
            gateway.run(["nfq-signer", "rules", "--nft", "--apply"])
            gateway.run(["nfq-signer", "rules", "--tc", "--apply", "--interface", "wan"])
            self.await_keys(gateway)

    def clear(self):
        for gateway in (self.gwa, self.gwb):
            gateway.run(["sh", "-c", "systemctl stop nfq-signer; ip xfrm state flush; ip xfrm policy flush; nft flush ruleset; "
                                     "tc qdisc del dev wan clsact 2>&1; true"])

    def status(self, gateway):
        return json.loads(gateway.run(["nc", "-N", "-U", CONTROL]).out)

    def await_keys(self, gateway):
        deadline = time.monotonic() + 20
        while self.status(gateway)["keys"] != {"outbound": 1, "inbound": 1}:
            self.assertLess(time.monotonic(), deadline, self.status(gateway))
            time.sleep(0.2)

    def packets(self, gateway, direction, name):
        return sum(w["packets"][name] for w in self.status(gateway)["workers"] if w["direction"] == direction)

    def tunnel(self, version):
        labtest.esp_tunnel(self.lab, version, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)

    def test_esp_is_signed_and_comes_through(self):
        for version in (4, 6):
            with self.subTest(version=version):
                self.tunnel(version)
                before = self.packets(self.gwb, "inbound", "verified")
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.hosta, HOST_B[version], count=5), 5)
                self.assert_protocols(seen, version, ESP, 10)
                self.assert_no_plaintext(seen)
                self.assertGreaterEqual(self.packets(self.gwb, "inbound", "verified") - before, 5)
                for gateway in (self.gwa, self.gwb):
                    self.assertGreaterEqual(self.packets(gateway, "outbound", "signed"), 5)

    def test_ah_is_signed_and_comes_through(self):
        for version in (4, 6):
            with self.subTest(version=version):
                labtest.ah_transport(self.lab, version, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.gwa, WAN[version]["b"], count=5), 5)
                self.assert_protocols(seen, version, AH, 10)

    def test_where_ipsec_is_dropped_the_translator_takes_it_through(self):
        drop = [("iptables", "-p", "esp"), ("iptables", "-p", "ah"), ("ip6tables", "-p", "esp"), ("ip6tables", "-m", "ah")]
        for tool, *match in drop:
            self.mid.run([tool, "-I", "FORWARD", *match, "-j", "DROP"])
            self.addCleanup(self.mid.run, [tool, "-D", "FORWARD", *match, "-j", "DROP"])
        self.tunnel(4)
        self.assert_silence(self.hosta, HOST_B[4])
        for gateway in (self.gwa, self.gwb):
            gateway.run(["sh", "-c", f"printf '[translator]\nport = {PORT}\n' >> {CONFIG}; systemctl restart nfq-signer"])
            self.addCleanup(gateway.run, ["cp", "/usr/local/share/nfq-signer.toml", CONFIG])
            gateway.run(["nfq-signer", "rules", "--nft", "--apply", "--translator-port", str(PORT)])
            self.await_service(gateway)
        self.tunnel(6)
        with self.wire("wana") as seen:
            for version in (4, 6):
                self.assertEqual(self.ping(self.hosta, HOST_B[version]), 3)
            self.path_mtu_is_learned()
            self.clear_ipsec()
            labtest.ah_transport(self.lab, 6, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)
            self.assertEqual(self.ping(self.gwa, WAN[6]["b"]), 3)
        self.assert_protocols(seen, 4, UDP, 6)
        self.assert_protocols(seen, 6, UDP, 12)
        self.assertFalse([p for p in seen if p.proto in (ESP, AH)])
        self.assert_no_plaintext([p for p in seen if p.proto != UDP])

    def path_mtu_is_learned(self):
        """By a signed packet, in UDP, that is too long for the middle."""
        self.addCleanup(self.gwa.run, ["ip", "route", "flush", "cache"])
        self.addCleanup(self.mid.run, ["ip", "link", "set", "wanb", "mtu", "1500"])
        self.mid.run(["ip", "link", "set", "wanb", "mtu", "1400"])
        self.hosta.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1220", HOST_B[4]], check=False)
        self.assertIn("mtu 1400", self.gwa.run(["ip", "route", "get", WAN[4]["b"]]).out)

    def test_killed_stopped_and_flushed_it_stays_closed_and_comes_back(self):
        self.tunnel(4)
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
        self.gwa.run(["systemctl", "kill", "-s", "STOP", "nfq-signer"])
        self.assert_silence(self.hosta, HOST_B[4])
        self.gwa.run(["systemctl", "kill", "-s", "CONT", "nfq-signer"])
        self.gwa.run(["systemctl", "kill", "-s", "KILL", "nfq-signer"])  # systemd starts it anew
        self.await_service(self.gwa)
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
        # Rules gone on both: what is not signed does not leave, and what is not verified finds no SA.
        for gateway in (self.gwa, self.gwb):
            with self.wire("wana") as seen:
                gateway.run(["nft", "flush", "ruleset"])
                self.assert_silence(self.hosta, HOST_B[4])
                if gateway is self.gwa:
                    self.assertFalse([p for p in seen if p.proto == ESP])
            gateway.run(["nfq-signer", "rules", "--nft", "--apply"])
            self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)

    def await_service(self, gateway):
        deadline = time.monotonic() + 20
        while gateway.run(["nc", "-N", "-U", CONTROL], check=False).code != 0:
            self.assertLess(time.monotonic(), deadline, "it does not come back")
            time.sleep(0.3)
        self.await_keys(gateway)

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
        self.addCleanup(lambda: self.gwa.run(["modprobe", "-r", "esp4_offload"]))
        deadline = time.monotonic() + 10
        while self.status(self.gwa)["state"] != "closed":
            self.assertLess(time.monotonic(), deadline, "it does not notice esp4_offload")
            time.sleep(0.3)
        self.assertIn("modprobe -r esp4_offload", self.status(self.gwa)["reason"])


if __name__ == "__main__":
    labtest.main()
