// SPDX-License-Identifier: GPL-3.0-or-later
// Reads deterministic CBOR (RFC 8949, section 4.2.1) as cbor_writer.h writes it, and nothing else:
// a number that is not in its shortest form, an indefinite length, a tag, a float, a text that is
// not printable ASCII are refused. Nothing is skipped: who reads says what must come next, so a key
// that is unknown, doubled or out of order is refused too. What is read once has one encoding only.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs {

// Views it hands out lie in the bytes it was given, which must outlive it. After an error it is of
// no use. Every read names what it reads, for the error.
class CborReader {
 public:
  // `document` is for errors too: "a core policy".
  CborReader(ByteView bytes, std::string_view document) : in_(bytes), document_(document) {}

  [[nodiscard]] Result<std::uint64_t> number(
      std::string_view what, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    CS_TRY(const std::uint64_t value, head(unsigned_number, what));
    if (value > most) return over(what, value, most);
    return value;
  }
  [[nodiscard]] Result<ByteView> bytes(std::string_view what, std::size_t most) {
    return string(byte_string, what, most);
  }
  // Of this length and no other.
  [[nodiscard]] Result<ByteView> exactly(std::string_view what, std::size_t size) {
    CS_TRY(const ByteView value, string(byte_string, what, size));
    if (value.size() == size) return value;
    return wrong(what,
                 "has " + std::to_string(value.size()) + " bytes, not " + std::to_string(size));
  }
  [[nodiscard]] Result<std::string_view> text(std::string_view what, std::size_t most) {
    CS_TRY(const ByteView value, string(text_string, what, most));
    for (const std::uint8_t byte : value) {
      if (byte < 0x20 || byte > 0x7e) return wrong(what, "is not printable ASCII");
    }
    return std::string_view(reinterpret_cast<const char*>(value.data()), value.size());
  }
  // How many items follow.
  [[nodiscard]] Result<std::size_t> array(std::string_view what, std::size_t most) {
    CS_TRY(const std::uint64_t items, head(array_of, what));
    if (items > most) return over(what, items, most);
    return static_cast<std::size_t>(items);
  }
  [[nodiscard]] Result<bool> boolean(std::string_view what) {
    CS_TRY(const std::uint64_t value, head(simple, what));
    if (value == 20 || value == 21) return value == 21;
    return wrong(what, "is neither true nor false");
  }

  // A map whose keys are numbers: begun, then each key in ascending order asked for, and ended.
  [[nodiscard]] Result<void> begin_map(std::string_view what, std::size_t most) {
    CS_TRY(const std::uint64_t pairs, head(map_of, what));
    if (pairs > most) return over(what, pairs, most);
    left_.push_back(static_cast<std::size_t>(pairs));
    return {};
  }
  // Whether this key comes next; then its value does.
  [[nodiscard]] bool has_key(std::uint64_t key) {
    if (left_.empty() || left_.back() == 0) return false;
    const ByteReader before = in_;
    const Result<std::uint64_t> found = head(unsigned_number, "a key");
    if (found.ok() && *found == key) {
      --left_.back();
      return true;
    }
    in_ = before;
    return false;
  }
  [[nodiscard]] Result<void> key(std::uint64_t key, std::string_view what) {
    if (has_key(key)) return {};
    return wrong(what, "(key " + std::to_string(key) + ") is missing or not in its place");
  }
  [[nodiscard]] Result<void> end_map(std::string_view what) {
    if (left_.empty()) return wrong(what, "is no map");
    if (left_.back() != 0) return wrong(what, "goes on with a key that is unknown there");
    left_.pop_back();
    return {};
  }

  // The document ends here.
  [[nodiscard]] Result<void> end() {
    if (in_.remaining() == 0) return {};
    return wrong("it", "should end, but " + std::to_string(in_.remaining()) + " bytes follow");
  }
  [[nodiscard]] std::size_t position() const noexcept { return in_.position(); }

  // For what a caller finds wrong with a value it has just read.
  [[nodiscard]] Error wrong(std::string_view what, const std::string& why) const {
    return {ErrorKind::invalid, "reading " + document_ + ": " + std::string(what) + " at offset " +
                                    std::to_string(in_.position()) + " " + why};
  }

 private:
  enum Major : std::uint8_t {
    unsigned_number = 0,
    byte_string = 2,
    text_string = 3,
    array_of = 4,
    map_of = 5,
    simple = 7,
  };
  static constexpr std::string_view name_of(std::uint8_t major) noexcept {
    constexpr std::array<std::string_view, 8> names{"a number", "a negative number", "bytes",
                                                    "a text",   "an array",          "a map",
                                                    "a tag",    "a simple value"};
    return names.at(major);
  }

  [[nodiscard]] Error over(std::string_view what, std::uint64_t value, std::uint64_t most) const {
    return {ErrorKind::limit, "reading " + document_ + ": " + std::string(what) + " at offset " +
                                  std::to_string(in_.position()) + " says " +
                                  std::to_string(value) + ", at most " + std::to_string(most) +
                                  " is allowed"};
  }
  // The head of an item: its argument, in its shortest form.
  Result<std::uint64_t> head(Major wanted, std::string_view what) {
    std::uint8_t first = 0;
    if (!in_.u8(first)) return in_.failure(document_);
    const auto major = static_cast<std::uint8_t>(first >> 5U);
    if (major != wanted) {
      return wrong(what,
                   "is " + std::string(name_of(major)) + ", not " + std::string(name_of(wanted)));
    }
    return argument(first, what);
  }
  Result<std::uint64_t> argument(std::uint8_t first, std::string_view what) {
    const auto low = static_cast<std::uint8_t>(first & 0x1fU);
    if (low < 24) return std::uint64_t{low};
    std::uint64_t value = 0;
    std::uint64_t least = 0;  // that needs this form
    if (low == 24) {
      std::uint8_t narrow = 0;
      if (!in_.u8(narrow)) return in_.failure(document_);
      value = narrow;
      // Simple values below 32 have no second form at all.
      least = first >> 5U == simple ? 32 : 24;
    } else if (low == 25) {
      std::uint16_t narrow = 0;
      if (!in_.u16be(narrow)) return in_.failure(document_);
      value = narrow;
      least = 0x100;
    } else if (low == 26) {
      std::uint32_t narrow = 0;
      if (!in_.u32be(narrow)) return in_.failure(document_);
      value = narrow;
      least = 0x10000;
    } else if (low == 27) {
      if (!in_.u64be(value)) return in_.failure(document_);
      least = 0x100000000;
    } else {
      return wrong(what, "has no definite length");
    }
    if (first >> 5U == simple && low > 24) return wrong(what, "is a float");
    if (value < least) return wrong(what, "is not in its shortest form");
    return value;
  }
  Result<ByteView> string(Major major, std::string_view what, std::size_t most) {
    CS_TRY(const std::uint64_t size, head(major, what));
    if (size > most) return over(what, size, most);
    ByteView out;
    if (!in_.take(static_cast<std::size_t>(size), out)) return in_.failure(document_);
    return out;
  }
  ByteReader in_;
  std::string document_;
  std::vector<std::size_t> left_;  // pairs of each map that is open, outermost first
};

}  // namespace cs
