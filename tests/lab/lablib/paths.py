# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps things: nothing in the source tree."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
GUEST_FILES = REPO / "tests/lab/guest"
PACKAGES = REPO / "scripts/packages"
RUN_ROOT = Path("/run/countersign-lab")


def cache_dir():
    """Guest images. CS_CACHE moves it, for a machine whose home is small."""
    base = os.environ.get("CS_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "countersign"
