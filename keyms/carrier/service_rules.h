// SPDX-License-Identifier: GPL-3.0-or-later
// For service_protocol.cpp only: the numbers of the messages, and the rules that both directions
// share.
#pragma once

#include "keyms/carrier/service_protocol.h"

namespace cs::keyms::carrier {

enum class Type : std::uint8_t {
  hello = 0x01,
  connect = 0x02,
  data = 0x03,
  close = 0x04,
  unreachable = 0x05,
  stats = 0x41,
  welcome = 0x81,
  open = 0x82,
  grant = 0x83,
  deny = 0x84,
  own_endpoint = 0xc1,
  known_peer = 0xc2,
  listener = 0xc3,
  configured = 0xc4,
  dial = 0xc5,
};
// Types with this bit are between keymsd and its own worker.
constexpr std::uint8_t private_bit = 0x40;

Error refusal(std::string_view message, const std::string& rule);
Result<void> check_size(std::string_view message, std::string_view field, std::size_t size,
                        std::size_t least, std::size_t most);
Result<void> check_text(std::string_view message, std::string_view field, std::string_view text,
                        std::size_t most);
Result<void> check_peer(std::string_view message, std::string_view peer);
Result<void> check(std::string_view message, const Reason& reason);
Result<void> check(std::string_view message, const Endpoint& endpoint);
Result<void> check(const Hello& hello);
Result<void> check(const Connect& connect);
Result<void> check(const Data& data);
Result<void> check(const Unreachable& message);
Result<void> check(const Open& open);
Result<void> check(const OwnEndpoint& endpoint);
Result<void> check(const KnownPeer& peer);
Result<void> check(const Dial& dial);

}  // namespace cs::keyms::carrier
