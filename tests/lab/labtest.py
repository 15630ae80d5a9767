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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from lablib import pcap  # noqa: E402
from lablib.lab import DEFAULT_NAME, Lab  # noqa: E402
from lablib.proc import run  # noqa: E402
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

    @classmethod
    def on_both(cls, action):
        """What action(gateway) returns for gateway A and B; at once, as each has a processor of its own."""
        return at_once(action, (cls.gwa, cls.gwb))

    @classmethod
    def clear_ipsec(cls):
        cls.on_both(lambda gateway: ip(gateway, ["xfrm state flush", "xfrm policy flush"]))

    def ping(self, node, address, *more, count=3, wait=3):
        """How many of `count` pings are answered within `wait` seconds; `more`: further words for ping(8).

        The second waits for the first's answer: of an ICMP burst, connection tracking lets the first pass and drops the others.
        """
        argv = ["ping", "-n", "-q", "-A", "-c", str(count), "-W", str(wait), "-p", MARKER.hex(), *more, address]
        out = node.run(argv, check=False).out
        return int(out.split(" received")[0].rsplit(" ", 1)[1]) if " received" in out else 0

    def assert_silence(self, sender, address):
        """One ping, and no answer in many times what one takes."""
        self.assertEqual(self.ping(sender, address, count=1, wait=0.5), 0)

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


def at_once(action, nodes):
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(action, nodes))


def ip(node, lines):
    """Lines for ip(8), in one process: under emulation starting one is what costs."""
    node.run(["sh", "-c", "ip -batch - <<'END'\n" + "\n".join(lines) + "\nEND"])


def slim(programs, directory):
    """Copies there without what a debugger wants, which is most of them."""
    copies = [Path(directory) / Path(program).name for program in programs]
    for program, copy in zip(programs, copies):
        run(["strip", "-o", str(copy), str(program)])
    return copies


def push_programs(node, programs, directory):
    with tempfile.TemporaryDirectory() as scratch:
        node.push(slim(programs, scratch), directory)


def key(size):
    return "0x" + secrets.token_hex(size)


@dataclass(frozen=True)
class Ipsec:
    """A pair of manually keyed SAs between the gateways, with the policies that use them."""
    version: int
    proto: str
    mode: str
    spi: int  # of what A sends; the other direction has the next but 0x1000
    selectors: dict  # by side
    inbound: str = ""  # further words for a gateway's SAs of that direction
    outbound: str = ""
    nat: str = ""  # where B sees A: ESP in UDP 4500 then

    def addresses(self, at):
        return {"a": self.nat if self.nat and at == "b" else WAN[self.version]["a"], "b": WAN[self.version]["b"]}

    def states(self, at, secret):
        wan = self.addresses(at)
        algorithm = "auth-trunc 'hmac(sha256)'" if self.proto == "ah" else "aead 'rfc4106(gcm(aes))'"
        for number, (sender, receiver) in enumerate((("a", "b"), ("b", "a"))):
            words = ["xfrm state add src", wan[sender], "dst", wan[receiver], "proto", self.proto, "spi", hex(self.spi + 0x1000 * number),
                     "reqid 1 mode", self.mode, "replay-window 64", "flag af-unspec" if self.mode == "tunnel" else "",
                     algorithm, secret[sender], "128", "encap espinudp 4500 4500 0.0.0.0" if self.nat else "",
                     self.outbound if sender == at else self.inbound]
            yield " ".join(words)

    def policies(self, at):
        there = "b" if at == "a" else "a"
        wan, net = self.addresses(at), self.selectors
        for direction, source, target in (("out", at, there), ("in", there, at), *([("fwd", there, at)] if self.mode == "tunnel" else [])):
            ends = f"src {wan[source]} dst {wan[target]}" if self.mode == "tunnel" else ""
            yield (f"xfrm policy add src {net[source]} dst {net[target]} dir {direction} "
                   f"tmpl {ends} proto {self.proto} reqid 1 mode {self.mode}")

    def set_up(self, lab):
        self.tell(lab, lambda side, secret: [*self.states(side, secret), *self.policies(side)])
        return self

    def renew(self, lab):
        """Fresh SAs in the place of all that are there; the policies stay, so that nothing passes in the clear."""
        self.tell(lab, lambda side, secret: ["xfrm state flush", *self.states(side, secret)])

    def tell(self, lab, lines):
        secret = {side: key(32 if self.proto == "ah" else 36) for side in "ab"}
        at_once(lambda side: ip(lab.endpoint(f"gw{side}"), lines(side, secret)), "ab")


def esp_tunnel(lab, version, **more):
    """ESP between the two LANs, AES-256-GCM."""
    return Ipsec(version, "esp", "tunnel", 0x1000 + version, LAN[version], **more).set_up(lab)


def transport(lab, version, proto, **more):
    """AH, HMAC-SHA-256-128, or ESP, AES-256-GCM, between the gateways themselves."""
    return Ipsec(version, proto, "transport", 0x3000 + version, WAN[version], **more).set_up(lab)


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
