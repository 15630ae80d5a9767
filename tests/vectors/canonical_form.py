# SPDX-License-Identifier: GPL-3.0-or-later
"""The canonical form of docs/XFRM.md from what `countersign xfrm show --json` tells, written from that page
alone: a second implementation. Slow and plain: each pair of policies is looked at."""

import hashlib
import ipaddress

import cbor2

DIRECTIONS = {"in": 0, "out": 1, "fwd": 2, "socket in": 3, "socket out": 4}
MODES = {"transport": 0, "tunnel": 1, "route optimization": 2, "in trigger": 3, "beet": 4, "iptfs": 5}
PROTOCOLS = {"ESP": 50, "AH": 51, "IPComp": 108}
ACTIONS = {"allow": 0, "block": 1}
FLAGS = {"noecn": 1, "decap-dscp": 2, "nopmtudisc": 4, "wildrecv": 8, "icmp": 16, "af-unspec": 32, "align4": 64, "esn": 128}
EXTRA_FLAGS = {"dont-encap-dscp": 1, "oseq-may-wrap": 2}
USUAL_ICV = {"hmac(md5)": 96, "hmac(sha1)": 96, "hmac(sha256)": 96, "hmac(rmd160)": 96, "xcbc(aes)": 96, "cmac(aes)": 96,
             "hmac(sha384)": 192, "hmac(sha512)": 256}
UNLIMITED = 2**64 - 1
ALL = 2**32 - 1


def packed(address):
    return ipaddress.ip_address(address).packed


def prefix(text):
    network = ipaddress.ip_network(text)
    return [network.network_address.packed, network.prefixlen]


def ports(value):
    if value is None:
        return [0, 0]
    return [value, 0xFFFF] if isinstance(value, int) else [value["port"] & value["mask"], value["mask"]]


def selector(json):
    if json.get("family") == "any":
        return None
    return [prefix(json["source"]), prefix(json["destination"]), json.get("protocol", 0), ports(json.get("source_port")),
            ports(json.get("destination_port")), json.get("interface", 0), json.get("user", 0)]


def mark(text):
    return [int(part, 16) for part in text.split("/")] if text else [0, 0]


def limits(json):
    told = json.get("lifetime", {})
    return [told.get("hard_bytes", UNLIMITED), told.get("hard_packets", UNLIMITED), told.get("hard_seconds", 0),
            told.get("hard_use_seconds", 0)]


def offload(json):
    return json["offload"]["flags"] if "offload" in json else None


def opaque(json):
    return sorted(([one["type"], bytes.fromhex(one["value"])] for one in json.get("unknown_attributes", [])), key=lambda o: o[0])


def context(json):
    return json.get("security_context", "").encode()


class Tunnel:
    def __init__(self, json):
        self.here, self.there = json["here"]["address"], json["there"]["address"]
        self.traffic = []  # (selector out, selector in)
        for own in self.side(json["here"]):
            for far in self.side(json["there"]):
                if ":" in own["network"] + far["network"] and not (":" in own["network"] and ":" in far["network"]):
                    continue
                if own["protocol"] and far["protocol"] and own["protocol"] != far["protocol"]:
                    continue
                protocol = max(own["protocol"], far["protocol"])
                pair = [prefix(own["network"]), prefix(far["network"])]
                self.traffic.append(tuple([*ends, protocol, [0, 0], [0, 0], 0, 0] for ends in (pair, pair[::-1])))

    @staticmethod
    def side(json):
        return json["traffic"] or [{"network": json["address"], "protocol": 0}]

    def ends(self, out):
        return (self.here, self.there) if out else (self.there, self.here)


def networks_overlap(a, b):
    if len(a[0]) != len(b[0]):
        return False
    shift = len(a[0]) * 8 - min(a[1], b[1])
    return int.from_bytes(a[0], "big") >> shift == int.from_bytes(b[0], "big") >> shift


def masked_overlap(a, b):
    return (a[0] ^ b[0]) & a[1] & b[1] == 0


def selectors_overlap(a, b):
    return (networks_overlap(a[0], b[0]) and networks_overlap(a[1], b[1]) and (0 in (a[2], b[2]) or a[2] == b[2])
            and masked_overlap(a[3], b[3]) and masked_overlap(a[4], b[4]) and (0 in (a[5], b[5]) or a[5] == b[5]))


def is_told(policy, tunnel):
    direction, chosen = policy["direction"], selector(policy["selector"])
    if direction.startswith("socket"):
        return False
    for out, back in tunnel.traffic:
        wanted = {"out": [out], "in": [back], "fwd": [out, back]}[direction]
        if any(selectors_overlap(chosen, one) for one in wanted):
            return True
    pair = tunnel.ends(direction == "out")
    return None not in pair and any((t["source"], t["destination"]) == pair for t in policy["templates"] if t["mode"] != "transport")


def template(json, tunnel, out):
    ends = [None, None]
    if json["mode"] != "transport":
        agreed = tunnel.ends(out) if tunnel else (True, True)
        ends = [packed(json[name]) if known else None for name, known in zip(("source", "destination"), agreed)]
    return [PROTOCOLS[json["protocol"]], MODES[json["mode"]], json["optional"], json.get("share", 0), *ends,
            json.get("authentications", ALL), json.get("encryptions", ALL), json.get("compressions", ALL)]


