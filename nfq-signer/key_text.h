// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of a key file, field by field: what key_file.cpp makes a key of. Apart because the JSON
// library's header is slow to compile.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"

namespace cs {

// One flat object of fields that are known by name, each a number, a text or a list of two numbers.
// Its texts are wiped when it goes.
class KeyText {
 public:
  // Refused: what is not JSON, unknown and repeated fields, and values of another type.
  [[nodiscard]] static Result<KeyText> parse(std::string_view text);

  KeyText(KeyText&&) = default;
  KeyText& operator=(KeyText&&) = delete;
  KeyText(const KeyText&) = delete;
  KeyText& operator=(const KeyText&) = delete;
  ~KeyText();

  // Each fails with the field's name if it is not there or says something it may not say.
  [[nodiscard]] bool has(std::string_view field) const { return values_.contains(field); }
  [[nodiscard]] Result<std::uint64_t> number(std::string_view field, std::uint64_t min,
                                             std::uint64_t max) const;
  [[nodiscard]] Result<std::array<std::uint64_t, 2>> pair(std::string_view field) const;
  [[nodiscard]] Result<std::string_view> text(std::string_view field) const;
  [[nodiscard]] Result<std::vector<std::uint8_t>> hex(std::string_view field,
                                                      std::size_t size) const;
  // As hex(), in constant time and into memory that is wiped.
  [[nodiscard]] Result<SecretBytes> secret(std::string_view field, std::size_t size) const;

  static Error wrong(std::string_view field, std::string_view why);

 private:
  class Reader;
  struct Value {
    std::uint64_t number = 0;
    std::string text;
    std::vector<std::uint64_t> list;
  };

  KeyText() = default;
  [[nodiscard]] Result<const Value*> find(std::string_view field) const;

  std::map<std::string_view, Value> values_;  // names are those of the table of known fields
};

}  // namespace cs
