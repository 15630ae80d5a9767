#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""keymsd and those who wish it ill: another TPM, other gateways, floods, and what comes to its control socket."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import Refused, agree, apply, wait_for  # noqa: E402
from two_gateways import SILENT, TwoGateways, run  # noqa: E402


class OtherGateways(TwoGateways):
    def third(self):
        """A gateway with a policy of its own with berlin."""
        made = self.gateway("kiel")
        agreement = agree(self.a, made, more=SILENT)
        for gateway in (self.a, made):
            apply(gateway, agreement)
        return made

    def await_pair(self, one, other):
        for here, there in ((one, other), (other, one)):
            wait_for(lambda h=here, t=there: f"{h.name} has {t.name} granted: {h.peer(t.name)}",
                     lambda h=here, t=there: h.standing(t.name) == "granted", 15)

    def attest_often(self, here, there, times):
        """How long each took at most."""
        longest = 0
        for _ in range(times):
            began = time.monotonic()
            here.ask("attest", peer=there.name, wait=2)
            longest = max(longest, time.monotonic() - began)
        return longest

    def test_a_good_tpm_that_is_not_the_one_the_policy_names(self):
        agreement = self.agreed(more=SILENT)
        self.await_standing("granted")
        self.b.power_off()
        for path in ("tpm", "state"):
            shutil.rmtree(self.b.directory / path)
        (self.b.directory / "tpm").mkdir()
        self.b.power_on()
        self.b.init()
        self.b.start()
        self.b.key_name()
        apply(self.b, agreement)
        wait_for(lambda: f"refused: {self.b.status()} {self.a.status()}", lambda: self.refused_key(), 20)
        self.assertEqual((self.a.standing("hamburg"), self.b.standing("berlin")), ("closed", "closed"))

    def refused_key(self):
        return (self.a.status()["carrier"]["refused"].get("ak_name") or
                [one for one in self.a.events(peer="hamburg") if "attestation key" in one["text"]])

    def test_a_third_gateway_has_its_own_place_and_no_other(self):
        self.agreed_and_granted(more=SILENT)
        kiel = self.third()
        self.await_pair(self.a, kiel)
        # It calls itself by the other's name, with what it has: its key, its policy, its certificate.
        kiel.stop()
        key = self.a.peer("hamburg")["keys"]
        impostor = self.gateway_like(kiel, "hamburg")
        time.sleep(3)  # in which it tries more than once
        self.assertEqual(self.a.standing("hamburg"), "granted")
        self.assertEqual(self.a.peer("hamburg")["keys"], key)
        self.assertEqual(self.b.standing("berlin"), "granted")
        self.assertFalse(impostor.peer("berlin") and impostor.standing("berlin") == "granted")

    def gateway_like(self, _kiel, name):
        directory = self.directory / "elsewhere"
        directory.mkdir()
        before, self.directory = self.directory, directory
        try:
            made = self.gateway(name)
        finally:
            self.directory = before
        # berlin's operator is fooled into signing; what is in force stays so.
        agreement = agree(self.a, made, more=SILENT, directory=directory)
        apply(made, agreement)
        return made

    def test_who_is_asked_without_end_keeps_its_pace_and_costs_no_other(self):
        self.agreed_and_granted(more=SILENT)
        kiel = self.third()
        self.await_pair(self.a, kiel)
        flood = threading.Thread(target=self.attest_often, args=(self.a, self.b, 12), daemon=True)
        flood.start()
        flood.join(120)
        self.assertFalse(flood.is_alive())
        # Six beyond the renewals, and the first.
        self.assertLessEqual(self.b.peer("berlin")["granted_runs"], 8)
        self.assertEqual(self.b.events(reason="too_often"), [])
        self.assertEqual(self.a.standing("hamburg"), "granted")
        # The other pair has not been waiting.
        self.assertLess(self.attest_often(self.a, kiel, 1), 3)
        self.assertEqual(self.a.standing("kiel"), "granted")

    def test_who_keeps_no_pace_is_refused_and_loses_nothing(self):
        self.agreed_and_granted(more=SILENT)
        self.attest_often(self.a, self.b, 4)
        # Another process counts its own runs from none.
        self.a.kill()
        self.a.start()
        self.await_standing("granted")
        self.attest_often(self.a, self.b, 4)
        self.await_event(self.b, peer="berlin", reason="too_often")
        self.await_event(self.a, peer="hamburg", reason="too_often", text="more attestations were begun")
        self.assertLessEqual(self.b.peer("berlin")["granted_runs"], 8)
        # What was granted stays.
        self.await_standing("granted", 1)

    def test_a_peer_that_reads_nothing_holds_up_no_other(self):
        self.agreed_and_granted(more=SILENT)
        kiel = self.third()
        self.await_pair(self.a, kiel)
        halted = [kiel.daemon.pid, *kiel.workers()]
        for pid in halted:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                self.assertLess(self.attest_often(self.a, self.b, 1), 2)
            wait_for("kiel is cut", lambda: self.a.standing("kiel") == "closed", 10)
            self.assertEqual(self.a.standing("hamburg"), "granted")
        finally:
            for pid in halted:
                os.kill(pid, signal.SIGCONT)

    def test_strangers_who_connect_and_say_nothing_keep_nobody_out(self):
        self.agreed_and_granted(more=SILENT)
        strangers = []
        self.addCleanup(lambda: [one.close() for one in strangers])
        ending = threading.Event()

        def call():
            while not ending.is_set():
                one = socket.socket()
                with contextlib.suppress(OSError):
                    one.bind((f"127.0.{len(strangers) % 50 + 1}.1", 0))
                    one.connect(("127.0.0.1", self.b.port))
                    one.send(b"\x16\x03\x01\x02\x00")
                strangers.append(one)
                if len(strangers) > 300:
                    strangers.pop(0).close()
                time.sleep(0.003)  # some hundred a second, and time for others

        flood = threading.Thread(target=call, daemon=True)
        flood.start()
        try:
            time.sleep(1)  # the flood has filled what it can
            self.b.kill()
            self.b.start()
            wait_for("they attest", lambda: self.b.standing("berlin") == "granted" and self.a.standing("hamburg") == "granted", 10)
        finally:
            ending.set()
            flood.join(5)


