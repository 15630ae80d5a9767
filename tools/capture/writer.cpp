// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/capture/writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/byte_writer.h"

namespace cs::capture {

namespace {

void put_u16(ByteWriter& out, bool big_endian, std::uint16_t value) {
  static_cast<void>(big_endian ? out.u16be(value) : out.u16le(value));
}

void put_u32(ByteWriter& out, bool big_endian, std::uint32_t value) {
  static_cast<void>(big_endian ? out.u32be(value) : out.u32le(value));
}

}  // namespace

Result<Writer> Writer::create(const std::string& path, const Format& format) {
  File file(std::fopen(path.c_str(), "wbe"));
  if (!file) return from_errno(errno, "creating it");

  std::array<std::uint8_t, 24> header{};
  ByteWriter out(header);
  const bool big = format.big_endian;
  put_u32(out, big, format.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  put_u16(out, big, 2);
  put_u16(out, big, 4);
  out.zeros(8);  // time zone and accuracy, which nobody uses
  put_u32(out, big, std::max<std::uint32_t>(format.snaplen, max_frame));
  put_u32(out, big, format.link);
  CS_TRY(const ByteView bytes, out.finish("the header of a capture file"));
  Writer writer(std::move(file), format);
  CS_CHECK(writer.put(bytes));
  return writer;
}

Result<void> Writer::put(ByteView bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size()) return {};
  return from_errno(errno, "writing it");
}

Result<void> Writer::write(const Frame& frame) {
  const auto link = static_cast<std::uint16_t>(format_.link & 0xffffU);
  if (static_cast<std::uint16_t>(frame.link) != link) {
    return Error(ErrorKind::unsupported,
                 "writing a frame of link type " +
                     std::to_string(static_cast<std::uint16_t>(frame.link)) +
                     " to a file of link type " + std::to_string(link))
        .with_hint("a pcap file has one link type: capture each interface to a file of its own");
  }
  if (frame.bytes.size() > max_frame) {
    return Error(ErrorKind::limit,
                 "writing a frame of " + std::to_string(frame.bytes.size()) + " bytes");
  }
  std::array<std::uint8_t, 16> header{};
  ByteWriter out(header);
  const bool big = format_.big_endian;
  put_u32(out, big, frame.seconds);
  put_u32(out, big, format_.nanoseconds ? frame.nanoseconds : frame.nanoseconds / 1000);
  put_u32(out, big, static_cast<std::uint32_t>(frame.bytes.size()));
  put_u32(out, big, frame.original_size);
  CS_TRY(const ByteView bytes, out.finish("the header of a frame"));
  CS_CHECK(put(bytes));
  return put(frame.bytes);
}

Result<void> Writer::finish() {
  if (std::fclose(file_.release()) == 0) return {};
  return from_errno(errno, "writing the rest of it");
}

}  // namespace cs::capture
