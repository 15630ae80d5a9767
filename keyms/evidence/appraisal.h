// SPDX-License-Identifier: GPL-3.0-or-later
// What the verifier found of a gateway: one finding for each criterion, and what to remember.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "keyms/evidence/criterion.h"
#include "keyms/evidence/peer_memory.h"
#include "tpm/check.h"

namespace cs::keyms {

struct Finding {
  tpm::Verdict verdict = tpm::Verdict::not_checked;
  std::string where;     // "PCR 15", "static log, record 4", "/usr/bin/x"; may be empty
  std::string sentence;  // printable ASCII, with what was expected and what was found
};

class Appraisal {
 public:
  // Of several that concern one criterion the first failure counts, else the last.
  void holds(Criterion criterion, const std::string& sentence, const std::string& where = {});
  void fails(Criterion criterion, const std::string& sentence, const std::string& where = {});
  void not_checked(Criterion criterion, const std::string& sentence);
  // `so`, or what was expected and what was found instead.
  void compare(Criterion criterion, bool equal, const std::string& so, const std::string& expected,
               const std::string& found, const std::string& where = {});

  [[nodiscard]] const Finding& of(Criterion criterion) const noexcept {
    return findings_.at(static_cast<std::size_t>(criterion));
  }
  [[nodiscard]] bool good(Criterion criterion) const noexcept {
    return of(criterion).verdict == tpm::Verdict::holds;
  }
  // Each criterion of severity refuse was looked at and holds. Nothing else grants anything.
  [[nodiscard]] bool granted() const noexcept;
  // It would be granted if its attestation key were shown to be in the TPM it is certified for:
  // who has sealed a secret to both keys and got it back says so with activated().
  [[nodiscard]] bool only_proof_missing() const noexcept;
  void activated();
  // Those that stand against it in the verifier's order: failures first, then what could not be
  // checked.
  [[nodiscard]] std::vector<Criterion> refused() const;
  // Only the failures of that severity.
  [[nodiscard]] std::vector<Criterion> failed(Severity severity) const;

  // A vendor vouches for the endorsement key it has shown: by these roots (hash_of()).
  std::optional<Hash> endorsed;
  // For the verdict, once the quote is good.
  std::optional<Hash> pcr_digest;
  // To be kept for the next time, whatever the verdict; none: nothing it shows can be believed, so
  // what was kept stays.
  std::optional<PeerMemory> memory;

 private:
  void set(Criterion criterion, tpm::Verdict verdict, const std::string& sentence,
           const std::string& where);
  std::array<Finding, criterion_count> findings_;
};

}  // namespace cs::keyms
