// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as the contents of an NV index or a file: the whole way to the fields of certificates.
#include <algorithm>
#include <string>

#include "tests/fuzz/fuzz.h"
#include "tpm/certificates/certificate.h"
#include "tpm/certificates/nv_certificate.h"

using namespace cs;
using cs::fuzz::expect;

namespace {

bool is_printable(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c != 0x7f; });
}

void look_at(const tpm::Certificate& certificate) {
  const tpm::CertificateFields& fields = certificate.fields();
  expect(fields.fingerprint.size() == 64 && !fields.key.empty(), "a certificate without a key");
  for (const std::string* text : {&fields.subject, &fields.issuer, &fields.serial,
                                  &fields.not_after, &fields.manufacturer, &fields.issuer_url}) {
    expect(is_printable(*text), "text that is not printable ASCII");
  }
  const auto findings = check(certificate, SystemClock(), certificate.public_key());
  for (const auto& one : findings.checks()) {
    expect(!one.sentence.empty(), "judged without words");
  }
  static_cast<void>(certificate.is_signed_by(certificate.public_key()));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto found = tpm::find_certificates({data, size});
  if (!found.ok()) {
    expect(!found.error().message().empty(), "refused without words");
    return 0;
  }
  expect(!found->empty() && found->size() <= tpm::most_certificates, "a number beyond the limit");
  for (const tpm::EncodedCertificate& encoded : *found) {
    const auto certificate = tpm::Certificate::parse(encoded.der);
    if (certificate.ok()) look_at(*certificate);
  }
  return 0;
}
