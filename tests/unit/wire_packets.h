// SPDX-License-Identifier: GPL-3.0-or-later
// Packets of every kind docs/WIRE.md allows, and both ends of a key, for tests of the wire format.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "nfq-signer/inbound.h"
#include "nfq-signer/outbound.h"
#include "tests/support/unwrap.h"

namespace cs::test {

using Packet = std::vector<std::uint8_t>;

enum class Shape : std::uint8_t {
  esp4,
  esp4_options,
  esp6,
  esp6_extended,
  udp4,
  udp4_no_checksum,
  udp6,
  ah4,
  ah6,
  ah6_odd
};
inline constexpr std::array all_shapes{
    Shape::esp4, Shape::esp4_options,     Shape::esp6, Shape::esp6_extended,
    Shape::udp4, Shape::udp4_no_checksum, Shape::udp6, Shape::ah4,
    Shape::ah6,  Shape::ah6_odd};
inline constexpr std::array<std::uint16_t, 1> nat_t_ports{4500};

inline void put16(Packet& packet, std::size_t at, std::size_t value) {
  packet.at(at) = static_cast<std::uint8_t>(value >> 8U);
  packet.at(at + 1) = static_cast<std::uint8_t>(value);
}

inline std::uint16_t ones_sum(ByteView bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] * 256U : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(sum);
}

inline bool is_v6(Shape shape) {
  return shape == Shape::esp6 || shape == Shape::esp6_extended || shape == Shape::udp6 ||
         shape == Shape::ah6 || shape == Shape::ah6_odd;
}

// `body` bytes behind the SPI and sequence number of ESP, or behind the AH header.
inline Packet make_packet(Shape shape, std::size_t body, std::mt19937& random) {
  const bool v6 = is_v6(shape);
  const auto bytes = [&](std::size_t n) {
    Packet out(n);
    for (auto& b : out) b = static_cast<std::uint8_t>(random());
    return out;
  };
  const auto append = [](Packet& to, const Packet& what) {
    to.insert(to.end(), what.begin(), what.end());
  };
  std::uint8_t protocol = 50;
  Packet upper = {0, 0, 1, 0};  // an SPI that is not the non-ESP marker
  append(upper, bytes(4 + body));
  if (shape == Shape::ah4 || shape == Shape::ah6 || shape == Shape::ah6_odd) {
    const std::size_t icv =
        shape == Shape::ah6 ? 12 : 16;  // ah6_odd: a header that is no multiple of 8
    protocol = 51;
    upper = {6, static_cast<std::uint8_t>((12 + icv) / 4 - 2), 0, 0};
    append(upper, bytes(8 + icv + body));
  }
  if (shape == Shape::udp4 || shape == Shape::udp4_no_checksum || shape == Shape::udp6) {
    protocol = 17;
    Packet udp = {0x11, 0x94, 0x11, 0x94, 0, 0, 0, 0};
    append(udp, upper);
    put16(udp, 4, udp.size());
    upper = udp;
  }
  Packet packet(v6 ? 40 : 20);
  packet[0] = v6 ? 0x60 : 0x45;
  if (shape == Shape::esp4_options) {
    packet[0] = 0x47;
    append(packet, {0x94, 4, 0, 0, 1, 1, 1, 0});  // router alert, padding
  }
  for (std::size_t at = v6 ? 8 : 12; at < (v6 ? 40U : 20U); ++at)
    packet[at] = static_cast<std::uint8_t>(random());
  (v6 ? packet[6] : packet[9]) = protocol;
  if (shape == Shape::esp6_extended) {
    packet[6] = 0;
    append(packet, {60, 0, 1, 4, 0, 0, 0, 0});                           // hop-by-hop
    append(packet, {43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});  // destination options
    append(packet, {44, 0, 253, 0, 0, 0, 0, 0});  // routing, experimental type
    append(packet, {50, 0, 0, 0, 1, 2, 3, 4});    // atomic fragment
  }
  const std::size_t header = packet.size();
  append(packet, upper);
  if (v6) {
    put16(packet, 4, packet.size() - 40);
    packet[7] = 64;
  } else {
    put16(packet, 2, packet.size());
    put16(packet, 6, 0x4000);
    packet[8] = 64;
    put16(packet, 10, static_cast<std::uint16_t>(~ones_sum(ByteView(packet).first(header))));
  }
  if (shape == Shape::udp4 || shape == Shape::udp6) {
    const std::size_t length = packet.size() - header;
    const ByteView addresses =
        v6 ? ByteView(packet).subspan(8, 32) : ByteView(packet).subspan(12, 8);
    const auto pseudo = static_cast<std::uint32_t>(ones_sum(addresses) + 17U + length);
    const auto checksum =
        static_cast<std::uint16_t>(~ones_sum(ByteView(packet).subspan(header), pseudo));
    put16(packet, header + 6, checksum == 0 ? 0xffff : checksum);
  }
  return packet;
}

