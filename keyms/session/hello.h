// SPDX-License-Identifier: GPL-3.0-or-later
// The first message of an attestation session, from each side, and the statement in it that ties an
// endpoint's certificate to an attestation key: docs/PROTOCOL.md, "The hello". Bytes to structs and
// back; whether a hello is to be believed says hello_check.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "keyms/session/types.h"

namespace cs::keyms {

inline constexpr std::uint64_t session_version = 1;
inline constexpr std::size_t max_ak_public = 1024;
inline constexpr std::size_t max_endpoint_statement = 512;
inline constexpr std::size_t max_endpoint_signature = 1024;

// "The endpoint of this gateway is whoever has this certificate's key, from then to then."
struct EndpointStatement {
  std::string ne_id;
  Hash certificate{};            // SHA-256 of its DER
  std::uint64_t not_before = 0;  // seconds since 1970
  std::uint64_t not_after = 0;   // included; not before not_before
  bool operator==(const EndpointStatement&) const = default;
};

// Version session_version: decode_hello() refuses every other (unsupported).
struct SessionHello {
  Role role = Role::initiator;  // who sends it; its number is the message's type
  std::string from;             // NeIDs
  std::string to;
  Nonce nonce{};
  Hash core_properties{};  // the core properties value
  std::uint64_t policy_version = 1;
  Share share{};                        // of an ECDH on P-256: 4 ‖ x ‖ y; on the curve or not
  std::vector<std::uint8_t> ak_public;  // TPMT_PUBLIC
  std::vector<std::uint8_t> statement;  // EndpointStatement, as it was signed
  std::vector<std::uint8_t> signature;  // TPMT_SIGNATURE of signed_endpoint(statement)
  bool wants_proof = false;             // that the other's attestation key is in a TPM
  std::vector<Voucher> vouchers;
  std::uint32_t key_id = 1;  // of the key the receiver will sign with; not 0
  bool operator==(const SessionHello&) const = default;
};

// What is decoded has kept to every rule that it can break by itself, and has no other encoding;
// encode() holds what we send to the same rules.
Result<std::vector<std::uint8_t>> encode(const SessionHello& hello);
Result<SessionHello> decode_hello(ByteView message);

Result<std::vector<std::uint8_t>> encode(const EndpointStatement& statement);
Result<EndpointStatement> decode_endpoint_statement(ByteView bytes);

// What the attestation key signs: "countersign endpoint v1\0" ‖ statement.
[[nodiscard]] std::vector<std::uint8_t> signed_endpoint(ByteView statement);

}  // namespace cs::keyms
