// SPDX-License-Identifier: GPL-3.0-or-later
// What a verifier keeps of a gateway from one attestation to the next: so that nothing that was
// seen can be taken back within a boot, and only what is new of IMA's list has to be sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "keyms/policy/core_policy.h"
#include "tpm/evidence/attest.h"

namespace cs::keyms {

inline constexpr std::size_t max_peer_memory = 1024;

// How far a log was under a quote.
struct LogMark {
  std::uint64_t records = 0;
  Hash value{};  // of the register then, SHA-256; zeros before the first record
  bool operator==(const LogMark&) const = default;
};

// The same of IMA's list, as far as it was judged and found good.
struct ImaMark {
  std::uint64_t entries = 0;
  std::uint64_t offset = 0;  // of the next one
  tpm::HashAlgorithm listed = tpm::HashAlgorithm::sha1;
  Hash recomputed{};  // PCR 10 by either rule of the kernel (ima_log.h)
  Hash padded{};
  Hash rules{};  // by which it was judged: others ask for the whole list again
  bool operator==(const ImaMark&) const = default;
};

struct PeerMemory {
  tpm::Name attestation_key;         // of another key nothing of this counts
  std::optional<Hash> proven_under;  // it was shown to be in a TPM: by these roots (hash_of())
  // As of the last quote that was good.
  tpm::ClockInfo clock;
  std::uint64_t firmware = 0;
  // Of this boot, that is: of this resetCount.
  LogMark static_log;
  LogMark event_log;
  std::optional<Hash> configuration;
  std::optional<ImaMark> ima;
  // Drift in records of the event log below this was acknowledged: by an operator, who sets it to
  // event_log.records.
  std::uint64_t acknowledged = 0;

  // Deterministic CBOR. Refused: an attestation key without a Name.
  [[nodiscard]] Result<std::vector<std::uint8_t>> encode() const;
  // Refused: what encode() would not write.
  [[nodiscard]] static Result<PeerMemory> decode(ByteView bytes);
  bool operator==(const PeerMemory&) const = default;
};

}  // namespace cs::keyms
