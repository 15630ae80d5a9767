// SPDX-License-Identifier: GPL-3.0-or-later
// The one bounds check: every untrusted byte is read through ByteReader.
//
// A byte is std::uint8_t in the whole project, because OpenSSL, tpm2-tss, libmnl and
// libnetfilter_queue all speak unsigned char; std::byte would put a cast at each of those borders.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/endian.h"
#include "base/error.h"

namespace cs {

using ByteView = std::span<const std::uint8_t>;  // read only, owned by somebody else
using ByteSpan = std::span<std::uint8_t>;        // writable, owned by somebody else

// Reads forward through bytes it does not own; they must outlive it and every view it hands out.
//
// One form serves the packet path and the control plane: each read returns whether it succeeded and
// puts the value into `out`. A read that fails leaves the position and `out` as they were and
// remembers why in a few words of its own, without allocating; only who wants an Error builds one,
// with failure(). The data plane counts a reason instead:
//
//   if (!r.u8(version) || !r.u32be(key)) return drop(Reason::truncated);      // packet
//   if (!r.u8(version) || !r.u32be(key)) return r.failure("the quote header");  // message
//
// Not sticky, unlike ByteWriter: a value read decides what is read next, so a parser must stop at
// the first failure rather than go on with zeros. Copying a reader is cheap and is how to peek.
// [u]Nbe is big-endian (network order), [u]Nle little-endian (TPM event logs).
class ByteReader {
 public:
  ByteReader() = default;
  explicit ByteReader(ByteView data) noexcept : left_(data) {}

  [[nodiscard]] std::size_t remaining() const noexcept { return left_.size(); }
  // Offset of the next byte; in a nested reader counted from the start of the outermost one.
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

  [[nodiscard]] bool u8(std::uint8_t& out) noexcept { return number<std::endian::big>(out); }
  [[nodiscard]] bool u16be(std::uint16_t& out) noexcept { return number<std::endian::big>(out); }
  [[nodiscard]] bool u32be(std::uint32_t& out) noexcept { return number<std::endian::big>(out); }
  [[nodiscard]] bool u64be(std::uint64_t& out) noexcept { return number<std::endian::big>(out); }
  [[nodiscard]] bool u16le(std::uint16_t& out) noexcept { return number<std::endian::little>(out); }
  [[nodiscard]] bool u32le(std::uint32_t& out) noexcept { return number<std::endian::little>(out); }
  [[nodiscard]] bool u64le(std::uint64_t& out) noexcept { return number<std::endian::little>(out); }

  // The next n bytes, as a view.
  [[nodiscard]] bool take(std::size_t n, ByteView& out) noexcept {
    if (n > left_.size()) [[unlikely]]
      return refuse(ErrorKind::truncated, n);
    out = left_.first(n);
    advance(n);
    return true;
  }
  // The last n bytes, which the reader then no longer has: for formats that parse backwards.
  [[nodiscard]] bool take_last(std::size_t n, ByteView& out) noexcept {
    if (n > left_.size()) [[unlikely]]
      return refuse(ErrorKind::truncated, n);
    out = left_.last(n);
    left_ = left_.first(left_.size() - n);
    return true;
  }
  // The next out.size() bytes, copied into the caller's memory (which may not overlap them).
  [[nodiscard]] bool copy_to(ByteSpan out) noexcept {
    ByteView bytes;
    if (!take(out.size(), bytes)) return false;
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return true;
  }
  [[nodiscard]] bool skip(std::size_t n) noexcept {
    ByteView ignored;
    return take(n, ignored);
  }
  // The next n bytes as a reader of their own, whose failures tell offsets of the whole.
  [[nodiscard]] bool nested(std::size_t n, ByteReader& out) noexcept {
    ByteReader inner;
    inner.position_ = position_;
    if (!take(n, inner.left_)) return false;
    out = inner;
    return true;
  }
  // All that remains; afterwards nothing does.
  [[nodiscard]] ByteView rest() noexcept {
    const ByteView all = left_;
    advance(all.size());
    return all;
  }
  // A length, then that many bytes. A length above `max` is refused before it is believed.
  [[nodiscard]] bool vec8(std::size_t max, ByteView& out) noexcept {
    return vec<std::endian::big, std::uint8_t>(max, out);
  }
  [[nodiscard]] bool vec16be(std::size_t max, ByteView& out) noexcept {
    return vec<std::endian::big, std::uint16_t>(max, out);
  }
  [[nodiscard]] bool vec32be(std::size_t max, ByteView& out) noexcept {
    return vec<std::endian::big, std::uint32_t>(max, out);
  }
  [[nodiscard]] bool vec32le(std::size_t max, ByteView& out) noexcept {
    return vec<std::endian::little, std::uint32_t>(max, out);
  }
  // Whether nothing is left. A format that ends with this cannot be given a tail.
  [[nodiscard]] bool expect_end() noexcept {
    return left_.empty() || refuse(ErrorKind::invalid, 0);
  }

  // The last refusal as an Error: `what` names the thing being read. Kinds: truncated; limit, for a
  // length above its bound; invalid, for bytes after the end. Only after a read that failed.
  [[nodiscard]] Error failure(std::string_view what) const;

 private:
  // Why the last read failed; for `limit` the two numbers are the length and its bound.
  struct Refusal {
    ErrorKind kind = ErrorKind::internal;
    std::size_t offset = 0;
    std::size_t wanted = 0;
    std::size_t had = 0;
  };

  bool refuse(ErrorKind kind, std::size_t wanted) noexcept {
    refusal_ = {kind, position_, wanted, left_.size()};
    return false;
  }
  void advance(std::size_t n) noexcept {
    left_ = left_.subspan(n);
    position_ += n;
  }
  template <std::endian order, std::unsigned_integral T>
  bool number(T& out) noexcept {
    ByteView bytes;
    if (!take(sizeof(T), bytes)) return false;
    out = load<order, T>(bytes.first<sizeof(T)>());
    return true;
  }
  template <std::endian order, std::unsigned_integral Length>
  bool vec(std::size_t max, ByteView& out) noexcept;

  ByteView left_;
  std::size_t position_ = 0;
  Refusal refusal_;
};

// Works on a copy and adopts it at the end, so that a body that is missing takes its length back.
template <std::endian order, std::unsigned_integral Length>
bool ByteReader::vec(std::size_t max, ByteView& out) noexcept {
  ByteReader ahead = *this;
  Length length = 0;
  if (!ahead.number<order>(length)) return refuse(ErrorKind::truncated, sizeof(Length));
  if (length > max) [[unlikely]] {
    refusal_ = {ErrorKind::limit, position_, length, max};
    return false;
  }
  if (!ahead.take(length, out)) {
    refusal_ = ahead.refusal_;
    return false;
  }
  *this = ahead;
  return true;
}

inline Error ByteReader::failure(std::string_view what) const {
  const auto text = [](std::size_t n) { return std::to_string(n); };
  const std::string where = "reading " + std::string(what) + ": at offset " + text(refusal_.offset);
  const std::string wanted = text(refusal_.wanted);
  const std::string had = text(refusal_.had);
  switch (refusal_.kind) {
    case ErrorKind::truncated:
      return {refusal_.kind, where + " " + wanted + " bytes are wanted, " + had + " remain"};
    case ErrorKind::limit:
      return {refusal_.kind, where + " a length of " + wanted + " is above the limit of " + had};
    case ErrorKind::invalid:
      return {refusal_.kind, where + " it should end, but " + had + " bytes follow"};
    default:
      return {ErrorKind::internal, "reading " + std::string(what) + ": no read has failed"};
  }
}

}  // namespace cs
