// SPDX-License-Identifier: GPL-3.0-or-later
// The classic format: a header of 24 bytes, then each frame behind 16 bytes of its own.
#include <array>
#include <utility>
#include <vector>

#include "tools/capture/reader.h"

namespace cs::capture {

namespace {

constexpr std::uint32_t microseconds_big = 0xa1b2c3d4;
constexpr std::uint32_t microseconds_little = 0xd4c3b2a1;
constexpr std::uint32_t nanoseconds_big = 0xa1b23c4d;
constexpr std::uint32_t nanoseconds_little = 0x4d3cb2a1;
constexpr std::uint32_t reserved_link_bits = 0x03ff0000;

class PcapReader final : public Reader {
 public:
  PcapReader(Input input, const Format& format)
      : Reader(std::move(input)), order_(format.big_endian), format_(format) {}

  [[nodiscard]] Format format() const noexcept override { return format_; }

 protected:
  [[nodiscard]] Result<bool> read_next(Frame& out) override {
    const std::uint64_t at = input().offset();
    std::array<std::uint8_t, 16> header{};
    CS_TRY(const std::size_t had, input().read(header));
    if (had == 0) return false;
    if (had < header.size()) {
      return wrong_at(at, ErrorKind::truncated,
                      "the file ends within a frame's header: 16 bytes are wanted, " +
                          std::to_string(had) + " are there");
    }
    CS_TRY(const std::uint32_t size, read_header(ByteReader(header), at, out));
    bytes_.resize(size);
    CS_CHECK(input().read_all(bytes_, "a frame"));
    out.link = static_cast<Link>(format_.link & 0xffffU);
    out.bytes = bytes_;
    return true;
  }

 private:
  // Returns the bytes of the frame that are in the file.
  Result<std::uint32_t> read_header(ByteReader reader, std::uint64_t at, Frame& out) const {
    std::uint32_t fraction = 0;
    std::uint32_t size = 0;
    if (!order_.u32(reader, out.seconds) || !order_.u32(reader, fraction) ||
        !order_.u32(reader, size) || !order_.u32(reader, out.original_size)) {
      return reader.failure("a frame's header");
    }
    if (size > max_frame) {
      return wrong_at(at, ErrorKind::limit,
                      "a frame of " + std::to_string(size) + " bytes; at most " +
                          std::to_string(max_frame) + " are read");
    }
    if (size > out.original_size) {
      return wrong_at(at, ErrorKind::invalid,
                      "a frame with more bytes captured than it had on the wire: " +
                          std::to_string(size) + " of " + std::to_string(out.original_size));
    }
    const std::uint32_t per_second = format_.nanoseconds ? 1'000'000'000 : 1'000'000;
    if (fraction >= per_second) {
      return wrong_at(
          at, ErrorKind::invalid,
          "a time whose fraction of a second is a second or more: " + std::to_string(fraction));
    }
    out.nanoseconds = fraction * (1'000'000'000 / per_second);
    return size;
  }

  Order order_;
  Format format_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace

bool is_pcap(std::uint32_t magic) noexcept {
  return magic == microseconds_big || magic == microseconds_little || magic == nanoseconds_big ||
         magic == nanoseconds_little;
}

Result<std::unique_ptr<Reader>> open_pcap(Input input, std::uint32_t magic) {
  Format format;
  format.big_endian = magic == microseconds_big || magic == nanoseconds_big;
  format.nanoseconds = magic == nanoseconds_big || magic == nanoseconds_little;
  const Order order(format.big_endian);
  std::array<std::uint8_t, 20> header{};
  CS_CHECK(input.read_all(header, "the file's header"));
  ByteReader reader(header);
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
  if (!order.u16(reader, major) || !order.u16(reader, minor) || !reader.skip(8) ||
      !order.u32(reader, format.snaplen) || !order.u32(reader, format.link)) {
    return reader.failure("the file's header");
  }
  if (major != 2 || minor != 4) {
    return wrong_at(4, ErrorKind::unsupported,
                    "pcap of version " + std::to_string(major) + "." + std::to_string(minor) +
                        "; only 2.4 is read");
  }
  if ((format.link & reserved_link_bits) != 0) {
    return wrong_at(20, ErrorKind::invalid,
                    "link type " + std::to_string(format.link) + " has reserved bits set");
  }
  return std::unique_ptr<Reader>(std::make_unique<PcapReader>(std::move(input), format));
}

}  // namespace cs::capture
