#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign doctor on a gateway that is fit, and on the same one broken in a dozen ways: each is named with
a cure, and the cure, typed as it is printed, mends it."""

import json
from typing import NamedTuple

import labtest
from labtest import push_programs
from signertest import BUILD

HERE = "/usr/local/share/doctor"
DOCTOR = f"{HERE}/countersign doctor --json"
EXPECTED = {"clock", "ike", "signer"}  # what a guest of the lab is known to lack
CLEAN_UP = f"""
systemctl stop strongswan
nft delete table inet lab
rm -rf {HERE} /etc/modprobe.d/lab-*.conf /etc/modprobe.d/countersign-esp4_offload.conf
"""


class Broken(NamedTuple):
    how: str
    named: str
    verdict: str = "bad"


BROKEN = {
    "offload": Broken("modprobe esp4_offload", "esp4_offload is loaded"),
    "switches": Broken("echo 1 > /proc/sys/net/ipv4/conf/wan/disable_xfrm", "conf/wan/disable_xfrm is 1"),
    "esp-ipv6": Broken("echo install esp6 /bin/false > /etc/modprobe.d/lab-esp6.conf && modprobe -r esp6", "/etc/modprobe.d/lab-esp6.conf"),
    "egress-guard": Broken("echo install cls_fw /bin/false > /etc/modprobe.d/lab-fw.conf && modprobe -r cls_fw", "/etc/modprobe.d/lab-fw.conf"),
    "tpm": Broken("rm /dev/tpmrm0", "no /dev/tpmrm0"),
    "state-directory": Broken("install -d -m 777 /var/lib/countersign", "others than its owner"),
    "mtu": Broken("ip link set dev wan mtu 1400", "wan takes 1400 bytes", "warning"),
    "forwarding": Broken("echo 0 > /proc/sys/net/ipv4/ip_forward", "not forwarded (IPv4)", "warning"),
    "default-policy": Broken("ip xfrm policy setdefault fwd block", "forward block", "warning"),
    "firewall": Broken("nft 'add table inet lab; add chain inet lab input { type filter hook input priority 0; }; "
                       "add rule inet lab input meta l4proto esp drop'", "inet lab input drops ESP", "warning"),
    "defragmentation": Broken("nft 'add chain inet lab early { type filter hook prerouting priority -450; }; "
                              "add rule inet lab early meta l4proto esp notrack'", "notrack in inet lab early", "warning"),
    "ike": Broken("systemctl stop strongswan", "no IKE daemon", "warning"),
}


class Doctor(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.gwa.run, ["sh", "-c", CLEAN_UP], check=False)
        push_programs(cls.gwa, [BUILD / "tools/countersign"], HERE)

    def examine(self, *codes, before="true", how=""):
        """The exit code, and the findings by code."""
        words = " ".join(f"--only {code}" for code in codes)
        done = self.gwa.run(["sh", "-c", f"{before} && {how} {DOCTOR} {words}"], check=False)
        self.assertTrue(done.out, done)
        return done.code, {check["code"]: check for check in json.loads(done.out)["checks"]}

    def test_a_gateway_that_is_fit(self):
        exit_code, found = self.examine()
        amiss = {code: check for code, check in found.items() if check["verdict"] != "good"}
        self.assertEqual((exit_code, set(amiss)), (0, EXPECTED), amiss)

    def test_without_root_nobody_knows(self):
        exit_code, found = self.examine("esp", "nfqueue", "tpm", "ima", how="setpriv --reuid 65534 --regid 65534 --clear-groups")
        self.assertEqual((exit_code, {check["verdict"] for check in found.values()}), (3, {"unchecked"}), found)

    def test_what_is_broken_is_named_and_mended(self):
        # All at once, as each command costs: they do not hide each other.
        exit_code, found = self.examine(*BROKEN, before=" && ".join(broken.how for broken in BROKEN.values()))
        self.assertEqual(exit_code, 1)
        for code, broken in BROKEN.items():
            with self.subTest(code=code):
                self.assertEqual(found[code]["verdict"], broken.verdict, found[code])
                self.assertIn(broken.named, found[code]["reason"])
        cures = [check["command"] for check in found.values()]
        exit_code, mended = self.examine(*BROKEN, before="; ".join(cures))
        self.assertEqual({code: check["reason"] for code, check in mended.items() if check["verdict"] != "good"}, {}, f"after typing {cures}")
        self.assertEqual(exit_code, 0)
        # What keymsd may open, as at the boot.
        self.assertEqual(self.gwa.run(["stat", "-c", "%a %G", "/dev/tpmrm0"]).out.strip(), "660 tss")


if __name__ == "__main__":
    labtest.main()
