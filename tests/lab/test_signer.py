#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer as a service on both gateways, under the real kernel's ESP and AH, with nftables' own queue.
A stand-in serves the keys (tests/standin)."""

import json
import os
import secrets
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import labtest
from labtest import HOST_B, LAN, WAN
from lablib.paths import REPO
from lablib.pcap import AH, ESP, UDP

BUILD = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
SCENARIO = "/run/countersign/scenario.json"
CONTROL = "/run/countersign/nfq-signer/control"
CONFIG = "/etc/countersign/nfq-signer.toml"
PORT = 4510  # the translator's
INBOUND_MARK = "mark 0x10000 mask 0x10000"
OUTPUT_MARK = "output-mark 0x20000 mask 0x30000"
SET_UP = """
set -e
for user in keymsd nfq-signer; do
  id -u $user > /dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin $user
done
install -d -o keymsd /run/countersign/keymsd
install -d /etc/countersign
cp /usr/local/share/nfq-signer.toml /etc/countersign/
install -m 0600 -o keymsd /dev/null {scenario}
mkdir -p /etc/systemd/system && cp /usr/local/share/nfq-signer.service /etc/systemd/system/
systemctl daemon-reload
"""
STAND_IN = ("systemctl stop nfq-signer keymsd 2>/dev/null; systemctl reset-failed keymsd 2>/dev/null; exec systemd-run --quiet --unit=keymsd --uid=keymsd --gid=nfq-signer /usr/local/sbin/cs-standin-keymsd "
            "--socket /run/countersign/keymsd/data-plane --scenario {scenario} --uid $(id -u nfq-signer)")


def a_key(number, direction, addresses):
    return {"key": number, "session": secrets.token_hex(32), "pcr_digest": secrets.token_hex(32), "direction": direction,
            "suite": 1, "gate_secret": secrets.token_hex(16), "lanes": [0, 15], "lifetime_ms": 3600000,
            "private_key": "00" + secrets.token_hex(31)}


class Signer(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        there, back = a_key(1, 0, None), a_key(2, 1, None)
        for gateway, other, outbound, inbound in ((cls.gwa, "b", there, back), (cls.gwb, "a", back, there)):
            gateway.push([BUILD / "nfq-signer/nfq-signer", BUILD / "tests/standin/cs-standin-keymsd"], "/usr/local/sbin")
            gateway.push([REPO / "nfq-signer/nfq-signer.toml", BUILD / "nfq-signer/nfq-signer.service"], "/usr/local/share")
            gateway.run(["sh", "-c", SET_UP.format(scenario=SCENARIO)])
            peer = {"id": 1, "mode": "enforce", "addresses": [WAN[4][other], WAN[6][other]], "outbound": [outbound], "inbound": [inbound]}
            with tempfile.TemporaryFile() as file:
                file.write(json.dumps({"peers": [peer]}).encode())
                file.seek(0)
                gateway.run(["sh", "-c", f"cat > {SCENARIO}"], stdin=file)
            gateway.run(["sh", "-c", STAND_IN.format(scenario=SCENARIO)])

    def setUp(self):
        self.addCleanup(self.clear)
        self.clear_ipsec()
        for gateway in (self.gwa, self.gwb):
            gateway.run(["systemctl", "start", "nfq-signer"])
            gateway.run(["nfq-signer", "rules", "--nft", "--apply"])
            gateway.run(["nfq-signer", "rules", "--tc", "--apply", "--interface", "wan"])
            self.await_keys(gateway)

    def clear(self):
        for gateway in (self.gwa, self.gwb):
            gateway.run(["sh", "-c", "systemctl stop nfq-signer; ip xfrm state flush; ip xfrm policy flush; nft flush ruleset; "
                                     "tc qdisc del dev wan clsact 2>&1; true"])

    def status(self, gateway):
        return json.loads(gateway.run(["nc", "-N", "-U", CONTROL]).out)

    def await_keys(self, gateway):
        deadline = time.monotonic() + 20
        while self.status(gateway)["keys"] != {"outbound": 1, "inbound": 1}:
            self.assertLess(time.monotonic(), deadline, self.status(gateway))
            time.sleep(0.2)

    def write(self, gateway, path, text):
        with tempfile.TemporaryFile() as file:
            file.write(text.encode())
            file.seek(0)
            gateway.run(["sh", "-c", f"cat > {path}"], stdin=file)

    def packets(self, gateway, direction, name):
        return sum(w["packets"][name] for w in self.status(gateway)["workers"] if w["direction"] == direction)

    def tunnel(self, version):
        labtest.esp_tunnel(self.lab, version, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)

    def test_esp_is_signed_and_comes_through(self):
        for version in (4, 6):
            with self.subTest(version=version):
                self.tunnel(version)
                before = self.packets(self.gwb, "inbound", "verified")
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.hosta, HOST_B[version], count=5), 5)
                self.assert_protocols(seen, version, ESP, 10)
                self.assert_no_plaintext(seen)
                self.assertGreaterEqual(self.packets(self.gwb, "inbound", "verified") - before, 5)
                for gateway in (self.gwa, self.gwb):
                    self.assertGreaterEqual(self.packets(gateway, "outbound", "signed"), 5)

    def test_ah_is_signed_and_comes_through(self):
        for version in (4, 6):
            with self.subTest(version=version):
                labtest.ah_transport(self.lab, version, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)
                with self.wire("wana") as seen:
                    self.assertEqual(self.ping(self.gwa, WAN[version]["b"], count=5), 5)
                self.assert_protocols(seen, version, AH, 10)

    def test_where_ipsec_is_dropped_the_translator_takes_it_through(self):
        drop = [("iptables", "-p", "esp"), ("iptables", "-p", "ah"), ("ip6tables", "-p", "esp"), ("ip6tables", "-m", "ah")]
        for tool, *match in drop:
            self.mid.run([tool, "-I", "FORWARD", *match, "-j", "DROP"])
            self.addCleanup(self.mid.run, [tool, "-D", "FORWARD", *match, "-j", "DROP"])
        self.tunnel(4)
        self.assert_silence(self.hosta, HOST_B[4])
        for gateway in (self.gwa, self.gwb):
            gateway.run(["sh", "-c", f"printf '[translator]\nport = {PORT}\n' >> {CONFIG}; systemctl restart nfq-signer"])
            self.addCleanup(gateway.run, ["cp", "/usr/local/share/nfq-signer.toml", CONFIG])
            gateway.run(["nfq-signer", "rules", "--nft", "--apply", "--translator-port", str(PORT)])
            self.await_service(gateway)
        self.tunnel(6)
        with self.wire("wana") as seen:
            for version in (4, 6):
                self.assertEqual(self.ping(self.hosta, HOST_B[version]), 3)
            self.path_mtu_is_learned()
            self.clear_ipsec()
            labtest.ah_transport(self.lab, 6, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)
            self.assertEqual(self.ping(self.gwa, WAN[6]["b"]), 3)
        self.assert_protocols(seen, 4, UDP, 6)
        self.assert_protocols(seen, 6, UDP, 12)
        self.assertFalse([p for p in seen if p.proto in (ESP, AH)])
        self.assert_no_plaintext([p for p in seen if p.proto != UDP])

    def path_mtu_is_learned(self):
        """By a signed packet, in UDP, that is too long for the middle."""
        self.addCleanup(self.gwa.run, ["ip", "route", "flush", "cache"])
        self.addCleanup(self.mid.run, ["ip", "link", "set", "wanb", "mtu", "1500"])
        self.mid.run(["ip", "link", "set", "wanb", "mtu", "1400"])
        self.hosta.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1220", HOST_B[4]], check=False)
        self.assertIn("mtu 1400", self.gwa.run(["ip", "route", "get", WAN[4]["b"]]).out)

    def test_killed_stopped_and_flushed_it_stays_closed_and_comes_back(self):
        self.tunnel(4)
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
        self.gwa.run(["systemctl", "kill", "-s", "STOP", "nfq-signer"])
        self.assert_silence(self.hosta, HOST_B[4])
        self.gwa.run(["systemctl", "kill", "-s", "CONT", "nfq-signer"])
        self.gwa.run(["systemctl", "kill", "-s", "KILL", "nfq-signer"])  # systemd starts it anew
        self.await_service(self.gwa)
        self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)
        # Rules gone on both: what is not signed does not leave, and what is not verified finds no SA.
        for gateway in (self.gwa, self.gwb):
            with self.wire("wana") as seen:
                gateway.run(["nft", "flush", "ruleset"])
                self.assert_silence(self.hosta, HOST_B[4])
                if gateway is self.gwa:
                    self.assertFalse([p for p in seen if p.proto == ESP])
            gateway.run(["nfq-signer", "rules", "--nft", "--apply"])
            self.assertEqual(self.ping(self.hosta, HOST_B[4]), 3)

    def await_service(self, gateway):
        deadline = time.monotonic() + 20
        while gateway.run(["nc", "-N", "-U", CONTROL], check=False).code != 0:
            self.assertLess(time.monotonic(), deadline, "it does not come back")
            time.sleep(0.3)
        self.await_keys(gateway)

    def test_it_runs_with_little_and_says_what_is_wrong(self):
        pid = self.gwa.run(["systemctl", "show", "-P", "MainPID", "nfq-signer"]).out.strip()
        told = dict(line.split(":\t") for line in self.gwa.run(["cat", f"/proc/{pid}/status"]).out.splitlines() if ":\t" in line)
        self.assertEqual(int(told["CapPrm"], 16), 1 << 12, "CAP_NET_ADMIN alone")
        self.assertEqual(told["NoNewPrivs"], "1")
        self.assertEqual(told["Seccomp"], "2")
        self.assertNotEqual(told["Uid"].split()[0], "0")
        done = self.gwa.run(["nfq-signer", "run"], check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("running as root", done.err)
        self.gwa.run(["modprobe", "esp4_offload"])
        self.addCleanup(lambda: self.gwa.run(["modprobe", "-r", "esp4_offload"]))
        deadline = time.monotonic() + 10
        while self.status(self.gwa)["state"] != "closed":
            self.assertLess(time.monotonic(), deadline, "it does not notice esp4_offload")
            time.sleep(0.3)
        self.assertIn("modprobe -r esp4_offload", self.status(self.gwa)["reason"])

    # -- what a path carries

    def configure(self, policy, tunnels):
        """`tunnels`: the lines of each [[tunnel]] of a gateway whose peer is on the side named."""
        for gateway, other in ((self.gwa, "b"), (self.gwb, "a")):
            text = f'[mtu]\npolicy = "{policy}"\n' + "".join(f"[[tunnel]]\n{lines}\n" for lines in tunnels(other))
            self.write(gateway, "/etc/countersign/nfq-signer.toml", text)
            gateway.run(["sh", "-c", "systemctl restart nfq-signer && nfq-signer rules --nft --apply"])
        self.addCleanup(lambda: [g.run(["cp", "/usr/local/share/nfq-signer.toml", "/etc/countersign/"]) for g in (self.gwa, self.gwb)])
        for gateway in (self.gwa, self.gwb):
            self.await_service(gateway)

    def inner_routes(self):
        for gateway, other, here in ((self.gwa, "b", 1), (self.gwb, "a", 2)):
            via = {4: "192.0.2.254" if here == 1 else "198.51.100.254", 6: f"2001:db8:{here}::254"}
            lines = [f"ip route {{0}} {LAN[v][other]} via {via[v]}" for v in (4, 6)]
            gateway.run(["sh", "-c", "\n".join(line.format("replace") for line in lines)])
            self.addCleanup(lambda g=gateway, all=lines: g.run(["sh", "-c", "\n".join(line.format("del") for line in all)]))

    def narrow(self, mtu):
        """The middle's links from here on; both gateways forget what they learned when it is over."""
        for link in ("wana", "wanb"):
            self.mid.run(["ip", "link", "set", link, "mtu", str(mtu)])
            self.addCleanup(lambda l=link: self.mid.run(["ip", "link", "set", l, "mtu", "1500"]))
        for gateway in (self.gwa, self.gwb):
            self.addCleanup(lambda g=gateway: g.run(["sh", "-c", "ip route flush cache; ip -6 route flush cache"]))

    def route_mtus(self, gateway):
        """Of the inner routes, by family; 0: none of its own."""
        mtus = []
        for flag in ("-4", "-6"):
            words = gateway.run(["ip", flag, "route", "show", LAN[int(flag[1])]["b" if gateway is self.gwa else "a"]]).out.split()
            mtus.append(int(words[words.index("mtu") + 1]) if "mtu" in words else 0)
        return mtus

    def await_mtus(self, gateway, wanted):
        deadline = time.monotonic() + 5
        while (now := self.route_mtus(gateway)) != wanted:
            self.assertLess(time.monotonic(), deadline, f"{now}, {self.status(gateway)['paths']}")
            time.sleep(0.2)

    def too_long(self, gateway):
        """Packets longer than their path, by family: lost ones as the kernel and we count them, and those that go in fragments."""
        said = gateway.run(["sh", "-c", "nstat -asz IpFragFails Ip6FragFails"]).out.split()
        paths = self.status(gateway)["paths"]
        return [[int(said[said.index(name) + 1])] + [sum(path[what] for path in paths if (":" in path["peer"]) == (name[2] == "6"))
                                                     for what in ("lost", "fragmented")]
                for name in ("IpFragFails", "Ip6FragFails")]

    @contextmanager
    def connection(self, version):
        """A function that sends bytes from hosta to hostb."""
        program, ends = str(Path(__file__).with_name("chunks.py")), []
        try:
            for node, role in ((self.hostb, "serve"), (self.hosta, "send")):
                ends.append(node.popen(["python3", program, role, HOST_B[version], "5001"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True))
                self.assertEqual(ends[-1].stdout.readline(), "ready\n")

            def send(size):
                ends[1].stdin.write(f"{size}\n")
                ends[1].stdin.flush()
                return json.loads(ends[1].stdout.readline())
            yield send
        finally:
            for end in reversed(ends):
                end.communicate(timeout=30)  # closes what the sender reads; it ends, and then the server

    def test_tcp_fills_the_path_and_follows_it(self):
        self.configure("cap", lambda other: [f'peer = "{WAN[v][other]}"\ninner = ["{LAN[v][other]}"]' for v in (4, 6)])
        self.inner_routes()
        for version in (4, 6):
            self.tunnel(version)
        before = self.too_long(self.gwa), self.too_long(self.gwb)
        # 64 packets a batch over IPv4; over IPv6 as many as leave 1280 bytes inside.
        for gateway in (self.gwa, self.gwb):
            self.await_mtus(gateway, [1238, 1282])
        with self.connection(4) as send, self.connection(6) as send6:
            for inner, headers, way in ((1238, 52, send), (1282, 72, send6)):
                self.assertEqual(way(100_000)["segment"], inner - headers)
            self.assertEqual((self.too_long(self.gwa), self.too_long(self.gwb)), before)
            self.assertEqual(self.hosta.run(["ping", "-6", "-c", "1", "-M", "do", "-s", "1232", HOST_B[6]]).code, 0)
            self.narrow(1400)
            self.assertLess(send(30_000)["seconds"], 5)
            self.assertLess(send6(30_000)["seconds"], 5)
            self.await_mtus(self.gwa, [1138, 1280])
            self.assertLess(send6(20_000)["seconds"], 5)
            (_, _, fragmented), (_, lost6, fragmented6) = self.too_long(self.gwa)  # over IPv4 what was under way is lost
            self.assertEqual((fragmented, lost6), (0, 0))
            self.assertGreater(fragmented6, 0, "1280 bytes and the extension: the kernel fragments them")
        self.gwa.run(["systemctl", "kill", "-s", "KILL", "nfq-signer"])
        self.await_service(self.gwa)
        self.await_mtus(self.gwa, [1138, 1280])
        self.gwa.run(["systemctl", "stop", "nfq-signer"])
        self.assertEqual(self.route_mtus(self.gwa), [0, 0])

    def test_tcp_in_transport_mode_goes_on_in_fragments(self):
        # Nothing clears DF over IPv6: there the configuration has to know how narrow the path may get.
        self.configure("cap", lambda other: [f'peer = "{WAN[v][other]}"\nmode = "transport"\nprotocol = "ah"{more}'
                                             for v, more in ((4, ""), (6, "\npath_mtu = 1400"))])
        size, ends, before = 60_000, [], self.too_long(self.gwa)
        for version in (4, 6):
            labtest.ah_transport(self.lab, version, inbound=INBOUND_MARK, outbound=OUTPUT_MARK)
            ends.append(self.gwb.popen(["sh", "-c", f"nc -{version} -l 5002 > /tmp/got{version}"], limit=40))
            self.gwa.run(["sh", "-c", f"rm -f /tmp/go{version}; head -c {2 * size} /dev/urandom > /tmp/sent{version}"])
            ends.append(self.gwa.popen(["sh", "-c", f"(head -c {size} /tmp/sent{version}; while [ ! -e /tmp/go{version} ]; do sleep 0.1; "
                                        f"done; tail -c {size} /tmp/sent{version}) | nc -{version} -N {WAN[version]['b']} 5002"], limit=40))
            for end in ends[-2:]:
                self.addCleanup(end.wait)
                self.addCleanup(end.terminate)
            self.await_size(version, size)
            self.assertEqual(self.too_long(self.gwa), before, "the clamp leaves no room")
        self.narrow(1400)
        for version in (4, 6):
            self.gwa.run(["touch", f"/tmp/go{version}"])
            self.await_size(version, 2 * size)
            digests = [g.run(["sha256sum", f"/tmp/{name}{version}"]).out.split()[0] for g, name in ((self.gwa, "sent"), (self.gwb, "got"))]
            self.assertEqual(*digests)
        self.assertGreater(self.too_long(self.gwa)[0][2], 0, "what does not fit goes in fragments")

    def await_size(self, version, size):
        deadline = time.monotonic() + 5
        while (now := int(self.gwb.run(["stat", "-c", "%s", f"/tmp/got{version}"]).out)) != size:
            self.assertLess(time.monotonic(), deadline, f"{now}, {self.too_long(self.gwa)}, {self.status(self.gwa)['paths']}")
            time.sleep(0.2)


if __name__ == "__main__":
    labtest.main()
