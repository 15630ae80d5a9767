# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried. Each scene begins and ends with an attested tunnel, and judges only by what it has measured."""

import sys
import time

from keymsdtest import HERE
from labtest import HOST_B, MARKER
from lablib import netns
from lablib.paths import REPO
from lablib.pcap import ESP
from lablib.proc import run

from .verdict import Verdict

sys.path.insert(0, str(REPO / "tests/vectors"))
import reference  # noqa: E402

CLOSING = r"delete element inet countersign_gate gwb\.granted"  # as `nft monitor` tells it
HOST_A = "10.1.0.2"
SPELL = 2.0  # seconds that the network is hostile
INTO_CIPHERTEXT = 40  # behind the IP header: SPI, sequence number and IV are before


def is_signed(packet):
    try:
        reference.parse_extension(reference.parse(packet.data))
    except reference.Refused:
        return False
    return True


def milliseconds(seconds):
    return f"{max(0, seconds) * 1000:.0f} ms"


def grown(before, after):
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def signed(stage, verdict):
    """Nothing goes wrong."""
    stage.pings.await_answer(time.time(), 10)
    begin = time.time()
    before = stage.pair.status(stage.gwa)["data_plane"]["packets_signed"]
    time.sleep(SPELL)
    end = time.time()
    pings = stage.pings.between(begin, end - 0.5)
    answered = sum(ping.answered for ping in pings)
    seen = [packet for packet in stage.on_wire("wana", begin, end) if packet.proto == ESP]
    good = sum(map(is_signed, seen))
    verdict.figures = {"pings": len(pings), "answered": answered, "esp": len(seen), "signed": good, "signed_before": before}
    verdict.happened = f"{answered} of {len(pings)} pings answered; {good} of {len(seen)} ESP packets on the wire carry the signature"
    verdict.check("before the policy was applied no ping was answered",
                  stage.facts["before"] and not any(ping.answered for ping in stage.facts["before"]))
    verdict.check("every ping from LAN to LAN is answered", pings and answered == len(pings))
    verdict.check("every ESP packet on the wire carries its extension", len(seen) >= 2 * answered and good == len(seen))
    verdict.check("no ping crossed the network in clear", not any(MARKER in packet.data for packet in stage.on_wire("wana", 0, end)))
    verdict.excerpts.append(("countersign status, at gateway A", stage.facts["status"]))


def flipped_bit(stage, verdict):
    dropped, kernel = stage.dropped(stage.gwb), stage.xfrm_counter(stage.gwb, "XfrmInStateProtoError")
    begin = stage.mark("bits are flipped")
    with stage.hostile("corrupt", every=2, offset=INTO_CIPHERTEXT) as done:
        time.sleep(SPELL)
    end = stage.mark("no more")
    first = stage.await_flow(end)
    time.sleep(0.5)  # the last answers are on the way
    found = grown(dropped, stage.dropped(stage.gwb))
    to_kernel = stage.xfrm_counter(stage.gwb, "XfrmInStateProtoError") - kernel
    lost = sum(not ping.answered for ping in stage.pings.between(begin, end))
    verdict.figures = {"changed": done["acted"], "dropped": found, "reached_kernel": to_kernel, "pings_lost": lost}
    verdict.happened = f"{done['acted']} packets changed, {sum(found.values())} dropped: {reasons_of(found)}; {to_kernel} reached the kernel's IPsec"
    verdict.cut = "at once, packet by packet; the tunnel itself stays up"
    verdict.healed = f"by itself; the next untouched packet passed ({milliseconds(first - end)} after the last change)"
    verdict.check("packets were changed", done["acted"] > 0)
    verdict.check("as many were dropped as bad_tag as were changed", found.get("bad_tag") == done["acted"])
    verdict.check("none of them reached the kernel's IPsec", to_kernel == 0)
    verdict.check("no changed ping was answered", lost >= done["acted"])
    verdict.check("untouched ones were", any(ping.answered for ping in stage.pings.between(begin, end)))


def reasons_of(found):
    return ", ".join(f"{count} {reason}" for reason, count in sorted(found.items())) or "none"


