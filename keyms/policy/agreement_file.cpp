// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/agreement_file.h"

#include <algorithm>

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/policy/encode.h"
#include "tpm/evidence/key_check.h"
#include "tpm/evidence/name.h"
#include "tpm/evidence/public_key.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t format = 1;
constexpr std::string_view domain("countersign core policy v1\0", 27);

tpm::Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

Result<std::optional<PolicySignature>> read_signature(CborReader& in, std::uint64_t key) {
  std::optional<PolicySignature> out;
  if (!in.has_key(key)) return out;
  CS_TRY(const std::size_t items, in.array("a signature", 2));
  if (items != 2) return in.wrong("a signature", "has not 2 items");
  CS_TRY(const ByteView area, in.bytes("the key of a signature", max_key_area));
  CS_TRY(const ByteView signature, in.bytes("a signature", max_policy_signature));
  out = PolicySignature{copy(area), copy(signature)};
  return out;
}

Error wrong(std::string why) {
  return {ErrorKind::unverified, std::move(why)};
}

// The Name of the key that made it, where the policy takes that key's word.
Result<tpm::Name> check(const PolicySignature& one, const Gateway& gateway, ByteView document) {
  CS_TRY(const tpm::PublicArea area, tpm::PublicArea::parse(one.key));
  tpm::Name name = tpm::name_of(area);
  if (gateway.attestation_key && *gateway.attestation_key != name) {
    return wrong("it is of the key " + name.hex() + ", not of the one that the policy names");
  }
  const tpm::Findings findings = tpm::check_attestation_key(area);
  for (const tpm::Check& found : findings.checks()) {
    if (found.verdict == tpm::Verdict::fails) {
      return wrong("its key is no attestation key: " + found.sentence);
    }
  }
  CS_TRY(const tpm::PublicKey key, tpm::PublicKey::from(area));
  CS_TRY(const tpm::Signature signature, tpm::Signature::parse(one.signature));
  if (area.scheme != tpm::Scheme{signature.scheme, signature.hash}) {
    return wrong("it is not made by its key's own scheme");
  }
  if (!key.verifies(signature, document))
    return wrong("it is not of this policy, or not of its key");
  return name;
}

}  // namespace

Result<std::vector<std::uint8_t>> encode(const AgreementFile& file) {
  CborWriter out(max_agreement_file);
  const auto& [first, second] = file.signatures;
  out.map(2 + (first ? 1U : 0U) + (second ? 1U : 0U));
  out.key(0).number(format).key(1).bytes(file.policy);
  for (std::size_t i = 0; i < file.signatures.size(); ++i) {
    const auto& one = file.signatures.at(i);
    if (one) out.key(2 + i).array(2).bytes(one->key).bytes(one->signature);
  }
  return out.finish("encoding an agreement");
}

Result<AgreementFile> decode_agreement(ByteView bytes) {
  CborReader in(bytes, "an agreement");
  AgreementFile out;
  CS_CHECK(in.begin_map("it", 4));
  CS_CHECK(in.key(0, "the format"));
  CS_TRY(const std::uint64_t found, in.number("the format", format));
  if (found != format) return in.wrong("the format", "is not 1");
  CS_CHECK(in.key(1, "the policy"));
  CS_TRY(const ByteView policy, in.bytes("the policy", max_policy_bytes));
  out.policy = copy(policy);
  for (std::size_t i = 0; i < out.signatures.size(); ++i) {
    CS_TRY(out.signatures.at(i), read_signature(in, 2 + i));
  }
  CS_CHECK(in.end_map("it"));
  CS_CHECK(in.end());
  return out;
}

std::vector<std::uint8_t> signed_document(ByteView policy) {
  std::vector<std::uint8_t> out(domain.size() + policy.size());
  std::ranges::copy(domain, out.begin());
  std::ranges::copy(policy, out.begin() + domain.size());
  return out;
}

Result<AgreementVerdict> verify(const AgreementFile& file) {
  AgreementVerdict out;
  CS_TRY(out.policy, decode_policy(file.policy));
  out.value = core_properties_value(file.policy);
  const auto document = signed_document(file.policy);
  for (std::size_t i = 0; i < out.signatures.size(); ++i) {
    const Gateway& gateway = out.policy.gateways.at(i);
    SignatureVerdict& verdict = out.signatures.at(i);
    if (!file.signatures.at(i)) {
      verdict.sentence = gateway.ne_id + " has not signed it";
      continue;
    }
    auto name = check(*file.signatures.at(i), gateway, document);
    verdict.state = name.ok() ? SignatureState::good : SignatureState::wrong;
    verdict.sentence = name.ok() ? gateway.ne_id + " has signed it"
                                 : "the signature for " + gateway.ne_id +
                                       " does not hold: " + name.error().message();
    if (name.ok()) verdict.key = *std::move(name);
  }
  return out;
}

Result<AgreementVerdict> read_agreed(ByteView bytes) {
  CS_TRY(const AgreementFile file, decode_agreement(bytes));
  CS_TRY(AgreementVerdict verdict, verify(file));
  std::string why;
  for (const SignatureVerdict& one : verdict.signatures) {
    if (one.state != SignatureState::good) why += (why.empty() ? "" : ", and ") + one.sentence;
  }
  if (why.empty()) return verdict;
  return Error(ErrorKind::unverified,
               "the core policy '" + verdict.policy.name + "' is not agreed: " + why);
}

}  // namespace cs::keyms
