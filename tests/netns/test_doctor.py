#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""countersign doctor on the machine the test runs on, whatever that can and cannot; ip(8) and nft are the oracle."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import require  # noqa: E402

COUNTERSIGN = sys.argv.pop(1)
KEYS = {"esp": "enc 'cbc(aes)' 0x000102030405060708090a0b0c0d0e0f auth 'hmac(sha256)' 0x" + "ab" * 32,
        "ah": "auth 'hmac(sha256)' 0x" + "ab" * 32}
LOOPBACK = {"": "127.0.0.1", "-ipv6": "::1"}
# Whatever a check could have left behind.
TRACES = "ip xfrm state; ip xfrm policy; ip link; tc qdisc; nft list ruleset; iptables-save | grep -v ^#; ip6tables-save | grep -v ^#"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def shell(line):
    return subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20, check=False)


def doctor(*words, how=()):
    done = subprocess.run([*how, COUNTERSIGN, "doctor", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def examine(*codes, how=()):
    """The exit code, the report, and its checks by code."""
    exit_code, out = doctor("--json", *(word for code in codes for word in ("--only", code)), how=how)
    report = json.loads(out)
    return exit_code, report, {check["code"]: check for check in report["checks"]}


def takes_sa(protocol, address):
    return shell(f"unshare -n ip xfrm state add src {address} dst {address} proto {protocol} spi 0x1000 mode transport {KEYS[protocol]}")


class Doctor(unittest.TestCase):
    def test_says_of_esp_and_ah_what_ip_finds(self):
        _, _, found = examine("esp", "esp-ipv6", "ah", "ah-ipv6")
        for protocol, without in (("esp", "bad"), ("ah", "warning")):
            for suffix, address in LOOPBACK.items():
                with self.subTest(protocol=protocol, address=address):
                    check, asked = found[protocol + suffix], takes_sa(protocol, address)
                    self.assertEqual(check["verdict"], "good" if asked.returncode == 0 else without, check)
                    if asked.returncode != 0:
                        self.assertIn("the kernel does not have it", check["reason"])
                        self.assertIn(f"CONFIG_INET{'6' if suffix else ''}_{protocol.upper()}", check["command"] + check["advice"])

    def test_the_exit_code_follows_from_the_verdicts(self):
        exit_code, report, found = examine()
        verdicts = [check["verdict"] for check in found.values()]
        self.assertEqual(len(found), len(report["checks"]))
        self.assertEqual((report["schema_version"], report["complete"]), (1, "unchecked" not in verdicts))
        self.assertIn(exit_code, (0, 1, 3))
        self.assertEqual(exit_code == 1, "bad" in verdicts)
        self.assertEqual(report["can_be_a_gateway"], {0: True, 1: False, 3: None}[exit_code])
        for check in found.values():
            self.assertTrue(check["reason"] and check["subject"], check)
        said, text = doctor()
        self.assertEqual(said, exit_code)
        self.assertIn(f"gateway{': ' if exit_code == 1 else ''}", text.splitlines()[-1])

    def test_it_changes_nothing(self):
        done = shell(f"unshare -n sh -c '{TRACES}; {COUNTERSIGN} doctor > /dev/null; echo then; {TRACES}'").stdout
        before, _, after = done.partition("then\n")
        self.assertIn("lo:", before)
        self.assertEqual(after, before)

    def test_without_root_it_asks_for_root(self):
        codes = ("privileges", "xfrm", "esp", "nfqueue", "steering", "egress-guard")
        exit_code, _, found = examine(*codes, how=NOBODY)
        self.assertEqual(exit_code, 3)
        for check in found.values():
            self.assertEqual((check["verdict"], check["advice"]), ("unchecked", "ask again as root"), check)


if __name__ == "__main__":
    require.root("namespaces, and becoming other users")
    require.programs("unshare", "setpriv", "ip", "tc", "iptables", "nft")
    unittest.main(verbosity=2)
