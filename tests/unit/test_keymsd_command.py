#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What countersign asks keymsd: each verb by what it sends, its exit code and what it tells; the daemon is a script."""

import argparse
import hashlib
import json
import struct
import sys
import time
import unittest

import command_tree
from command_tree import run
from fake_keymsd import HOSTILE, TOLD, Verbs, base64_of

AT, LATER = "2026-02-01T13:00:00Z", "2026-02-01T13:10:00Z"
REASON = {"code": "pcr-value", "text": "PCR 4 is not as agreed"}


def peer(name="hamburg-1", **other):
    return {"peer": name, "policy": {"name": "berlin-hamburg", "version": 3, "value": "ab" * 32, "fingerprint": "012345 …"}, "pending": None,
            "role": "initiator", "standing": "granted", "run": "idle", "channel": True, "granted_at": AT, "until": LATER, "next_run": LATER,
            "heard_seconds": 2, "reasons": [], "by_peer": False, "proved": True, "granted_runs": 7, "failed_runs": 0, "sas": 4, "admitted": 3,
            "keys": {"inbound": 1, "outbound": 2}, **other}


def status(**other):
    return {"schema": 1, "ne_id": "berlin-1", "release": "0.1", "since": AT, "state": "ready", "faults": [],
            "tpm": {"attestation_key": "000b" + "a1" * 32, "fingerprint": "012345 678901", "reset_count": 9},
            "data_plane": {"connected": True, "packets_signed": 10, "batches_signed": 4, "packets_accepted": 8, "packets_dropped": 1, "bad_signatures": 5},
            "kernel": {"watched": True, "gate": "nft", "drift": [], "waiting": 6}, "carrier": {"running": True, "channels": 2, "unproven": 1, "refused": {"no-tls": 3}},
            "peers": [peer()], **other}


def field(kind, value):
    return struct.pack(">BI", kind, len(value)) + value


def cel_record(number, pcr, event, value):
    content = field(0xc5, field(event, value))
    digest = hashlib.sha256(content).digest()
    return field(0, struct.pack(">Q", number)) + field(1, bytes([pcr])) + field(3, field(0x0b, digest)) + content


class Daemon(Verbs):
    LOOKING = (("status",), ("peers",), ("attest", "hamburg-1"), ("explain", "hamburg-1"), ("certs",), ("log",))
    DOING = (("events",), ("acknowledge", "hamburg-1", "--yes"), ("deny", "hamburg-1", "why"), ("policy", "confirm", "hamburg-1"),
             ("policy", "rollback", "hamburg-1"), ("policy", "retire", "hamburg-1"))

    def test_without_one_each_verb_says_what_to_type(self):
        for verb in (*self.LOOKING, *self.DOING):
            done = run(*verb, "--socket", str(self.scratch / "none"))
            self.assertEqual((done.returncode, done.stdout), (3, ""), verb)
            self.assertIn("systemctl start keymsd", done.stderr)
        report = json.loads(run("status", "--json", "--socket", str(self.scratch / "none")).stdout)
        self.assertEqual((report["complete"], report["error"]["kind"]), (False, "not_found"))
        self.assertEqual(run("events", "--follow", "--socket", str(self.scratch / "none")).returncode, 3)

    def test_what_it_refuses_is_told_in_its_words(self):
        for verb in (*self.LOOKING, *self.DOING):
            asked = {"events": "lately"}.get(verb[0], verb[1] if verb[0] == "policy" else verb[0])
            self.daemon.refuse(asked, "not_found", "there is no peer hamburg-1; " + HOSTILE)
            self.assertIn("countersign: there is no peer hamburg-1; \\x1b[2J", self.ends(1, *verb).stderr)
            self.assertEqual(self.last()[0], asked)

    def test_what_is_no_answer(self):
        for said in (b"", b"hello\n", b"[]\n", b'{"ok":true,"result":[]}\n', b'{"ok":1}\n'):
            self.daemon.answers["peers"] = said
            self.assertIn("keymsd", self.ends(3, "peers").stderr)
        self.daemon.answers["peers"] = b'{"ok":false}\n'
        self.assertIn("keymsd refuses", self.ends(1, "peers").stderr)

    def test_an_answer_with_other_types_is_as_an_empty_one(self):
        strange = {"state": 1, "faults": {"a": 1}, "peers": [1, {"peer": ["x"], "standing": None, "heard_seconds": "x"}], "kernel": [], "carrier": {"refused": [1]}}
        for verb, answer in (("status", strange), ("peers", strange), ("explain", {"text": 1, "reasons": [1]}), ("certs", {"endpoint": 1, "keys": [[]]})):
            self.daemon.answers[verb] = answer
            self.assertIn(run(*self.with_socket([verb] + ["x"] * (verb == "explain"))).returncode, (0, 1))
        self.daemon.answers["lately"] = {"events": [1, {"number": "1"}]}
        self.ends(0, "events")


