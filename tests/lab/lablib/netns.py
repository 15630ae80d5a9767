# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces, and the tap devices that plug a guest into one."""

import fcntl
import os
import struct
from pathlib import Path

from .proc import end_all, run

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
NAMED = Path("/run/netns")

# Left alone, a new namespace spends seconds on duplicate address detection.
SYSCTLS = ("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0",
           "net.ipv6.conf.default.accept_ra=0")


def inside(namespace, argv):
    return ["nsenter", f"--net={NAMED / namespace}", "--", *argv]


def create(namespace, forwarding):
    run(["ip", "netns", "add", namespace])
    sysctls = SYSCTLS + (("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1") if forwarding else ())
    run(inside(namespace, ["sysctl", "-q", "-w", *sysctls]))
    run(["ip", "-n", namespace, "link", "set", "lo", "up"])


def named(prefix):
    return sorted(p.name for p in NAMED.glob(f"{prefix}*")) if NAMED.is_dir() else []


def destroy(prefix):
    for namespace in named(prefix):
        end_all(lambda: [int(p) for p in run(["ip", "netns", "pids", namespace]).split()])
        run(["ip", "netns", "del", namespace])
    # iproute2 makes /run/netns a mount at the first namespace and never takes it back.
    if os.path.ismount(NAMED) and not any(NAMED.iterdir()):
        run(["umount", str(NAMED)])


def tap(namespace, name, temporary):
    """A tap called `name` in `namespace`; returns the descriptor QEMU inherits.

    Made under a temporary name here and then moved: the device follows its
    descriptor, so it is gone when QEMU is, like a cable pulled out.
    """
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", temporary.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        run(["ip", "link", "set", temporary, "netns", namespace])
        run(["ip", "-n", namespace, "link", "set", temporary, "name", name])
    except BaseException:
        os.close(fd)
        raise
    return fd
