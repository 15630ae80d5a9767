#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway whose attestation port is flooded for a minute: how soon its peer attests all the same, and how much memory that takes.

The connections are whole, from addresses all over 127.0.0.0/8; half of them begin TLS, and all stay as long as they may. (Those whose source is
forged end in the kernel's SYN cookies.) Run as root, on a machine that does nothing else:
  tests/bench/keymsd_flood.py --keymsd build/dev/keyms/keymsd --keymsd-carrier build/dev/keyms/keymsd-carrier --countersign build/dev/tools/countersign
"""

import multiprocessing
import os
import random
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import proc  # noqa: E402
from two_gateways import TwoGateways, run  # noqa: E402

SECONDS = int(os.environ.get("CS_FLOOD_SECONDS", "60"))
RATE = int(os.environ.get("CS_FLOOD_RATE", "5000"))  # connections a second
MOST_WAIT, MOST_GROWTH = 3, 32 * 1024
BEGINS_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def flood(port, made):
    """Until it is ended. What is late is made up for."""
    kept, begun = deque(), time.monotonic()
    while True:
        while made.value < (time.monotonic() - begun) * RATE:
            one = socket.socket()
            one.setblocking(False)
            try:
                one.bind((f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}", 0))
                one.connect_ex(("127.0.0.1", port))
                if made.value % 2:
                    one.send(BEGINS_TLS)
            except OSError:
                pass  # the backlog is full, or it was hung up on
            kept.append(one)
            made.value += 1
            if len(kept) > 700:
                kept.popleft().close()
        time.sleep(0.001)


class Flood(TwoGateways):
    def resident(self):
        return sum(proc(pid, "VmRSS") for pid in (self.b.daemon.pid, *self.b.workers()))

    def attests_in(self):
        """Seconds from the start of hamburg's peer until both have granted."""
        self.a.stop()
        begun = time.monotonic()
        self.a.start()
        self.await_standing("granted")
        return time.monotonic() - begun

    def test_of_a_peer_at_the_address_that_the_policy_has(self):
        self.flood()

    def test_of_a_peer_at_another_address(self):
        """Which has no place of its own among those who have proved nothing yet."""
        subprocess.run(["ip", "route", "replace", "local", "127.0.0.1", "dev", "lo", "table", "local", "src", "127.250.0.1"], check=True)
        self.flood()

    def flood(self):
        self.agreed_and_granted()
        alone = self.attests_in()
        before = most = self.resident()
        made = multiprocessing.Value("q", 0)
        flooding = multiprocessing.Process(target=flood, args=(self.b.port, made), daemon=True)
        flooding.start()
        begun, waits = time.monotonic(), []
        while time.monotonic() < begun + SECONDS:
            time.sleep(15)  # with one peer a gateway takes part in six runs a minute
            waits.append(self.attests_in())
            most = max(most, self.resident())
        rate = made.value / (time.monotonic() - begun)
        flooding.terminate()
        print(f"\n{rate:.0f} connections a second for {SECONDS} s: the peer attested {len(waits)} times, in {max(waits):.2f} s at most "
              f"(without a flood {alone:.2f} s, with its start); memory grew by {(most - before) / 1024:.1f} MiB at most; "
              f"{self.b.status()['carrier']['refused']}")
        self.assertGreater(rate, 0.9 * RATE)
        self.assertLess(max(waits), MOST_WAIT)
        self.assertLess(most - before, MOST_GROWTH)


if __name__ == "__main__":
    run()
