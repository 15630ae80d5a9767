#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground is real: ESP and AH of the gateways' own kernel, seen as such in the middle."""

import labtest
from labtest import HOST_B, WAN
from lablib.pcap import AH, ESP


class KernelIpsec(labtest.LabTest):
    def setUp(self):
        self.addCleanup(self.clear_ipsec)

    def test_without_ipsec_nothing_passes_between_the_lans(self):
        for version in (4, 6):
            with self.subTest(version=version):
                self.assert_silence(self.hosta, HOST_B[version])

    def test_gateways_reach_each_other_without_ipsec(self):
        """What the tests below prove rests on this: only IPsec is missing, not the network."""
        for version in (4, 6):
            with self.subTest(version=version):
                self.assertGreaterEqual(self.ping(self.gwa, WAN[version]["b"]), 2)

    def test_esp_tunnel_ipv4(self):
        self.esp_tunnel(4)

    def test_esp_tunnel_ipv6(self):
        self.esp_tunnel(6)

    def esp_tunnel(self, version):
        labtest.esp_tunnel(self.lab, version)
        with self.wire("wanb") as seen:
            self.assertEqual(self.ping(self.hosta, HOST_B[version]), 3)
        self.assert_protocols(seen, version, ESP, at_least=6)
        self.assert_no_plaintext(seen)

    def test_ah_transport_ipv4(self):
        self.ah_transport(4)

    def test_ah_transport_ipv6(self):
        self.ah_transport(6)

    def ah_transport(self, version):
        labtest.transport(self.lab, version, "ah")
        with self.wire("wanb") as seen:
            self.assertEqual(self.ping(self.gwa, WAN[version]["b"]), 3)
        self.assert_protocols(seen, version, AH, at_least=6)
        pings = [p for p in seen if labtest.MARKER in p.data]
        self.assertTrue(pings and all(p.proto == AH for p in pings), "a ping crossed the middle without AH")

    def test_wrong_key_is_refused_by_the_kernel(self):
        """The tunnel above passes because the keys agree, and for no other reason."""
        tunnel = labtest.esp_tunnel(self.lab, 4)
        other = {side: labtest.key(36) for side in "ab"}
        labtest.ip(self.gwb, ["xfrm state flush", *tunnel.states("b", other)])
        self.assert_silence(self.hosta, HOST_B[4])
        counters = dict(line.split() for line in self.gwb.run(["cat", "/proc/net/xfrm_stat"]).out.splitlines())
        self.assertGreater(int(counters["XfrmInStateProtoError"]), 0)


if __name__ == "__main__":
    labtest.main()