def replay(stage, verdict):
    dropped, kernel = stage.dropped(stage.gwb), stage.xfrm_counter(stage.gwb, "XfrmInStateSeqError")
    begin = stage.mark("every packet is sent twice")
    with stage.hostile("replay") as done:
        time.sleep(SPELL)
    end = stage.mark("no more")
    stage.await_flow(end)
    time.sleep(0.5)  # the last answers are on the way
    found = grown(dropped, stage.dropped(stage.gwb))
    by_window = stage.xfrm_counter(stage.gwb, "XfrmInStateSeqError") - kernel
    again = sum(begin <= at for at in stage.pings.read()[1])
    lost = sum(not ping.answered for ping in stage.pings.between(begin, end))
    verdict.figures = {"replayed": done["reinjected"], "dropped": found, "dropped_by_window": by_window, "answered_twice": again, "pings_lost": lost}
    verdict.happened = (f"{done['reinjected']} packets sent again, {by_window + sum(found.values())} dropped ({by_window} by the SA's replay window, "
                        f"by nfq-signer {reasons_of(found)}); {again} pings answered twice, {lost} lost")
    verdict.cut = "at once, packet by packet; the tunnel itself stays up"
    verdict.healed = "by itself; it never stopped"
    verdict.check("packets were replayed", done["reinjected"] > 0)
    verdict.check("each of them was dropped", by_window + sum(found.values()) == done["reinjected"])
    verdict.check("no ping was answered twice", again == 0)
    verdict.check("pings were answered meanwhile", any(ping.answered for ping in stage.pings.between(begin, end)))


class Cut:
    """A scene in which nothing may pass until it was mended. Tells what both operators were told."""

    def __init__(self, stage, verdict):
        self.stage, self.verdict = stage, verdict
        self.since = {gateway.name: stage.pair.now(gateway) for gateway in (stage.gwa, stage.gwb)}

    def await_cut(self, since, what):
        """Seconds from then to the first ping that was not answered any more."""
        stage = self.stage
        at = stage.pings.await_silence(since, 60)
        stage.events.append((at, "nothing passes", stage.scene))
        took = max(0.0, at - since)
        self.verdict.cut = f"nothing passed {milliseconds(took)} after {what}"
        self.verdict.figures["cut_ms"] = round(took * 1000)
        return at

    def mended(self, at, by):
        first = self.stage.await_flow(at)
        self.stage.events.append((first, "flows again", self.stage.scene))
        self.verdict.healed = f"{by}; LAN reached LAN {first - at:.1f} s later"
        self.verdict.figures["healed_s"] = round(first - at, 1)
        self.verdict.check("traffic flows again, attested", True)  # await_flow raises otherwise
        for gateway in (self.stage.gwa, self.stage.gwb):
            self.verdict.excerpts.append((f"journal of {gateway.name}", self.stage.told(gateway, self.since[gateway.name])))

    def check_told(self, gateway, peer, reason):
        """Gives the sentence."""
        told = self.stage.pair.await_told(gateway, "denied", peer, reason, self.since[gateway.name])
        self.verdict.check(f"the operator of {gateway.name} was told: {peer}, {reason}", True)  # raises otherwise
        return next(entry["MESSAGE"] for entry in told if entry["REASON"] == reason)

    def explain(self, gateway, peer):
        self.verdict.excerpts.append((f"countersign explain {peer}, at {gateway.name}, meanwhile", self.stage.explained(gateway, peer)))


def unattested(stage, verdict):
    cut = Cut(stage, verdict)
    begun = stage.mark("keymsd of B is stopped")
    stage.gwb.run(["systemctl", "stop", "keymsd"])
    cut.await_cut(begun, "keymsd of B was told to stop")
    peer = stage.pair.peer(stage.gwa)
    verdict.check("gateway A has closed", peer["standing"] == "closed")
    told = cut.check_told(stage.gwa, "gwb", "stopping")
    cut.explain(stage.gwa, "gwb")
    verdict.happened = f"gateway B runs on, strongSwan's SAs and all, but nobody attests it. Gateway A: \"{told}\""
    mended = stage.mark("keymsd of B is started")
    stage.gwb.run(["systemctl", "start", "keymsd"])
    cut.mended(mended, "by starting keymsd, which attests anew")


def drift(stage, verdict):
    cut = Cut(stage, verdict)
    policy = ["src", HOST_A, "dst", HOST_B[4], "dir", "out", "priority", "1"]
    begun = stage.mark("a bypass policy is set")
    took = int(stage.gwa.run(["perl", f"{HERE}/gate_clock.pl", CLOSING, "ip", "xfrm", "policy", "add", *policy]).out)
    cut.await_cut(begun, "it was set, measured by pings")
    verdict.figures["gate_closed_ms"] = took
    verdict.cut = f"the gate closed {took} ms after the policy was added"
    verdict.check("the gate closed within a second", took < 1000)
    cut.check_told(stage.gwa, "gwb", "own_drift")
    told = cut.check_told(stage.gwb, "gwa", "own_drift")
    verdict.excerpts.append(("countersign status, at gateway A, meanwhile", stage.gwa.run(["countersign", "status"], check=False).out))
    cut.explain(stage.gwb, "gwa")
    verdict.happened = f"gateway A saw it, closed, and measured it into its TPM. Gateway B: \"{told}\""
    stage.gwa.run(["ip", "xfrm", "policy", "delete", *policy[:6]])
    stage.mark("the policy is deleted")
    stage.pair.await_status(stage.gwa, lambda now: all(found["severity"] == "note" for found in now["kernel"]["drift"]))
    before = time.time()
    stage.pair.approve_state(stage.gwa)
    stage.mark("the approver has signed")
    stage.pair.await_peer(stage.gwb, lambda peer: "drift" in str(peer["reasons"]), 60)
    verdict.check("deleting it, and the approver's word, open nothing yet", not any(ping.answered for ping in stage.pings.between(before, time.time())))
    mended = stage.mark("B's operator acknowledges")
    stage.pair.countersign(stage.gwb, "acknowledge", "gwa", "--yes")
    cut.mended(mended, "by deleting the policy, the approver's signature over the state, and `countersign acknowledge` at gateway B")


