// SPDX-License-Identifier: GPL-3.0-or-later
// The newer format: blocks, each with its length in front and behind. Sections may differ in byte
// order, interfaces in link type and in what their clocks count.
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "tools/capture/reader.h"

namespace cs::capture {

namespace {

constexpr std::uint32_t interface_block = 1;
constexpr std::uint32_t obsolete_packet_block = 2;
constexpr std::uint32_t simple_packet_block = 3;
constexpr std::uint32_t enhanced_packet_block = 6;
constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;

constexpr std::uint32_t block_frame = 12;  // type, length, length again
constexpr std::uint32_t max_block = 2 * max_frame;
constexpr std::uint32_t max_skipped_block = 16 * 1024 * 1024;
constexpr std::size_t max_interfaces = 1024;

constexpr std::uint16_t option_end = 0;
constexpr std::uint16_t option_resolution = 9;
constexpr std::uint16_t option_offset = 14;

constexpr std::size_t padded(std::size_t size) {
  return (size + 3) / 4 * 4;
}

// What an interface counts time in.
struct Ticks {
  bool binary = false;  // 2^-exponent seconds, else 10^-exponent
  std::uint8_t exponent = 6;
  std::int64_t offset = 0;  // seconds to add
};

struct Interface {
  Link link = Link::ethernet;
  std::uint32_t snaplen = 0;  // 0: no limit
  Ticks ticks;
};

struct Split {
  std::uint64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

// Exact but for what is below a nanosecond; nothing overflows for the exponents that are allowed.
Split split(std::uint64_t count, const Ticks& ticks) {
  constexpr std::uint64_t billion = 1'000'000'000;
  if (ticks.binary) {
    constexpr unsigned enough =
        30;  // bits of a fraction, below a nanosecond; times 10^9 still fits
    const std::uint64_t fraction = count & ((std::uint64_t{1} << ticks.exponent) - 1);
    const unsigned drop = ticks.exponent > enough ? ticks.exponent - enough : 0;
    const std::uint64_t scaled = ((fraction >> drop) * billion) >> (ticks.exponent - drop);
    return {count >> ticks.exponent, static_cast<std::uint32_t>(scaled)};
  }
  std::uint64_t per_second = 1;
  for (unsigned i = 0; i < ticks.exponent; ++i) per_second *= 10;
  const std::uint64_t fraction = count % per_second;
  const std::uint64_t scaled =
      per_second > billion ? fraction / (per_second / billion) : fraction * (billion / per_second);
  return {count / per_second, static_cast<std::uint32_t>(scaled)};
}

// Errors of a block are told with its offset; `reader`'s own offsets are within its body.
class PcapngReader final : public Reader {
 public:
  explicit PcapngReader(Input input) : Reader(std::move(input)) {}

  // Right behind the magic number.
  [[nodiscard]] Result<void> start() {
    block_ = 0;
    return read_section();
  }

  [[nodiscard]] Format format() const noexcept override { return format_; }

 protected:
  [[nodiscard]] Result<bool> read_next(Frame& out) override {
    for (;;) {
      block_ = input().offset();
      std::array<std::uint8_t, 4> header{};
      CS_TRY(const std::size_t had, input().read(header));
      if (had == 0) return false;
      if (had < header.size()) return wrong(ErrorKind::truncated, "the file ends within its type");
      ByteReader reader(header);
      std::uint32_t type = 0;
      if (!order_.u32(reader, type)) return reader.failure("a block's type");
      CS_TRY(const bool is_frame, read_block(type, out));
      if (is_frame) return true;
    }
  }

 private:
  Error wrong(ErrorKind kind, const std::string& what) const {
    return wrong_at(block_, kind, "a block of pcapng: " + what);
  }
  Error truncated_body(const char* what) const {
    return wrong(ErrorKind::truncated, std::string("it is too short for ") + what);
  }

  Result<bool> read_block(std::uint32_t type, Frame& out) {
    switch (type) {
      case pcapng_magic:
        CS_CHECK(read_section());
        return false;
      case interface_block:
        CS_CHECK(read_body());
        CS_CHECK(read_interface());
        return false;
      case enhanced_packet_block:
        CS_CHECK(read_body());
        CS_CHECK(read_enhanced(out));
        return true;
      case simple_packet_block:
        CS_CHECK(read_body());
        CS_CHECK(read_simple(out));
        return true;
      case obsolete_packet_block:
        return std::move(wrong(ErrorKind::unsupported, "a Packet Block, which is obsolete"))
            .with_hint("convert the file with Wireshark's editcap");
      default:
        CS_CHECK(skip_block());
        return false;
    }
  }

