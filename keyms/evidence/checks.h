// SPDX-License-Identifier: GPL-3.0-or-later
// For evidence/*.cpp only: the verifier's parts, each of which makes some of the checks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "keyms/evidence/verifier.h"
#include "keyms/measure/story.h"
#include "tpm/check.h"
#include "tpm/evidence/attest_check.h"
#include "tpm/evidence/public_key.h"

namespace cs::keyms::checks {

// What is judged, and what of it could be read so far.
struct Case {
  const Evidence& shown;
  const Expectations& expected;
  const Gateway& gateway;
  const PeerMemory* memory;  // null: nothing of this attestation key
  Appraisal& found;

  // Set by identity().
  std::optional<tpm::PublicArea> area = {};
  std::optional<tpm::PublicKey> key = {};
  tpm::Name name = {};
  std::optional<Hash> certificate = {};  // of the endpoint, as its statement says
  // Set by quote(), where it could be read.
  std::optional<tpm::Attest> quote = {};
  bool quote_is_good = false;  // signed by that key, for this session, of these values
  bool same_boot = false;      // as the memory's
  // Set by logs(): what is under the quote.
  std::optional<RegisterStory> static_story = {};
  std::optional<RegisterStory> event_story = {};
  PeerMemory next = {};  // what will be remembered

  // Null: the quote is not good, or not of this register.
  [[nodiscard]] const tpm::Digest* quoted(std::uint32_t pcr) const noexcept {
    return quote_is_good ? shown.values.find(tpm::HashAlgorithm::sha256, pcr) : nullptr;
  }
};

// In this order. None of them throws away what another has found.
void identity(Case& c);
void proof(Case& c);
void endpoint(Case& c);
void quote(Case& c);
void event_index(Case& c);
void boot(Case& c);
void logs(Case& c);
void stories(Case& c);
void ima(Case& c);
void session_key(Case& c);

// Whether `memory` says so, under the roots that are trusted now.
[[nodiscard]] bool was_proven(const Expectations& expected, const PeerMemory* memory);

// Where the part of IMA's list that was judged ends; null: nothing of it can be gone on from.
[[nodiscard]] const ImaMark* ima_mark(const Expectations& expected, const PeerMemory* memory,
                                      bool same_boot);

// The failures among some of the findings as one sentence; empty: they hold.
[[nodiscard]] std::string failures(const tpm::Findings& findings,
                                   std::initializer_list<std::string_view> codes);
// What certificates of its TPM beside the quote are qualified with.
[[nodiscard]] tpm::AttestExpectations beside_quote(const Expectations& expected);
// Why the attestation key has not certified it in this session and the quote's boot. Empty: it has.
[[nodiscard]] std::string attested_beside_quote(const Case& c, const SignedBytes& certified,
                                                const tpm::Findings& findings);

[[nodiscard]] inline std::string pcr_text(std::uint32_t pcr) {
  return "PCR " + std::to_string(pcr);
}
[[nodiscard]] std::string time_text(std::uint64_t seconds);
[[nodiscard]] std::uint64_t now(const Expectations& expected);

}  // namespace cs::keyms::checks
