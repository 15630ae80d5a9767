#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground is real: strongSwan's IKEv2 with certificates, through the middle's NAT."""

import tempfile
import time
from pathlib import Path

import labtest
from labtest import HOST_B, LAN, WAN
from lablib import middle
from lablib.pcap import AH, ESP, UDP
from lablib.proc import run
from test_xfrm import push_program
from test_xfrm_watch import watching

CONFIGURATION = """\
connections {{
  lab {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256gcm16-prfsha256-ecp256
    local {{ auth = pubkey
             certs = {name}.pem
             id = {name}.lab }}
    remote {{ auth = pubkey
              id = {peer}.lab }}
    children {{ net {{ local_ts = {local_ts}
                       remote_ts = {remote_ts}
                       esp_proposals = aes256gcm16
                       {more} }} }}
  }}
}}
"""


def certificates(directory):
    """A CA and a P-256 certificate per gateway."""
    def openssl(*argv):
        run(["openssl", *map(str, argv)], cwd=directory)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Lab IKE CA", "-days", "2")
    for name in ("gwa", "gwb"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}.lab")
        (directory / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}.lab\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-extfile", f"{name}.ext", "-days", "2", "-out", f"{name}.pem")


def files(gateway, peer, directory, remote, more=""):
    """What Endpoint.place() takes: strongSwan's tunnel between the LANs; `more`: further lines for its child."""
    side, other = gateway.name[-1], peer[-1]
    configuration = directory / gateway.name / "swanctl.conf"
    configuration.parent.mkdir()
    configuration.write_text(CONFIGURATION.format(
        local=WAN[4][side], remote=remote, name=gateway.name, peer=peer, local_ts=LAN[4][side], remote_ts=LAN[4][other], more=more))
    return {"/etc/swanctl": [configuration], "/etc/swanctl/x509ca": [directory / "ca.pem"],
            "/etc/swanctl/x509": [directory / f"{gateway.name}.pem"], "/etc/swanctl/private": [directory / f"{gateway.name}.key"]}


def start(gateway, peer, directory, remote, more=""):
    gateway.place(files(gateway, peer, directory, remote, more))
    gateway.run(["systemctl", "start", "strongswan"])
    gateway.run(["swanctl", "--load-all"])


class NatTraversal(labtest.LabTest):
    def setUp(self):
        self.addCleanup(self.clear_ipsec)
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["systemctl", "stop", "strongswan"]))
        middle.nat(self.lab, on=True)
        self.addCleanup(middle.nat, self.lab, False)

    def test_ikev2_certificates_esp_in_udp(self):
        with tempfile.TemporaryDirectory() as scratch:
            certificates(Path(scratch))
            start(self.gwb, "gwa", Path(scratch), "%any")
            start(self.gwa, "gwb", Path(scratch), WAN[4]["b"])
        with self.wire("wanb") as seen:
            self.gwa.run(["swanctl", "--initiate", "--child", "net", "--timeout", "30"])
            self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
        encapsulated = [p for p in seen if p.proto == UDP and 4500 in (p.sport, p.dport)]
        self.assertGreaterEqual(len(encapsulated), 6, "ESP in UDP 4500 on the wire")
        self.assertFalse([p for p in seen if p.proto in (ESP, AH)], "bare IPsec behind NAT")
        self.assertFalse([p for p in seen if bytes([192, 0, 2, 1]) in p.data[12:20]], "gateway A's own address passed the NAT")
        self.assert_no_plaintext(seen)
        self.assertIn("AES_GCM_16-256", self.gwa.run(["swanctl", "--list-sas"]).out)
        self.assertIn("encap type espinudp", self.gwb.run(["ip", "xfrm", "state"]).out)
        self.on_both(self.strongswan_answers_for_all_but_one)

    def strongswan_answers_for_all_but_one(self, gateway):
        """What it lists over VICI is what the kernel has, also when rekeyed; then one is made by hand."""
        push_program(gateway)
        with watching(gateway, "--vici", "/run/charon.vici", "--grace", "2") as watch:
            self.assertGreaterEqual(watch.told[0]["sas"], 2)
            if gateway is self.gwa:
                gateway.run(["swanctl", "--rekey", "--child", "net"])
                watch.wait_for("sa_update", 10)  # the inbound one
            time.sleep(3.5)
            self.assertEqual(watch.events("drift"), [])
            labtest.ip(gateway, [f"xfrm state add src 192.0.2.77 dst 192.0.2.78 proto esp spi 0x66 mode tunnel "
                                 f"aead rfc4106(gcm(aes)) {labtest.key(20)} 128"])
            drift = watch.wait_for("drift", 5)
            self.assertEqual(drift["code"], "sa-unknown")
            self.assertIn("SPI 0x00000066", drift["sentence"])
            watch.end()


if __name__ == "__main__":
    labtest.main()
