#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`countersign xfrm` on a real kernel, with SAs that carry packets."""

import json
import os
from pathlib import Path

import labtest
from labtest import HOST_B, LAN, WAN

PROGRAM = "/usr/local/bin/countersign"


def push_program(gateway):
    build = Path(os.environ.get("CS_BUILD", Path(__file__).resolve().parents[2] / "build/dev"))
    labtest.push_programs(gateway, [build / "tools/countersign"], "/usr/local/bin")


class Shown(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        push_program(cls.gwa)

    def setUp(self):
        self.addCleanup(self.clear_ipsec)

    def shown(self):
        return json.loads(self.gwa.run([PROGRAM, "xfrm", "show", "--json"]).out)

    def test_an_esp_tunnel_is_told_as_it_carries_packets(self):
        tunnel = labtest.Ipsec(4, "esp", "tunnel", 0xc0ffee, LAN[4], inbound="mark 0x10000 mask 0x10000",
                               outbound="output-mark 0x20000 mask 0x30000")
        secret = {side: labtest.key(36) for side in "ab"}
        labtest.ip(self.gwa, [*tunnel.states("a", secret), *tunnel.policies("a")])
        labtest.ip(self.gwb, [*labtest.Ipsec(4, "esp", "tunnel", 0xc0ffee, LAN[4]).states("b", secret), *tunnel.policies("b")])
        self.ping(self.hosta, HOST_B[4], wait=1)  # the answers come back unmarked, and find no SA
        found = self.shown()
        self.assertTrue(found["complete"])
        self.assertEqual(sorted(p["direction"] for p in found["policies"]), ["fwd", "in", "out"])
        sent, received = sorted(found["sas"], key=lambda sa: sa["spi"])
        self.assertEqual((sent["spi"], received["spi"]), ("0x00c0ffee", "0x00c10fee"))
        self.assertEqual((sent["protocol"], sent["mode"], sent["source"], sent["destination"]), ("ESP", "tunnel", WAN[4]["a"], WAN[4]["b"]))
        self.assertEqual(sent["aead"], {"name": "rfc4106(gcm(aes))", "key_bits": 288, "icv_bits": 128})
        self.assertEqual((sent["replay"]["window"], sent["flags"]), (64, ["af-unspec"]))
        self.assertEqual((sent["output_mark"], received["mark"]), ("0x20000/0x30000", "0x10000/0x10000"))
        self.assertEqual((sent["usage"]["packets"], sent["replay"]["sent"]), (3, 3))
        self.assertEqual(received["usage"]["packets"], 0)
        self.assertNotIn("unknown_attributes", sent)
        text = self.gwa.run([PROGRAM, "xfrm", "show"]).out
        for side in "ab":
            self.assertNotIn(secret[side][2:18], text + json.dumps(found), "a key is shown")
        self.assertIn(f"ESP {WAN[4]['a']} → {WAN[4]['b']} SPI 0x00c0ffee\n    tunnel, reqid 1\n", text)

    def test_ah_and_ipv6(self):
        labtest.transport(self.lab, 6, "ah")
        found = self.shown()
        self.assertEqual({(sa["protocol"], sa["mode"]) for sa in found["sas"]}, {("AH", "transport")})
        for sa in found["sas"]:
            self.assertEqual(sa["authentication"], {"name": "hmac(sha256)", "key_bits": 256, "icv_bits": 128})
        self.assertEqual(self.gwa.run([PROGRAM, "xfrm", "show", "--peer", "192.0.2.77"]).out.splitlines()[-1], "0 policies, 0 SAs")


if __name__ == "__main__":
    labtest.main()
