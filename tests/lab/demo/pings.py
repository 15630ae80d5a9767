# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten pings a second from LAN to LAN, all the time: when which was sent, and whether it was answered."""

import re
import time
from dataclasses import dataclass

import labtest
from labtest import HOST_B

INTERVAL = 0.1
LINE = re.compile(r"^\[(?P<at>[\d.]+)\] (?:\d+ bytes from \S+ icmp_seq=(?P<answered>\d+) .*time=(?P<took>[\d.]+) ms(?P<again> \(DUP!\))?"
                  r"|no answer yet for icmp_seq=(?P<waits>\d+))", re.MULTILINE)


@dataclass(frozen=True)
class Ping:
    sent: float  # seconds since 1970
    took: float  # seconds until its answer; None: there was none

    @property
    def answered(self):
        return self.took is not None


class Pings:
    def __init__(self, host, path):
        self.path = path
        with open(path, "w") as file:
            self.process = host.popen(["ping", "-n", "-D", "-O", "-i", str(INTERVAL), "-p", labtest.MARKER.hex(), HOST_B[4]], limit=3600,
                                      stdout=file, stderr=file)

    def read(self):
        """All of them, in order; and the times at which an answer came once more."""
        found, again = {}, []
        for match in LINE.finditer(self.path.read_text(errors="replace")):
            at = float(match["at"])
            if match["again"]:
                again.append(at)
            elif match["answered"]:
                found[int(match["answered"])] = Ping(at - float(match["took"]) / 1000, float(match["took"]) / 1000)
            else:
                found.setdefault(int(match["waits"]), Ping(at - INTERVAL, None))  # told when the next is sent
        return [found[number] for number in sorted(found)], again

    def between(self, begin, end):
        return [ping for ping in self.read()[0] if begin <= ping.sent < end]

    def await_answer(self, since, limit):
        """When the first ping sent since then was sent that is answered."""
        deadline = time.monotonic() + limit
        while not (answered := [ping.sent for ping in self.between(since, float("inf")) if ping.answered]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no ping from LAN to LAN was answered for {limit} s")
            time.sleep(0.1)
        return answered[0]

    def await_loss(self, since, limit):
        """When the first ping sent since then was sent that is not answered by the time the next is sent."""
        deadline = time.monotonic() + limit
        while not (lost := [ping.sent for ping in self.between(since, float("inf")) if not ping.answered]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no ping from LAN to LAN was lost for {limit} s")
            time.sleep(0.1)
        return lost[0]

    def await_silence(self, since, limit, lasting=1.5):
        """Until none was answered for that long: when the first of these was sent."""
        deadline = time.monotonic() + limit
        while True:
            pings = self.between(since, float("inf"))
            last = max((number for number, ping in enumerate(pings) if ping.answered), default=-1)
            unanswered = pings[last + 1:]
            if unanswered and unanswered[-1].sent - unanswered[0].sent >= lasting:
                return unanswered[0].sent
            if time.monotonic() > deadline:
                raise TimeoutError(f"pings from LAN to LAN were still answered after {limit} s")
            time.sleep(0.1)
