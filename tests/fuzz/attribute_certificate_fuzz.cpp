// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as an attribute certificate: refused with words, or judged; never verified.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/certificates/attribute_certificate.h"

using namespace cs;
using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto platform = tpm::AttributeCertificate::parse({data, size});
  if (!platform.ok()) {
    expect(!platform.error().message().empty(), "refused without words");
    return 0;
  }
  const auto verdict = tpm::verify_platform(*platform, {}, nullptr, SystemClock());
  expect(std::ranges::any_of(verdict.findings.checks(),
                             [](const auto& one) { return one.code == "signature"; }),
         "nothing said about the signature");
  for (const auto& one : verdict.findings.checks()) {
    expect(one.code != "signature" || one.verdict == tpm::Verdict::not_checked,
           "a signature judged without a key");
    expect(!one.sentence.empty(), "judged without words");
  }
  return 0;
}
