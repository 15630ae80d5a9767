// SPDX-License-Identifier: GPL-3.0-or-later
// A message of each kind of the attestation session, for tests: every field has bytes of its own,
// so that two that are mixed up show.
#pragma once

#include <vector>

#include "keyms/session/messages.h"
#include "tests/support/unwrap.h"
#include "tests/unit/signer_messages.h"

namespace cs::test {

inline keyms::EvidenceStatement evidence_statement() {
  keyms::EvidenceStatement statement;
  statement.suite = 2;
  const auto key = counted<65>(4);
  statement.public_key.assign(key.begin(), key.end());
  statement.key_id = 0x11223344;
  statement.not_after = 1'800'000'000;
  statement.lifetime_ms = 600'000;
  statement.first_lane = 256;
  statement.last_lane = 319;
  statement.measurement = counted<32>(0x80);
  statement.wall_clock = 1'799'999'000;
  return statement;
}

inline keyms::EvidenceMessage least_evidence() {
  keyms::EvidenceMessage evidence;
  evidence.statement = get(keyms::encode(evidence_statement()));
  evidence.quote = {{0xa1}, {0xa2}};
  return evidence;
}

inline keyms::EvidenceMessage whole_evidence() {
  keyms::EvidenceMessage evidence = least_evidence();
  for (const tpm::HashAlgorithm bank : {tpm::HashAlgorithm::sha384, tpm::HashAlgorithm::sha1}) {
    for (const std::uint32_t pcr : {23U, 0U, 10U}) get(evidence.values.set(pcr, tpm::Digest(bank)));
  }
  evidence.event_register = keyms::NvEvidence{{0xb1}, {{0xb2}, {0xb3}}, {0xb4}};
  evidence.signing_key = keyms::KeyEvidence{{0xc1}, {{0xc2}, {0xc3}}};
  evidence.sizes = {1, 0x100, 0x10000, 0x100000000, 0};
  evidence.endorsement_key = {0xd1};
  evidence.credential = keyms::CredentialFor{{0xe1}, {0xe2}};
  evidence.vouchers = {{1, {0xf1}}, {~std::uint64_t{0}, {0xf2}}};
  return evidence;
}

inline const keyms::Bytes& part_bytes() {
  static const keyms::Bytes bytes(keyms::most_part, 0x77);
  return bytes;
}

inline std::vector<keyms::Sealed> sealed_samples() {
  using namespace keyms;  // NOLINT(google-build-using-namespace): a test of just that
  const CredentialFor credential{{0x91}, {0x92}};
  const Hash proof = counted<32>(0x33);
  const std::vector<Reason> reasons(most_reasons,
                                    {std::string(most_code, 'a'), std::string(most_text, '~')});
  Sas sas;
  sas.sas.assign(most_sas, {0xffffffff, 2, 51, std::string(400, ' '), counted<32>(1)});
  SasGone gone;
  gone.sas.assign(most_sas, {256, 1});
  return {least_evidence(),
          whole_evidence(),
          Get{Log::endorsement, ~std::uint64_t{0}, most_get},
          Get{Log::boot, 0, 1},
          Part{Log::ima, 0x1234567, part_bytes()},
          ResultMessage{},
          ResultMessage{proof, {}},
          ResultMessage{{}, credential},
          ResultMessage{proof, credential},
          FinalMessage{},
          FinalMessage{proof},
          Denied{reasons},
          Denied{{{"0_z", " "}}},
          Ready{},
          Alive{},
          Sas{{{256, 1, 50, "aes256gcm16", counted<32>(7)}}},
          sas,
          SasGone{{{0xffffffff, 2}}},
          gone,
          Notice{NoticeKind::drift, "x"},
          Notice{NoticeKind::acknowledged, std::string(most_text, 'y')},
          Deny{{{"drift", "the kernel has another policy"}}}};
}

}  // namespace cs::test
