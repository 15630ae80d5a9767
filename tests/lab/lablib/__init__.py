# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: gateways as QEMU guests, everything around them as namespaces.

Read in this order: topology.py (what there is), lab.py (up and down),
guest.py (one QEMU guest), image.py (its root), tpm.py, netns.py, proc.py.
"""
