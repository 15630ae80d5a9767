# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab tests share. The lab is brought up and down by ctest (tests/lab/CMakeLists.txt);
by hand: scripts/lab up, then CS_LAB=lab python3 tests/lab/test_….py
"""

import os
import secrets
import select
import sys
import tempfile
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from lablib import pcap  # noqa: E402
from lablib.lab import DEFAULT_NAME, Lab  # noqa: E402
import require  # noqa: E402

# Inner addresses of the LAN hosts and outer ones of the gateways, by IP version.
LAN = {4: {"a": "10.1.0.0/24", "b": "10.2.0.0/24"}, 6: {"a": "2001:db8:a::/64", "b": "2001:db8:b::/64"}}
HOST_B = {4: "10.2.0.2", 6: "2001:db8:b::2"}
WAN = {4: {"a": "192.0.2.1", "b": "198.51.100.1"}, 6: {"a": "2001:db8:1::1", "b": "2001:db8:2::1"}}
MARKER = bytes.fromhex("c0ffee15c0ffee15")  # in every ping, so that plaintext on the wire is seen


class LabTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(os.environ.get("CS_LAB", DEFAULT_NAME)).load()
        cls.hosta, cls.gwa, cls.mid, cls.gwb, cls.hostb = (
            cls.lab.endpoint(n) for n in ("hosta", "gwa", "mid", "gwb", "hostb"))

    def clear_ipsec(self):
        for gateway in (self.gwa, self.gwb):
            gateway.run(["sh", "-c", "systemctl stop strongswan; ip xfrm state flush; ip xfrm policy flush"])

    def ping(self, node, address, count=3, source=None, wait=3):
        """How many of `count` pings are answered within `wait` seconds."""
        argv = ["ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", str(wait), "-p", MARKER.hex(), address]
        if source:
            argv[1:1] = ["-I", source]
        out = node.run(argv, check=False).out
        return int(out.split(" received")[0].rsplit(" ", 1)[1]) if " received" in out else 0

    def assert_silence(self, sender, address):
        """One ping, and no answer."""
        self.assertEqual(self.ping(sender, address, count=1, wait=1), 0)

    @contextmanager
    def wire(self, interface):
        """Everything that crosses the middle meanwhile: a list, filled when the block ends."""
        seen = []
        with tempfile.TemporaryFile() as file:
            process = self.mid.capture(interface, out=file)
            try:
                await_line(process.stderr, b"listening on")
                yield seen
                time.sleep(0.3)  # what is on its way still counts
            finally:
                process.terminate()
                process.communicate(timeout=10)
                file.seek(0)
                seen.extend(pcap.packets(file.read()))

    def assert_protocols(self, seen, version, protocol, at_least):
        """The wire carried `protocol` in the given IP version, and our pings never in the clear."""
        count = sum(p.version == version and p.proto == protocol for p in seen)
        self.assertGreaterEqual(count, at_least, f"of {len(seen)} packets on the wire; protocols {sorted({p.proto for p in seen})}")

    def assert_no_plaintext(self, seen):
        self.assertFalse([p for p in seen if MARKER in p.data], "the ping's payload crossed the middle unencrypted")


def await_line(stream, text, limit=10):
    """Reads a process's stream until `text` came by."""
    said, deadline = b"", time.monotonic() + limit
    while text not in said:
        ready, _, _ = select.select([stream], [], [], max(0, deadline - time.monotonic()))
        chunk = os.read(stream.fileno(), 4096) if ready else b""
        if not chunk:
            raise AssertionError(f"waited {limit} s for {text!r}, got {said!r}")
        said += chunk


def key(size):
    return "0x" + secrets.token_hex(size)


def esp_tunnel(lab, version, inbound="", outbound=""):
    """Manually keyed ESP tunnel, AES-256-GCM, between the two LANs.

    `inbound` and `outbound` are further words for a gateway's SAs of that direction.
    """
    spi = {"a": 0x1000 + version, "b": 0x2000 + version}  # named after the side that sends
    secret = {side: key(36) for side in spi}
    for side, other, name in (("a", "b", "gwa"), ("b", "a", "gwb")):
        lines = ["set -e"]
        for sender, receiver in (("a", "b"), ("b", "a")):
            lines.append(f"ip xfrm state add src {WAN[version][sender]} dst {WAN[version][receiver]} proto esp spi {spi[sender]} "
                         f"reqid 1 mode tunnel replay-window 64 flag af-unspec aead 'rfc4106(gcm(aes))' {secret[sender]} 128 "
                         f"{outbound if sender == side else inbound}")
        template = "tmpl src {} dst {} proto esp reqid 1 mode tunnel"
        here, there = WAN[version][side], WAN[version][other]
        lines.append(f"ip xfrm policy add src {LAN[version][side]} dst {LAN[version][other]} dir out " + template.format(here, there))
        for direction in ("in", "fwd"):
            lines.append(f"ip xfrm policy add src {LAN[version][other]} dst {LAN[version][side]} dir {direction} " + template.format(there, here))
        lab.endpoint(name).run(["sh", "-c", "\n".join(lines)])


def ah_transport(lab, version, inbound="", outbound=""):
    """Manually keyed AH in transport mode, HMAC-SHA-256-128, between the gateways themselves."""
    spi = {"a": 0x3000 + version, "b": 0x4000 + version}
    secret = {side: key(32) for side in spi}
    for side, other, name in (("a", "b", "gwa"), ("b", "a", "gwb")):
        lines = ["set -e"]
        for sender, receiver in (("a", "b"), ("b", "a")):
            lines.append(f"ip xfrm state add src {WAN[version][sender]} dst {WAN[version][receiver]} proto ah spi {spi[sender]} "
                         f"reqid 2 mode transport replay-window 64 auth-trunc 'hmac(sha256)' {secret[sender]} 128 "
                         f"{outbound if sender == side else inbound}")
        here, there = WAN[version][side], WAN[version][other]
        for source, target, direction in ((here, there, "out"), (there, here, "in")):
            lines.append(f"ip xfrm policy add src {source} dst {target} dir {direction} tmpl proto ah reqid 2 mode transport")
        lab.endpoint(name).run(["sh", "-c", "\n".join(lines)])


def require_lab():
    """A machine that cannot have a lab skips its tests; with CI=true they fail."""
    require.root("the lab makes namespaces and tap devices")
    require.programs("qemu-system-x86_64", "qemu-img", "swtpm", "swtpm_setup", "mmdebstrap", "mkfs.ext4", "ssh", "tcpdump", "iptables", "ping",
                     setup="lab")
    require.file("/dev/net/tun", "guests are plugged into namespaces by tap devices")


def main():
    """unittest.main; running no test at all is a failure."""
    require_lab()
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    ran = program.result.testsRun - len(program.result.skipped)
    sys.exit(0 if program.result.wasSuccessful() and ran > 0 else 1)
