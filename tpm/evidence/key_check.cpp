// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/key_check.h"

#include <array>
#include <string>

#include "base/hex.h"
#include "tpm/evidence/policy.h"

namespace cs::tpm {

namespace {

struct Attribute {
  std::uint32_t mask;
  std::string_view code;
  bool set;
  std::string_view because;
};

constexpr std::array<Attribute, 6> of_attestation_key{{
    {attribute::fixed_tpm, "fixedtpm", true, "it never leaves its TPM"},
    {attribute::fixed_parent, "fixedparent", true, "it never gets another parent"},
    {attribute::sensitive_data_origin, "sensitivedataorigin", true, "the TPM itself made it"},
    {attribute::restricted, "restricted", true, "it signs no attestation the TPM did not make"},
    {attribute::sign, "sign", true, "it signs"},
    {attribute::decrypt, "decrypt", false, "it does nothing else"},
}};
// These change who may use it, or not at all what its attestations say.
constexpr std::uint32_t free_of_attestation_key = attribute::user_with_auth |
                                                  attribute::admin_with_policy | attribute::no_da |
                                                  attribute::st_clear;

constexpr std::array<Attribute, 9> of_signing_key{{
    {attribute::fixed_tpm, "fixedtpm", true, "it never leaves its TPM"},
    {attribute::fixed_parent, "fixedparent", true, "it never gets another parent"},
    {attribute::sensitive_data_origin, "sensitivedataorigin", true, "the TPM itself made it"},
    {attribute::sign, "sign", true, "it signs"},
    {attribute::no_da, "noda", true, "nobody can lock it by guessing"},
    {attribute::user_with_auth, "userwithauth", false, "no password opens it, only the policy"},
    {attribute::admin_with_policy, "adminwithpolicy", false, "it can be certified"},
    {attribute::restricted, "restricted", false, "it signs what is handed to it"},
    {attribute::decrypt, "decrypt", false, "it does nothing else"},
}};

void check_attributes(Findings& findings, std::uint32_t attributes,
                      std::span<const Attribute> demanded, std::uint32_t free) {
  std::uint32_t others = attributes & ~free;
  for (const Attribute& attribute : demanded) {
    others &= ~attribute.mask;
    const bool is_set = (attributes & attribute.mask) != 0;
    const std::string wanted = std::string(attribute.code) + (attribute.set ? " set" : " clear");
    findings.compare(
        attribute.code, is_set == attribute.set, wanted + ": " + std::string(attribute.because),
        wanted + " (" + std::string(attribute.because) + ")", is_set ? "it set" : "it clear");
  }
  findings.compare("other_attributes", others == 0, "no other attribute is set",
                   "no other attribute", attribute_words(others));
}

std::string type_text(const PublicArea& area) {
  if (area.type == Algorithm::rsa) return "RSA with " + std::to_string(area.rsa_bits) + " bits";
  if (area.type != Algorithm::ecc) return to_string(area.type);
  return "ECC on curve " + std::to_string(static_cast<unsigned>(area.curve)) + " of the TCG";
}

bool is_agreed_size(const PublicArea& area) noexcept {
  return area.type == Algorithm::rsa ? area.rsa_bits == 2048
                                     : area.type == Algorithm::ecc && area.curve == Curve::p256;
}

void check_algorithms(Findings& findings, const PublicArea& area, const Scheme& scheme) {
  findings.compare("name_algorithm", area.name_algorithm == HashAlgorithm::sha256,
                   "its Name is a SHA-256", "a Name by sha256",
                   std::string(to_string(area.name_algorithm)));
  findings.compare("key_type", is_agreed_size(area), "it is " + type_text(area),
                   "P-256 (curve 3 of the TCG) or RSA with 2048 bits", type_text(area));
  findings.compare("scheme", area.scheme == scheme, "it signs by " + scheme.text(), scheme.text(),
                   area.scheme.text());
}

}  // namespace

Findings check_attestation_attributes(const PublicArea& area) {
  Findings findings;
  check_attributes(findings, area.attributes, of_attestation_key, free_of_attestation_key);
  return findings;
}

Findings check_attestation_key(const PublicArea& area) {
  Findings findings = check_attestation_attributes(area);
  check_algorithms(
      findings, area,
      {area.type == Algorithm::rsa ? Algorithm::rsassa : Algorithm::ecdsa, HashAlgorithm::sha256});
  return findings;
}

Findings check_signing_key(const PublicArea& area, const SigningKeyPolicy& policy) {
  Findings findings;
  check_attributes(findings, area.attributes, of_signing_key, 0);
  check_algorithms(findings, area, policy.scheme);
  const Digest demanded =
      Policy(HashAlgorithm::sha256).pcr(policy.selection, policy.composite).digest();
  findings.compare("policy", std::ranges::equal(area.policy, demanded.bytes()),
                   "its policy is that of the PCRs agreed on", "policy " + demanded.hex(),
                   area.policy.empty() ? "none" : hex_encode(area.policy));
  return findings;
}

}  // namespace cs::tpm
