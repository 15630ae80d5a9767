#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a path carries: inner MTUs, the MSS of TCP and fragments follow it, under the real kernel's ESP and AH."""

import json
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import labtest
from labtest import HOST_B, LAN, WAN
from signertest import APPLY, HERE, MARKS, SignerTest

# As SignerTest left it.
PLAIN = f"install -t /etc/countersign {HERE}/nfq-signer.toml; systemctl restart nfq-signer; {APPLY}"


class Mtu(SignerTest):
    def write(self, gateway, path, text):
        with tempfile.TemporaryFile() as file:
            file.write(text.encode())
            file.seek(0)
            gateway.run(["sh", "-c", f"cat > {path}"], stdin=file)

    def configure(self, policy, tunnels):
        """`tunnels`: the lines of each [[tunnel]] of a gateway whose peer is on the side named."""
        for gateway, other in ((self.gwa, "b"), (self.gwb, "a")):
            text = f'[mtu]\npolicy = "{policy}"\n' + "".join(f"[[tunnel]]\n{lines}\n" for lines in tunnels(other))
            self.write(gateway, "/etc/countersign/nfq-signer.toml", text)
            gateway.run(["sh", "-c", "systemctl restart nfq-signer && nfq-signer rules --nft --apply"])
        self.addCleanup(self.on_both, lambda gateway: gateway.run(["sh", "-ec", PLAIN]))
        self.on_both(self.await_keys)

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
        self.await_keys(self.gwa)
        self.await_mtus(self.gwa, [1138, 1280])
        self.gwa.run(["systemctl", "stop", "nfq-signer"])
        self.assertEqual(self.route_mtus(self.gwa), [0, 0])

    def test_tcp_in_transport_mode_goes_on_in_fragments(self):
        # Nothing clears DF over IPv6: there the configuration has to know how narrow the path may get.
        self.configure("cap", lambda other: [f'peer = "{WAN[v][other]}"\nmode = "transport"\nprotocol = "ah"{more}'
                                             for v, more in ((4, ""), (6, "\npath_mtu = 1400"))])
        size, ends, before = 60_000, [], self.too_long(self.gwa)
        for version in (4, 6):
            labtest.transport(self.lab, version, "ah", **MARKS)
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
