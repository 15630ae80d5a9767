// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/packet.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cassert>

namespace cs::test {
namespace {

constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;
constexpr std::size_t kEspNumbers = 8;
constexpr std::size_t kFragmentHeader = 8;
constexpr std::size_t kLongest = 0xffff;

void put16(Bytes& bytes, std::size_t at, std::size_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

void put32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  put16(bytes, at, value >> 16);
  put16(bytes, at + 2, value & 0xffff);
}

std::optional<IpView> parse_v4(ByteView packet) {
  ByteReader reader(packet);
  std::uint8_t first = 0;
  std::uint8_t protocol = 0;
  std::uint16_t length = 0;
  ByteView target;
  if (!reader.u8(first) || !reader.skip(1) || !reader.u16be(length) || !reader.skip(5) ||
      !reader.u8(protocol) || !reader.skip(6) || !reader.take(4, target)) {
    return std::nullopt;
  }
  const std::size_t header = std::size_t{4} * (first & 0x0fU);
  if (header < kV4Header || !reader.skip(header - kV4Header)) return std::nullopt;
  if (length != packet.size()) return std::nullopt;
  return IpView{Family::v4, protocol, header, target, reader.rest()};
}

std::optional<IpView> parse_v6(ByteView packet) {
  ByteReader reader(packet);
  std::uint8_t protocol = 0;
  std::uint16_t length = 0;
  ByteView target;
  if (!reader.skip(4) || !reader.u16be(length) || !reader.u8(protocol) || !reader.skip(17) ||
      !reader.take(16, target)) {
    return std::nullopt;
  }
  if (length != reader.remaining()) return std::nullopt;
  return IpView{Family::v6, protocol, kV6Header, target, reader.rest()};
}

void finish_v4(Bytes& packet) {
  put16(packet, 2, packet.size());
  put16(packet, 10, 0);
  const std::size_t header = std::size_t{4} * (packet[0] & 0x0f);
  put16(packet, 10, internet_checksum(ByteView(packet).first(header)));
}

void finish(Bytes& packet, Family family) {
  if (family == Family::v4) {
    finish_v4(packet);
  } else {
    put16(packet, 4, packet.size() - kV6Header);
  }
}

Bytes v4_header(const EspSpec& spec) {
  Bytes header(kV4Header);
  header[0] = 0x45;
  put16(header, 4, spec.id);
  header[6] = spec.dont_fragment ? 0x40 : 0;
  header[8] = 64;
  header[9] = kProtocolEsp;
  inet_pton(AF_INET, spec.source.c_str(), &header[12]);
  inet_pton(AF_INET, spec.target.c_str(), &header[16]);
  return header;
}

Bytes v6_header(const EspSpec& spec) {
  Bytes header(kV6Header);
  header[0] = 0x60;
  header[6] = kProtocolEsp;
  header[7] = 64;
  inet_pton(AF_INET6, spec.source.c_str(), &header[8]);
  inet_pton(AF_INET6, spec.target.c_str(), &header[24]);
  return header;
}

void append(Bytes& to, ByteView what) {
  to.insert(to.end(), what.begin(), what.end());
}

// Both fragments share the header; only offset and the more-fragments bit differ.
Bytes v4_piece(ByteView packet, const IpView& ip, std::size_t from, std::size_t size) {
  Bytes piece(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(ip.header_size));
  append(piece, ip.payload.subspan(from, size));
  const bool more = from + size < ip.payload.size();
  put16(piece, 6, (more ? 0x2000U : 0U) | from / 8);
  finish(piece, Family::v4);
  return piece;
}

Bytes v6_piece(ByteView packet, const IpView& ip, std::size_t from, std::size_t size) {
  Bytes piece(packet.begin(), packet.begin() + kV6Header);
  piece[6] = kProtocolFragment;
  Bytes header(kFragmentHeader);
  header[0] = ip.protocol;
  const bool more = from + size < ip.payload.size();
  put16(header, 2, from | (more ? 1U : 0U));
  put32(header, 4, 0xc0ffee);
  append(piece, header);
  append(piece, ip.payload.subspan(from, size));
  finish(piece, Family::v6);
  return piece;
}

}  // namespace

std::optional<IpView> parse_ip(ByteView packet) {
  if (packet.empty()) return std::nullopt;
  switch (packet[0] >> 4) {
    case 4:
      return parse_v4(packet);
    case 6:
      return parse_v6(packet);
    default:
      return std::nullopt;
  }
}

Bytes esp_packet(const EspSpec& spec) {
  const bool v6 = spec.source.find(':') != std::string::npos;
  Bytes packet = v6 ? v6_header(spec) : v4_header(spec);
  const std::size_t header = packet.size();
  packet.resize(header + kEspNumbers + spec.body);
  put32(packet, header, spec.spi);
  put32(packet, header + 4, spec.sequence);
  for (std::size_t i = 0; i < spec.body; ++i) {
    packet[header + kEspNumbers + i] = static_cast<std::uint8_t>(i * 7 + spec.spi + spec.sequence);
  }
  finish(packet, v6 ? Family::v6 : Family::v4);
  return packet;
}

std::optional<EspNumbers> esp_numbers(ByteView packet) {
  const auto ip = parse_ip(packet);
  if (!ip || ip->protocol != kProtocolEsp) return std::nullopt;
  ByteReader reader(ip->payload);
  EspNumbers numbers{};
  if (!reader.u32be(numbers.spi) || !reader.u32be(numbers.sequence)) return std::nullopt;
  return numbers;
}

bool resize_packet(Bytes& packet, std::ptrdiff_t change) {
  const auto ip = parse_ip(packet);
  if (!ip) return false;
  const auto payload = static_cast<std::ptrdiff_t>(ip->payload.size());
  const auto limit =
      static_cast<std::ptrdiff_t>(kLongest - (ip->family == Family::v4 ? ip->header_size : 0));
  if (change < -payload || change > limit - payload) return false;
  const Family family = ip->family;
  packet.resize(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(packet.size()) + change));
  finish(packet, family);
  return true;
}

std::vector<Bytes> fragment(ByteView packet, std::size_t at) {
  const auto ip = parse_ip(packet);
  assert(ip && at % 8 == 0 && at > 0 && at < ip->payload.size());
  const auto piece = ip->family == Family::v4 ? v4_piece : v6_piece;
  return {piece(packet, *ip, 0, at), piece(packet, *ip, at, ip->payload.size() - at)};
}

std::uint16_t internet_checksum(ByteView bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace cs::test
