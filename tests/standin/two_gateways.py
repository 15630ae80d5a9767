# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test of two keymsds on this machine stands on: a network of its own, both gateways, their data planes' ends."""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import client
from gateway import Gateway, agree, apply, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import require  # noqa: E402

PROGRAMS = {}
# The shortest that a policy may have.
SHORT = '[signing]\nkey_lifetime = "20s"\noverlap = "5s"\n[attestation]\ninterval = "10s"\nsilence = "4s"\n'
SILENCE = 4
SILENT = f'[attestation]\nsilence = "{SILENCE}s"\n'


def seconds(of_a_machine_with_time):
    """How long that may take here, where others want the processors, too."""
    return of_a_machine_with_time * max(1, os.getloadavg()[0] / os.cpu_count())


class Signer(threading.Thread):
    """nfq-signer's end: takes every key, and says that it is applied. What happens goes into `story`, which two may share."""

    def __init__(self, gateway, story=None):
        super().__init__(daemon=True)
        self.name, self.story = gateway.name, [] if story is None else story
        self.link = client.Client(gateway.signer, timeout=600)
        self.link.send(client.hello())
        self.inbound, self.outbound, self.removed = {}, {}, []
        self.start()

    def run(self):
        try:
            while True:
                self.take(self.link.receive())
        except (client.Closed, OSError):
            pass

    def take(self, message):
        kind = message["message"]
        if kind == "inbound_key":
            self.inbound[message["key"]] = message
        elif kind == "outbound_key":
            self.outbound[message["key"]] = message
        elif kind == "remove_key":
            (self.inbound if message["table"] == 1 else self.outbound).pop(message["key"], None)
            self.removed.append((message["table"], message["key"]))
        if "key" in message:
            self.story.append((time.monotonic(), self.name, kind, message.get("table"), message["key"]))
        if kind == "inbound_key":
            self.link.send(client.applied(message["key"]))

    def end(self):
        self.link.socket.close()


class TwoGateways(unittest.TestCase):
    """berlin, which calls, and hamburg."""

    config = {}

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        Path(scratch.name).chmod(0o755)
        self.directory = Path(scratch.name)
        self.ports = iter(range(47390, 47490))
        self.a, self.b = (self.gateway(name, **self.config) for name in ("berlin", "hamburg"))

    def gateway(self, name, **config):
        made = Gateway(name, self.directory, next(self.ports), PROGRAMS, **config)
        self.addCleanup(made.end)
        made.init()
        made.start()
        return made

    def agreed(self, **more):
        agreement = agree(self.a, self.b, **more)
        for gateway in (self.a, self.b):
            apply(gateway, agreement)
        return agreement

    def signers(self):
        story = []
        out = [Signer(gateway, story) for gateway in (self.a, self.b)]
        for one in out:
            self.addCleanup(one.end)
        return out

    def await_standing(self, standing, limit=30):
        for gateway, other in ((self.a, self.b), (self.b, self.a)):
            wait_for(lambda g=gateway, o=other: f"{g.name} has {o.name} {standing}: {g.peer(o.name)}, {g.status()['faults']}, {g.events()[-12:]}",
                     lambda g=gateway, o=other: g.standing(o.name) == standing, limit)

    def agreed_and_granted(self, **more):
        agreement = self.agreed(**more)
        self.await_standing("granted")
        return agreement

    def await_event(self, gateway, limit=30, text="", **like):
        return wait_for(lambda: f"{gateway.name} tells {like} {text}: {gateway.events()}",
                        lambda: [one for one in gateway.events(**like) if text in one["text"]], limit)[-1]


def run():
    """The tests of the program that is run, in namespaces of their own: their ports and mounts are nobody else's."""
    require.root("namespaces, and becoming other users")
    require.programs("unshare", "ip", "swtpm", "setpriv", "mount")
    parser = argparse.ArgumentParser()
    for name in ("keymsd", "keymsd-carrier", "countersign"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    known, rest = parser.parse_known_args()
    if not known.inside:
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv, "--inside"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    PROGRAMS.update({name.replace("_", "-"): Path(path).resolve() for name, path in vars(known).items() if name != "inside"})
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
