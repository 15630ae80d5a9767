# SPDX-License-Identifier: GPL-3.0-or-later
"""keymsd and nfq-signer as services on both gateways, strongSwan's tunnel between the LANs, and a policy that both have agreed on."""

import json
import os
import re
import tempfile
import time
from pathlib import Path

import labtest
import signertest
from labtest import HOST_B, LAN, WAN
from lablib.paths import REPO
from lablib.proc import run
import test_strongswan

BUILD = Path(os.environ.get("CS_BUILD", REPO / "build/dev"))
HERE = "/usr/local/share/countersign"  # where the guests have what we push
PROGRAMS = {"keyms/keymsd": "/usr/local/sbin", "nfq-signer/nfq-signer": "/usr/local/sbin", "tools/countersign": "/usr/local/bin",
            "keyms/keymsd-carrier": "/usr/local/libexec/countersign"}
STATE = "/var/lib/countersign/keymsd"
UNITS = "countersign-rules keymsd nfq-signer strongswan"

CONFIGURATION = """\
[network]
listen = ["{address}:4739"]
carrier = "/usr/local/libexec/countersign/keymsd-carrier"
[state]
approver = "/etc/countersign/approver.pem"
"""
# As docs/OPERATIONS.md has it.
RULES = """\
[Unit]
Before=strongswan.service keymsd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/nfq-signer rules --tc --interface wan --apply
ExecStart=/usr/local/sbin/nfq-signer rules --nft --apply
[Install]
RequiredBy=strongswan.service
"""
# The address of an interface comes after the boot, by the lab.
WAIT_FOR_WAN = "[Service]\nExecStartPre=/bin/sh -c 'until ip link show wan; do sleep 0.1; done'\n"
INSTALL = f"""
set -e
systemd-sysusers {HERE}/countersign.sysusers
install -D -m 0644 -t /etc/systemd/system {HERE}/keymsd.service {HERE}/nfq-signer.service {HERE}/countersign-rules.service
install -D -m 0644 {HERE}/strongswan.conf /etc/systemd/system/strongswan.service.d/countersign.conf
install -D -m 0644 {HERE}/wait.conf /etc/systemd/system/countersign-rules.service.d/wait.conf
install -D -m 0644 -t /etc/countersign {HERE}/nfq-signer.toml {HERE}/approver.pem
systemctl daemon-reload
systemctl start strongswan
swanctl --load-all
"""
TEAR_DOWN = f"""
systemctl disable --now {UNITS}
rm -rf /etc/systemd/system/keymsd.service /etc/systemd/system/nfq-signer.service /etc/systemd/system/countersign-rules.service*
rm -rf /etc/systemd/system/strongswan.service.d /etc/countersign {STATE}
systemctl daemon-reload
nft flush ruleset
tc qdisc del dev wan clsact
tpm2_nvundefine -C o 0x018c5000
"""
MARKS = "mark_in = 0x10000/0x10000\n mark_in_sa = yes\n set_mark_out = 0x20000/0x30000\n start_action = trap\n replay_window = 256\n"
# Fields of the policy that are otherwise than drawn.
FIRST = {"proof": '"optional"', "interval": '"25s"', "key_lifetime": '"60s"', "overlap": '"15s"', "silence": '"5s"'}


def guard(here, there):
    """As `nfq-signer rules --swanctl` has it."""
    return f"}}\n net-guard {{ local_ts = {here}\n remote_ts = {there}\n mode = drop\n start_action = trap"


def peer_of(gateway):
    return "gwb" if gateway.name == "gwa" else "gwa"


def pair(test):
    return test.gwa, test.gwb


def changed(text, values):
    """Fields of a policy's text replaced, wherever they stand."""
    for field, value in values.items():
        text, count = re.subn(rf"(?m)^(\s*){field} = .*$", rf"\g<1>{field} = {value}", text)
        if count == 0:
            raise AssertionError(f"no field {field} in:\n{text}")
    return text


