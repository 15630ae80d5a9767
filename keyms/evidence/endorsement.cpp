// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/endorsement.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "base/openssl.h"
#include "keyms/evidence/evidence.h"
#include "tpm/certificates/chain.h"
#include "tpm/certificates/nv_certificate.h"
#include "tpm/evidence/public_key.h"

namespace cs::keyms {

namespace {

Error refused(const std::string& why) {
  return {ErrorKind::unverified, why};
}

// What cannot be read is passed over: a TPM may hold much, of which one certificate will do.
std::vector<tpm::Certificate> read_all(ByteView bytes) {
  std::vector<tpm::Certificate> all;
  const auto found = tpm::find_certificates(bytes);
  if (!found.ok()) return all;
  for (const tpm::EncodedCertificate& encoded : *found) {
    if (encoded.form != tpm::CertificateForm::public_key) continue;
    auto parsed = tpm::Certificate::parse(encoded.der);
    if (parsed.ok()) all.push_back(std::move(*parsed));
  }
  return all;
}

std::string first_failure(const tpm::Findings& findings) {
  for (const tpm::Check& check : findings.checks()) {
    if (check.verdict != tpm::Verdict::holds) return check.sentence;
  }
  return {};
}

std::string fault_of(const tpm::Certificate& certificate,
                     const std::vector<const tpm::Certificate*>& given,
                     const tpm::VendorRoots& roots, const Clock& clock, std::string& vouched) {
  if (auto why = first_failure(check(certificate, clock)); !why.empty()) return why;
  const tpm::Chain chain = verify_chain(certificate, given, roots, clock);
  if (chain.check.verdict != tpm::Verdict::holds) return chain.check.sentence;
  vouched = certificate.name() + ", by " + chain.path.back();
  return {};
}

}  // namespace

Result<Endorsement> find_endorsement(ByteView key, ByteView certificates,
                                     const tpm::VendorRoots& roots, const Clock& clock) {
  if (key.empty()) return refused("it has shown no endorsement key");
  if (key.size() > max_public_area) return refused("an endorsement key that is too long");
  Endorsement found;
  CS_TRY(found.area, tpm::PublicArea::parse(key));
  CS_TRY(const tpm::PublicKey public_key, tpm::PublicKey::from(found.area));
  const std::vector<tpm::Certificate> all = read_all(certificates);
  std::vector<const tpm::Certificate*> given;
  given.reserve(all.size());
  for (const tpm::Certificate& certificate : all) given.push_back(&certificate);
  std::string why = "none of the " + std::to_string(all.size()) +
                    " certificates it has sent is of its endorsement key";
  for (const tpm::Certificate& certificate : all) {
    if (EVP_PKEY_eq(certificate.public_key(), public_key.openssl()) != 1) continue;
    const std::string fault = fault_of(certificate, given, roots, clock, found.vouched);
    if (fault.empty()) return found;
    why = certificate.name() + ": " + fault;
  }
  return refused(why);
}

Hash hash_of(const tpm::VendorRoots& roots) {
  std::vector<std::string> fingerprints;
  for (const auto& anchor : roots.anchors()) fingerprints.push_back(anchor.fields().fingerprint);
  for (const auto& other : roots.intermediates()) {
    fingerprints.push_back(other.fields().fingerprint);
  }
  std::ranges::sort(fingerprints);
  tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
  hasher.start();
  for (const std::string& fingerprint : fingerprints) {
    hasher.add({reinterpret_cast<const std::uint8_t*>(fingerprint.data()), fingerprint.size()});
  }
  Hash hash{};
  std::ranges::copy(hasher.finish().bytes(), hash.begin());
  return hash;
}

}  // namespace cs::keyms
