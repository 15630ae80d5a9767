// SPDX-License-Identifier: GPL-3.0-or-later
// Who it is, whether its key is in a TPM, and whether the channel is its own.
#include <algorithm>

#include "base/hex.h"
#include "base/rfc3339.h"
#include "keyms/evidence/checks.h"
#include "keyms/evidence/endorsement.h"
#include "keyms/session/hello.h"
#include "tpm/evidence/key_check.h"
#include "tpm/evidence/name.h"

namespace cs::keyms::checks {

std::string time_text(std::uint64_t seconds) {
  return format_rfc3339(from_time_t(static_cast<std::time_t>(seconds)));
}

std::uint64_t now(const Expectations& expected) {
  return static_cast<std::uint64_t>(std::max<std::time_t>(to_time_t(expected.clock.wall()), 0));
}

std::string failures(const tpm::Findings& findings, std::initializer_list<std::string_view> codes) {
  std::string text;
  for (const tpm::Check& check : findings.checks()) {
    if (check.verdict == tpm::Verdict::holds) continue;
    if (codes.size() != 0 && std::ranges::find(codes, check.code) == codes.end()) continue;
    text += (text.empty() ? "" : "; ") + check.sentence;
  }
  return text;
}

namespace {

void judge_key(Case& c) {
  if (c.shown.attestation_key.size() > max_public_area) {
    return c.found.fails(Criterion::ak_attributes, "it is too long");
  }
  auto area = tpm::PublicArea::parse(c.shown.attestation_key);
  if (!area.ok()) return c.found.fails(Criterion::ak_attributes, area.error().message());
  c.name = name_of(*area);
  c.area = std::move(*area);
  auto key = tpm::PublicKey::from(*c.area);
  if (!key.ok()) return c.found.fails(Criterion::ak_attributes, key.error().message());
  c.key = std::move(*key);
  const std::string wrong = failures(check_attestation_key(*c.area), {});
  wrong.empty() ? c.found.holds(Criterion::ak_attributes, "it signs only what its TPM attests")
                : c.found.fails(Criterion::ak_attributes, wrong);
}

void judge_name(Case& c) {
  if (!c.gateway.attestation_key) {
    // The authority's certificate would have to say it; nobody sends one yet.
    return c.found.fails(Criterion::ak_name,
                         "expected a key that the policy's authority has enrolled, found no word "
                         "of the authority");
  }
  if (c.name.bytes.empty()) {
    return c.found.fails(Criterion::ak_name, "expected " + c.gateway.attestation_key->hex() +
                                                 ", found no key that can be read");
  }
  c.found.compare(Criterion::ak_name, c.name == *c.gateway.attestation_key, "it is " + c.name.hex(),
                  c.gateway.attestation_key->hex(), c.name.hex());
}

}  // namespace

void identity(Case& c) {
  c.found.compare(Criterion::ne_id, c.shown.ne_id == c.gateway.ne_id, "it is " + c.gateway.ne_id,
                  c.gateway.ne_id, std::string(c.shown.ne_id));
  judge_key(c);
  judge_name(c);
}

bool was_proven(const Expectations& expected, const PeerMemory* memory) {
  return expected.roots != nullptr && memory != nullptr && memory->proven_under &&
         *memory->proven_under == hash_of(*expected.roots);
}

void proof(Case& c) {
  const bool required = c.gateway.proof == Proof::required;
  std::string why = "no certificates of TPM vendors are configured here";
  if (c.expected.roots != nullptr) {
    const auto endorsement = find_endorsement(c.shown.endorsement_key, c.shown.logs.endorsement,
                                              *c.expected.roots, c.expected.clock);
    why = endorsement.ok() ? endorsement->vouched : endorsement.error().message();
    if (endorsement.ok()) c.found.endorsed = hash_of(*c.expected.roots);
  }
  // Shown once, it need not be shown again: neither key can leave its TPM.
  const bool before = was_proven(c.expected, c.memory);
  if (c.found.endorsed || before || !required) {
    c.found.holds(Criterion::tpm_vendor, c.found.endorsed ? why
                                         : before         ? "it was, when last asked for"
                                                          : "not asked for");
  } else {
    c.found.fails(Criterion::tpm_vendor, why);
  }
  if (before || !required) {
    c.found.holds(Criterion::tpm_activation,
                  before ? "it had opened a secret made for both keys" : "not asked for");
  } else {
    c.found.not_checked(Criterion::tpm_activation, "the secret has not come back yet");
  }
  before ? c.found.holds(Criterion::tpm_unproven, "it was proven before")
         : c.found.fails(Criterion::tpm_unproven,
                         c.found.endorsed ? "the secret has not come back" : why);
}

namespace {

void judge_statement(Case& c, const EndpointStatement& statement) {
  c.found.compare(Criterion::endpoint_statement, statement.ne_id == c.gateway.ne_id,
                  "it is of " + c.gateway.ne_id, c.gateway.ne_id, statement.ne_id);
  c.certificate = statement.certificate;
  const std::string certificate = hex_encode(statement.certificate);
  if (const auto& channel = c.expected.channel_certificate) {
    c.found.compare(Criterion::endpoint_certificate, statement.certificate == *channel,
                    "it is the channel's, " + certificate, hex_encode(*channel) + ", the channel's",
                    certificate);
  } else {
    c.found.holds(Criterion::endpoint_certificate, "the channel's carrier tells of none");
  }
  const std::uint64_t time = now(c.expected);
  const auto lifetime =
      static_cast<std::uint64_t>(c.expected.policy.attestation.certificate_lifetime.count());
  if (statement.not_before > time + allowed_skew || statement.not_after < time) {
    c.found.fails(Criterion::endpoint_validity,
                  "expected one that is valid at " + time_text(time) + ", found one from " +
                      time_text(statement.not_before) + " to " + time_text(statement.not_after));
  } else if (statement.not_after - statement.not_before > lifetime) {
    c.found.fails(Criterion::endpoint_validity,
                  "expected at most " + std::to_string(lifetime) + " s, found " +
                      std::to_string(statement.not_after - statement.not_before));
  } else {
    c.found.holds(Criterion::endpoint_validity, "until " + time_text(statement.not_after));
  }
}

}  // namespace

void endpoint(Case& c) {
  if (const auto statement = decode_endpoint_statement(c.shown.endpoint.bytes); statement.ok()) {
    judge_statement(c, *statement);
  } else {
    const std::string why = statement.error().message();
    c.found.fails(Criterion::endpoint_statement, why);
    c.found.not_checked(Criterion::endpoint_validity, why);
    c.found.not_checked(Criterion::endpoint_certificate, why);
  }
  const auto signature = tpm::Signature::parse(c.shown.endpoint.signature);
  if (!signature.ok()) {
    return c.found.fails(Criterion::endpoint_signature, signature.error().message());
  }
  if (!c.key || c.area->scheme != tpm::Scheme{signature->scheme, signature->hash} ||
      !c.key->verifies(*signature, signed_endpoint(c.shown.endpoint.bytes))) {
    return c.found.fails(Criterion::endpoint_signature,
                         "expected one by its attestation key, found one that does not verify");
  }
  c.found.holds(Criterion::endpoint_signature, "its attestation key has signed it");
}

}  // namespace cs::keyms::checks