class KeymsdTest(labtest.LabTest):
    """No test of its own: what one needs, from the empty gateways to the pair that attests."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare()
        cls.addClassCleanup(cls.on_both, cls.uninstall)
        cls.on_both(cls.install)
        cls.keys = dict(zip(("gwa", "gwb"), cls.on_both(cls.init)))
        cls.on_both(lambda gateway: gateway.run(["systemctl", "enable", "--now", *UNITS.split()]))

    @classmethod
    def prepare(cls):
        """What is made on this machine: IKE's certificates, an approver's key, programs to install."""
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.directory = Path(cls.scratch.name)
        test_strongswan.certificates(cls.directory)
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{cls.directory}/approver.key"])
        run(["openssl", "pkey", "-in", f"{cls.directory}/approver.key", "-pubout", "-out", f"{cls.directory}/approver.pem"])
        labtest.slim([BUILD / program for program in PROGRAMS], cls.directory)

    @classmethod
    def install(cls, gateway):
        side, other = gateway.name[-1], peer_of(gateway)[-1]
        here = cls.directory / f"{gateway.name}-files"
        here.mkdir()
        (here / "keymsd.toml").write_text(CONFIGURATION.format(address=WAN[4][side]))
        (here / "countersign-rules.service").write_text(RULES)
        (here / "wait.conf").write_text(WAIT_FOR_WAN)
        signer = (REPO / "nfq-signer/nfq-signer.toml").read_text()
        (here / "nfq-signer.toml").write_text(signer + f'\n[[tunnel]]\npeer = "{WAN[4][other]}"\ninner = ["{LAN[4][other]}"]\n')
        files = {HERE: [*here.iterdir(), BUILD / "nfq-signer/nfq-signer.service", BUILD / "keyms/keymsd.service",
                      REPO / "nfq-signer/countersign.sysusers", REPO / "keyms/daemon/strongswan.conf",
                      REPO / "tests/lab/gate_clock.pl", cls.directory / "approver.pem"]}
        files |= test_strongswan.files(gateway, peer_of(gateway), cls.directory, WAN[4][other], MARKS + guard(LAN[4][side], LAN[4][other]))
        for directory in set(PROGRAMS.values()):
            files[directory] = [cls.directory / Path(program).name for program in PROGRAMS if PROGRAMS[program] == directory]
        gateway.place(files)
        gateway.run(["sh", "-c", INSTALL])

    @classmethod
    def uninstall(cls, gateway):
        gateway.run(["sh", "-c", TEAR_DOWN], check=False)
        cls.lab.reboot(gateway.name)  # or the registers keep what they were told

    @classmethod
    def init(cls, gateway):
        """The attestation key's Name."""
        gateway.run(["install", "-m", "0644", f"{HERE}/keymsd.toml", "/etc/countersign"])  # without it, keymsd is not started
        told = cls.countersign(gateway, "init", gateway.name)
        return re.search(r"attestation key\s+([0-9a-f]{68})", told)[1]

    # -- the operator -------------------------------------------------------

    @staticmethod
    def countersign(gateway, *arguments, status=0):
        done = gateway.run(["countersign", *arguments], check=False)
        if done.code != status:
            raise AssertionError(f"{gateway.name}: countersign {' '.join(arguments)} ended with {done.code}:\n{done.out}{done.err}")
        return done.out

    @classmethod
    def agree(cls, change, version=1, connections="/etc/swanctl/swanctl.conf"):
        """A policy drawn from strongSwan's configuration, signed at both gateways, and carried from one to the other. Gives its path there."""
        drawn = cls.countersign(cls.gwa, "policy", "from-swanctl", connections, "--name", "lab",
                                "--here", "gwa", "--here-key", cls.keys["gwa"], "--here-keymsd", WAN[4]["a"],
                                "--there", "gwb", "--there-key", cls.keys["gwb"], "--there-keymsd", WAN[4]["b"])
        names = {part: cls.directory / f"{part}-{version}" for part in ("policy", "proposal", "agreement")}
        names["policy"].write_text(change(drawn))
        cls.gwa.push([names["policy"]], HERE)
        told = cls.countersign(cls.gwa, "policy", "propose", f"{HERE}/policy-{version}", "--out", f"{HERE}/proposal-{version}")
        digits = re.search(r"(\d{6}\s+){7}\d{6}", told)[0]
        cls.gwa.pull([f"{HERE}/proposal-{version}"], cls.directory)
        cls.gwb.push([names["proposal"]], HERE)
        cls.countersign(cls.gwb, "policy", "agree", f"{HERE}/proposal-{version}", "--out", f"{HERE}/agreement-{version}", "--fingerprint", digits)
        cls.gwb.pull([f"{HERE}/agreement-{version}"], cls.directory)
        cls.gwa.push([names["agreement"]], HERE)
        return f"{HERE}/agreement-{version}"

    @classmethod
    def approve_state(cls, gateway):
        """The approver, off the gateway, says that its state is as it should be; gives what that opened."""
        cls.countersign(gateway, "recover", "--request", "/run/request")
        gateway.pull(["/run/request"], cls.directory)
        run([cls.countersign_here(), "approve", str(cls.directory / "request"), "--key", str(cls.directory / "approver.key"),
             "--out", str(cls.directory / "approval"), "--yes"])
        gateway.push([cls.directory / "approval"], "/run")
        return cls.countersign(gateway, "recover", "--approval", "/run/approval").strip()

    @classmethod
    def status(cls, gateway):
        """None: keymsd does not answer."""
        done = gateway.run(["countersign", "status", "--json"], check=False)
        try:
            return json.loads(done.out)
        except ValueError:
            return None

    @classmethod
    def peer(cls, gateway):
        peers = (cls.status(gateway) or {}).get("peers", [])
        return peers[0] if peers else {}

    @classmethod
    def await_peer(cls, gateway, wanted, limit=30):
        deadline = time.monotonic() + limit
        while not wanted(now := cls.peer(gateway)):
            if time.monotonic() > deadline:
                told = gateway.run(["journalctl", "-q", "-o", "cat", "-u", "keymsd", "-n", "30"]).out
                raise AssertionError(f"{gateway.name}: waited {limit} s in vain; last: {now}; its journal:\n{told}")
            time.sleep(0.1)
        return now

    @classmethod
    def await_standing(cls, standing, limit=30):
        cls.on_both(lambda gateway: cls.await_peer(gateway, lambda peer: peer.get("standing") == standing, limit))

    @classmethod
    def await_status(cls, gateway, wanted, limit=30):
        deadline = time.monotonic() + limit
        while not ((now := cls.status(gateway)) and wanted(now)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{gateway.name}: waited {limit} s in vain; last: {now}")
            time.sleep(0.1)

    @staticmethod
    def now(gateway):
        """By its own clock, in microseconds."""
        return int(gateway.run(["date", "+%s%6N"]).out)

    @classmethod
    def await_entries(cls, gateway, event, since, so=bool, limit=10):
        """What keymsd has told the journal since then, of one kind of event: the fields of each entry, once `so` holds for them."""
        deadline = time.monotonic() + limit
        while True:
            out = gateway.run(["journalctl", "-q", "-o", "json", "-n", "100", "-u", "keymsd", f"EVENT={event}"]).out
            found = [entry for entry in map(json.loads, out.splitlines()) if int(entry["__REALTIME_TIMESTAMP"]) > since]
            if so(found):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{gateway.name} has not told that of {event} within {limit} s: {found}")

    @classmethod
    def await_told(cls, gateway, event, peer, reason, since):
        return cls.await_entries(gateway, event, since, lambda found: any((one["PEER"], one["REASON"]) == (peer, reason) for one in found))

    # -- the traffic --------------------------------------------------------

    traffic = signertest.SignerTest.traffic

    @staticmethod
    def countersign_here():
        """On this machine, as an approver has it."""
        return str(BUILD / "tools/countersign")

    def await_flow(self, limit=30):
        """Until the LANs reach each other; how long it took."""
        begun = time.monotonic()
        while self.ping(self.hosta, HOST_B[4], count=1, wait=1) == 0:
            self.assertLess(time.monotonic(), begun + limit, f"no ping is answered for {limit} s: {self.peer(self.gwa)} {self.peer(self.gwb)}")
        return time.monotonic() - begun


class AttestedTest(KeymsdTest):
    """A pair that attests, and whose tunnel passes when a test begins."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.on_both(lambda gateway: cls.await_status(gateway, lambda now: now["state"] == "no_policy"))
        if cls.hosta.run(["ping", "-n", "-q", "-c", "1", "-W", "1", HOST_B[4]], check=False).code == 0:
            raise AssertionError("a ping was answered before anything was agreed")
        agreement = cls.agree(lambda text: changed(text, FIRST))
        begun = time.monotonic()
        cls.on_both(lambda gateway: cls.countersign(gateway, "policy", "apply", agreement))
        cls.await_standing("granted", 60)
        print(f"attested {time.monotonic() - begun:.1f} s after the policy was applied", flush=True)

    def setUp(self):
        self.await_standing("granted", 60)
        self.await_flow()
