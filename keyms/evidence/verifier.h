// SPDX-License-Identifier: GPL-3.0-or-later
// Judges what a gateway shows: every check of criterion.h, in its order, whatever the ones before
// it found. No TPM, no I/O. docs/PROTOCOL.md, "The verifier", is the norm.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"
#include "keyms/evidence/appraisal.h"
#include "keyms/evidence/digest_list.h"
#include "keyms/evidence/evidence.h"
#include "keyms/policy/core_policy.h"
#include "tpm/certificates/vendor_roots.h"

namespace cs::keyms {

// How far two gateways' clocks may differ.
inline constexpr std::uint64_t allowed_skew = 60;  // seconds

// What the verifier knows itself. All it refers to must outlive it.
struct Expectations {
  const CorePolicy& policy;  // the agreed one
  Hash core_properties{};    // its value
  xfrm::End of;              // whose evidence this is
  Hash qualifying{};         // made of the session so far, and of what the evidence states
  // SHA-256 of the DER of the certificate that the channel showed; none: its carrier knows none.
  std::optional<Hash> channel_certificate = {};
  const tpm::VendorRoots* roots = nullptr;    // null: none are configured
  std::span<const DigestList> lists = {};     // whoever signed them
  std::span<const tpm::Digest> foreign = {};  // explained events that are not the gateway's
  const Clock& clock;

  [[nodiscard]] const Gateway& gateway() const noexcept {
    return policy.gateways.at(of == xfrm::End::left ? 0 : 1);
  }
};

// What a hello shows is enough for the identity and the endpoint: the other checks are not made, so
// ask for what has failed().
[[nodiscard]] Appraisal appraise_hello(const Evidence& shown, const Expectations& expected);

// `memory`: what was kept of this gateway, null: nothing.
[[nodiscard]] Appraisal appraise(const Evidence& shown, const Expectations& expected,
                                 const PeerMemory* memory);

// Whether its attestation key has still to be shown to be in a TPM: it has not been, or other
// vendors were trusted then.
[[nodiscard]] bool wants_proof(const Expectations& expected, const PeerMemory* memory);

// From where on IMA's list is wanted, by a quote that nobody has judged yet: 0, all of it.
[[nodiscard]] std::uint64_t wanted_ima_offset(const Evidence& shown, const Expectations& expected,
                                              const PeerMemory* memory);

}  // namespace cs::keyms
