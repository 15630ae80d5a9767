#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two gateways agreed and what their kernels do: equal when strongSwan or ip keeps to it, told in words when tampered with."""

import json
import os
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import labtest
from labtest import LAN, WAN
from lablib import middle
from test_strongswan import certificates, start

BUILD = Path(os.environ.get("CS_BUILD", Path(__file__).resolve().parents[2] / "build/dev"))
PROBE = "/usr/local/bin/cs-xfrm-probe"
SIDE = {"gwa": "left", "gwb": "right"}
NO_MARK = [0, 0]
UNMARKED = {"inbound_mark": NO_MARK, "output_mark": NO_MARK}
INBOUND = "mark 0x10000 mask 0x10000"
OUTBOUND = "output-mark 0x20000 mask 0x30000"


def tunnel(version=4, **more):
    ends = {name: {"address": WAN[version][side], "networks": [LAN[version][side]]} for side, name in (("a", "left"), ("b", "right"))}
    return {"name": "net", "mode": "tunnel", "proposals": ["aes256gcm16"], **ends, **more}


class Agreement(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.on_both(lambda gateway: labtest.push_programs(gateway, [BUILD / "tests/lab/probe/cs-xfrm-probe"], "/usr/local/bin"))

    def setUp(self):
        self.addCleanup(self.clear_ipsec)

    def agree(self, **agreed):
        """On both gateways; in transport mode without networks."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "agreement.json"
            file.write_text(json.dumps({"tunnels": [agreed]}))
            self.on_both(lambda gateway: gateway.push([file], "/run"))

    def compared(self, gateway):
        return json.loads(gateway.run([PROBE, "compare", SIDE[gateway.name], "/run/agreement.json"]).out)

    def assert_as_agreed(self):
        found = self.on_both(self.compared)
        for gateway, one in zip(SIDE, found):
            self.assertEqual(one["differences"], [], gateway)
        return found

    def codes(self, gateway):
        return sorted({one["code"] for one in self.compared(gateway)["differences"]})


class ByHand(Agreement):
    def test_esp_tunnels_of_both_families(self):
        for version in (4, 6):
            with self.subTest(version=version):
                self.clear_ipsec()
                labtest.esp_tunnel(self.lab, version, inbound=INBOUND, outbound=OUTBOUND)
                self.agree(**tunnel(version))
                first = self.assert_as_agreed()
                # New SAs of the same kind are the same state; reqid and SPI say nothing.
                self.clear_ipsec()
                labtest.esp_tunnel(self.lab, version, inbound=INBOUND, outbound=OUTBOUND)
                self.assertEqual([one["tunnels"] for one in first], [one["tunnels"] for one in self.assert_as_agreed()])

    def test_transport_of_both_families(self):
        for version, protocol in ((4, "ah"), (6, "ah"), (4, "esp"), (6, "esp")):
            with self.subTest(version=version, protocol=protocol):
                self.clear_ipsec()
                labtest.transport(self.lab, version, protocol)
                agreed = tunnel(version, mode="transport", protocol=protocol, proposals=["sha256" if protocol == "ah" else "aes256gcm16"], **UNMARKED)
                for end in ("left", "right"):
                    agreed[end].pop("networks")
                self.agree(**agreed)
                self.assert_as_agreed()

    def test_less_protection_than_agreed_is_told(self):
        labtest.esp_tunnel(self.lab, 4, inbound=INBOUND, outbound=OUTBOUND)
        self.agree(**tunnel(proposals=["aes128-sha256"]))
        self.assertEqual(self.codes(self.gwa), ["sa-algorithm"])
        self.agree(**tunnel())
        self.assertEqual(self.codes(self.gwa), [])


class Negotiated(Agreement):
    """strongSwan's own state is what the agreement of the same words expects."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["systemctl", "stop", "strongswan"]))

    def start(self, guard):
        more = "mark_in = 0x10000/0x10000\n mark_in_sa = yes\n set_mark_out = 0x20000/0x30000"
        with tempfile.TemporaryDirectory() as scratch:
            certificates(Path(scratch))
            for gateway, peer in ((self.gwb, "gwa"), (self.gwa, "gwb")):
                here, there = gateway.name[-1], peer[-1]
                child = f"}}\n net-guard {{ local_ts = {LAN[4][here]}\n remote_ts = {LAN[4][there]}\n mode = drop\n start_action = trap"
                start(gateway, peer, Path(scratch), WAN[4][there], more + ("\n" + child if guard else ""))
        self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "30"])
        self.agree(**tunnel(inbound_policy_mark=[0x10000, 0x10000]))

    def test_a_child_as_its_configuration_says(self):
        self.start(guard=True)
        first = self.assert_as_agreed()
        self.gwa.run(["swanctl", "--rekey", "--child", "net"])
        time.sleep(1)
        again = self.assert_as_agreed()
        for before, after in zip(first, again):
            self.assertEqual(before["tunnels"]["net"]["policies_sha256"], after["tunnels"]["net"]["policies_sha256"])
        # Other words for the same tunnel: what was not agreed is told.
        self.agree(**tunnel(proposals=["aes256gcm16", "aes256-sha512"], udp="required", inbound_policy_mark=[0x10000, 0x10000]))
        self.assertEqual(self.codes(self.gwa), ["sa-udp"])

    def test_behind_nat_the_peer_may_be_anybody(self):
        middle.nat(self.lab, on=True)
        self.addCleanup(middle.nat, self.lab, False)
        with tempfile.TemporaryDirectory() as scratch:
            certificates(Path(scratch))
            start(self.gwb, "gwa", Path(scratch), "%any")
            start(self.gwa, "gwb", Path(scratch), WAN[4]["b"])
        self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "30"])
        agreed = tunnel(udp="required", **UNMARKED)
        agreed["left"]["address"] = None
        self.agree(**agreed)
        self.assert_as_agreed()
        self.agree(**{**agreed, "udp": "forbidden"})
        self.assertEqual(self.on_both(self.codes), [["sa-udp"], ["sa-udp"]])

    def arrives_in_clear(self):
        """Whether hosta gets what gateway B sends its LAN without IPsec."""
        self.gwb.run(["systemctl", "stop", "strongswan"])
        self.gwb.run(["ip", "xfrm", "policy", "flush"])
        self.mid.run(["ip", "route", "replace", LAN[4]["a"], "via", WAN[4]["a"]])
        self.addCleanup(self.mid.run, ["ip", "route", "delete", LAN[4]["a"]], check=False)

        def asked():
            snmp = [line.split() for line in self.hosta.run(["cat", "/proc/net/snmp"]).out.splitlines() if line.startswith("Icmp:")]
            return int(dict(zip(*snmp))["InEchos"])

        before = asked()
        self.hostb.run(["ping", "-n", "-c", "2", "-W", "1", "10.1.0.2"], check=False)
        return asked() > before

    def test_marked_policies_alone_let_the_same_traffic_pass_in_clear(self):
        self.start(guard=False)
        self.assertEqual(self.codes(self.gwa), ["policy-mark-gap"])
        self.assertTrue(self.arrives_in_clear(), "then the guard would not be needed")

    def test_a_guard_stops_what_comes_in_clear(self):
        self.start(guard=True)
        self.assertFalse(self.arrives_in_clear())


