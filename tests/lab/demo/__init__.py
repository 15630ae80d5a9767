# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/demo: two gateways attest each other, and six things go wrong. stage.py sets the scenes, scenes.py plays them, report.py shows them."""
