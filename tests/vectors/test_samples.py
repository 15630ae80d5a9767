#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference accepts what nfq-signer's code signed a moment ago (sign_samples.cpp), and gets the packet back."""

import subprocess
import sys

from reference import Record, Verifier


def main():
    lines = subprocess.run([sys.argv[1]], check=True, text=True, stdout=subprocess.PIPE, timeout=60).stdout.splitlines()
    verifier, packets, wrong = None, 0, 0
    for line in lines:
        kind, *words = line.split()
        if kind == "record":
            key, session, direction, suite, public, pcr, gate = words
            record = Record(int(key), bytes.fromhex(session), int(direction), int(suite), bytes.fromhex(public), bytes.fromhex(pcr),
                            bytes.fromhex(gate), (3,), 1)
            verifier = Verifier([record])
            continue
        signed, plain = map(bytes.fromhex, words)
        packets += 1
        wrong += verifier.verify(signed) != plain
    print(f"{packets} packets verified, {wrong} of them not as they were")
    return 0 if packets == 4 * 139 and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