class Tampering(Agreement):
    @contextmanager
    def following(self):
        process = self.gwa.popen([PROBE, "follow", "left", "/run/agreement.json"], limit=120, stdout=-1, text=True)
        told, news = [], threading.Condition()

        def read():
            for line in process.stdout:
                with news:
                    told.append(line.rstrip("\n"))
                    news.notify_all()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()

        def wait_for(begin, limit):
            with news:
                self.assertTrue(news.wait_for(lambda: any(line.startswith(begin) for line in told), limit), f"no '{begin}' within {limit} s: {told}")
                return next(line for line in told if line.startswith(begin))

        try:
            wait_for("following", 15)
            yield wait_for
        finally:
            self.gwa.run(["pkill", "-KILL", "-x", "cs-xfrm-probe"], check=False)
            process.wait(timeout=10)
            reader.join(10)
            process.stdout.close()

    def test_is_told_within_a_second_and_its_end_too(self):
        labtest.esp_tunnel(self.lab, 4, inbound=INBOUND, outbound=OUTBOUND)
        self.agree(**tunnel())
        self.assert_as_agreed()
        bypass = f"src {LAN[4]['a']} dst 10.2.0.2/32 dir out"
        inner = f"src {LAN[4]['b']} dst {LAN[4]['a']} dir in"
        returning = f"tmpl src {WAN[4]['b']} dst {WAN[4]['a']} proto esp reqid 1 mode tunnel"
        outer = f"src {WAN[4]['a']} dst {WAN[4]['b']} proto esp spi 0x1004"
        with self.following() as wait_for:
            labtest.ip(self.gwa, [f"xfrm policy add {bypass}"])
            self.assertIn("bypasses the tunnel", wait_for("+policy-bypass", 1))
            labtest.ip(self.gwa, [f"xfrm policy delete {bypass}"])
            wait_for("-policy-bypass", 1)
            labtest.ip(self.gwa, [f"xfrm policy update {inner} {returning} level use"])
            wait_for("+template-optional", 1)
            labtest.ip(self.gwa, [f"xfrm policy update {inner} {returning}"])
            wait_for("-template-optional", 1)
            weak = f"mode tunnel replay-window 64 aead rfc4106(gcm(aes)) {labtest.key(20)} 128 flag af-unspec {OUTBOUND}"
            labtest.ip(self.gwa, [f"xfrm state delete {outer}", f"xfrm state add {outer} {weak}"])
            self.assertIn("160 bit", wait_for("+sa-algorithm", 1))
            self.addCleanup(self.gwa.run, ["sysctl", "-qw", "net.ipv4.conf.all.disable_policy=0"])
            self.gwa.run(["sysctl", "-qw", "net.ipv4.conf.all.disable_policy=1"])
            wait_for("+disable-policy", 3)  # an audit's interval: nothing tells it


if __name__ == "__main__":
    labtest.main()