class Status(Verbs):
    def test_all_is_well(self):
        self.daemon.answers["status"] = status()
        told = self.ends(0, "status").stdout
        for line in ("berlin-1: ready; keymsd 0.1 since " + AT, "hamburg-1        granted    " + LATER + "  2 s      3/4   berlin-hamburg, version 3",
                     "connected; signed 10 packets in 4 batches; accepted 8, dropped 1, bad signatures 5", "watched, gate by nft; 6 SAs wait",
                     "running; 2 channels, 1 of them unproven; refused: 3 no-tls", "attestation key 000b" + "a1" * 32, "read aloud 012345 678901; reset 9 times"):
            self.assertIn(line, told)
        self.assertNotIn("FAULT", told)
        self.assertEqual(self.daemon.asked[0], {"version": 1, "verb": "status", "arguments": {}})
        report = self.tells(0, "status")
        self.assertEqual((report["schema_version"], report["complete"], report["kernel"], report["peers"]), (1, True, status()["kernel"], [peer()]))

    def test_each_thing_that_is_not(self):
        fault = {"code": "store-locked", "text": "PCR 4 has changed" + HOSTILE, "hint": "countersign recover"}
        drift = {"code": "policy-missing", "severity": "breach", "tunnel": "lan", "sentence": "it is gone", "hint": "bring it back"}
        for other, told in (({"faults": [fault]}, f"FAULT store-locked: PCR 4 has changed{TOLD}\n  to do: countersign recover\n"),
                            ({"kernel": {"watched": True, "drift": [drift]}}, "DRIFT policy-missing lan: it is gone\n  to do: bring it back\n"),
                            ({"state": "locked"}, "LOCKED: the store does not open (countersign recover)"),
                            ({"state": "at_fault"}, "AT FAULT"), ({"state": "starting"}, "berlin-1: starting"),
                            ({"state": "no_policy", "peers": []}, "no peer: no policy is in force (countersign policy apply)"),
                            ({"peers": [peer(), peer("ulm-1", standing="closed", until=None, heard_seconds=None, reasons=[REASON], by_peer=True)]},
                             "  pcr-value: PCR 4 is not as agreed (it says so itself)\n  why: countersign explain ulm-1\n"),
                            ({"peers": [peer(HOSTILE, standing="closed")]}, TOLD)):
            self.daemon.answers["status"] = status(**other)
            self.assertIn(told, self.ends(1, "status").stdout)
            self.tells(1, "status")

    def test_what_is_worth_knowing_is_no_fault(self):
        note = {"code": "x", "severity": "note", "tunnel": "", "sentence": "y", "hint": ""}
        self.daemon.answers["status"] = status(kernel={"watched": False, "drift": [note]}, data_plane={"connected": False}, carrier={"running": False},
                                               peers=[peer(proved=False, pending={"version": 4, "confirm_by": LATER})])
        told = self.ends(0, "status").stdout
        for line in ("note x: y", "TPM unproven", f"version 4 is undone at {LATER}; to keep it: countersign policy confirm hamburg-1",
                     "NOT CONNECTED (systemctl start nfq-signer)", "not watched", "NOT RUNNING"):
            self.assertIn(line, told)

    def test_wait(self):
        looks = []

        def answer(_):
            looks.append(1)
            return status() if len(looks) > 2 else status(peers=[peer(standing="closed")])
        self.daemon.answers["status"] = answer
        self.ends(0, "status", "--wait", 30)
        self.assertEqual(len(looks), 3)
        self.daemon.answers["status"] = status(state="no_policy")
        self.ends(1, "status", "--wait", 1)
        begun = time.monotonic()
        self.assertEqual(run("status", "--wait", "1", "--socket", str(self.scratch / "none")).returncode, 3)
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        self.daemon.refuse("status", "internal", "no")
        self.ends(1, "status", "--wait", 30)
        self.ends(2, "status", "--wait", "long")

    def test_peers(self):
        self.daemon.answers["peers"] = {"peers": [peer()]}
        self.assertIn("hamburg-1        granted ", self.ends(0, "peers").stdout)
        self.assertEqual(self.tells(0, "peers")["peers"], [peer()])
        self.daemon.answers["peers"] = {"peers": [peer(standing="reported")]}
        self.ends(1, "peers")


