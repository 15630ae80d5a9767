// SPDX-License-Identifier: GPL-3.0-or-later
// The messages of the attestation session but hello (hello.h), and the form of all of them:
// docs/PROTOCOL.md, "The attestation session". Bytes to structs and back. What is decoded has kept
// to every rule that one message can break by itself; encode() holds ours to the same.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "keyms/session/types.h"
#include "tpm/pcr.h"

namespace cs::keyms {

inline constexpr std::size_t most_part = 16384;
inline constexpr std::uint32_t most_get = 262144;
inline constexpr std::size_t most_attest = 1024;  // of a TPM structure or a signature
inline constexpr std::size_t most_reasons = 16;
inline constexpr std::size_t most_sas = 64;
inline constexpr std::size_t most_code = 48;
inline constexpr std::size_t most_text = 512;
inline constexpr std::size_t most_pcr_values = 96;

enum class MessageType : std::uint8_t {
  refuse = 0,
  initiator_hello = 1,
  responder_hello = 2,
  evidence = 3,
  get = 4,
  part = 5,
  result = 6,
  final = 7,
  denied = 8,
  ready = 16,
  alive = 17,
  sas = 18,
  sas_gone = 19,
  notice = 20,
  deny = 21,
};
[[nodiscard]] std::string_view to_string(MessageType type) noexcept;
[[nodiscard]] constexpr bool is_of_link(MessageType type) noexcept {
  return type >= MessageType::ready;
}

struct Reason {
  std::string code;
  std::string text;
  bool operator==(const Reason&) const = default;
};

struct Refuse {
  Reason reason;
};

// Which log a get is for, by its place in the sizes.
enum class Log : std::uint8_t { boot, statics, events, ima, endorsement };
inline constexpr std::size_t log_count = 5;
[[nodiscard]] std::string_view to_string(Log log) noexcept;

// What the quote signs beside the transcript.
struct EvidenceStatement {
  std::uint8_t suite = 1;
  Bytes public_key;
  std::uint32_t key_id = 0;
  std::uint64_t not_after = 0;  // seconds since 1970
  std::uint32_t lifetime_ms = 0;
  std::uint16_t first_lane = 0;
  std::uint16_t last_lane = 0;
  Hash measurement{};
  std::uint64_t wall_clock = 0;
  bool operator==(const EvidenceStatement&) const = default;
};
[[nodiscard]] Result<Bytes> encode(const EvidenceStatement& statement);
[[nodiscard]] Result<EvidenceStatement> decode_statement(ByteView bytes);

struct SignedAttestation {
  Bytes attest;
  Bytes signature;
  bool operator==(const SignedAttestation&) const = default;
};
struct NvEvidence {
  Bytes index;  // TPMS_NV_PUBLIC
  SignedAttestation certified;
  Bytes contents;
  bool operator==(const NvEvidence&) const = default;
};
struct KeyEvidence {
  Bytes area;  // TPMT_PUBLIC
  SignedAttestation certified;
  bool operator==(const KeyEvidence&) const = default;
};
struct CredentialFor {
  Bytes id_object;
  Bytes encrypted_secret;
  bool operator==(const CredentialFor&) const = default;
};

struct EvidenceMessage {
  Bytes statement;  // encoded, as the quote signs it
  SignedAttestation quote;
  tpm::PcrValues values;
  std::optional<NvEvidence> event_register;
  std::optional<KeyEvidence> signing_key;
  std::array<std::uint64_t, log_count> sizes{};
  Bytes endorsement_key;  // TPMT_PUBLIC; empty: not shown
  std::optional<CredentialFor> credential;
  std::vector<Voucher> vouchers;
};
struct Get {
  Log log{};
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
};
struct Part {
  Log log{};
  std::uint64_t offset = 0;
  ByteView bytes;  // of the message it was read from, or the caller's
};
struct ResultMessage {
  std::optional<Hash> proof;
  std::optional<CredentialFor> credential;
};
struct FinalMessage {
  std::optional<Hash> proof;
};
struct Denied {
  std::vector<Reason> reasons;
};

struct Ready {};
struct Alive {};
struct SaValue {
  std::uint32_t spi = 0;
  std::uint8_t sense = 1;      // xfrm::Sense
  std::uint8_t protocol = 50;  // ESP or AH
  std::string algorithms;
  Hash value{};
  bool operator==(const SaValue&) const = default;
};
struct Sas {
  std::vector<SaValue> sas;
};
struct SasGone {
  struct Gone {
    std::uint32_t spi = 0;
    std::uint8_t sense = 1;
    bool operator==(const Gone&) const = default;
  };
  std::vector<Gone> sas;
};
enum class NoticeKind : std::uint8_t { drift = 1, healed, revoked, again, acknowledged };
struct Notice {
  NoticeKind kind = NoticeKind::drift;
  std::string text;
};
struct Deny {
  std::vector<Reason> reasons;
};

// All that bear a number and a HMAC.
using Sealed = std::variant<EvidenceMessage, Get, Part, ResultMessage, FinalMessage, Denied, Ready,
                            Alive, Sas, SasGone, Notice, Deny>;
[[nodiscard]] MessageType type_of(const Sealed& message) noexcept;

struct Numbering {
  std::uint32_t epoch = 0;  // of the link; else 0, and not sent
  std::uint64_t number = 0;
};
// With its HMAC behind it.
[[nodiscard]] Result<Bytes> seal_message(const Sealed& message, const Numbering& numbering,
                                         const SecretBytes& key);
[[nodiscard]] Result<Bytes> encode_refuse(const Refuse& refuse);

// What stands in front, before anything is verified: which key it asks for.
struct Envelope {
  MessageType type{};
  Numbering numbering;
  ByteView authenticated;  // without the HMAC; the whole of a message that has none
  ByteView mac;            // empty: it has none
};
[[nodiscard]] Result<Envelope> open_envelope(ByteView message);
// Refused (unverified): not under this key.
[[nodiscard]] Result<void> verify_envelope(const Envelope& envelope, const SecretBytes& key);
[[nodiscard]] Result<Sealed> decode_sealed(const Envelope& envelope);
[[nodiscard]] Result<Refuse> decode_refuse(const Envelope& envelope);

// Without control characters and cut to what a text may have; for what we send.
[[nodiscard]] std::string as_text(std::string_view words);

}  // namespace cs::keyms
