// SPDX-License-Identifier: GPL-3.0-or-later
// Messages of the data plane's socket, for tests: every field has bytes of its own, so that two
// that are mixed up show.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "keyms/signer_protocol.h"
#include "tests/support/unwrap.h"

namespace cs::test {

// from, from + 1, …
template <std::size_t size>
std::array<std::uint8_t, size> counted(std::uint8_t from) {
  std::array<std::uint8_t, size> bytes{};
  std::iota(bytes.begin(), bytes.end(), from);
  return bytes;
}

template <std::size_t size>
SecretBytes secret(std::uint8_t from) {
  return get(SecretBytes::copy_of(counted<size>(from)));
}

inline std::vector<std::uint8_t> public_key(keyms::Suite suite) {
  std::vector<std::uint8_t> key(keyms::public_key_size(suite));
  std::iota(key.begin(), key.end(), std::uint8_t{4});
  return key;
}

inline keyms::KeyScope key_scope(keyms::Suite suite = keyms::Suite::p256_node16) {
  return {counted<32>(0x10), counted<32>(0x40), 0xa1a2a3a4, 1, suite};
}

inline keyms::KeyRecord key_record(keyms::Suite suite = keyms::Suite::p256_node16) {
  return {
      0xb1b2b3b4, key_scope(suite), secret<16>(0x70), {0x0102, 0x0305}, {0xc1c2c3c4, 0xd1d2d3d4}};
}

inline keyms::OutboundKey session_key() {
  return {key_record(), keyms::SessionKey{secret<32>(0x90)}};
}

inline keyms::OutboundKey remote_key(keyms::Suite suite = keyms::Suite::p256_node16) {
  return {key_record(suite), keyms::RemoteKey{public_key(suite)}};
}

inline keyms::InboundKey inbound_key(keyms::Suite suite = keyms::Suite::p256_node16) {
  return {key_record(suite), public_key(suite)};
}

inline keyms::Peer peer() {
  keyms::Peer peer{0xe1e2e3e4, keyms::Mode::audit, {}};
  peer.addresses.push_back({{192, 0, 2, 1}, 4});
  peer.addresses.push_back({counted<16>(0x20), 16});
  return peer;
}

inline keyms::SignReply signed_reply() {
  return {0x0102030405060708, keyms::SignStatus::done, counted<64>(0x11)};
}

template <class Message>
std::vector<std::uint8_t> encoded(const Message& message) {
  std::array<std::uint8_t, keyms::max_message> memory{};
  const ByteView bytes = get(keyms::encode(message, memory));
  return {bytes.begin(), bytes.end()};
}

}  // namespace cs::test
