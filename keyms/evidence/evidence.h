// SPDX-License-Identifier: GPL-3.0-or-later
// What one gateway shows the other, as it came in: views and bytes, of which nothing has been read.
// The session fills it from messages, the verifier judges it (verifier.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "keyms/policy/core_policy.h"
#include "tpm/pcr.h"

namespace cs::keyms {

// Of what is bounded by nothing else.
inline constexpr std::size_t max_public_area = 1024;  // TPMT_PUBLIC, TPMS_NV_PUBLIC
inline constexpr std::size_t max_ima_part = std::size_t{64} * 1024 * 1024;  // of one attestation

// A document or a TPMS_ATTEST, and the attestation key's TPMT_SIGNATURE of it.
struct SignedBytes {
  ByteView bytes;
  ByteView signature;
};

// The event register where it is an NV index of the type extend.
struct EventIndex {
  ByteView area;          // TPMS_NV_PUBLIC
  SignedBytes certified;  // by TPM2_NV_Certify, with certify_qualifying_data()
  ByteView contents;
};

// The key that packets are signed with from now on: with its end, MIMOS's TPM certificate.
struct ShownKey {
  std::uint8_t suite = 0;
  ByteView public_key;          // as signer_protocol.h's: P-256 65 bytes, Ed25519 32
  std::uint64_t not_after = 0;  // seconds since 1970
  std::uint32_t lifetime_ms = 0;
  struct Resident {
    ByteView area;          // TPMT_PUBLIC
    SignedBytes certified;  // by TPM2_Certify, with certify_qualifying_data()
  };
  std::optional<Resident> resident;  // of a key that lives in the TPM
};

struct ShownLogs {
  ByteView boot;  // as firmware left it; empty: there is none
  ByteView static_log;
  ByteView event_log;
  std::uint64_t ima_offset = 0;  // of what follows, in the kernel's binary list
  ByteView ima;
  ByteView endorsement;  // certificates of the endorsement key and who vouches for it
};

// All it refers to must outlive it.
struct Evidence {
  std::string_view ne_id;
  ByteView attestation_key;  // TPMT_PUBLIC
  SignedBytes endpoint;      // EndpointStatement, encoded
  SignedBytes quote;
  tpm::PcrValues values;  // that the quote's digest is of
  std::optional<EventIndex> event_index;
  ShownKey session_key;
  Hash spd{};                    // SHA-256 of the kernel's policies, canonical, now
  std::uint64_t wall_clock = 0;  // its own, seconds since 1970
  ByteView endorsement_key;      // TPMT_PUBLIC; empty: not shown
  ShownLogs logs;
};

}  // namespace cs::keyms
