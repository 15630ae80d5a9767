# SPDX-License-Identifier: GPL-3.0-or-later
"""nfq-signer as a service on both gateways, and who watches the wire between them."""

import json
import os
import secrets
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import labtest
from labtest import HOST_B, WAN
from lablib.paths import REPO
from lablib.pcap import AH, ESP, UDP

sys.path.insert(0, str(REPO / "tests/vectors"))
from primitives import public_key  # noqa: E402
from reference import Record, Verifier  # noqa: E402

BUILD = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
HERE = "/usr/local/share/countersign"  # where the guests have what we push
MARKS = {"inbound": "mark 0x10000 mask 0x10000", "outbound": "output-mark 0x20000 mask 0x30000"}
NATTED = "198.51.100.254"  # where the middle's NAT shows gateway A
APPLY = "nfq-signer rules --nft --apply && nfq-signer rules --tc --apply --interface wan"
SET_UP = f"""
set -e
systemd-sysusers {HERE}/countersign.sysusers
install -d -o keymsd /run/countersign/keymsd
install -D -t /usr/local/sbin {HERE}/nfq-signer
install -D -t /etc/countersign {HERE}/nfq-signer.toml
install -D -t /etc/systemd/system {HERE}/nfq-signer.service
install -m 0600 -o keymsd {HERE}/scenario.json /run/countersign/keymsd
# Reading all units anew takes seconds, and a new one is found without.
[ "$(systemctl show -P NeedDaemonReload nfq-signer)" = no ] || systemctl daemon-reload
systemd-run --quiet --unit=keymsd --uid=keymsd --gid=nfq-signer {HERE}/cs-standin-keymsd \
  --socket /run/countersign/keymsd/data-plane --scenario /run/countersign/keymsd/scenario.json --uid $(id -u nfq-signer)
systemctl start nfq-signer
{APPLY}
"""
TEAR_DOWN = "systemctl stop nfq-signer keymsd; nft flush ruleset; tc qdisc del dev wan clsact"


def a_key(number, direction):
    return {"key": number, "session": secrets.token_hex(32), "pcr_digest": secrets.token_hex(32), "direction": direction,
            "suite": 1, "gate_secret": secrets.token_hex(16), "lanes": [0, 15], "lifetime_ms": 3600000,
            "private_key": "00" + secrets.token_hex(31)}


def record_of(key):
    private = bytes.fromhex(key["private_key"])
    return Record(key["key"], bytes.fromhex(key["session"]), key["direction"], key["suite"], public_key(private),
                  bytes.fromhex(key["pcr_digest"]), bytes.fromhex(key["gate_secret"]), tuple(range(16)), 1)


class SignerTest(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = {"a": a_key(1, 0), "b": a_key(2, 1)}  # by who signs
        cls.addClassCleanup(cls.on_both, lambda gateway: gateway.run(["sh", "-c", TEAR_DOWN], check=False))
        cls.on_both(cls.install)

    @classmethod
    def install(cls, gateway):
        side, other = ("a", "b") if gateway is cls.gwa else ("b", "a")
        peer = {"id": 1, "mode": "enforce", "addresses": [WAN[4][other], WAN[6][other], *([NATTED] if other == "a" else [])],
                "outbound": [cls.keys[side]], "inbound": [cls.keys[other]]}
        labtest.push_programs(gateway, [BUILD / "nfq-signer/nfq-signer", BUILD / "tests/standin/cs-standin-keymsd"], HERE)
        with tempfile.TemporaryDirectory() as scratch:
            scenario = Path(scratch) / "scenario.json"
            scenario.write_text(json.dumps({"peers": [peer]}))
            gateway.push([scenario, BUILD / "nfq-signer/nfq-signer.service", REPO / "nfq-signer/nfq-signer.toml",
                          REPO / "nfq-signer/countersign.sysusers", REPO / "tests/lab/extension_headers.pl"], HERE)
        gateway.run(["sh", "-c", SET_UP])
        cls.await_keys(gateway)

    def setUp(self):
        self.addCleanup(self.clear_ipsec)

    @staticmethod
    def status(gateway):
        """None: nobody answers."""
        done = gateway.run(["nc", "-N", "-U", "/run/countersign/nfq-signer/control"], check=False)
        return json.loads(done.out) if done.code == 0 else None

    @classmethod
    def await_status(cls, gateway, wanted, limit=20):
        deadline = time.monotonic() + limit
        while not wanted(now := cls.status(gateway) or {}):
            if time.monotonic() > deadline:
                raise AssertionError(f"{gateway.name}: waited {limit} s in vain; last: {now}")
            time.sleep(0.05)
        return now

    @classmethod
    def await_keys(cls, gateway):
        cls.await_status(gateway, lambda now: now.get("keys") == {"outbound": 1, "inbound": 1})

    def packets(self, gateway, direction, name, reason=None):
        counters = [w["packets"][name] for w in self.status(gateway)["workers"] if w["direction"] == direction]
        return sum(counter[reason] if reason else counter for counter in counters)

    def tunnel(self, version, **more):
        return labtest.esp_tunnel(self.lab, version, **MARKS, **more)

    def assert_all_signed(self, seen, at_least):
        """Every IPsec packet on the wire is right by docs/WIRE.md: the second implementation says so."""
        verifier = Verifier([record_of(key) for key in self.keys.values()])
        ipsec = [p for p in seen if p.proto in (ESP, AH) or (p.proto == UDP and 4500 in (p.sport, p.dport))]
        for packet in ipsec:
            verifier.verify(packet.data)  # raises, and says why
        self.assertGreaterEqual(len(ipsec), at_least, f"IPsec among {len(seen)} packets")

    @contextmanager
    def traffic(self, node, address=HOST_B[4]):
        """Pings, 20 a second, as long as the block lasts."""
        with tempfile.NamedTemporaryFile() as file:
            process = node.popen(["ping", "-n", "-i", "0.05", "-p", labtest.MARKER.hex(), address], stdout=file)
            try:
                yield Traffic(Path(file.name))
            finally:
                process.terminate()
                process.wait(timeout=10)


class Traffic:
    """What traffic() gives: whether its pings are answered."""

    def __init__(self, file):
        self.file = file

    def answered(self):
        return self.file.read_bytes().count(b" bytes from ")

    def await_flow(self, limit=20):
        enough, deadline = self.answered() + 5, time.monotonic() + limit
        while self.answered() < enough:
            if time.monotonic() > deadline:
                raise AssertionError(f"no answers for {limit} s")
            time.sleep(0.02)

    def assert_stands(self, seconds=0.5):
        """Nothing is answered; returns when that was, as a capture's times."""
        time.sleep(0.2)  # what was on its way
        begin, answered = time.time(), self.answered()
        time.sleep(seconds)
        if self.answered() != answered:
            raise AssertionError(f"{self.answered() - answered} pings were answered")
        return begin, time.time()