  // The length in front, checked.
  Result<std::uint32_t> read_length(std::uint32_t limit) {
    std::array<std::uint8_t, 4> bytes{};
    CS_CHECK(input().read_all(bytes, "a block's length"));
    return check_length(ByteReader(bytes), limit);
  }
  Result<std::uint32_t> check_length(ByteReader reader, std::uint32_t limit) const {
    std::uint32_t length = 0;
    if (!order_.u32(reader, length)) return reader.failure("a block's length");
    if (length < block_frame || length % 4 != 0)
      return wrong(ErrorKind::invalid, "its length cannot be " + std::to_string(length));
    if (length > limit) {
      return wrong(ErrorKind::limit, "it has " + std::to_string(length) + " bytes; at most " +
                                         std::to_string(limit) + " are read");
    }
    return length;
  }
  Result<void> check_length_behind(std::uint32_t length) {
    std::array<std::uint8_t, 4> bytes{};
    CS_CHECK(input().read_all(bytes, "the length behind a block"));
    ByteReader reader(bytes);
    std::uint32_t again = 0;
    if (!order_.u32(reader, again)) return reader.failure("the length behind a block");
    if (again == length) return {};
    return wrong(ErrorKind::invalid, "its length is " + std::to_string(length) + " in front and " +
                                         std::to_string(again) + " behind");
  }
  Result<void> read_body() {
    CS_TRY(const std::uint32_t length, read_length(max_block));
    body_.resize(length - block_frame);
    CS_CHECK(input().read_all(body_, "a block"));
    return check_length_behind(length);
  }
  Result<void> skip_block() {
    CS_TRY(const std::uint32_t length, read_length(max_skipped_block));
    CS_CHECK(input().skip(length - block_frame, "a block"));
    return check_length_behind(length);
  }

  Result<void> read_section();
  Result<void> read_interface();
  Result<void> read_option(std::uint16_t code, ByteReader value, Ticks& out) const;
  Result<void> read_enhanced(Frame& out);
  Result<void> read_simple(Frame& out);
  Result<void> set_frame(const Interface& interface, ByteView bytes, Frame& out) const;

