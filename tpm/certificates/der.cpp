// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/der.h"

#include <array>
#include <string>

#include "base/hex.h"

namespace cs::tpm {

namespace {

Error wrong(std::string_view what, std::size_t offset, std::string_view why) {
  return {ErrorKind::invalid,
          std::string(what) + ": at offset " + std::to_string(offset) + " " + std::string(why)};
}

std::string hex_byte(std::uint8_t byte) {
  return "0x" + hex_encode(std::array{byte});
}

struct Length {
  std::uint32_t value = 0;
  bool minimal = true;
};

Result<Length> read_length(ByteReader& reader, std::string_view what) {
  const std::size_t offset = reader.position();
  std::uint8_t first = 0;
  if (!reader.u8(first)) return reader.failure(what);
  if (first < 0x80) return Length{first, true};
  const std::size_t size = first & 0x7fU;
  if (size == 0) return wrong(what, offset, "a length of the indefinite form, which DER has not");
  if (size > 4) return wrong(what, offset, "a length of more than four bytes");
  ByteView bytes;
  if (!reader.take(size, bytes)) return reader.failure(what);
  Length length;
  for (const std::uint8_t byte : bytes) length.value = length.value << 8U | byte;
  length.minimal = bytes.front() != 0 && length.value >= 0x80;
  return length;
}

}  // namespace

Result<DerElement> read_der(ByteReader& reader, std::string_view what) {
  DerElement element;
  ByteReader ahead = reader;
  element.offset = reader.position();
  if (!ahead.u8(element.tag)) return ahead.failure(what);
  if ((element.tag & 0x1fU) == 0x1f) {
    return wrong(what, element.offset, "a tag of more than one byte, which no certificate has");
  }
  CS_TRY(const Length length, read_length(ahead, what));
  if (!ahead.nested(length.value, element.inside)) return ahead.failure(what);
  element.minimal = length.minimal;
  if (!reader.take(ahead.position() - element.offset, element.whole)) return reader.failure(what);
  return element;
}

Result<DerElement> read_der(ByteReader& reader, std::uint8_t tag, std::string_view what) {
  CS_TRY(DerElement element, read_der(reader, what));
  if (element.tag == tag) return element;
  return wrong(what, element.offset,
               "the tag " + hex_byte(element.tag) + ", where " + hex_byte(tag) + " is wanted");
}

std::vector<std::uint8_t> make_der(std::uint8_t tag, std::initializer_list<ByteView> parts) {
  std::size_t size = 0;
  for (const ByteView part : parts) size += part.size();
  std::vector<std::uint8_t> der{tag};
  if (size < 0x80) {
    der.push_back(static_cast<std::uint8_t>(size));
  } else {
    const unsigned digits = size > 0xffffff ? 4 : size > 0xffff ? 3 : size > 0xff ? 2 : 1;
    der.push_back(static_cast<std::uint8_t>(0x80U + digits));
    for (unsigned i = digits; i-- > 0;) der.push_back(static_cast<std::uint8_t>(size >> 8 * i));
  }
  for (const ByteView part : parts) der.insert(der.end(), part.begin(), part.end());
  return der;
}

}  // namespace cs::tpm
