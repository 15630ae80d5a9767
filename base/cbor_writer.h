// SPDX-License-Identifier: GPL-3.0-or-later
// Writes deterministic CBOR (RFC 8949, section 4.2.1): each number in its shortest form, lengths
// known before. What is not asked for here (floats, tags) is not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_writer.h"

namespace cs {

// As ByteBuilder: grows up to a limit, above it nothing gets out. An array's items are written
// after its head, as many as it says, and a map's pairs by ascending keys; that they are so many
// and in that order is the caller's care.
class CborWriter {
 public:
  explicit CborWriter(std::size_t limit) noexcept : out_(limit) {}

  CborWriter& number(std::uint64_t value) { return head(0, value); }
  CborWriter& bytes(ByteView value) {
    head(2, value.size());
    out_.bytes(value);
    return *this;
  }
  CborWriter& text(std::string_view utf8) {
    head(3, utf8.size());
    for (const char c : utf8) out_.u8(static_cast<std::uint8_t>(c));
    return *this;
  }
  CborWriter& array(std::size_t items) { return head(4, items); }
  CborWriter& map(std::size_t pairs) { return head(5, pairs); }
  // Of a map whose keys are numbers; its value follows.
  CborWriter& key(std::uint64_t number) { return head(0, number); }
  CborWriter& boolean(bool value) { return simple(value ? 21 : 20); }
  CborWriter& null() { return simple(22); }
  // One item that is encoded already.
  CborWriter& item(ByteView encoded) {
    out_.bytes(encoded);
    return *this;
  }

  [[nodiscard]] Result<std::vector<std::uint8_t>> finish(std::string_view what) {
    return out_.finish(what);
  }

 private:
  CborWriter& head(unsigned major, std::uint64_t value) {
    const auto initial = [major](unsigned more) {
      return static_cast<std::uint8_t>((major << 5U) | more);
    };
    if (value < 24) {
      out_.u8(initial(static_cast<unsigned>(value)));
    } else if (value <= 0xff) {
      out_.u8(initial(24)).u8(static_cast<std::uint8_t>(value));
    } else if (value <= 0xffff) {
      out_.u8(initial(25)).u16be(static_cast<std::uint16_t>(value));
    } else if (value <= 0xffffffff) {
      out_.u8(initial(26)).u32be(static_cast<std::uint32_t>(value));
    } else {
      out_.u8(initial(27)).u64be(value);
    }
    return *this;
  }
  CborWriter& simple(std::uint8_t value) {
    out_.u8(static_cast<std::uint8_t>(0xe0U | value));
    return *this;
  }

  ByteBuilder out_;
};

}  // namespace cs
