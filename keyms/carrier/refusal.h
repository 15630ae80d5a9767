// SPDX-License-Identifier: GPL-3.0-or-later
// Why the network worker turns a connection away. Names are stable: logs, `stats` and the reason of
// a `close` carry them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cs::keyms::carrier {

enum class Refusal : std::uint8_t {
  // Before it has shown anything.
  not_configured,         // there is no endpoint to speak for
  source_limit,           // too many unproven connections from its address
  crowded_out,            // too many unproven ones in all: a random one goes
  too_many_channels,      // of proven peers
  plaintext,              // its first byte begins no TLS
  tls_version,            // it does not offer TLS 1.3
  resumption,             // it offers a ticket, a shared key or early data
  alpn,                   // it does not speak countersign/1
  certificate,            // not one certificate, or not of a key on P-256
  tls,                    // anything else that TLS does not accept
  tls_timeout,            // no TLS in time
  hello_timeout,          // no hello in time
  frame,                  // a length of 0 or above the limit
  hello,                  // the first message is no hello
  role,                   // an initiator's where a responder's should be, or the reverse
  receiver,               // it is for another gateway
  sender,                 // from a gateway we share no policy with, or not the one we called
  core_properties,        // of another policy
  ak_public,              // no attestation key
  ak_name,                // another attestation key than the policy's
  statement,              // the endpoint statement cannot be read, or is of another gateway
  statement_certificate,  // of another certificate than this connection's
  statement_dates,        // it does not hold now
  statement_signature,    // not by that attestation key
  // Later.
  peer_too_slow,  // it takes nothing, and too much waits for it
  peer_closed,    // it ended the connection
  count,          // how many there are
};

inline constexpr std::size_t refusal_count = static_cast<std::size_t>(Refusal::count);

[[nodiscard]] constexpr std::string_view to_string(Refusal refusal) noexcept {
  constexpr std::array<std::string_view, refusal_count> names{"not_configured",
                                                              "source_limit",
                                                              "crowded_out",
                                                              "too_many_channels",
                                                              "plaintext",
                                                              "tls_version",
                                                              "resumption",
                                                              "alpn",
                                                              "certificate",
                                                              "tls",
                                                              "tls_timeout",
                                                              "hello_timeout",
                                                              "frame",
                                                              "hello",
                                                              "role",
                                                              "receiver",
                                                              "sender",
                                                              "core_properties",
                                                              "ak_public",
                                                              "ak_name",
                                                              "statement",
                                                              "statement_certificate",
                                                              "statement_dates",
                                                              "statement_signature",
                                                              "peer_too_slow",
                                                              "peer_closed"};
  const auto index = static_cast<std::size_t>(refusal);
  return index < names.size() ? names[index] : "unknown";
}

struct Counters {
  std::uint64_t accepted = 0;  // TCP connections
  std::uint64_t proven = 0;    // that became channels, of either direction
  std::array<std::uint64_t, refusal_count> refused{};

  [[nodiscard]] std::uint64_t& of(Refusal refusal) {
    return refused.at(static_cast<std::size_t>(refusal));
  }
  [[nodiscard]] std::uint64_t of(Refusal refusal) const {
    return refused.at(static_cast<std::size_t>(refusal));
  }
  bool operator==(const Counters&) const = default;
};

}  // namespace cs::keyms::carrier
