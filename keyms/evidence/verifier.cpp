// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/verifier.h"

#include "keyms/evidence/checks.h"

namespace cs::keyms {

namespace {

// What was kept counts for the key that the policy names, and no other.
const PeerMemory* of_this_key(const PeerMemory* memory, const Gateway& gateway) {
  const bool counts = memory != nullptr && gateway.attestation_key &&
                      memory->attestation_key == *gateway.attestation_key;
  return counts ? memory : nullptr;
}

// What the checks leave as it is stays as it was within a boot: what was seen once, also by a
// verdict that refused, is not forgotten because something else cannot be read now.
PeerMemory to_begin_with(const checks::Case& c) {
  PeerMemory next;
  next.attestation_key = c.name;
  next.clock = c.quote->clock;
  next.firmware = c.quote->firmware;
  if (c.memory == nullptr) return next;
  next.proven_under = c.memory->proven_under;
  next.configuration = c.memory->configuration;
  if (!c.same_boot) return next;
  next.static_log = c.memory->static_log;
  next.event_log = c.memory->event_log;
  next.ima = c.memory->ima;
  next.acknowledged = c.memory->acknowledged;
  return next;
}

}  // namespace

Appraisal appraise_hello(const Evidence& shown, const Expectations& expected) {
  Appraisal found;
  checks::Case c{shown, expected, expected.gateway(), nullptr, found};
  identity(c);
  endpoint(c);
  return found;
}

Appraisal appraise(const Evidence& shown, const Expectations& expected, const PeerMemory* memory) {
  Appraisal found;
  const Gateway& gateway = expected.gateway();
  checks::Case c{shown, expected, gateway, of_this_key(memory, gateway), found};
  identity(c);
  proof(c);
  endpoint(c);
  quote(c);
  if (c.quote) c.next = to_begin_with(c);
  event_index(c);
  boot(c);
  logs(c);
  stories(c);
  ima(c);
  session_key(c);
  if (c.quote_is_good && found.good(Criterion::quote_clock) && found.good(Criterion::reset_count)) {
    found.memory = std::move(c.next);
  }
  return found;
}

bool wants_proof(const Expectations& expected, const PeerMemory* memory) {
  const PeerMemory* const known = of_this_key(memory, expected.gateway());
  return expected.gateway().proof == Proof::required && !checks::was_proven(expected, known);
}

std::uint64_t wanted_ima_offset(const Evidence& shown, const Expectations& expected,
                                const PeerMemory* memory) {
  const PeerMemory* const known = of_this_key(memory, expected.gateway());
  const auto quote = tpm::Attest::parse(shown.quote.bytes);
  const bool same_boot =
      known != nullptr && quote.ok() && quote->clock.reset_count == known->clock.reset_count;
  const ImaMark* const mark = checks::ima_mark(expected, known, same_boot);
  return mark == nullptr ? 0 : mark->offset;
}

}  // namespace cs::keyms