class ControlSocket(TwoGateways):
    def connect(self):
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.a.control)
        line.settimeout(15)
        self.addCleanup(line.close)
        return line

    def answers(self):
        began = time.monotonic()
        self.assertEqual(self.a.status()["ne_id"], "berlin")
        return time.monotonic() - began

    def test_garbage_is_refused_in_words_and_hurts_nobody(self):
        for line in (b"\n", b"\0\xff\xfe\n", b"[]\n", b'{"verb":1}\n', b"{" * 100000 + b"\n", b'{"version":1,"verb":"no such"}\n', b'{"version":2,"verb":"status"}\n',
                     b'{"version":1,"verb":"explain","arguments":{"peer":7}}\n', b'{"version":1,"verb":"apply","arguments":{"agreement":"AAAA"}}\n',
                     b'{"version":1,"verb":"apply","arguments":{"agreement":"***"}}\n', b'{"version":1,"verb":"status","arguments":[]}\n',
                     b'{"version":{"a":[1]},"verb":"status"}\n', b'{"version":1,"verb":"attest","arguments":{"peer":"hamburg","wait":1e99}}\n'):
            connection = self.connect()
            connection.sendall(line)
            answer = json.loads(connection.makefile().readline())
            self.assertFalse(answer["ok"], line[:60])
            self.assertTrue(answer["error"]["message"])
            self.answers()
        connection = self.connect()
        with contextlib.suppress(OSError):
            for _ in range(40):
                connection.sendall(b"x" * 65536)
        self.answers()

    def test_slow_and_many_connections_end_and_do_not_hold_it_up(self):
        slow = [self.connect() for _ in range(20)]
        for one in slow:
            one.send(b'{"version":1')
        self.assertLess(self.answers(), 1)
        # It hangs up on who has not said all of it in 10 s, however it dribbles in.
        ended = time.monotonic() + 14
        left = list(slow)
        while left and time.monotonic() < ended:
            for one in list(left):
                try:
                    one.send(b" ")
                except OSError:
                    left.remove(one)
            time.sleep(0.5)  # slowly, as they are
        self.assertFalse(left)
        many = [self.connect() for _ in range(60)]
        for one in many:
            with contextlib.suppress(OSError):
                one.send(b"x")
        del many
        wait_for("it answers once they have gone", self.try_status, 15)

    def try_status(self):
        try:
            return self.a.status()
        except (Refused, OSError, ValueError):
            return None

    def test_who_may_connect_and_is_not_root_looks_and_changes_nothing(self):
        self.agreed_and_granted()
        program = ("import json,socket,sys\ns=socket.socket(socket.AF_UNIX);s.settimeout(20);s.connect(sys.argv[1])\n"
                   "s.sendall((json.dumps({'version':1,'verb':sys.argv[2],'arguments':json.loads(sys.argv[3])})+'\\n').encode());print(s.makefile().readline())")

        def as_nobody(group, verb, **arguments):
            return subprocess.run(["setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups", sys.executable, "-c", program, self.a.control, verb,
                                   json.dumps(arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                                  check=False)

        for verb in ("status", "peers", "certs", "lately", "log"):
            self.assertTrue(json.loads(as_nobody("root", verb).stdout)["ok"], verb)
        self.assertTrue(json.loads(as_nobody("root", "explain", peer="hamburg").stdout)["ok"])
        for verb in ("attest", "acknowledge", "deny", "sign", "apply", "confirm", "rollback", "retire", "request", "approve"):
            error = json.loads(as_nobody("root", verb, peer="hamburg", why="x", wait=1).stdout)["error"]
            self.assertEqual(error["kind"], "denied", verb)
        # And who is not of the group does not connect at all.
        self.assertIn("PermissionError", as_nobody("nogroup", "status").stderr)
        self.await_standing("granted", 10)


if __name__ == "__main__":
    run()
