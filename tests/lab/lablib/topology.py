# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is made of, as data.

two-gateways:

    hosta ─lan── gwa ─wan── wana─ mid ─wanb ──wan─ gwb ──lan─ hostb
    (ns)        (guest)          (ns)            (guest)      (ns)

Gateways are guests: they run the real kernel's ESP and AH. The rest are
namespaces of this machine: quick to make, and the middle can do to packets
whatever this machine's kernel and tools can. The middle has no route to either
LAN, so what crosses it unencrypted goes nowhere.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Interface:
    name: str
    addresses: tuple = ()


@dataclass(frozen=True)
class Node:
    name: str
    guest: bool = False
    forwards: bool = False
    interfaces: tuple = ()
    routes: tuple = ()  # arguments of `ip route add`, IPv6 ones told by their colons


@dataclass(frozen=True)
class Topology:
    nodes: tuple
    links: tuple = field(default=())  # ((node, interface), (node, interface)); a guest links to a namespace

    def node(self, name):
        return next((n for n in self.nodes if n.name == name), None)

    def guests(self):
        return [n for n in self.nodes if n.guest]

    def peer(self, node, interface):
        """The other end of a link: (node name, interface name)."""
        for a, b in self.links:
            if a == (node, interface):
                return b
            if b == (node, interface):
                return a
        raise KeyError(f"{node}/{interface} is not linked")


def two_gateways():
    return Topology(
        nodes=(
            Node("hosta", interfaces=(Interface("lan", ("10.1.0.2/24", "2001:db8:a::2/64")),),
                 routes=("default via 10.1.0.1", "default via 2001:db8:a::1")),
            Node("gwa", guest=True, forwards=True,
                 interfaces=(Interface("lan", ("10.1.0.1/24", "2001:db8:a::1/64")),
                             Interface("wan", ("192.0.2.1/24", "2001:db8:1::1/64"))),
                 routes=("default via 192.0.2.254", "default via 2001:db8:1::254")),
            Node("mid", forwards=True,
                 interfaces=(Interface("wana", ("192.0.2.254/24", "2001:db8:1::254/64")),
                             Interface("wanb", ("198.51.100.254/24", "2001:db8:2::254/64")))),
            Node("gwb", guest=True, forwards=True,
                 interfaces=(Interface("lan", ("10.2.0.1/24", "2001:db8:b::1/64")),
                             Interface("wan", ("198.51.100.1/24", "2001:db8:2::1/64"))),
                 routes=("default via 198.51.100.254", "default via 2001:db8:2::254")),
            Node("hostb", interfaces=(Interface("lan", ("10.2.0.2/24", "2001:db8:b::2/64")),),
                 routes=("default via 10.2.0.1", "default via 2001:db8:b::1")),
        ),
        links=(
            (("hosta", "lan"), ("gwa", "lan")),
            (("gwa", "wan"), ("mid", "wana")),
            (("mid", "wanb"), ("gwb", "wan")),
            (("gwb", "lan"), ("hostb", "lan")),
        ))


def guests(count):
    """`count` guests g1, g2, … that know nothing of each other."""
    return Topology(nodes=tuple(Node(f"g{i + 1}", guest=True) for i in range(count)))


def configure_commands(node):
    """Shell lines that give a node its addresses and routes; run again after each boot of a guest."""
    lines = []
    for interface in node.interfaces:
        lines += [f"ip addr add {a} dev {interface.name}{' nodad' if ':' in a else ''}" for a in interface.addresses]
        lines.append(f"ip link set {interface.name} up")
    lines += [f"ip {'-6 ' if ':' in route else ''}route add {route}" for route in node.routes]
    return lines
