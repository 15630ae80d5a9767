#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two keymsds, each with a TPM of its own, over TLS: they attest, renew, and cut, without a kernel to watch."""

import argparse
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
import client  # noqa: E402
from gateway import Gateway, agree, apply, wait_for  # noqa: E402

PROGRAMS = {}


class Signer(threading.Thread):
    """nfq-signer's end: takes every key, and says that it is applied."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.link = client.Client(gateway.signer, timeout=60)
        self.link.send(client.hello())
        self.inbound, self.outbound, self.removed = {}, {}, []
        self.start()

    def run(self):
        try:
            while True:
                message = self.link.receive()
                if message["message"] == "inbound_key":
                    self.inbound[message["key"]] = message
                    self.link.send(client.applied(message["key"]))
                elif message["message"] == "outbound_key":
                    self.outbound[message["key"]] = message
                elif message["message"] == "remove_key":
                    self.removed.append((message["table"], message["key"]))
        except (client.Closed, OSError):
            pass

    def end(self):
        self.link.socket.close()


class Keymsd(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        Path(scratch.name).chmod(0o755)
        self.directory = Path(scratch.name)
        self.a, self.b = (self.gateway(name, 47390 + i) for i, name in enumerate(("berlin", "hamburg")))

    def gateway(self, name, port, **config):
        made = Gateway(name, self.directory, port, PROGRAMS, **config)
        self.addCleanup(made.end)
        made.init()
        made.start()
        return made

    def agreed(self, **more):
        agreement = agree(self.a, self.b, **more)
        for gateway in (self.a, self.b):
            apply(gateway, agreement)
        return agreement

    def await_standing(self, standing, limit=30):
        for gateway, other in ((self.a, self.b), (self.b, self.a)):
            wait_for(f"{gateway.name} has {other.name} {standing}: {gateway.peer(other.name)}",
                     lambda g=gateway, o=other: g.standing(o.name) == standing, limit)

    def test_two_gateways_attest_and_sign(self):
        signers = [Signer(gateway) for gateway in (self.a, self.b)]
        self.agreed()
        self.await_standing("granted")
        for signer in signers:
            wait_for("keys", lambda s=signer: len(s.inbound) == 1 and len(s.outbound) == 1, 10)
        (a_out,), (b_in,) = signers[0].outbound.values(), signers[1].inbound.values()
        for field in ("session", "pcr_digest", "key", "direction", "suite", "gate_secret"):
            self.assertEqual(a_out[field], b_in[field], field)


def main():
    parser = argparse.ArgumentParser()
    for name in ("keymsd", "keymsd-carrier", "countersign"):
        parser.add_argument(f"--{name}", required=True)
    known, rest = parser.parse_known_args()
    PROGRAMS.update({name.replace("_", "-"): Path(path).resolve() for name, path in vars(known).items()})
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
