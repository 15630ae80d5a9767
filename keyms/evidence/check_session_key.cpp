// SPDX-License-Identifier: GPL-3.0-or-later
// The key that its packets will be signed with.
#include <algorithm>
#include <string>

#include "keyms/evidence/checks.h"
#include "keyms/evidence/registers.h"
#include "keyms/signer_protocol.h"
#include "tpm/evidence/certify.h"
#include "tpm/evidence/key_check.h"

namespace cs::keyms::checks {

namespace {

constexpr std::size_t coordinate = 32;

// Whether these bytes are a key at all.
std::string fault_of(const ShownKey& key) {
  if (key.suite < 1 || key.suite > 4) return "a suite nobody knows, " + std::to_string(key.suite);
  const std::size_t size = public_key_size(static_cast<Suite>(key.suite));
  if (key.public_key.size() != size) {
    return std::to_string(key.public_key.size()) + " bytes in place of " + std::to_string(size);
  }
  if (size != 1 + 2 * coordinate) return {};
  tpm::PublicArea area;
  area.curve = tpm::Curve::p256;
  const ByteView x = key.public_key.subspan(1, coordinate);
  const ByteView y = key.public_key.subspan(1 + coordinate);
  area.unique.assign(x.begin(), x.end());
  area.unique_y.assign(y.begin(), y.end());
  if (key.public_key[0] != 4 || !tpm::PublicKey::from(area).ok()) return "no point of P-256";
  return {};
}

void judge_kind(Case& c) {
  const ShownKey& key = c.shown.session_key;
  const auto wanted = static_cast<std::uint8_t>(c.expected.policy.signing.suite);
  if (const std::string fault = fault_of(key); !fault.empty()) {
    return c.found.fails(Criterion::session_key,
                         "expected a key of suite " + std::to_string(wanted) + ", found " + fault);
  }
  const auto kind = [](std::uint8_t suite, bool resident) {
    return "suite " + std::to_string(suite) + (resident ? " in the TPM" : " in memory");
  };
  const bool resident = c.expected.policy.signing.mode == SigningMode::tpm;
  c.found.compare(Criterion::session_key,
                  key.suite == wanted && key.resident.has_value() == resident,
                  "it is of " + kind(key.suite, resident), kind(wanted, resident),
                  kind(key.suite, key.resident.has_value()));
}

void judge_lifetime(Case& c) {
  const std::uint64_t time = now(c.expected);
  const std::uint64_t end = c.shown.session_key.not_after;
  const auto most = static_cast<std::uint64_t>(c.expected.policy.signing.key_lifetime.count());
  const std::uint64_t last = time + most + allowed_skew;
  c.found.compare(Criterion::session_key_lifetime, end > time && end <= last,
                  "until " + time_text(end),
                  "an end after " + time_text(time) + " and not after " + time_text(last),
                  time_text(std::min(end, max_not_after)));
  const std::uint64_t lifetime = c.shown.session_key.lifetime_ms;
  if (lifetime == 0 || lifetime > most * 1000) {
    c.found.fails(Criterion::session_key_lifetime, "expected 1 to " + std::to_string(most * 1000) +
                                                       " ms, found " + std::to_string(lifetime));
  }
}

bool is_same(ByteView public_key, const tpm::PublicArea& area) {
  return public_key.size() == 1 + area.unique.size() + area.unique_y.size() &&
         std::ranges::equal(public_key.subspan(1, area.unique.size()), area.unique) &&
         std::ranges::equal(public_key.last(area.unique_y.size()), area.unique_y);
}

// Why it is not bound to this TPM and its registers. Empty: it is.
std::string fault_of(const Case& c, const ShownKey::Resident& resident) {
  if (resident.area.size() > max_public_area) return "its public area is too long";
  const auto area = tpm::PublicArea::parse(resident.area);
  if (!area.ok()) return area.error().message();
  if (!is_same(c.shown.session_key.public_key, *area)) return "it is of another key";
  const auto signature = tpm::Signature::parse(resident.certified.signature);
  if (!signature.ok()) return signature.error().message();
  if (!c.key || !c.quote_is_good) return "there is no quote to believe";
  const auto findings = verify_certify({resident.certified.bytes, *signature, *c.key}, *area, {},
                                       beside_quote(c.expected));
  if (!findings.ok()) return findings.error().message();
  if (auto why = attested_beside_quote(c, resident.certified, *findings); !why.empty()) return why;
  const tpm::PcrSelection selection = signing_registers(c.gateway);
  const auto composite = c.shown.values.composite(selection, tpm::HashAlgorithm::sha256);
  if (!composite.ok()) return composite.error().message();
  return failures(check_signing_key(*area, {selection, *composite}), {});
}

}  // namespace

void session_key(Case& c) {
  judge_kind(c);
  judge_lifetime(c);
  const auto& resident = c.shown.session_key.resident;
  if (c.expected.policy.signing.mode != SigningMode::tpm) {
    return c.found.holds(Criterion::session_key_resident, "not asked for");
  }
  const std::string fault =
      resident ? fault_of(c, *resident) : "expected a certificate by its TPM, found none";
  fault.empty() ? c.found.holds(Criterion::session_key_resident, "it is")
                : c.found.fails(Criterion::session_key_resident, fault);
}

}  // namespace cs::keyms::checks
