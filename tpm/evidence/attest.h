// SPDX-License-Identifier: GPL-3.0-or-later
// TPMS_ATTEST: what a TPM states and signs about PCRs, a key or an NV index.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "tpm/evidence/structures.h"

namespace cs::tpm {

// What a TPM, and only a TPM, puts in front of what it says itself: a restricted key refuses to
// sign anything else that begins with it. "\xffTCG".
inline constexpr std::uint32_t attest_magic = 0xff544347;

// TPMI_ST_ATTEST; the others are of no use here.
enum class AttestType : std::uint16_t {
  nv = 0x8014,
  certify = 0x8017,
  quote = 0x8018,
  nv_digest = 0x801c,
};
[[nodiscard]] std::string to_string(AttestType type);

// TPMS_CLOCK_INFO.
struct ClockInfo {
  std::uint64_t clock = 0;          // milliseconds the TPM was powered, in all its life
  std::uint32_t reset_count = 0;    // grows with each reset (reboot)
  std::uint32_t restart_count = 0;  // grows with each restart or resume since
  bool safe = false;                // the clock has not gone back after a loss of power
  friend bool operator==(const ClockInfo&, const ClockInfo&) = default;
};

struct Attest {
  struct Quote {
    PcrSelection selection;
    Bytes digest;
  };
  struct Certify {
    Name name;
    Name qualified_name;
  };
  struct Nv {
    Name index;
    std::uint16_t offset = 0;
    Bytes contents;
  };
  struct NvDigest {
    Name index;
    Bytes digest;
  };

  std::uint32_t magic = 0;  // as found: for a verifier to judge
  AttestType type{};        // as found, any number
  Name signer;              // the attestation key's qualified name
  Bytes extra_data;         // qualifying data
  ClockInfo clock;
  std::uint64_t firmware = 0;
  // Nothing, where the type is none of those above: then its bytes were not looked at.
  std::variant<std::monostate, Quote, Certify, Nv, NvDigest> attested;

  // The whole of `bytes` (without_size() takes a TPM2B_ATTEST's length off). Structure only: that
  // it parses proves nothing.
  [[nodiscard]] static Result<Attest> parse(ByteView bytes);
};

}  // namespace cs::tpm
