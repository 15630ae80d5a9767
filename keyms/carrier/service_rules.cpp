// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/service_rules.h"

#include <algorithm>

#include "keyms/ne_id.h"

namespace cs::keyms::carrier {

Error refusal(std::string_view message, const std::string& rule) {
  return {ErrorKind::invalid, std::string(message) + ": " + rule};
}

Result<void> check_size(std::string_view message, std::string_view field, std::size_t size,
                        std::size_t least, std::size_t most) {
  if (size >= least && size <= most) return {};
  return refusal(message, std::string(field) + " has " + std::to_string(size) + " bytes, not " +
                              std::to_string(least) + " to " + std::to_string(most));
}

Result<void> check_text(std::string_view message, std::string_view field, std::string_view text,
                        std::size_t most) {
  CS_CHECK(check_size(message, field, text.size(), 0, most));
  if (std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; })) return {};
  return refusal(message, std::string(field) + " is not printable ASCII");
}

Result<void> check_peer(std::string_view message, std::string_view peer) {
  if (is_ne_id(peer)) return {};
  return refusal(message, "the peer is no NeID");
}

Result<void> check(std::string_view message, const Reason& reason) {
  CS_CHECK(check_size(message, "the reason", reason.code.size(), 1, max_reason));
  const auto is_of_a_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (!std::ranges::all_of(reason.code, is_of_a_word))
    return refusal(message, "the reason is no word of lower-case letters, digits and '_'");
  return check_text(message, "the sentence", reason.sentence, max_sentence);
}

Result<void> check(std::string_view message, const Endpoint& endpoint) {
  if (endpoint.port != 0) return {};
  return refusal(message, "a port is 0");
}

Result<void> check(const Hello& hello) {
  if (hello.name.empty()) return refusal("hello", "the carrier has no name");
  return check_text("hello", "the carrier's name", hello.name, max_carrier_name);
}

Result<void> check(const Connect& connect) {
  constexpr std::string_view name = "connect";
  if (connect.lowest_version > connect.highest_version)
    return refusal(name, "the lowest version is above the highest");
  CS_CHECK(check_size(name, "the channel's secret", connect.secret.size(), min_channel_secret,
                      max_channel_secret));
  CS_CHECK(check_size(name, "a certificate", connect.certificate.size(), 0, max_certificate));
  CS_CHECK(check_size(name, "a certificate", connect.peer_certificate.size(), 0, max_certificate));
  if (!connect.peer.empty()) CS_CHECK(check_peer(name, connect.peer));
  return check_text(name, "the address", connect.address, max_address_text);
}

Result<void> check(const Data& data) {
  return check_size("data", "the message", data.bytes.size(), 1, max_data);
}

Result<void> check(const Unreachable& message) {
  CS_CHECK(check_peer("unreachable", message.peer));
  return check_text("unreachable", "the sentence", message.sentence, max_sentence);
}

Result<void> check(const Open& open) {
  CS_CHECK(check_peer("open", open.peer));
  if (open.endpoints.empty() || open.endpoints.size() > max_endpoints)
    return refusal("open", "it has not 1 to " + std::to_string(max_endpoints) + " endpoints");
  for (const Endpoint& endpoint : open.endpoints) CS_CHECK(check("open", endpoint));
  return {};
}

Result<void> check(const OwnEndpoint& endpoint) {
  CS_CHECK(check_peer("own_endpoint", endpoint.ne_id));
  CS_CHECK(check_size("own_endpoint", "the certificate", endpoint.certificate.size(), 1,
                      max_certificate));
  return check_size("own_endpoint", "the private key", endpoint.private_key.size(),
                    private_key_size, private_key_size);
}

Result<void> check(const KnownPeer& peer) {
  constexpr std::string_view name = "known_peer";
  CS_CHECK(check_peer(name, peer.ne_id));
  if (peer.core_properties.empty() || peer.core_properties.size() > max_values)
    return refusal(name, "it has not 1 to " + std::to_string(max_values) + " values");
  CS_CHECK(check_size(name, "the key's Name", peer.attestation_key.size(), 0, max_name));
  if (peer.pinned.size() <= max_pinned) return {};
  return refusal(name, "it has more than " + std::to_string(max_pinned) + " addresses");
}

Result<void> check(const Dial& dial) {
  CS_CHECK(check_peer("dial", dial.peer));
  return check("dial", dial.endpoint);
}

}  // namespace cs::keyms::carrier
