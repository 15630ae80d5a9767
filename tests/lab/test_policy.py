#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A core policy drawn from strongSwan's configuration, or from the kernel, is what the running gateways do."""

import os
import subprocess
import tempfile
from pathlib import Path

import labtest
import test_agreement
from labtest import LAN, WAN
from test_strongswan import certificates, start
from test_xfrm import push_program

BUILD = Path(os.environ.get("CS_BUILD", Path(__file__).resolve().parents[2] / "build/dev"))
KEY = {"gwa": "000b" + "a1" * 32, "gwb": "000b" + "b2" * 32}
MARKS = "mark_in = 0x10000/0x10000\n mark_in_sa = yes\n set_mark_out = 0x20000/0x30000\n"


def guard(here, there):
    return f"}}\n net-guard {{ local_ts = {here}\n remote_ts = {there}\n mode = drop\n start_action = trap"


def who(gateway):
    here, there = gateway.name, "gwb" if gateway.name == "gwa" else "gwa"
    keymsd = ["--here-keymsd" if here == "gwa" else "--there-keymsd", WAN[4]["a"]]
    return ["--name", "lab", "--here", here, "--here-key", KEY[here], "--there", there, "--there-key", KEY[there], *keymsd]


def countersign(*arguments):
    done = subprocess.run([BUILD / "tools/countersign", "policy", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.stderr}")
    return done.stdout


class Drawn(test_agreement.Agreement):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["systemctl", "stop", "strongswan"]))
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        certificates(self.scratch)

    def bring_up(self, more):
        """`more` of (own side, other side): lines of the child, in which the last of two counts."""
        for gateway, peer in ((self.gwb, "gwa"), (self.gwa, "gwb")):
            here, there = gateway.name[-1], peer[-1]
            start(gateway, peer, self.scratch, WAN[4][there], more(here, there))
        self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "30"])

    def assert_no_difference(self, gateway, text):
        policy = self.scratch / gateway.name / "policy.toml"  # both gateways are asked at once
        policy.write_text(text)
        gateway.push([policy], "/run")
        done = gateway.run([test_agreement.PROBE, "compare", test_agreement.SIDE[gateway.name], "/run/policy.toml"])
        self.assertIn('"differences":[]', done.out.replace(" ", ""), gateway.name)

    def drawn(self):
        """From either gateway's configuration: the same policy."""
        texts = [countersign("from-swanctl", self.scratch / gateway.name / "swanctl.conf", *who(gateway)) for gateway in (self.gwa, self.gwb)]
        self.assertEqual(texts[0], texts[1])
        return texts[0]

    def test_a_tunnel_with_marks_and_a_guard(self):
        self.bring_up(lambda here, there: MARKS + guard(LAN[4][here], LAN[4][there]))
        text = self.drawn()
        self.on_both(lambda gateway: self.assert_no_difference(gateway, text))
        # Nor is that so of any policy: one bit of the configuration, and it is told.
        self.assertIn('output_mark = "0x20000/0x30000"', text)
        with self.assertRaises(AssertionError):
            self.assert_no_difference(self.gwa, text.replace('output_mark = "0x20000/0x30000"', 'output_mark = "none"'))

    def test_several_networks_esn_and_a_lifetime(self):
        networks = {"a": f"{LAN[4]['a']}, 10.9.1.0/24[tcp/443]", "b": f"{LAN[4]['b']}, 10.9.2.0/24[tcp]"}
        self.bring_up(lambda here, there: MARKS + f"local_ts = {networks[here]}\n remote_ts = {networks[there]}\n"
                      "esp_proposals = aes128-aes256-sha256-ecp256-esn\n rekey_time = 20m\n replay_window = 128\n"
                      + guard(networks[here], networks[there]))
        text = self.drawn()
        self.on_both(lambda gateway: self.assert_no_difference(gateway, text))
        self.assertIn('sa_lifetime = "22m"', text)

    def test_transport_with_ah(self):
        more = "mode = transport\n esp_proposals =\n local_ts = dynamic\n remote_ts = dynamic\n ah_proposals = sha256\n"
        self.bring_up(lambda here, there: more)
        text = self.drawn()
        self.on_both(lambda gateway: self.assert_no_difference(gateway, text))

    def test_from_the_kernel(self):
        self.bring_up(lambda here, there: MARKS + guard(LAN[4][here], LAN[4][there]))
        for gateway in (self.gwa, self.gwb):
            push_program(gateway)
            text = gateway.run(["countersign", "policy", "from-kernel", *who(gateway)]).out
            self.assert_no_difference(gateway, text)


if __name__ == "__main__":
    labtest.main()
