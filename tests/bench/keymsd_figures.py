#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keymsd costs: processor time of an attestation and of doing nothing, and memory. TPMs (swtpm) are counted apart.

Run as root, on a machine that does nothing else:
  tests/bench/keymsd_figures.py --keymsd build/dev/keyms/keymsd --keymsd-carrier build/dev/keyms/keymsd-carrier --countersign build/dev/tools/countersign
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standin"))
from gateway import proc, processor_seconds  # noqa: E402
from two_gateways import TwoGateways, run  # noqa: E402

RUNS = int(os.environ.get("CS_FIGURES_RUNS", "40"))
IDLE = int(os.environ.get("CS_FIGURES_IDLE", "60"))
MOST_OF_RUN, MOST_IDLE, MOST_MEMORY = 0.020, 0.01, 40 * 1024


class Figures(TwoGateways):
    def spent(self):
        """By both gateways: keymsd, its worker, the TPM."""
        pids = [[one.daemon.pid for one in (self.a, self.b)], [pid for one in (self.a, self.b) for pid in one.workers()], [one.tpm.pid for one in (self.a, self.b)]]
        return [sum(map(processor_seconds, some)) for some in pids]

    def test_figures(self):
        self.agreed_and_granted()
        spent, runs = [0, 0, 0], 0
        while runs < RUNS:
            # A gateway begins six runs a minute: the next ones are a new process's.
            for one in (self.a, self.b):
                one.stop()
            for one in (self.a, self.b):
                one.start()
            self.await_standing("granted")
            before, granted = self.spent(), self.a.peer("hamburg")["granted_runs"]
            for _ in range(4):
                self.a.ask("attest", peer="hamburg", wait=20)
            for i, (old, new) in enumerate(zip(before, self.spent())):
                spent[i] += new - old
            self.assertEqual(self.a.peer("hamburg")["granted_runs"], granted + 4)
            runs += 4
        daemons, workers, tpms = (1000 * one / runs for one in spent)
        print(f"\na mutual attestation, both gateways: keymsd {daemons:.1f} ms, workers {workers:.1f} ms, TPMs {tpms:.1f} ms ({runs} runs)")

        before = [processor_seconds(one.daemon.pid) + sum(map(processor_seconds, one.workers())) for one in (self.a, self.b)]
        time.sleep(IDLE)
        after = [processor_seconds(one.daemon.pid) + sum(map(processor_seconds, one.workers())) for one in (self.a, self.b)]
        idle = [(new - old) / IDLE for old, new in zip(before, after)]
        memory = [(proc(one.daemon.pid, "VmRSS"), [proc(pid, "VmRSS") for pid in one.workers()]) for one in (self.a, self.b)]
        for gateway, share, (own, worker) in zip((self.a, self.b), idle, memory):
            print(f"{gateway.name}: idle {100 * share:.2f} % of a processor; resident {own / 1024:.1f} MiB, its worker {sum(worker) / 1024:.1f} MiB")
        self.assertLessEqual(spent[0] + spent[1], MOST_OF_RUN * runs)
        self.assertLess(max(idle), MOST_IDLE)
        self.assertLess(max(own for own, _ in memory), MOST_MEMORY)


if __name__ == "__main__":
    run()