class Peer(Verbs):
    def test_attest(self):
        self.daemon.answers["attest"] = {"peer": "hamburg-1", "standing": "granted", "reasons": []}
        self.assertEqual(self.ends(0, "attest", "hamburg-1").stdout, "hamburg-1: granted\n")
        self.assertEqual(self.last(), ("attest", {"peer": "hamburg-1", "wait": 30}))
        self.daemon.answers["attest"] = {"peer": "hamburg-1", "standing": "closed", "reasons": [REASON]}
        told = self.ends(1, "attest", "hamburg-1", "--wait", 5).stdout
        self.assertEqual(told, "hamburg-1: closed\n  pcr-value: PCR 4 is not as agreed\nwhy, in full: countersign explain hamburg-1\n")
        self.assertEqual(self.last()[1]["wait"], 5)
        self.assertEqual(self.tells(1, "attest", "hamburg-1")["standing"], "closed")
        for wrong in (["attest"], ["attest", "hamburg-1", "--wait", "0"]):
            self.ends(2, *wrong)

    def test_explain(self):
        good = {"peer": "hamburg-1", "text": "hamburg-1 is granted\njudged at " + AT + HOSTILE + "\n", "appraisal": {"verdict": "granted"}, "reasons": [], "by_peer": False}
        self.daemon.answers["explain"] = good
        self.assertEqual(self.ends(0, "explain", "hamburg-1").stdout, f"hamburg-1 is granted\njudged at {AT}{TOLD}\n")
        self.assertEqual(self.last(), ("explain", {"peer": "hamburg-1"}))
        self.assertEqual(self.tells(0, "explain", "hamburg-1")["appraisal"], {"verdict": "granted"})
        for other, told in (({"appraisal": {"verdict": "refused"}}, "is granted"), ({"appraisal": None}, "is granted"),
                            ({"reasons": [REASON], "by_peer": True}, "it does not grant us, and says why:\n  pcr-value: "),
                            ({"reasons": [REASON]}, "last failure:\n  pcr-value: ")):
            self.daemon.answers["explain"] = good | other
            self.assertIn(told, self.ends(1, "explain", "hamburg-1").stdout)

    def test_acknowledge_wants_the_name_typed(self):
        self.daemon.answers |= {"peers": {"peers": [peer(standing="closed", reasons=[REASON])]}, "acknowledge": {"peer": "hamburg-1", "records": 2}}
        seen, out = self.type_in(0, ["hamburg-1"], "acknowledge", "hamburg-1")
        self.assertIn("Type the peer's name", seen)
        self.assertIn("hamburg-1: closed\n  pcr-value: PCR 4 is not as agreed\n", out)
        self.assertIn("drift acknowledged up to record 2", out)
        self.assertEqual(self.last(), ("acknowledge", {"peer": "hamburg-1"}))
        seen, _ = self.type_in(1, ["hamburg-2"], "acknowledge", "hamburg-1")
        self.assertIn("nothing was done", seen)
        self.assertEqual(self.last()[0], "peers")
        self.assertIn("or give --yes", self.ends(2, "acknowledge", "hamburg-1").stderr)
        self.assertIn("countersign peers lists them", self.ends(1, "acknowledge", "ulm-1").stderr)
        self.assertEqual(self.last()[0], "peers")
        self.ends(0, "acknowledge", "hamburg-1", "--yes")
        self.assertEqual(self.last()[0], "acknowledge")

    def test_deny(self):
        self.daemon.answers["deny"] = {"peer": "hamburg-1"}
        self.assertEqual(self.ends(0, "deny", "hamburg-1", "it was stolen").stdout, "hamburg-1: cut; to begin anew: countersign attest hamburg-1\n")
        self.assertEqual(self.last(), ("deny", {"peer": "hamburg-1", "why": "it was stolen"}))
        for wrong in (["deny", "hamburg-1"], ["deny", "hamburg-1", ""], ["deny", "hamburg-1", "x" * 201]):
            self.ends(2, *wrong)


