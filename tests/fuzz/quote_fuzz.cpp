// SPDX-License-Identifier: GPL-3.0-or-later
// Any attestation, signature and key together, each behind its length, verified as a quote and as
// whatever else a TPM attests: what is found follows from what is there.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/evidence/certify.h"
#include "tpm/evidence/quote.h"

namespace {

using cs::ByteView;
using cs::fuzz::expect;
using cs::tpm::Attest;
using cs::tpm::PublicKey;
using cs::tpm::Signature;
using cs::tpm::Verdict;

bool fails(const cs::tpm::Findings& findings, std::string_view code) {
  const auto codes = findings.codes(Verdict::fails);
  return std::ranges::find(codes, code) != codes.end();
}

void look_at(const cs::tpm::SignedAttest& file) {
  cs::tpm::QuoteExpectations expected;
  expected.attest.qualifying_data = {0xc0, 0xff, 0xee};
  const auto report = cs::tpm::verify_quote(file, expected);
  expect(report.ok() == Attest::parse(file.bytes).ok(), "a quote that is no attestation");
  if (!report.ok()) return;
  const Attest& attest = report->attest;
  expect(report->findings.checks().size() == 13, "a check left out");
  expect(fails(report->findings, "magic") == (attest.magic != cs::tpm::attest_magic), "magic");
  expect(fails(report->findings, "type") == (attest.type != cs::tpm::AttestType::quote), "type");
  expect(fails(report->findings, "signature") != file.key.verifies(file.signature, file.bytes),
         "signature");
  expect(!report->findings.all_hold(), "all holds where nothing was expected");
  expect(cs::tpm::verify_certify(file, {}, {}, {}).ok(), "an attestation for one, not the other");
  expect(cs::tpm::verify_nv_certify(file, {}, {}).ok(), "an attestation for one, not the other");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cs::ByteReader in({data, size});
  ByteView attest;
  ByteView signature;
  if (!in.vec16be(size, attest) || !in.vec16be(size, signature)) return 0;
  const auto typed = Signature::parse(signature);
  if (typed.ok()) expect(std::ranges::equal(typed->encode(), signature), "read, not written back");
  static_cast<void>(Attest::parse(attest));
  const auto key = PublicKey::read(in.rest());
  if (!key.ok()) return 0;
  const auto file = read_signature(signature, *key);
  if (file.ok()) look_at({cs::tpm::without_size(attest), file->signature, *key});
  return 0;
}
