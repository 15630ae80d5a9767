// SPDX-License-Identifier: GPL-3.0-or-later
// Messages of the attestation service's socket, for tests: every field has bytes of its own.
#pragma once

#include "keyms/carrier/service_protocol.h"
#include "tests/support/unwrap.h"
#include "tests/unit/signer_messages.h"

namespace cs::test {

inline std::vector<std::uint8_t> filled(std::size_t size, std::uint8_t byte) {
  std::vector<std::uint8_t> bytes(size, byte);
  return bytes;
}

inline keyms::carrier::Connect connect_message(std::uint32_t channel = 0x01020304) {
  return {channel,
          true,
          1,
          1,
          3,
          secret<32>(0x20),
          filled(300, 0xc1),
          filled(301, 0xc2),
          "hamburg-1",
          "192.0.2.2 port 4739"};
}

inline keyms::carrier::Reason reason() {
  return {"drift_static", "its policies are not as agreed"};
}

inline keyms::carrier::Endpoint endpoint(const char* address = "192.0.2.1") {
  return {get(net::Address::parse(address)), 4739};
}

inline keyms::carrier::OwnEndpoint own_endpoint() {
  return {"berlin-1", filled(400, 0xc3), secret<32>(0x40)};
}

inline keyms::carrier::KnownPeer known_peer() {
  return {"hamburg-1",
          {counted<32>(0x60), counted<32>(0x80)},
          filled(34, 0xc4),
          {get(net::Address::parse("192.0.2.2")), get(net::Address::parse("2001:db8::2"))}};
}

template <class Message>
std::vector<std::uint8_t> encoded_for_service(const Message& message) {
  std::vector<std::uint8_t> memory(keyms::carrier::max_service_message);
  const ByteView bytes = get(keyms::carrier::encode(message, memory));
  return {bytes.begin(), bytes.end()};
}

}  // namespace cs::test