// A key record, from which both ends are made.
struct Ends {
  KeyScope scope;
  SecretBytes private_key;
  SecretBytes gate;
  LaneRange lanes{0, 3};
  KeyEnd end{WallTime::max(), BootTime::max()};

  explicit Ends(Suite suite = Suite::p256_node16, std::uint32_t id = 7, std::uint8_t seed = 1)
      : private_key(get(SecretBytes::create(32))),
        gate(get(SecretBytes::create(Gate::secret_size))) {
    scope.key = id;
    scope.suite = suite;
    scope.session.fill(seed);
    scope.pcr_digest.fill(static_cast<std::uint8_t>(seed + 100));
    std::fill(private_key.bytes().begin(), private_key.bytes().end(), seed);
    std::fill(gate.bytes().begin(), gate.bytes().end(), static_cast<std::uint8_t>(seed + 50));
  }
  [[nodiscard]] SigningKey signing() const {
    return get(SigningKey::load(scope.suite, private_key));
  }
  [[nodiscard]] Gate make_gate() const { return Gate(get(SecretBytes::copy_of(gate.bytes()))); }
  [[nodiscard]] OutboundKey outbound(std::uint16_t lane = 0) const {
    return {scope, make_gate(), lane, end};
  }
  [[nodiscard]] InboundKey inbound() const {
    return {scope, get(VerifyingKey::load(scope.suite, signing().public_key())), make_gate(), lanes,
            end};
  }
};

using Ports = std::span<const std::uint16_t>;

inline Layout layout_of(ByteView packet, Ports ports = nat_t_ports) {
  Layout at;
  EXPECT_EQ(find_layout(packet, ports, at), Reason::none);
  return at;
}

inline Digest digest_of(Packet packet, Ports ports = nat_t_ports) {
  Digest digest{};
  PacketHasher hasher = get(PacketHasher::create(1));
  hasher.add(layout_of(packet, ports), packet, digest);
  hasher.run();
  return digest;
}

// As it is if it is in UDP already.
inline Packet translated(const Packet& packet, std::uint16_t port, Ports ports = nat_t_ports) {
  const Layout at = layout_of(packet, ports);
  if (at.udp != 0) return packet;
  Packet out(translation_size);
  out.insert(out.end(), packet.begin(), packet.end());
  translate(at, port, out);
  return out;
}

// Signs them as one batch. Where there is an identification, DF is cleared and it is written.
inline std::vector<Packet> sign(
    OutboundKey& key, const SigningKey& signing, const std::vector<Packet>& packets,
    const std::vector<std::optional<std::uint16_t>>& identifications = {},
    Ports ports = nat_t_ports, std::uint16_t translator_port = 0) {
  std::vector<Digest> digests;
  digests.reserve(packets.size());
  for (const Packet& packet : packets) digests.push_back(digest_of(packet, ports));
  OutboundBatch batch(packets.size());
  batch.close(key, digests);
  batch.set_signature(get(signing.sign(batch.statement())));
  std::vector<Packet> out;
  out.reserve(packets.size());
  for (std::size_t i = 0; i < packets.size(); ++i) {
    Packet packet = packets[i];
    const Layout at = layout_of(packet, ports);
    std::optional<Original> original;
    if (i < identifications.size() && identifications[i]) {
      original = original_of(at, packet);
      clear_dont_fragment(packet, *identifications[i]);
    }
    Packet extension(batch.extension_size(at, i, original));
    batch.write_extension(i, original, extension);
    Packet grown(packet.size() + extension.size());
    insert_extension(at, packet, extension, grown);
    out.push_back(translator_port == 0 ? grown : translated(grown, translator_port, ports));
  }
  return out;
}

struct Received {
  Reason reason = Reason::none;
  Packet stripped;  // if there was an extension at all
};

inline Received receive(Verifier& verifier, Packet arrived,
                        const Now& now = {WallTime{}, BootTime{}}, Ports ports = nat_t_ports,
                        std::uint16_t translator_port = 0) {
  Received out;
  Layout at;
  ByteSpan taken_out = arrived;
  if (translator_port != 0) out.reason = translate_back(translator_port, taken_out);
  Packet packet(taken_out.begin(), taken_out.end());
  if (out.reason == Reason::none) out.reason = find_layout(packet, ports, at);
  if (out.reason != Reason::none) return out;
  Verifier::Candidate candidate;
  out.reason = verifier.admit(at, packet, now, candidate);
  if (out.reason != Reason::none) return out;
  // Stripping moves bytes over the extension, so the candidate has to be read from a copy.
  const Packet copy = packet;
  out.reason = verifier.admit(at, copy, now, candidate);
  const ByteSpan stripped = remove_extension(at, packet, candidate.extension.all.size(),
                                             candidate.extension.fields.original);
  out.stripped.assign(stripped.begin(), stripped.end());
  if (out.reason != Reason::none) return out;
  candidate.digest = digest_of(out.stripped, ports);
  out.reason = verifier.verify(candidate);
  return out;
}

}  // namespace cs::test
