// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <utility>

#include "tpm/certificates/attribute_certificate.h"
#include "tpm/certificates/openssl_text.h"

namespace cs::tpm {

namespace {

using List = std::vector<const Certificate*>;

Check check_holder(const AttributeCertificate& platform, const List& given) {
  constexpr std::string_view code = "holder";
  const AttributeCertificateFields& fields = platform.fields();
  if (fields.holder_serial.empty()) {
    return fails(code, "it names no certificate as its holder: it is bound to no TPM");
  }
  const std::string wanted =
      "the certificate " + fields.holder_serial + " of '" + fields.holder_issuer + "'";
  bool any = false;
  for (const Certificate* certificate : given) {
    if (certificate->fields().kind != CertificateKind::endorsement) continue;
    if (platform.is_held_by(*certificate)) return holds(code, "it belongs to " + wanted);
    any = true;
  }
  if (!any) return not_checked(code, "it belongs to " + wanted + ": give that too to check it");
  return fails(code, "it belongs to " + wanted + ", and the EK certificate given is another");
}

// Who may have signed it, by name.
List issuers_of(const AttributeCertificate& platform, const List& given, const VendorRoots* roots) {
  List list = given;
  if (roots != nullptr) {
    for (const Certificate& certificate : roots->intermediates()) list.push_back(&certificate);
    for (const Certificate& certificate : roots->anchors()) list.push_back(&certificate);
  }
  std::erase_if(list, [&](const Certificate* one) { return !platform.names_as_issuer(*one); });
  return list;
}

Check check_issuer_usage(const Certificate& issuer) {
  constexpr std::string_view code = "issuer_usage";
  const auto& usage = issuer.fields().key_usage;
  if (usage.empty() || std::ranges::find(usage, "digitalSignature") != usage.end()) {
    return holds(code, "its issuer may sign");
  }
  return fails(code, "its issuer '" + issuer.name() + "' may not sign it: the usage of that key " +
                         "is without digitalSignature");
}

}  // namespace

PlatformVerdict verify_platform(const AttributeCertificate& platform, const List& given,
                                const VendorRoots* roots, const Clock& clock) {
  PlatformVerdict verdict;
  verdict.findings = platform.check(clock);
  verdict.findings.add(check_holder(platform, given));
  verdict.findings.add(platform.check_strength());
  const List issuers = issuers_of(platform, given, roots);
  const std::string issuer = "'" + platform.fields().issuer + "'";
  if (issuers.empty()) {
    verdict.findings.add(
        roots == nullptr
            ? not_checked("signature", "it is issued by " + issuer + ": give that certificate too")
            : fails("issuer_missing", "it is issued by " + issuer +
                                          ", whose certificate is neither in " +
                                          roots->directory() + " nor among those given"));
    return verdict;
  }
  const auto signer = std::ranges::find_if(
      issuers, [&](const Certificate* one) { return platform.is_signed_by(one->public_key()); });
  if (signer == issuers.end()) {
    verdict.findings.add(
        fails("signature", "its signature does not verify under the key of " + issuer));
    return verdict;
  }
  verdict.findings.add(holds("signature", "its signature verifies under " + issuer));
  verdict.findings.add(check_issuer_usage(**signer));
  if (roots == nullptr) {
    verdict.path = {(*signer)->name()};
    verdict.findings.add(not_checked("chain", "chain not checked: give --roots"));
    return verdict;
  }
  Chain chain = verify_chain(**signer, given, *roots, clock);
  verdict.findings.add(std::move(chain.check));
  verdict.path = std::move(chain.path);
  return verdict;
}

}  // namespace cs::tpm
