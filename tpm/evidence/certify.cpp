// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/certify.h"

#include <algorithm>
#include <string>

#include "base/hex.h"
#include "tpm/evidence/name.h"

namespace cs::tpm {

namespace {

void check_name(Findings& findings, std::string_view code, const Name& expected,
                const Name& found) {
  findings.compare(code, expected == found, "it is " + expected.hex(), expected.hex(), found.hex());
}

void check_certified(Findings& findings, const Attest::Certify& certify, const PublicArea& subject,
                     const std::optional<Name>& parent) {
  check_name(findings, "name", name_of(subject), certify.name);
  if (parent) {
    check_name(findings, "qualified_name", qualified_name(subject, *parent),
               certify.qualified_name);
  } else {
    findings.not_checked("qualified_name", "where in the TPM it is");
  }
}

void check_contents(Findings& findings, ByteView expected, ByteView found) {
  findings.compare("contents", std::ranges::equal(expected, found), "they are as known",
                   hex_encode(expected), hex_encode(found));
}

void check_nv(Findings& findings, const Attest::Nv& nv, const NvContents& contents) {
  check_name(findings, "name", name_of(contents.index), nv.index);
  findings.compare("offset", nv.offset == contents.offset,
                   "from byte " + std::to_string(nv.offset) + " on",
                   std::to_string(contents.offset), std::to_string(nv.offset));
  check_contents(findings, contents.bytes, nv.contents);
}

void check_nv_digest(Findings& findings, const Attest::NvDigest& nv, HashAlgorithm hash,
                     const NvContents& contents) {
  check_name(findings, "name", name_of(contents.index), nv.index);
  const bool whole = contents.offset == 0 && contents.bytes.size() == contents.index.size;
  findings.compare("offset", whole, "all of the index", "all of the index",
                   "a part of it to compare with");
  check_contents(findings, Hasher(hash).hash({contents.bytes}).bytes(), nv.digest);
}

}  // namespace

Result<Findings> verify_certify(const SignedAttest& file, const PublicArea& subject,
                                const std::optional<Name>& parent,
                                const AttestExpectations& expected) {
  CS_TRY(const Attest attest, Attest::parse(file.bytes));
  Findings findings;
  check_attest(findings, file, attest, AttestType::certify, expected);
  if (const auto* const certify = std::get_if<Attest::Certify>(&attest.attested)) {
    check_certified(findings, *certify, subject, parent);
  }
  return findings;
}

Result<Findings> verify_nv_certify(const SignedAttest& file, const NvContents& contents,
                                   const AttestExpectations& expected) {
  CS_TRY(const Attest attest, Attest::parse(file.bytes));
  Findings findings;
  const bool is_digest = attest.type == AttestType::nv_digest;
  check_attest(findings, file, attest, is_digest ? AttestType::nv_digest : AttestType::nv,
               expected);
  if (const auto* const nv = std::get_if<Attest::Nv>(&attest.attested)) {
    check_nv(findings, *nv, contents);
  } else if (const auto* const digest = std::get_if<Attest::NvDigest>(&attest.attested)) {
    check_nv_digest(findings, *digest, file.signature.hash, contents);
  }
  return findings;
}

}  // namespace cs::tpm
