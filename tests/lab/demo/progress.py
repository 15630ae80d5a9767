# SPDX-License-Identifier: GPL-3.0-or-later
"""A line for each step, when it has ended, with its seconds; on a terminal also what goes on."""

import sys
import threading
import time
from contextlib import contextmanager


class Progress:
    def __init__(self, out=sys.stdout):
        self.out, self.lock, self.running = out, threading.Lock(), {}
        self.begun = time.monotonic()
        self.steps = []  # (text, seconds)

    @contextmanager
    def step(self, text):
        """Gives a function that tells how far it is; the block may be in a thread of its own."""
        begun = time.monotonic()
        self.show(text, "")
        try:
            yield lambda how_far: self.show(text, how_far)
        except BaseException:
            self.ended(text, begun, "stopped: ")
            raise
        self.ended(text, begun, "")

    def ended(self, text, begun, how):
        seconds = time.monotonic() - begun
        with self.lock:
            self.running.pop(text, None)
            self.steps.append((text, seconds))
            self.write(f"{time.monotonic() - self.begun:5.0f} s  {how}{text} ({seconds:.1f} s)\n")
            self.write_running()

    def show(self, text, how_far):
        with self.lock:
            self.running[text] = how_far
            self.write_running()

    def write(self, text):
        self.out.write(("\r\033[K" if self.out.isatty() else "") + text)
        self.out.flush()

    def write_running(self):
        if self.out.isatty():
            self.write("         … " + ", ".join(f"{text} {how_far}".strip() for text, how_far in self.running.items()) if self.running else "")
