// SPDX-License-Identifier: GPL-3.0-or-later
// IP packets for tests: made, read, resized, fragmented. Plain functions over bytes, no sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace cs::test {

using Bytes = std::vector<std::uint8_t>;

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };

inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolFragment = 44;
inline constexpr std::uint8_t kProtocolEsp = 50;

// The fixed IP header, after it was held against the bytes that are really there.
struct IpView {
  Family family;
  std::uint8_t protocol;    // IPv6: next header of the fixed header, extension headers not skipped
  std::size_t header_size;  // with IPv4 options; IPv6: always 40
  ByteView target;          // destination address, 4 or 16 bytes of the packet
  ByteView payload;         // all behind the header
};

// nullopt unless `packet` is one whole IP packet and its length field says exactly its size.
// The views point into `packet`.
std::optional<IpView> parse_ip(ByteView packet);

// A synthetic ESP packet: header, SPI, sequence number, then `body` bytes that depend on both.
struct EspSpec {
  std::string source, target;  // addresses of one family, in text
  std::uint32_t spi = 0x1001;
  std::uint32_t sequence = 1;
  std::size_t body = 80;
  std::uint16_t id = 0x4321;  // IPv4 identification; 0 would be replaced by the sending kernel
  bool dont_fragment = false;
};
Bytes esp_packet(const EspSpec& spec);

// SPI and sequence number of an ESP packet; nullopt if it is none.
struct EspNumbers {
  std::uint32_t spi, sequence;
  bool operator==(const EspNumbers&) const = default;
};
std::optional<EspNumbers> esp_numbers(ByteView packet);

// Appends (zeros) or cuts bytes at the end and corrects what counts them: the length field and
// the IPv4 header checksum. False, and unchanged, if that is no IP packet or would not fit.
bool resize_packet(Bytes& packet, std::ptrdiff_t change);

// The packet in two fragments, the first with `at` bytes of payload (a multiple of 8).
std::vector<Bytes> fragment(ByteView packet, std::size_t at);

// RFC 1071.
std::uint16_t internet_checksum(ByteView bytes);

}  // namespace cs::test
