// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/attest_check.h"

#include <string>

#include "base/hex.h"
#include "tpm/evidence/key_check.h"

namespace cs::tpm {

namespace {

std::string hex(std::uint32_t number) {
  ByteBuilder out(sizeof(number));
  out.u32be(number);
  return "0x" + hex_encode(finish(out));
}

std::string hex_or_nothing(ByteView bytes) {
  return bytes.empty() ? "nothing" : hex_encode(bytes);
}

void check_key(Findings& findings, const PublicKey& key) {
  if (key.area() == nullptr) {
    findings.not_checked("key",
                         "whether the key signs only what its TPM attests: a PEM does not tell");
    return;
  }
  const Findings attributes = check_attestation_attributes(*key.area());
  std::string wrong;
  for (const Check& check : attributes.checks()) {
    if (check.verdict != Verdict::fails) continue;
    wrong += (wrong.empty() ? "" : "; ") + check.sentence;
  }
  if (wrong.empty()) {
    findings.holds("key", "the key signs only what its TPM attests");
  } else {
    findings.fails("key", wrong);
  }
}

void check_scheme(Findings& findings, const Signature& signature, const PublicKey& key) {
  const Scheme found{signature.scheme, signature.hash};
  if (signature.hash == HashAlgorithm::sha1) {
    findings.fails("scheme", "expected a hash without known collisions, found " + found.text());
    return;
  }
  if (key.area() != nullptr) {
    findings.compare("scheme", key.area()->scheme == found,
                     "signed by " + found.text() + ", as its key does",
                     key.area()->scheme.text() + ", the key's own", found.text());
    return;
  }
  findings.compare("scheme", key.is_rsa() == (found.algorithm != Algorithm::ecdsa),
                   "signed by " + found.text(), "what a key of " + key.text() + " can make",
                   found.text());
}

}  // namespace

void check_attest(Findings& findings, const SignedAttest& file, const Attest& attest,
                  AttestType wanted, const AttestExpectations& expected) {
  findings.compare("magic", attest.magic == attest_magic, "a TPM made it", hex(attest_magic),
                   hex(attest.magic));
  findings.compare("type", attest.type == wanted, "it is " + to_string(wanted), to_string(wanted),
                   to_string(attest.type));
  check_key(findings, file.key);
  check_scheme(findings, file.signature, file.key);
  if (file.key.verifies(file.signature, file.bytes)) {
    findings.holds("signature", "the key signed it");
  } else {
    findings.fails("signature", "expected a signature by this key (" + file.key.text() +
                                    "), found one that does not verify");
  }
  if (expected.qualifying_data) {
    findings.compare("qualifying_data", attest.extra_data == *expected.qualifying_data,
                     "it answers the nonce asked with", hex_or_nothing(*expected.qualifying_data),
                     hex_or_nothing(attest.extra_data));
  } else {
    findings.not_checked("qualifying_data", "whether it answers a nonce");
  }
  if (expected.signer) {
    findings.compare("signer", attest.signer == *expected.signer,
                     "its signer is where it should be in the TPM", expected.signer->hex(),
                     hex_or_nothing(attest.signer.bytes));
  } else {
    findings.not_checked("signer", "where in the TPM its signer is");
  }
}

}  // namespace cs::tpm