class Told(Verbs):
    def test_certs(self):
        key = {"peer": "hamburg-1", "id": 7, "direction": "inbound", "suite": "p256-16", "mode": "session", "not_after": LATER}
        self.daemon.answers["certs"] = {"endpoint": {"certificate": "ab" * 32, "not_before": AT, "not_after": LATER, "renews_at": LATER}, "keys": [key]}
        told = self.ends(0, "certs").stdout
        self.assertIn(f"endpoint certificate {'ab' * 32}\n  from {AT} to {LATER}, renewed at {LATER}\n", told)
        self.assertRegex(told, rf"hamburg-1 +inbound +key 7 +p256-16 +session +until {LATER}\n")
        self.assertEqual(self.tells(0, "certs")["keys"], [key])
        self.daemon.answers["certs"] = {"endpoint": None, "keys": []}
        self.assertEqual(self.ends(0, "certs").stdout, "this endpoint has no certificate now\nno session key\n")

    def logs(self, **other):
        statics = cel_record(0, 15, 1, b"\xaa" * 32) + cel_record(1, 15, 5, b"policy-missing lan: gone")
        event = {"name": "event", "register": "PCR 13", "value": "cd" * 32, "agrees": True, "why": "", "log": base64_of(cel_record(0, 13, 3, b"\xbb" * 32))}
        return statics, {"logs": [{"name": "static", "register": "PCR 15", "value": "ab" * 32, "agrees": True, "why": "", "log": base64_of(statics), **other}, event]}

    def test_log(self):
        statics, self.daemon.answers["log"] = self.logs()
        told = self.ends(0, "log", "--save", self.scratch).stdout
        self.assertIn(f"static log, PCR 15: its 2 records make the register's value {'ab' * 32}\n", told)
        self.assertRegex(told, rf"\n     0  core.properties +{'aa' * 32}\n     1  drift +policy-missing lan: gone\n")
        self.assertIn("event log, PCR 13: its 1 records", told)
        self.assertEqual((self.scratch / "static.cel").read_bytes(), statics)
        self.assertTrue((self.scratch / "event.cel").exists())
        told = self.tells(0, "log", "event")["logs"]
        self.assertEqual([(one["name"], [(r["number"], r["content"]) for r in one["records"]]) for one in told], [("event", [(0, "bb" * 32)])])
        self.assertNotIn("log", told[0])
        self.ends(2, "log", "third")
        self.ends(3, "log", "--save", self.scratch / "none")

    def test_a_log_that_is_not_the_registers(self):
        _, self.daemon.answers["log"] = self.logs(agrees=False, why="somebody else extended it")
        self.assertIn("static log, PCR 15: NOT what the register says: somebody else extended it; 2 records, the register's value is", self.ends(1, "log").stdout)
        self.ends(0, "log", "event")
        self.ends(1, "log", "static")

    def test_a_log_that_cannot_be_read(self):
        statics, _ = self.logs()
        for other, told in (({"log": base64_of(statics[:-1])}, "the static log: "), ({"log": "?"}, "base64"), ({"name": "../../etc/shadow"}, "which is none"),
                            ({"log": base64_of(statics[:-1] + b"x")}, "the static log: ")):
            _, self.daemon.answers["log"] = self.logs(**other)
            self.assertIn(told, self.ends(1, "log", "--save", self.scratch).stderr)
        _, self.daemon.answers["log"] = self.logs(log="")
        self.assertIn("its 0 records", self.ends(0, "log").stdout)

    def event(self, number, peer_="hamburg-1", **other):
        return {"schema_version": 1, "number": number, "time": AT, "event": "denied", "message_id": "x", "peer": peer_, "reason": "pcr-value", "text": "PCR 4" + HOSTILE, "count": 1} | other

    def test_events(self):
        self.daemon.answers["lately"] = {"events": [self.event(1), self.event(2, "", count=3, reason="")]}
        first, second = f"{AT}  denied     hamburg-1: pcr-value: PCR 4{TOLD}\n", f"{AT}  denied     PCR 4{TOLD} (3 times)\n"
        self.assertEqual(self.ends(0, "events").stdout, first + second)
        self.assertEqual(self.ends(0, "events", "--peer", "hamburg-1").stdout, first)
        self.assertEqual([json.loads(line)["number"] for line in self.ends(0, "events", "--json").stdout.splitlines()], [1, 2])

    def test_following_misses_nothing_and_tells_nothing_twice(self):
        self.daemon.answers["lately"] = {"events": [self.event(1), self.event(2)]}
        self.daemon.stream = [self.event(2), self.event(3, "ulm-1"), self.event(4)]
        done = self.ends(3, "events", "--follow", "--json")
        self.assertEqual([json.loads(line)["number"] for line in done.stdout.splitlines() if '"number"' in line], [1, 2, 3, 4])
        self.assertEqual([one["verb"] for one in self.daemon.asked], ["events", "lately"])
        self.assertIn("keymsd has stopped", done.stderr)
        self.assertEqual(len(self.ends(3, "events", "--follow", "--peer", "ulm-1").stdout.splitlines()), 1)
        self.daemon.refuse("lately", "internal", "no")
        self.ends(1, "events", "--follow")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", required=True)
    args, rest = arguments.parse_known_args()
    command_tree.PROGRAM = args.program
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
