// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/standin/scenario.h"

#include <arpa/inet.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/hex.h"
#include "nfq-signer/signature.h"

namespace cs::standin {

namespace {

using Json = nlohmann::json;

// The library speaks in exceptions; so does this file, up to read_scenario().
[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument(what);
}

void allow_only(const Json& object, std::initializer_list<std::string_view> names) {
  if (!object.is_object()) refuse("an object is wanted");
  for (const auto& entry : object.items()) {
    if (std::find(names.begin(), names.end(), entry.key()) == names.end())
      refuse("unknown field " + entry.key());
  }
}

// The library would cut a number that is too large.
std::uint64_t number(const Json& value, const std::string& name, std::uint64_t max) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max)
    refuse(name + ": a number up to " + std::to_string(max) + " is wanted");
  return value.get<std::uint64_t>();
}

template <class T>
T number_in(const Json& object, const char* name,
            std::uint64_t max = std::numeric_limits<T>::max()) {
  return static_cast<T>(number(object.at(name), name, max));
}

std::vector<std::uint8_t> hex_in(const Json& object, const char* name) {
  constexpr std::size_t max_bytes = 65;
  auto bytes = hex_decode(object.at(name).get<std::string>(), max_bytes);
  if (!bytes.ok()) refuse(std::string(name) + ": " + bytes.error().message());
  return std::move(bytes).value();
}

template <std::size_t size>
std::array<std::uint8_t, size> bytes_in(const Json& object, const char* name) {
  const std::vector<std::uint8_t> bytes = hex_in(object, name);
  if (bytes.size() != size)
    refuse(std::string(name) + ": " + std::to_string(size) + " bytes are wanted");
  std::array<std::uint8_t, size> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

keyms::Mode mode_of(const std::string& name) {
  constexpr std::array names{"off", "sign_only", "audit", "enforce"};
  const auto* const found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) refuse("mode: off, sign_only, audit or enforce is wanted");
  return static_cast<keyms::Mode>(found - names.begin());
}

keyms::Address address_of(const std::string& text) {
  keyms::Address address;
  address.size = text.find(':') == std::string::npos ? 4 : 16;
  if (inet_pton(address.size == 4 ? AF_INET : AF_INET6, text.c_str(), address.bytes.data()) != 1)
    refuse("addresses: " + text + " is none");
  return address;
}

Peer peer_of(const Json& object) {
  allow_only(object, {"id", "mode", "addresses", "outbound", "inbound"});
  Peer peer;
  peer.id = number_in<std::uint32_t>(object, "id");
  peer.mode = mode_of(object.at("mode").get<std::string>());
  for (const Json& address : object.value("addresses", Json::array()))
    peer.addresses.push_back(address_of(address.get<std::string>()));
  if (peer.addresses.size() > keyms::max_addresses) refuse("addresses: at most 16");
  return peer;
}

keyms::LaneRange lanes_of(const Json& lanes) {
  if (!lanes.is_array() || lanes.size() != 2) refuse("lanes: [first, last] is wanted");
  const keyms::LaneRange range{static_cast<std::uint16_t>(number(lanes[0], "lanes", 0xffff)),
                               static_cast<std::uint16_t>(number(lanes[1], "lanes", 0xffff))};
  if (range.first > range.last) refuse("lanes: the first is above the last");
  return range;
}

// Whose private key is there needs no public one.
void complete(Key& key) {
  const auto suite = static_cast<Suite>(key.scope.suite);
  if (key.private_key) {
    const auto secret = SecretBytes::copy_of(*key.private_key);
    if (!secret.ok()) refuse(secret.error().message());
    const auto signing = SigningKey::load(suite, *secret);
    if (!signing.ok()) refuse(signing.error().message());
    key.public_key = signing->public_key();
  } else if (const auto verifying = VerifyingKey::load(suite, key.public_key); !verifying.ok()) {
    refuse(verifying.error().message());
  }
}

Key key_of(const Json& object, std::uint32_t peer, keyms::Table table) {
  allow_only(object, {"key", "session", "pcr_digest", "direction", "suite", "gate_secret", "lanes",
                      "lifetime_ms", "not_after", "private_key", "public_key", "remote"});
  Key key;
  key.peer = peer;
  key.scope.key = number_in<std::uint32_t>(object, "key");
  key.scope.session = bytes_in<32>(object, "session");
  key.scope.pcr_digest = bytes_in<32>(object, "pcr_digest");
  key.scope.direction = number_in<std::uint8_t>(object, "direction", 1);
  const auto suite = number_in<std::uint8_t>(object, "suite", 4);
  if (suite == 0) refuse("suite: 1 to 4 is wanted");
  key.scope.suite = static_cast<keyms::Suite>(suite);
  key.gate_secret = bytes_in<keyms::gate_secret_size>(object, "gate_secret");
  key.lanes = lanes_of(object.at("lanes"));
  key.lifetime = std::chrono::milliseconds(number_in<std::uint32_t>(object, "lifetime_ms"));
  if (object.contains("not_after"))
    key.not_after = number_in<std::uint64_t>(object, "not_after", keyms::max_not_after);
  if (object.contains("private_key")) {
    key.private_key = bytes_in<keyms::private_key_size>(object, "private_key");
  } else {
    key.public_key = hex_in(object, "public_key");
  }
  key.remote = object.value("remote", false);
  if (table == keyms::Table::outbound && !key.private_key)
    refuse("private_key: an outbound key needs one");
  complete(key);
  return key;
}

void add_keys(const Json& peer, const char* name, keyms::Table table, Scenario& scenario) {
  const auto id = number_in<std::uint32_t>(peer, "id");
  for (const Json& object : peer.value(name, Json::array())) {
    Key key = key_of(object, id, table);
    const std::uint32_t number = key.scope.key;
    if (!scenario.keys.emplace(KeyName{table, number}, std::move(key)).second)
      refuse(std::string(name) + ": key " + std::to_string(number) + " is there twice");
  }
}

Scenario scenario_of(const Json& document) {
  allow_only(document, {"peers"});
  Scenario scenario;
  for (const Json& object : document.at("peers")) {
    Peer peer = peer_of(object);
    const std::uint32_t id = peer.id;
    if (!scenario.peers.emplace(id, std::move(peer)).second)
      refuse("peers: peer " + std::to_string(id) + " is there twice");
    add_keys(object, "outbound", keyms::Table::outbound, scenario);
    add_keys(object, "inbound", keyms::Table::inbound, scenario);
  }
  return scenario;
}

}  // namespace

Result<Scenario> read_scenario(const std::string& path) {
  std::ifstream file(path);
  if (!file) return from_errno(errno, "opening the scenario " + path);
  try {
    return scenario_of(Json::parse(file));
  } catch (const std::exception& error) {
    return Error(ErrorKind::invalid, "the scenario " + path + ": " + error.what());
  }
}

}  // namespace cs::standin