def expired(stage, verdict):
    cut = Cut(stage, verdict)
    rule = ["FORWARD", "-p", "tcp", "-m", "multiport", "--ports", "4739", "-j", "DROP"]
    mid = stage.lab.namespaces["mid"]
    until = stage.pair.peer(stage.gwa)["until"]
    begun = stage.mark("attestation no longer gets through")
    run(netns.inside(mid, ["iptables", "-I", *rule]))
    try:
        cut.await_cut(begun, "attestation was last let through; until then the last one held")
        stage.pair.await_standing("closed", 30)  # each at the end of what it granted itself
        verdict.check("both gateways have closed", True)  # raises otherwise
        told = [stage.told(gateway, cut.since[gateway.name]) for gateway in (stage.gwa, stage.gwb)]
        verdict.check("an operator was told: expired", any(": expired: " in text for text in told))
        cut.explain(stage.gwa, "gwb")
        verdict.happened = (f"IPsec could pass, but no renewal: at the end of what was granted (it stood until {until} or the renewal after that) "
                            "keys and gate were gone on both sides")
    finally:
        run(netns.inside(mid, ["iptables", "-D", *rule]))
    mended = stage.mark("it gets through again")
    cut.mended(mended, "by itself, with a new attestation")


def killed_signer(stage, verdict):
    cut = Cut(stage, verdict)
    begun = stage.mark("nfq-signer of A is killed")
    stage.gwa.run(["pkill", "-9", "-x", "nfq-signer"])
    gone = stage.pings.await_loss(begun, 10)
    stage.events.append((gone, "nothing passes", stage.scene))
    cut.mended(gone, "by itself (systemd starts it, keymsd gives it its keys)")
    lost = [ping for ping in stage.pings.between(begun, time.time()) if not ping.answered]
    clear = [packet for packet in stage.on_wire("wana", begun, time.time()) if packet.proto == ESP and not is_signed(packet)]
    verdict.figures.update({"pings_lost": len(lost), "unsigned": len(clear)})
    verdict.cut = "at once: the rules queue to nobody, so the kernel drops"
    verdict.happened = f"{len(lost)} pings lost, {len(clear)} unsigned ESP packets on the wire"
    verdict.check("pings were lost: it was gone", lost)
    verdict.check("no unsigned ESP packet left", not clear)
    verdict.check("it flows again within 10 s", verdict.figures["healed_s"] <= 10)


SCENES = (
    ("signed", "Every packet signed", signed, "LAN A pings LAN B through strongSwan's tunnel, ten times a second"),
    ("flipped-bit", "A flipped bit", flipped_bit, "the network between turns over a bit in every second ESP packet toward gateway B"),
    ("replay", "A replay", replay, "the network between sends every ESP packet toward gateway B once more, 200 ms later"),
    ("unattested", "An unattested peer", unattested, "keymsd of gateway B is stopped; IPsec itself stays as it is"),
    ("drift", "A bypass policy", drift, "on gateway A somebody adds a policy that lets traffic from LAN to LAN out in clear"),
    ("expired", "An expired attestation", expired, "the network between lets IPsec pass, but no attestation"),
    ("killed-signer", "A killed signer", killed_signer, "nfq-signer of gateway A is killed with SIGKILL"),
)


def play(stage):
    """Each in turn; one that fails does not keep the others from being tried."""
    for name, title, scene, tried in SCENES:
        verdict = Verdict(name, title, tried)
        stage.scene = name
        verdict.begun = time.time()
        with stage.progress.step(f"{title}: {tried}"):
            try:
                stage.await_flow(time.time())
                scene(stage, verdict)
            except Exception as why:  # pylint: disable=broad-except
                verdict.error = str(why) or type(why).__name__
        verdict.ended = time.time()
        yield verdict