  Order order_{false};
  Format format_;
  bool has_interface_ = false;
  std::uint64_t block_ = 0;  // offset of the current one
  std::vector<std::uint8_t> body_;
  std::vector<Interface> interfaces_;  // of the current section
};

// Its byte order is told behind its length, so it comes first of all.
Result<void> PcapngReader::read_section() {
  std::array<std::uint8_t, 8> header{};
  CS_CHECK(input().read_all(header, "a section's header"));
  ByteReader reader(header);
  ByteReader length = reader;
  std::uint32_t magic = 0;
  if (!reader.skip(4) || !reader.u32be(magic)) return reader.failure("a section's header");
  if (magic != byte_order_magic && magic != 0x4d3c2b1a)
    return wrong(ErrorKind::invalid, "the byte order of a section is not told");
  order_ = Order(magic == byte_order_magic);
  CS_TRY(const std::uint32_t size, check_length(length, max_block));
  constexpr std::uint32_t fixed = 16;  // byte order, version, length of the section
  if (size < block_frame + fixed) return truncated_body("a section");
  body_.resize(size - block_frame - 4);
  CS_CHECK(input().read_all(body_, "a section's header"));
  CS_CHECK(check_length_behind(size));
  ByteReader rest(body_);
  std::uint16_t major = 0;
  if (!order_.u16(rest, major)) return truncated_body("a section");
  if (major != 1)
    return wrong(ErrorKind::unsupported, "version " + std::to_string(major) + "; only 1 is read");
  interfaces_.clear();
  return {};
}

Result<void> PcapngReader::read_interface() {
  ByteReader reader(body_);
  std::uint16_t link = 0;
  Interface interface;
  if (!order_.u16(reader, link) || !reader.skip(2) || !order_.u32(reader, interface.snaplen))
    return truncated_body("an interface");
  if (interfaces_.size() == max_interfaces) {
    return wrong(ErrorKind::limit, "more than " + std::to_string(max_interfaces) + " interfaces");
  }
  while (reader.remaining() > 0) {
    std::uint16_t code = 0;
    std::uint16_t size = 0;
    ByteReader value;
    if (!order_.u16(reader, code) || !order_.u16(reader, size) || !reader.nested(size, value) ||
        !reader.skip(padded(size) - size)) {
      return truncated_body("its options");
    }
    if (code == option_end) break;
    CS_CHECK(read_option(code, value, interface.ticks));
  }
  interface.link = static_cast<Link>(link);
  if (!has_interface_) format_.link = link;
  has_interface_ = true;
  interfaces_.push_back(interface);
  return {};
}

Result<void> PcapngReader::read_option(std::uint16_t code, ByteReader value, Ticks& out) const {
  constexpr unsigned largest_binary = 63;
  constexpr unsigned largest_decimal = 19;
  if (code == option_resolution) {
    std::uint8_t resolution = 0;
    if (!value.u8(resolution) || !value.expect_end())
      return wrong(ErrorKind::invalid, "if_tsresol must have 1 byte");
    out.binary = (resolution & 0x80U) != 0;
    out.exponent = resolution & 0x7fU;
    if (out.exponent > (out.binary ? largest_binary : largest_decimal))
      return wrong(ErrorKind::invalid, "if_tsresol is finer than 64 bits can count");
  }
  if (code == option_offset) {
    std::uint64_t offset = 0;
    if (!order_.u64(value, offset) || !value.expect_end())
      return wrong(ErrorKind::invalid, "if_tsoffset must have 8 bytes");
    out.offset = static_cast<std::int64_t>(offset);
  }
  return {};
}

Result<void> PcapngReader::read_enhanced(Frame& out) {
  ByteReader reader(body_);
  std::uint32_t number = 0;
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  std::uint32_t size = 0;
  ByteView bytes;
  if (!order_.u32(reader, number) || !order_.u32(reader, high) || !order_.u32(reader, low) ||
      !order_.u32(reader, size) || !order_.u32(reader, out.original_size)) {
    return truncated_body("a packet");
  }
  if (number >= interfaces_.size())
    return wrong(ErrorKind::invalid, "there is no interface " + std::to_string(number));
  if (!reader.take(size, bytes) || !reader.skip(padded(size) - size))
    return truncated_body("the packet it tells");
  const Interface& interface = interfaces_[number];
  const Split time = split(std::uint64_t{high} << 32U | low, interface.ticks);
  constexpr std::int64_t last = std::numeric_limits<std::uint32_t>::max();
  const std::int64_t offset = interface.ticks.offset;
  if (time.seconds > static_cast<std::uint64_t>(last) || offset > last || offset < -last ||
      static_cast<std::int64_t>(time.seconds) + offset < 0 ||
      static_cast<std::int64_t>(time.seconds) + offset > last) {
    return wrong(ErrorKind::invalid, "its time is not between 1970 and 2106");
  }
  out.seconds = static_cast<std::uint32_t>(static_cast<std::int64_t>(time.seconds) + offset);
  out.nanoseconds = time.nanoseconds;
  return set_frame(interface, bytes, out);
}

// Without a time and of the section's first interface, whose snaplen tells the size.
Result<void> PcapngReader::read_simple(Frame& out) {
  ByteReader reader(body_);
  if (!order_.u32(reader, out.original_size)) return truncated_body("a packet");
  if (interfaces_.empty()) return wrong(ErrorKind::invalid, "there is no interface 0");
  const Interface& interface = interfaces_.front();
  std::size_t size = out.original_size;
  if (interface.snaplen != 0 && interface.snaplen < size) size = interface.snaplen;
  ByteView bytes;
  if (!reader.take(size, bytes) || !reader.skip(padded(size) - size))
    return truncated_body("the packet it tells");
  if (!reader.expect_end())
    return wrong(ErrorKind::invalid, "it is longer than the packet it tells");
  out.seconds = 0;
  out.nanoseconds = 0;
  return set_frame(interface, bytes, out);
}

Result<void> PcapngReader::set_frame(const Interface& interface, ByteView bytes, Frame& out) const {
  if (bytes.size() > max_frame) {
    return wrong(ErrorKind::limit, "a packet of " + std::to_string(bytes.size()) +
                                       " bytes; at most " + std::to_string(max_frame) +
                                       " are read");
  }
  if (bytes.size() > out.original_size) {
    return wrong(ErrorKind::invalid, "a packet with more bytes captured than it had on the wire: " +
                                         std::to_string(bytes.size()) + " of " +
                                         std::to_string(out.original_size));
  }
  out.link = interface.link;
  out.bytes = bytes;
  return {};
}

}  // namespace

Result<std::unique_ptr<Reader>> open_pcapng(Input input) {
  auto reader = std::make_unique<PcapngReader>(std::move(input));
  CS_CHECK(reader->start());
  return std::unique_ptr<Reader>(std::move(reader));
}

}  // namespace cs::capture
