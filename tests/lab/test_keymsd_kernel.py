#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""keymsd's part for the kernel's IPsec, on two real kernels: strongSwan's SAs pass when both gateways have them alike, and only then.

The session between the two is played here: what one probe says is given to the other.
"""

import json
import os
import secrets
import tempfile
import threading
import time
from pathlib import Path

import labtest
from labtest import HOST_B, LAN, WAN
from test_strongswan import certificates, start

BUILD = Path(os.environ.get("CS_BUILD", Path(__file__).resolve().parents[2] / "build/dev"))
PROBE = "/usr/local/bin/cs-kernel-probe"
VICI = "/run/charon.vici"

POLICY = """\
name = "lab"
[gateways.gwa]
attestation_key = "000b{a}"
addresses = ["{wan_a}"]
keymsd = "{wan_a}:4739"
[gateways.gwb]
attestation_key = "000b{b}"
addresses = ["{wan_b}"]
[tunnels.net]
traffic.gwa = ["{lan_a}"]
traffic.gwb = ["{lan_b}"]
proposals = ["aes256gcm16"]
inbound_mark = "none"
output_mark = "none"
"""


class Probe:
    """One gateway's: what it has told, and a way to tell it something."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.relay = lambda line: None
        self.told, self.news = [], threading.Condition()
        self.process = gateway.popen([PROBE, gateway.name, "/run/policy.toml", VICI], limit=120, stdin=-1, stdout=-1, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for text in self.process.stdout:
            line = json.loads(text)
            if line["event"] in ("sas", "gone"):
                self.relay({"do": line["event"], "sas": line["sas"]})
            with self.news:
                self.told.append(line)
                self.news.notify_all()

    def tell(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def lines(self, event):
        return [line for line in self.told if line["event"] == event]

    def wait_for(self, event, limit=10, but=0):
        """The newest line of that event, when there are more than `but`."""
        with self.news:
            if not self.news.wait_for(lambda: len(self.lines(event)) > but, limit):
                raise AssertionError(f"{self.gateway.name}: no {event} within {limit} s: {self.told[-5:]}")
            return self.lines(event)[-1]

    def look(self):
        before = len(self.lines("view"))
        self.tell(do="look")
        return self.wait_for("view", but=before)

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.reader.join(10)
        self.process.stdout.close()


class KernelWatch(labtest.LabTest):
    def setUp(self):
        self.addCleanup(self.clear_ipsec)
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["nft", "flush", "ruleset"], check=False))
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["systemctl", "stop", "strongswan"]))
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            (directory / "policy.toml").write_text(POLICY.format(
                a="a1" * 32, b="b2" * 32, wan_a=WAN[4]["a"], wan_b=WAN[4]["b"], lan_a=LAN[4]["a"], lan_b=LAN[4]["b"]))
            certificates(directory)

            def prepare(gateway):
                peer = "gwb" if gateway is self.gwa else "gwa"
                labtest.push_programs(gateway, [BUILD / "tests/lab/probe/cs-kernel-probe"], "/usr/local/bin")
                gateway.push([directory / "policy.toml"], "/run")
                start(gateway, peer, directory, WAN[4][peer[-1]], "start_action = trap")

            self.on_both(prepare)
        self.a, self.b = self.on_both(Probe)
        for probe in (self.a, self.b):
            self.addCleanup(probe.end)
            probe.wait_for("began", 15)
        self.connect()

    def connect(self, change=lambda line: line):
        """What A says reaches B as it is; what B says, after `change`."""
        self.a.relay = lambda line: self.b.tell(**line)
        self.b.relay = lambda line: self.a.tell(**change(line))

    def grant(self):
        session = secrets.token_hex(32)
        for probe, role in ((self.a, "initiator"), (self.b, "responder")):
            probe.tell(do="stand", standing="granted")
            probe.tell(do="begin", session=session, role=role)

    def await_views(self, what, so, limit=8):
        deadline = time.monotonic() + limit
        while not all(so(probe.look()) for probe in (self.a, self.b)):
            self.assertLess(time.monotonic(), deadline, f"{what}: {self.a.look()}, {self.b.look()}")
            time.sleep(0.2)

    def await_admitted(self):
        self.await_views("not admitted", lambda view: view["sas"] >= 2 and view["passages"] == view["sas"])

    def breaches(self, probe):
        return [one for one in probe.wait_for("drift")["all"] if one["severity"] == "breach"]

    def test_the_life_of_a_pairs_sas(self):
        self.nothing_passes_before_the_grant()
        self.grant()
        self.await_admitted()
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
        self.a_rekey_under_ping_loses_nothing()
        self.assertEqual([self.breaches(probe) for probe in (self.a, self.b)], [[], []])
        self.a_thiefs_sa_does_not_pass()
        self.cut_and_back()
        self.assertEqual([probe.lines("trouble") for probe in (self.a, self.b)], [[], []])

    def nothing_passes_before_the_grant(self):
        self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "20"])
        self.assert_silence(self.hosta, HOST_B[4])
        self.await_views("no SAs", lambda view: view["sas"] == 2)
        self.assertEqual(self.a.look()["opening"], "closed")

    def a_rekey_under_ping_loses_nothing(self):
        ping = self.hosta.popen(["ping", "-n", "-q", "-i", "0.05", "-c", "80", "-W", "3", HOST_B[4]], stdout=-1, text=True)
        time.sleep(0.5)
        self.gwa.run(["swanctl", "--rekey", "--child", "net"])
        out, _ = ping.communicate(timeout=30)
        self.assertIn("80 packets transmitted, 80 received", out)
        self.assertEqual(len({sa["spi"] for line in self.a.lines("sas") for sa in line["sas"]}), 4, "it was rekeyed")
        view = self.a.look()
        print(f"rekeyed under ping: {view}, {self.b.look()}")

    def a_thiefs_sa_does_not_pass(self):
        """Gateway B negotiated as ever; but what A hears of its SAs is not of these keys, as if somebody else had them."""
        def somebody_elses(line):
            return {**line, "sas": [{**sa, "value": secrets.token_hex(32)} if "value" in sa else sa for sa in line["sas"]]}

        self.connect(somebody_elses)
        self.gwa.run(["swanctl", "--rekey", "--child", "net"])
        told = self.a.wait_for("disagree")
        self.assertIn("somebody else negotiated it", told["sentence"])
        time.sleep(1)
        self.assert_silence(self.hosta, HOST_B[4])
        self.connect()

    def cut_and_back(self):
        self.b.tell(do="stand", standing="closed")
        self.a.tell(do="stand", standing="closed")
        self.await_views("SAs are left", lambda view: view["sas"] == 0)
        self.assertEqual(self.on_both(lambda gateway: gateway.run(["swanctl", "--list-sas"]).out), ["", ""])
        self.assert_silence(self.hosta, HOST_B[4])
        self.grant()
        self.ping(self.hosta, HOST_B[4], count=2, wait=5)  # traffic has them negotiated again
        self.await_admitted()
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)


if __name__ == "__main__":
    labtest.main()
