// SPDX-License-Identifier: GPL-3.0-or-later
// Capture files for tests, made byte by byte in either byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "tools/capture/reader.h"

namespace cs::test {

using Bytes = std::vector<std::uint8_t>;

class Maker {
 public:
  explicit Maker(bool big_endian = false) : big_(big_endian) {}
  Maker& u8(std::uint8_t value) { return number(value, 1); }
  Maker& u16(std::uint16_t value) { return number(value, 2); }
  Maker& u32(std::uint32_t value) { return number(value, 4); }
  Maker& u64(std::uint64_t value) { return number(value, 8); }
  Maker& bytes(ByteView value) {
    out_.insert(out_.end(), value.begin(), value.end());
    return *this;
  }
  Maker& pad() {
    while (out_.size() % 4 != 0) out_.push_back(0);
    return *this;
  }
  // pcap: the file's header, and a frame.
  Maker& file(std::uint32_t magic, std::uint32_t link = 1, std::uint32_t snaplen = 65535) {
    return u32(magic).u16(2).u16(4).u32(0).u32(0).u32(snaplen).u32(link);
  }
  Maker& frame(std::uint32_t seconds, std::uint32_t fraction, ByteView data,
               std::uint32_t on_the_wire = 0) {
    const auto size = static_cast<std::uint32_t>(data.size());
    return u32(seconds)
        .u32(fraction)
        .u32(size)
        .u32(on_the_wire == 0 ? size : on_the_wire)
        .bytes(data);
  }
  // pcapng.
  Maker& block(std::uint32_t type, ByteView body) {
    const auto size = static_cast<std::uint32_t>((body.size() + 3) / 4 * 4 + 12);
    return u32(type).u32(size).bytes(body).pad().u32(size);
  }
  Maker& section() {
    return block(0x0a0d0d0a, same().u32(0x1a2b3c4d).u16(1).u16(0).u64(~std::uint64_t{0}).take());
  }
  Maker& interface(std::uint16_t link = 1, std::uint32_t snaplen = 0, ByteView options = {}) {
    return block(1, same().u16(link).u16(0).u32(snaplen).bytes(options).take());
  }
  Maker& enhanced(std::uint32_t interface, std::uint64_t time, ByteView data,
                  std::uint32_t on_the_wire = 0) {
    const auto size = static_cast<std::uint32_t>(data.size());
    Maker body = same();
    body.u32(interface).u32(static_cast<std::uint32_t>(time >> 32U));
    body.u32(static_cast<std::uint32_t>(time)).u32(size);
    body.u32(on_the_wire == 0 ? size : on_the_wire).bytes(data);
    return block(6, body.take());
  }
  Maker& simple(std::uint32_t on_the_wire, ByteView data) {
    return block(3, same().u32(on_the_wire).bytes(data).take());
  }
  Maker& option(std::uint16_t code, ByteView value) {
    return u16(code).u16(static_cast<std::uint16_t>(value.size())).bytes(value).pad();
  }
  [[nodiscard]] Maker same() const { return Maker(big_); }
  [[nodiscard]] Bytes take() { return std::move(out_); }

 private:
  Maker& number(std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) {
      const unsigned shift = 8 * (big_ ? size - 1 - i : i);
      out_.push_back(static_cast<std::uint8_t>(value >> shift));
    }
    return *this;
  }
  bool big_;
  Bytes out_;
};

// As a reader told it, the bytes copied.
struct Seen {
  std::uint32_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  std::uint32_t original_size = 0;
  std::uint16_t link = 0;
  Bytes bytes;
  bool operator==(const Seen&) const = default;
};

struct Reading {
  std::vector<Seen> frames;
  std::string error;  // empty: read to the end
  ErrorKind kind = ErrorKind::internal;
  capture::Format format;
};

// All of a file that is in memory. `file` must not be empty.
inline Reading read_all(ByteView file) {
  Reading out;
  const auto note = [&](const Error& error) {
    out.error = error.message();
    out.kind = error.kind();
  };
  Bytes memory(file.begin(), file.end());
  auto opened =
      capture::Reader::open(capture::File(::fmemopen(memory.data(), memory.size(), "rb")));
  if (!opened.ok()) {
    note(opened.error());
    return out;
  }
  capture::Reader& reader = **opened;
  for (;;) {
    capture::Frame frame;
    const auto more = reader.next(frame);
    out.format = reader.format();
    if (!more.ok()) {
      note(more.error());
      // It stays at its error.
      const auto again = reader.next(frame);
      if (again.ok() || again.error().message() != out.error) out.error = "went on after an error";
      return out;
    }
    if (!*more) return out;
    out.frames.push_back({frame.seconds, frame.nanoseconds, frame.original_size,
                          static_cast<std::uint16_t>(frame.link),
                          Bytes(frame.bytes.begin(), frame.bytes.end())});
  }
}

}  // namespace cs::test
