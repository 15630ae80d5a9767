// SPDX-License-Identifier: GPL-3.0-or-later
// The extension's bytes: docs/WIRE.md, section 2. No cryptography here, and nothing allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "nfq-signer/packet.h"
#include "nfq-signer/reason.h"

namespace cs {

inline constexpr std::uint8_t wire_version = 1;
inline constexpr std::size_t max_batch = 32768;
inline constexpr std::size_t signature_size = 64;
inline constexpr std::size_t salt_size = 16;
inline constexpr std::size_t tag_size = 8;
inline constexpr std::size_t fixed_extension = 112;  // without path, original, padding

using Salt = std::array<std::uint8_t, salt_size>;
using Signature = std::array<std::uint8_t, signature_size>;
using Tag = std::array<std::uint8_t, tag_size>;

// What the numbers of docs/WIRE.md stand for.
enum class Suite : std::uint8_t { p256_node16 = 1, p256_node32, ed25519_node16, ed25519_node32 };

[[nodiscard]] constexpr bool is_known(std::uint8_t suite) noexcept {
  return suite >= 1 && suite <= 4;
}
[[nodiscard]] constexpr std::size_t node_size(Suite suite) noexcept {
  return suite == Suite::p256_node16 || suite == Suite::ed25519_node16 ? 16 : 32;
}

// Path nodes of leaf `index` among `count`; at most 15.
[[nodiscard]] constexpr std::size_t path_depth(std::uint32_t index, std::uint32_t count) noexcept {
  std::size_t depth = 0;
  for (; count > 1; index >>= 1U, count = (count + 1) >> 1U) {
    if ((index ^ 1U) < count) ++depth;
  }
  return depth;
}

// The most bytes an extension takes in a batch of up to `count` packets, without `original`.
[[nodiscard]] constexpr std::size_t largest_extension(Suite suite, std::uint32_t count) noexcept {
  return fixed_extension + path_depth(0, count) * node_size(suite);
}

// The fields that are numbers.
struct ExtensionFields {
  std::uint64_t batch = 0;
  std::uint32_t key = 0;
  std::uint32_t pcr_tag = 0;
  std::uint16_t lane = 0;
  std::uint16_t index = 0;
  std::uint16_t count = 0;
  Suite suite = Suite::p256_node16;
  std::optional<Original> original;
};

// As it stands in a packet; the views are of that packet's bytes.
struct Extension {
  ExtensionFields fields;
  ByteView all;
  ByteView path;
  ByteView signature;
  ByteView salt;
  ByteView tag;

  // The same views, of a copy of all its bytes.
  void move_to(ByteView copy) noexcept {
    for (ByteView* view : {&path, &signature, &salt, &tag}) {
      *view = copy.subspan(static_cast<std::size_t>(view->data() - all.data()), view->size());
    }
    all = copy;
  }
};

// no_extension unless the bytes before the end of ESP, or of the AH header, are one in every detail
// that does not need a key; malformed for an AH header that is not aligned as IPv6 wants it.
[[nodiscard]] Reason parse_extension(const Layout& at, ByteView packet, Extension& out) noexcept;

// Bytes it takes in this packet.
[[nodiscard]] std::size_t extension_size(const Layout& at, const ExtensionFields& fields) noexcept;

// Where the parts that are computed go.
struct ExtensionParts {
  ByteSpan path;
  ByteSpan signature;
  ByteSpan salt;
  ByteSpan tag;
};

// Writes the numbers, padding and length into `out`, which has extension_size() bytes, and says
// where the rest goes.
[[nodiscard]] ExtensionParts write_fields(const ExtensionFields& fields, ByteSpan out) noexcept;

}  // namespace cs
