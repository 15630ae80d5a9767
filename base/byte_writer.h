// SPDX-License-Identifier: GPL-3.0-or-later
// Writes what ByteReader reads: into memory of a fixed size, or into memory that grows to a limit.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"

namespace cs {

namespace detail {

// Memory of the caller, of a fixed size.
class SpanSink {
 public:
  using Memory = ByteSpan;
  using Written = ByteView;
  explicit SpanSink(ByteSpan out) noexcept : out_(out) {}
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t limit() const noexcept { return out_.size(); }
  // The next n bytes, to be filled; the writer has checked that they are there.
  [[nodiscard]] ByteSpan extend(std::size_t n) noexcept {
    const ByteSpan next = out_.subspan(size_, n);
    size_ += n;
    return next;
  }
  [[nodiscard]] ByteView written() noexcept { return out_.first(size_); }

 private:
  ByteSpan out_;
  std::size_t size_ = 0;
};

// Memory of its own, which grows up to a limit.
class VectorSink {
 public:
  using Memory = std::size_t;
  using Written = std::vector<std::uint8_t>;
  explicit VectorSink(std::size_t limit) noexcept : limit_(limit) {}
  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] ByteSpan extend(std::size_t n) {
    out_.resize(out_.size() + n);
    return ByteSpan(out_).last(n);
  }
  [[nodiscard]] std::vector<std::uint8_t> written() noexcept { return std::exchange(out_, {}); }

 private:
  std::vector<std::uint8_t> out_;
  std::size_t limit_;
};

}  // namespace detail

// Sticky: after the first write that does not fit nothing more is written, and finish(), the only
// way to the bytes, returns the error. So a writer's calls need no check each, and no half-written
// message gets out. Nothing is ever written outside the memory, nor above the limit.
//
//   ByteWriter w(buffer);
//   w.u8(version).u32be(key).vec16be(name);
//   CS_TRY(const ByteView record, w.finish("the quote header"));
//
// finish() allocates only when it fails (and ByteBuilder as it grows), so the packet path uses it
// too.
template <class Sink>
class BasicByteWriter {
 public:
  // ByteWriter takes a span, which must outlive it and what finish() returns; ByteBuilder takes the
  // most bytes it may grow to, and finish() hands them over.
  explicit BasicByteWriter(typename Sink::Memory memory) noexcept : sink_(memory) {}

  [[nodiscard]] bool ok() const noexcept { return wanted_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return sink_.size(); }

  BasicByteWriter& u8(std::uint8_t value) { return number<std::endian::big>(value); }
  BasicByteWriter& u16be(std::uint16_t value) { return number<std::endian::big>(value); }
  BasicByteWriter& u32be(std::uint32_t value) { return number<std::endian::big>(value); }
  BasicByteWriter& u64be(std::uint64_t value) { return number<std::endian::big>(value); }
  BasicByteWriter& u16le(std::uint16_t value) { return number<std::endian::little>(value); }
  BasicByteWriter& u32le(std::uint32_t value) { return number<std::endian::little>(value); }
  BasicByteWriter& u64le(std::uint64_t value) { return number<std::endian::little>(value); }

  // `value` may not lie in the memory that is written to.
  BasicByteWriter& bytes(ByteView value) {
    if (fits(value.size())) std::copy(value.begin(), value.end(), extend(value.size()));
    return *this;
  }
  BasicByteWriter& zeros(std::size_t n) {
    if (fits(n)) std::fill_n(extend(n), n, std::uint8_t{0});
    return *this;
  }
  // A length, then the bytes. More bytes than the length can tell do not fit.
  BasicByteWriter& vec8(ByteView value) { return vec<std::endian::big, std::uint8_t>(value); }
  BasicByteWriter& vec16be(ByteView value) { return vec<std::endian::big, std::uint16_t>(value); }
  BasicByteWriter& vec32be(ByteView value) { return vec<std::endian::big, std::uint32_t>(value); }
  BasicByteWriter& vec32le(ByteView value) {
    return vec<std::endian::little, std::uint32_t>(value);
  }

  // What was written, all of it or an error of kind `limit`; `what` names it. Ends the writing.
  [[nodiscard]] Result<typename Sink::Written> finish(std::string_view what);

 private:
  bool fits(std::size_t n) noexcept { return fits(n, sink_.limit() - sink_.size()); }
  // Compares against the room that remains; the first refusal sticks.
  bool fits(std::size_t n, std::size_t room) noexcept {
    if (!ok()) return false;
    if (n <= room) [[likely]]
      return true;
    wanted_ = n;
    room_ = room;
    return false;
  }
  auto extend(std::size_t n) { return sink_.extend(n).begin(); }

  template <std::endian order, std::unsigned_integral T>
  BasicByteWriter& number(T value) {
    if (fits(sizeof(T))) store<order>(value, sink_.extend(sizeof(T)).template first<sizeof(T)>());
    return *this;
  }
  template <std::endian order, std::unsigned_integral Length>
  BasicByteWriter& vec(ByteView value) {
    if (!fits(value.size(), std::numeric_limits<Length>::max())) return *this;
    number<order>(static_cast<Length>(value.size()));
    return bytes(value);
  }

  Sink sink_;
  std::size_t wanted_ = 0;  // 0 until something did not fit
  std::size_t room_ = 0;
};

template <class Sink>
Result<typename Sink::Written> BasicByteWriter<Sink>::finish(std::string_view what) {
  if (ok()) return sink_.written();
  return Error(ErrorKind::limit, "writing " + std::string(what) + ": at offset " +
                                     std::to_string(size()) + " " + std::to_string(wanted_) +
                                     " bytes are wanted, there is room for " +
                                     std::to_string(room_));
}

using ByteWriter = BasicByteWriter<detail::SpanSink>;     // ByteWriter(ByteSpan): caller's memory
using ByteBuilder = BasicByteWriter<detail::VectorSink>;  // ByteBuilder(limit): memory of its own

}  // namespace cs
