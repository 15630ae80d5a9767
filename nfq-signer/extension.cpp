// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/extension.h"

#include <algorithm>

#include "base/endian.h"

namespace cs {

namespace {

constexpr std::size_t original_size = 4;
constexpr std::uint8_t original_flag = 0x10;
constexpr std::size_t trailer_size = 48;  // from the salt to the end

// All that follows from the numbers; padding depends on the packet too.
std::size_t size_without_padding(const ExtensionFields& fields) noexcept {
  return fixed_extension + path_depth(fields.index, fields.count) * node_size(fields.suite) +
         (fields.original ? original_size : 0);
}

// The last 48 bytes but salt and tag.
bool read_trailer(ByteReader trailer, ExtensionFields& out, std::size_t& size) noexcept {
  std::uint8_t kind = 0;
  std::uint8_t words = 0;
  ByteView skipped;
  const bool whole = trailer.take(salt_size, skipped) && trailer.u64be(out.batch) &&
                     trailer.u32be(out.key) && trailer.u32be(out.pcr_tag) &&
                     trailer.u16be(out.lane) && trailer.u16be(out.index) &&
                     trailer.u16be(out.count) && trailer.take(tag_size, skipped) &&
                     trailer.u8(kind) && trailer.u8(words);
  if (!whole || kind >> 5U != wire_version || !is_known(kind & 0xfU)) return false;
  if (out.count < 1 || out.count > max_batch || out.index >= out.count) return false;
  out.suite = static_cast<Suite>(kind & 0xfU);
  if ((kind & original_flag) != 0) out.original.emplace();
  size = std::size_t{words} * 4;
  return true;
}

}  // namespace

Reason parse_extension(const Layout& at, ByteView packet, Extension& out) noexcept {
  constexpr std::size_t esp_minimum = 8;
  constexpr std::size_t ah_minimum = 12;
  if (at.ipv6 && at.ah_header % 8 != 0) return Reason::malformed;
  const std::size_t first = at.payload + (at.protocol == Protocol::ah ? ah_minimum : esp_minimum);
  const std::size_t end = at.end_of_icv(packet.size());
  ByteReader reader(packet.subspan(first, end - first));

  ByteReader whole = reader;
  ByteView trailer;
  std::size_t size = 0;
  out.fields = {};
  if (!reader.take_last(trailer_size, trailer) ||
      !read_trailer(ByteReader(trailer), out.fields, size) || !whole.take_last(size, out.all)) {
    return Reason::no_extension;
  }
  Layout before = at;
  before.ah_header -= at.protocol == Protocol::ah ? size : 0;
  if (size != extension_size(before, out.fields)) return Reason::no_extension;

  ByteReader parts(out.all);
  const std::size_t padding = size - size_without_padding(out.fields);
  ByteView zeros;
  if (!parts.take(path_depth(out.fields.index, out.fields.count) * node_size(out.fields.suite),
                  out.path)) {
    return Reason::no_extension;
  }
  if (out.fields.original) {
    Original& original = *out.fields.original;
    if (at.ipv6 || !parts.u16be(original.identification) || !parts.u16be(original.flags) ||
        original.flags != Original::only_flags) {
      return Reason::no_extension;
    }
  }
  if (!parts.take(padding, zeros) ||
      std::any_of(zeros.begin(), zeros.end(), [](auto b) { return b != 0; }) ||
      !parts.take(signature_size, out.signature) || !parts.take(salt_size, out.salt)) {
    return Reason::no_extension;
  }
  out.tag = out.all.last(tag_size + 2).first(tag_size);
  return Reason::none;
}

std::size_t extension_size(const Layout& at, const ExtensionFields& fields) noexcept {
  const std::size_t size = size_without_padding(fields);
  return size + padding_for(at, size);
}

ExtensionParts write_fields(const ExtensionFields& fields, ByteSpan out) noexcept {
  ExtensionParts parts;
  const auto put = [&]<class T>(T value) {
    store<std::endian::big>(value, out.template first<sizeof(T)>());
    out = out.subspan(sizeof(T));
  };
  const auto leave = [&](std::size_t n) {
    const ByteSpan left = out.first(n);
    out = out.subspan(n);
    return left;
  };
  const std::size_t size = out.size();
  parts.path = leave(path_depth(fields.index, fields.count) * node_size(fields.suite));
  if (fields.original) {
    put(fields.original->identification);
    put(fields.original->flags);
  }
  const ByteSpan padding = leave(size - size_without_padding(fields));
  std::fill(padding.begin(), padding.end(), std::uint8_t{0});
  parts.signature = leave(signature_size);
  parts.salt = leave(salt_size);
  put(fields.batch);
  put(fields.key);
  put(fields.pcr_tag);
  put(fields.lane);
  put(fields.index);
  put(fields.count);
  parts.tag = leave(tag_size);
  put(static_cast<std::uint8_t>((wire_version << 5U) | (fields.original ? original_flag : 0U) |
                                static_cast<unsigned>(fields.suite)));
  put(static_cast<std::uint8_t>(size / 4));
  return parts;
}

}  // namespace cs
