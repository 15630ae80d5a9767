// SPDX-License-Identifier: GPL-3.0-or-later
// What the stand-in serves, from a JSON file (--help of cs-standin-keymsd says how it looks).
// Private keys lie in it and in this memory as they are: it is for tests.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "keyms/signer_protocol.h"

namespace cs::standin {

struct Peer {
  std::uint32_t id = 0;
  keyms::Mode mode = keyms::Mode::enforce;
  std::vector<keyms::Address> addresses;
  friend bool operator==(const Peer&, const Peer&) = default;
};

struct Key {
  std::uint32_t peer = 0;
  keyms::KeyScope scope;
  std::array<std::uint8_t, keyms::gate_secret_size> gate_secret{};
  keyms::LaneRange lanes;  // outbound: to be given out; inbound: what the peer may use
  std::chrono::milliseconds lifetime{};
  std::optional<std::uint64_t> not_after;  // else by the lifetime
  std::optional<std::array<std::uint8_t, keyms::private_key_size>> private_key;
  std::vector<std::uint8_t> public_key;
  bool remote = false;  // outbound: the stand-in signs
  friend bool operator==(const Key&, const Key&) = default;
};

using KeyName = std::pair<keyms::Table, std::uint32_t>;

struct Scenario {
  std::map<std::uint32_t, Peer> peers;
  std::map<KeyName, Key> keys;
};

Result<Scenario> read_scenario(const std::string& path);

}  // namespace cs::standin
