// SPDX-License-Identifier: GPL-3.0-or-later
// DER as certificates carry it, read element by element. Lenient where real certificates are wrong
// and OpenSSL is not strict: a length may be longer than it needs to be, and says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::tpm {

namespace der_tag {
inline constexpr std::uint8_t integer = 0x02;
inline constexpr std::uint8_t object = 0x06;
inline constexpr std::uint8_t sequence = 0x30;
inline constexpr std::uint8_t context0 = 0xa0;  // [0], constructed
}  // namespace der_tag

struct DerElement {
  std::uint8_t tag = 0;
  ByteReader inside;       // its failures tell offsets of the outermost input
  ByteView whole;          // with tag and length
  std::size_t offset = 0;  // of the tag
  bool minimal = true;     // whether the length has its shortest form
};

// The next element, of any kind or of the one that must stand here; `what` names it. Refused: the
// indefinite form, tags of more than one byte, lengths of more than four, what does not fit in.
[[nodiscard]] Result<DerElement> read_der(ByteReader& reader, std::string_view what);
[[nodiscard]] Result<DerElement> read_der(ByteReader& reader, std::uint8_t tag,
                                          std::string_view what);

// An element around these parts, in its shortest form.
[[nodiscard]] std::vector<std::uint8_t> make_der(std::uint8_t tag,
                                                 std::initializer_list<ByteView> parts);

}  // namespace cs::tpm
