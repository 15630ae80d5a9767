# SPDX-License-Identifier: GPL-3.0-or-later
"""The two gateways of the lab, attested, with pings from LAN to LAN and everything on the wire captured."""

import hashlib
import os
import re
import subprocess
import threading
import time
from contextlib import contextmanager

import labtest
from keymsdtest import BUILD, UNITS, KeymsdTest, changed
from lablib import middle, pcap
from lablib.lab import Lab
from lablib.paths import REPO
from lablib.proc import LabError, run
from signertest import SignerTest

from .pings import Pings

TARGETS = ("keymsd", "keymsd-carrier", "nfq-signer", "countersign", "cs-middle")
# Short, so that an end can be waited for; and a silence longer than a key, so that a key ends first.
TERMS = {"interval": '"10s"', "key_lifetime": '"25s"', "overlap": '"8s"', "silence": '"30s"', "proof": '"required"'}
PATIENCE = 60  # seconds that a healthy pair may need to pass traffic again, on a machine that does other things, too


class Build(threading.Thread):
    """cmake, in the background, and behind the guests: they have to boot in time."""

    def __init__(self, progress):
        super().__init__(daemon=True)
        self.progress, self.process, self.error = progress, None, None

    def run(self):
        try:
            with self.progress.step("keymsd, nfq-signer and countersign are built") as how_far:
                self.call(["cmake", "--preset", "demo"], how_far)
                self.call(["nice", "cmake", "--build", "--preset", "demo", "--target", *TARGETS], how_far)
        except LabError as why:
            self.error = why

    def call(self, argv, how_far):
        self.process = subprocess.Popen(argv, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        process_group=0)  # not a session: the kernel may share the machine out by session, whatever is nice
        said = []
        for line in self.process.stdout:
            said.append(line)
            if done := re.match(r"\[(\d+/\d+)\]", line):
                how_far(done[1])
        if self.process.wait() != 0:
            raise LabError(f"{' '.join(argv)} failed:\n{''.join(said[-60:])}")

    def end(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait()

    def await_end(self):
        self.join()
        if self.error:
            raise self.error


class Stage:
    """What the scenes play on. `pair` has both gateways, and what an operator does at them."""

    pair = KeymsdTest

    def __init__(self, out, progress):
        self.out, self.progress = out, progress
        self.lab = Lab(os.environ["CS_LAB"])
        self.events = []  # (time, what, in which scene)
        self.scene = ""
        self.facts = {}

    # -- set up -------------------------------------------------------------

    def set_up(self, build):
        """`build`: a thread that is at it, or None."""
        with self.progress.step("two gateways with a TPM each have booted"):
            self.lab.up("two-gateways", 1)
        if build:
            build.await_end()
        pair = self.pair
        labtest.LabTest.setUpClass.__func__(pair)
        self.gwa, self.gwb = pair.gwa, pair.gwb
        with self.progress.step("programs and strongSwan's tunnel are installed on both"):
            pair.prepare()
            pair.on_both(pair.install)
            roots = [self.lab.ca.root_certificate(), self.lab.ca.issuer_certificate()]  # of the TPMs' maker
            pair.on_both(lambda gateway: gateway.push(roots, "/etc/countersign/vendor-roots"))
        with self.progress.step("each gateway has made its attestation key in its TPM (countersign init)"):
            pair.keys = dict(zip(("gwa", "gwb"), pair.on_both(pair.init)))
        with self.progress.step("keymsd, nfq-signer and strongSwan run"):
            pair.on_both(lambda gateway: gateway.run(["systemctl", "enable", "--now", *UNITS.split()], limit=3 * PATIENCE))
            pair.on_both(lambda gateway: pair.await_status(gateway, lambda now: now["state"] == "no_policy", PATIENCE))
        self.watch()
        with self.progress.step("both operators have agreed on a policy (policy from-swanctl, propose, agree)"):
            agreement = pair.agree(lambda drawn: changed(drawn, TERMS))
        time.sleep(max(0, self.watched_since + 2 - time.time()))
        self.facts["before"] = self.pings.between(0, time.time())
        with self.progress.step("applied, and both TPMs have attested: the first ping is answered"):
            applied = self.mark("the policy is applied")
            pair.on_both(lambda gateway: pair.countersign(gateway, "policy", "apply", agreement))
            pair.await_standing("granted", PATIENCE)
            self.mark("attested")
            self.facts["first_answer"] = self.pings.await_answer(applied, PATIENCE)
            self.facts["attested_in"] = self.facts["first_answer"] - applied
        self.facts["policy"] = (pair.directory / "policy-1").read_text()
        self.facts["status"] = pair.countersign(self.gwa, "status", "--wait", "5")
        self.facts["kernel"] = self.gwa.run(["uname", "-sr"]).out.strip()

    def watch(self):
        """Pings and captures, from before anything is agreed on until the end."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.captures = []
        for interface in ("wana", "wanb"):
            path = self.out / f"{interface}.pcap"
            with open(path, "wb") as file:
                process = self.pair.mid.capture(interface, limit=3600, out=file)
            labtest.await_line(process.stderr, b"listening on")
            self.captures.append((path, process))
        self.watched_since = time.time()
        self.pings = Pings(self.pair.hosta, self.out / "ping.txt")

    def end_watch(self):
        """So that the files are whole."""
        for process in [self.pings.process, *(process for _, process in self.captures)]:
            process.terminate()
            process.wait(timeout=10)

    # -- what scenes need ---------------------------------------------------

    def mark(self, what):
        """An event of the time line; gives its time."""
        now = time.time()
        self.events.append((now, what, self.scene))
        return now

    @contextmanager
    def hostile(self, action, **options):
        """The network between does this to ESP toward gateway B; gives what it did, once it has ended."""
        engine, done = middle.Hostile(self.lab), {}
        engine.start(action, **options)
        try:
            yield done
        finally:
            done.update(engine.stop())

    def dropped(self, gateway):
        """What nfq-signer has let nobody have, by reason."""
        sums = {}
        for worker in SignerTest.status(gateway)["workers"]:
            if worker["direction"] == "inbound":
                for reason, count in worker["packets"]["dropped"].items():
                    sums[reason] = sums.get(reason, 0) + count
        return sums

    @staticmethod
    def xfrm_counter(gateway, name):
        lines = gateway.run(["cat", "/proc/net/xfrm_stat"]).out.splitlines()
        return int(dict(line.split() for line in lines)[name])

    def on_wire(self, interface, begin, end):
        """Packets that crossed meanwhile."""
        path = next(path for path, _ in self.captures if path.stem == interface)
        return [packet for packet in pcap.packets(path.read_bytes()) if begin <= packet.time < end]

    def await_flow(self, since):
        """When the first ping was sent that was answered since; both gateways are granted then."""
        first = self.pings.await_answer(since, PATIENCE)
        self.pair.await_standing("granted", PATIENCE)
        return first

    def told(self, gateway, since):
        """What the operator of that gateway had in the journal since then, by its own clock in microseconds."""
        out = gateway.run(["journalctl", "-q", "-o", "short-iso-precise", "--no-hostname", "--since", f"@{since // 1000000}", "-u", "keymsd",
                           "-u", "nfq-signer"]).out
        return "\n".join(line for line in out.splitlines() if line.strip())

    def explained(self, gateway, peer):
        return gateway.run(["countersign", "explain", peer], check=False).out.strip()


def programs():
    """What was shown: each program with the first bytes of its SHA-256."""
    paths = [BUILD / name for name in ("keyms/keymsd", "keyms/keymsd-carrier", "nfq-signer/nfq-signer", "tools/countersign")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}


def commit():
    try:
        return run(["git", "-C", str(REPO), "describe", "--always", "--dirty"]).strip()
    except LabError:
        return "that is not in git"