def policy_item(json, level, tunnel):
    out = json["direction"] == "out"
    return [level, DIRECTIONS[json["direction"]], 0 if json["type"] == "main" else 1, selector(json["selector"]),
            ACTIONS[json["action"]], json.get("flags", 0), json.get("share", 0),
            [template(one, tunnel, out) for one in json["templates"]], mark(json.get("mark")), json.get("if_id", 0), limits(json),
            offload(json), context(json), opaque(json)]


def with_levels(told):
    """Of policies by their priority."""
    done = []
    for policy in told:
        level = 0
        for before, its_level in done:
            if (before["priority"] < policy["priority"] and before["direction"] == policy["direction"] and before["type"] == policy["type"]
                    and before.get("if_id", 0) == policy.get("if_id", 0)
                    and masked_overlap(mark(before.get("mark")), mark(policy.get("mark")))
                    and selectors_overlap(selector(before["selector"]), selector(policy["selector"]))):
                level = max(level, its_level + 1)
        done.append((policy, level))
    return done


def sockets(policies, known):
    others, bypasses = [], 0
    for policy in policies:
        if not policy["direction"].startswith("socket"):
            continue
        chosen = selector(policy["selector"])
        everything = chosen[0][1] == chosen[1][1] == 0 and chosen[2] == 0 and chosen[3][1] == chosen[4][1] == 0 and chosen[5] == 0
        plain = not policy["templates"] and mark(policy.get("mark"))[1] == 0 and not policy.get("if_id") and not opaque(policy)
        if policy["action"] == "allow" and everything and plain:
            bypasses += 1
        else:
            others.append(policy_item(policy, 0, None))
    return [max(0, bypasses - known), in_order(others)]


def in_order(items):
    return sorted(items, key=encode)


def encode(item):
    return cbor2.dumps(item, canonical=True)


def algorithm(json, authenticates=False):
    if json is None:
        return None
    icv = json.get("icv_bits", 0)
    if authenticates and icv == 0:
        icv = USUAL_ICV.get(json["name"], 0)
    return [json["name"].encode(), json["key_bits"], icv]


def learnt_ends(told, tunnel):
    """The addresses here and there that templates name, and whether one is of transport mode."""
    ends, transport = set(), False
    for policy in told:
        for one in policy["templates"]:
            if one["mode"] == "transport":
                transport = True
                continue
            pair = (one["source"], one["destination"])
            pair = pair if policy["direction"] == "out" else pair[::-1]
            if tunnel.here in (None, pair[0]) and tunnel.there in (None, pair[1]):
                ends.add(pair)
    return ends, transport


def is_inbound(sa, tunnel, learnt):
    """None: not of the pair."""
    ends, transport = learnt

    def fits(here, there):
        if tunnel.here not in (None, here) or tunnel.there not in (None, there):
            return False
        return None not in (tunnel.here, tunnel.there) or transport or (here, there) in ends
    if fits(sa["destination"], sa["source"]):
        return True
    return False if fits(sa["source"], sa["destination"]) else None


def sa_item(sa, inbound, tunnel):
    flags = sum(FLAGS.get(name, 0) for name in sa["flags"])
    agreed = tunnel.ends(not inbound)
    ends = [packed(sa[name]) if known else None for name, known in zip(("source", "destination"), agreed)]
    chosen = selector(sa["selector"]) if "selector" in sa else selector({"source": "0.0.0.0/0", "destination": "0.0.0.0/0"})
    return [inbound, PROTOCOLS[sa["protocol"]], *ends, MODES[sa["mode"]], chosen, flags & ~(FLAGS["af-unspec"] | FLAGS["esn"]),
            sum(EXTRA_FLAGS.get(name, 0) for name in sa["flags"]), sa["replay"]["window"] if inbound else 0,
            sa["replay"]["extended"] or bool(flags & FLAGS["esn"]), algorithm(sa.get("aead")), algorithm(sa.get("encryption")),
            algorithm(sa.get("authentication"), True), algorithm(sa.get("compression")), sa.get("udp", {}).get("type", 0),
            mark(sa.get("mark")), mark(sa.get("output_mark")), sa.get("if_id", 0), sa.get("tfc_pad", 0), offload(sa), limits(sa),
            context(sa), opaque(sa)]


def forms(tunnel_json, state, known_bypasses):
    """The items `policies` and `sas`, encoded, and both digests in hex."""
    tunnel = Tunnel(tunnel_json)
    preferred = sorted(state["policies"], key=lambda one: one["priority"])
    told = [one for one in preferred if is_told(one, tunnel)]
    defaults = state.get("defaults", {"in": "allow", "forward": "allow", "out": "allow"})
    switches = [[one["name"].encode(), one["disable_xfrm"], one["disable_policy"], one["disable_policy_ipv6"]]
                for one in state["interfaces"] if one["name"] != "lo"]
    policies = encode(["countersign-policies", 1, in_order(policy_item(one, level, tunnel) for one, level in with_levels(told)),
                       [ACTIONS[defaults[way]] for way in ("in", "forward", "out")],
                       in_order(one for one in switches if any(one[1:])), sockets(state["policies"], known_bypasses)])
    learnt = learnt_ends(told, tunnel)
    kinds = {}
    for sa in state["sas"]:
        inbound = is_inbound(sa, tunnel, learnt)
        if not sa["larval"] and inbound is not None:
            item = sa_item(sa, inbound, tunnel)
            kinds[encode(item)] = item
    sas = encode(["countersign-sas", 1, [kinds[key] for key in sorted(kinds)]])
    return policies, sas, hashlib.sha256(policies).hexdigest(), hashlib.sha256(b"\x82" + policies + sas).hexdigest()
