# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/POLICY.md a second time, from that page alone: TOML to CBOR, and a hash as digits."""

import hashlib
import ipaddress
import re
import tomllib

import cbor2

PROOF = ["required", "optional"]
MODE = ["transport", "tunnel"]
USE = ["forbidden", "allowed", "required"]
ACTION = ["allow", "block"]
SIGNING = ["session", "tpm"]
INBOUND = ["off", "sign-only", "audit", "enforce"]
AFTER_DRIFT = ["healed", "acknowledged", "reboot"]
ON_FAILURE = ["report", "restrict", "cut"]
SUITE = ["", "p256-16", "p256-32", "ed25519-16", "ed25519-32"]
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "ipv6-icmp": 58, "sctp": 132}
DAMM = ("0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
        "3674209581", "5869720134", "8945362017", "9438617205", "2581436790")


def seconds(text):
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]


def mark(text):
    if text == "none":
        return [0, 0]
    value, _, mask = text.partition("/")
    return [int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF]


def address(text):
    return ipaddress.ip_address(text).packed


def traffic(text):
    network, _, rest = text.partition("[")
    network = ipaddress.ip_network(network)
    protocol, _, ports = rest.rstrip("]").partition("/")
    port, _, mask = ports.partition(":")
    return [network.network_address.packed, network.prefixlen,
            PROTOCOLS.get(protocol) or int(protocol or "0"), int(port or "0", 0), int(mask, 0) if mask else (0xFFFF if ports else 0)]


def ascending(items):
    """As a set: by length of the first bytes (IPv4 first), then by value."""
    unique = []
    for item in sorted(items, key=lambda one: (len(one[0]), one) if isinstance(one, list) else (len(one) if isinstance(one, bytes) else 0, one)):
        if item not in unique:
            unique.append(item)
    return unique


def endpoint(text):
    found = re.fullmatch(r"\[(.*)\]:(\d+)|([\d.]+):(\d+)", text)
    return [address(found[1] or found[3]), int(found[2] or found[4])]


def register(text):
    kind, number = text.split(":")
    return [1 if kind == "pcr" else 2, int(number, 0)]


def gateway(ne_id, toml):
    out = {1: ne_id}
    if "attestation_key" in toml:
        out[2] = bytes.fromhex(toml["attestation_key"])
    if "authority" in toml:
        out[3] = bytes.fromhex(toml["authority"])
    out[4] = PROOF.index(toml.get("proof", "required"))
    out[5] = ascending(address(one) for one in toml.get("addresses", []))
    if "keymsd" in toml:
        out[6] = endpoint(toml["keymsd"])
    out[7] = toml.get("static_pcr", 15)
    out[8] = register(toml.get("event_register", "pcr:13"))
    out[9] = toml.get("resettable", False)
    out[10] = sorted([int(pcr), ascending(bytes.fromhex(one) for one in values)] for pcr, values in toml.get("boot", {}).items())
    if "ima" in toml:
        ima = toml["ima"]
        out[11] = {1: ascending(bytes.fromhex(one) for one in ima.get("list_keys", [])),
                   2: sorted(set(ima.get("ignored", []))), 3: ima.get("accept_violations", False)}
    return out


def end(ne_id, only, toml):
    out = {}
    where = toml.get("address", {}).get(ne_id, only)
    if where not in (None, "any"):
        out[1] = address(where)
    out[2] = ascending(traffic(one) for one in toml.get("traffic", {}).get(ne_id, []))
    return out


def tunnel(name, gateways, toml):
    return {1: name,
            2: [end(ne_id, only, toml) for ne_id, only in gateways],
            3: MODE.index(toml.get("mode", "tunnel")),
            4: {"esp": 50, "ah": 51}[toml.get("protocol", "esp")],
            5: toml["proposals"],
            6: USE.index(toml.get("extended_sequence_numbers", "allowed")),
            7: USE.index(toml.get("udp_encapsulation", "allowed")),
            8: toml.get("least_replay_window", 32),
            9: mark(toml.get("inbound_mark", "0x10000/0x10000")),
            10: mark(toml.get("output_mark", "0x20000/0x30000")),
            11: mark(toml.get("inbound_policy_mark", "none")),
            12: mark(toml.get("outbound_policy_mark", "none")),
            13: toml.get("interface_id", 0),
            14: seconds(toml.get("sa_lifetime", "0s")),
            15: toml.get("forwards", True)}


def encode(text):
    toml = tomllib.loads(text)
    gateways = sorted(toml["gateways"].items())
    ends = [(ne_id, one["addresses"][0] if len(one.get("addresses", [])) == 1 else None) for ne_id, one in gateways]
    names = [ne_id for ne_id, _ in gateways]
    defaults, signing, attestation = (toml.get(part, {}) for part in ("defaults", "signing", "attestation"))
    out = {0: 1, 1: toml["name"], 2: toml.get("version", 1)}
    if "predecessor" in toml:
        out[3] = bytes.fromhex(toml["predecessor"])
    out[4] = [gateway(ne_id, one) for ne_id, one in gateways]
    out[5] = [tunnel(name, ends, one) for name, one in sorted(toml["tunnels"].items())]
    out[6] = [{1: name, 2: names.index(one["at"]), 3: traffic(one["here"]), 4: traffic(one["there"])}
              for name, one in sorted(toml.get("bypasses", {}).items())]
    out[7] = [ACTION.index(defaults.get(one, "allow")) for one in ("in", "forward", "out")]
    out[8] = {1: SIGNING.index(signing.get("mode", "session")), 2: SUITE.index(signing.get("suite", "p256-16")),
              3: INBOUND.index(signing.get("inbound", "enforce")),
              4: seconds(signing.get("key_lifetime", "10m")), 5: seconds(signing.get("overlap", "30s"))}
    out[9] = {1: seconds(attestation.get("interval", "5m")), 2: seconds(attestation.get("certificate_lifetime", "1d")),
              3: seconds(attestation.get("silence", "15s")), 4: AFTER_DRIFT.index(attestation.get("after_drift", "acknowledged")),
              5: ON_FAILURE.index(attestation.get("on_failure", "cut")), 6: seconds(attestation.get("grace", "0s"))}
    return cbor2.dumps(out, canonical=True)


def fingerprint(value):
    groups = []
    for place in range(1, 9):
        digits = f"{int.from_bytes(value[2 * place - 2:2 * place], 'big'):05}"
        state = 0
        for digit in f"{place}{digits}":
            state = int(DAMM[state][int(digit)])
        groups.append(f"{digits}{state}")
    return " ".join(groups)


def value(encoded):
    return hashlib.sha256(encoded).digest()
