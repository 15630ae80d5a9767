# SPDX-License-Identifier: GPL-3.0-or-later
"""The worked examples of docs/WIRE.md sections 10 and 11: the two first cases of vectors.json, value by value."""

import cases
import shapes
from reference import sign_batch, translate

ESP_SALT, AH_SALT = bytes(range(0x10, 0x20)), bytes(range(0x20, 0x30))
FIELDS = ("path", "original", "padding", "signature", "salt", "batch", "key", "PCR tag", "lane", "index", "count", "gate tag",
          "kind", "words")


def esp_batch(records):
    packets = [shapes.ipv4(shapes.ESP, shapes.esp(24, sequence=1)), shapes.ipv4(shapes.ESP, shapes.esp(28, sequence=2))]
    return packets, sign_batch(records["ed25519-16"], 7, 41, ESP_SALT, packets)


def ah_batch(records):
    packets = [shapes.ipv6(shapes.AH, shapes.ah(16, shapes.filler(20), shapes.TCP))]
    return packets, sign_batch(records["p256-32"], 7, 42, AH_SALT, packets)


def esp_case(records):
    return cases.signed("example-esp", "ed25519-16", 7, 41, ESP_SALT, *esp_batch(records))


def ah_case(records):
    return cases.signed("example-ah-ipv6-padding", "p256-32", 7, 42, AH_SALT, *ah_batch(records))


def _row(name, data):
    """Name and hex, 32 bytes a line."""
    lines = [data[at:at + 32].hex() for at in range(0, len(data), 32)] or ["-"]
    return "\n".join(f"    {name if i == 0 else '':14}{line}" for i, line in enumerate(lines))


def _extension_rows(extension):
    sizes = [sum(map(len, extension.path)), len(extension.original), len(extension.padding), 64, 16, 8, 4, 4, 2, 2, 2, 8, 1, 1]
    encoded = extension.encoded()
    for name, size in zip(FIELDS, sizes, strict=True):
        yield _row(name, encoded[:size])
        encoded = encoded[size:]


def _record_rows(record):
    yield _row("session", record.session)
    yield _row("key id", record.key_id.to_bytes(4, "big"))
    yield _row("public key", record.public_key)
    yield _row("PCR digest", record.pcr_digest)
    yield _row("gate secret", record.gate_secret)


def translated(records):
    """The block of section 11."""
    return _row("on the wire", translate(esp_batch(records)[1].packets[1], cases.PORT))


def text(records):
    """The blocks of section 10, in order, as they stand there."""
    plain, esp = esp_batch(records)
    first = [*_record_rows(records["ed25519-16"]), *(_row(f"packet {i}", p) for i, p in enumerate(plain)),
             *(_row(f"d_{i}", d) for i, d in enumerate(esp.digests)), _row("S", ESP_SALT), _row("P", esp.prefix),
             *(_row(f"full(0, {i})", x) for i, x in enumerate(esp.levels[0])), _row("root", esp.levels[1][0]),
             _row("signed bytes", esp.statement)]
    plain, ah = ah_batch(records)
    second = [*_record_rows(records["p256-32"]), _row("packet", plain[0]), _row("d_0", ah.digests[0]), _row("P", ah.prefix),
              _row("root", ah.levels[0][0]), _row("signed bytes", ah.statement), *_extension_rows(ah.extensions[0]),
              _row("on the wire", ah.packets[0])]
    blocks = [first, list(_extension_rows(esp.extensions[1])), [_row("on the wire", esp.packets[1])], second]
    return "\n\n".join("\n".join(block) for block in blocks)
