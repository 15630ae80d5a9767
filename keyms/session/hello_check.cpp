// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/hello_check.h"

#include <algorithm>

#include "base/constant_time.h"
#include "tpm/evidence/key_check.h"
#include "tpm/evidence/name.h"
#include "tpm/evidence/public_key.h"

namespace cs::keyms {

namespace {

// All are compared, whichever fits.
bool is_one_of(std::span<const std::array<std::uint8_t, 32>> values, ByteView value) {
  bool found = false;
  for (const auto& one : values) found |= constant_time_equal(one, value);
  return found;
}

std::optional<HelloFault> find_fault(const EndpointStatement& statement,
                                     const HelloExpectations& expected) {
  if (statement.ne_id != expected.peer) return HelloFault::statement;
  if (statement.certificate != expected.certificate) return HelloFault::statement_certificate;
  const auto now = to_time_t(expected.now);
  const bool holds = now >= 0 && static_cast<std::uint64_t>(now) >= statement.not_before &&
                     static_cast<std::uint64_t>(now) <= statement.not_after;
  if (!holds) return HelloFault::statement_dates;
  return std::nullopt;
}

bool signed_by(const tpm::PublicArea& area, const SessionHello& hello) {
  const auto key = tpm::PublicKey::from(area);
  const auto signature = tpm::Signature::parse(hello.signature);
  // The key's own scheme says SHA-256 (check_attestation_key): another hash is not its signature.
  return key.ok() && signature.ok() && signature->hash == tpm::HashAlgorithm::sha256 &&
         signature->scheme == area.scheme.algorithm &&
         key->verifies(*signature, signed_endpoint(hello.statement));
}

}  // namespace

std::optional<HelloFault> find_fault(const SessionHello& hello, const HelloExpectations& expected) {
  if (hello.role != expected.role) return HelloFault::role;
  if (hello.to != expected.self) return HelloFault::receiver;
  if (hello.from != expected.peer) return HelloFault::sender;
  if (!is_one_of(expected.core_properties, hello.core_properties))
    return HelloFault::core_properties;
  const auto area = tpm::PublicArea::parse(hello.ak_public);
  if (!area.ok() || !tpm::check_attestation_key(*area).none_fails()) return HelloFault::ak_public;
  if (expected.attestation_key != nullptr && tpm::name_of(*area) != *expected.attestation_key)
    return HelloFault::ak_name;
  const auto statement = decode_endpoint_statement(hello.statement);
  if (!statement.ok()) return HelloFault::statement;
  if (const auto fault = find_fault(*statement, expected)) return fault;
  if (!signed_by(*area, hello)) return HelloFault::statement_signature;
  return std::nullopt;
}

}  // namespace cs::keyms
