#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ctest's lab: up before the first suite, down after the last."""

import sys

import labtest
from lablib.cli import main

labtest.require_lab()
sys.exit(main(["up", "--fresh"] if sys.argv[1] == "up" else ["down"]))
