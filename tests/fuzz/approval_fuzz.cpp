// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as an approval: what is accepted is what we would have written, and nobody has signed
// it.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/seal/approval.h"
#include "tpm/seal/counter_area.h"

namespace {

// The base point of P-256, whose private key, 1, would have to sign.
cs::tpm::PublicArea approver() {
  cs::tpm::PublicArea area;
  area.attributes = cs::tpm::attribute::sign | cs::tpm::attribute::user_with_auth;
  area.scheme = {cs::tpm::Algorithm::ecdsa, cs::tpm::HashAlgorithm::sha256};
  area.curve = cs::tpm::Curve::p256;
  area.unique = {0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
                 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
                 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96};
  area.unique_y = {0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
                   0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
                   0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
  return area;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using cs::fuzz::expect;
  const cs::ByteView bytes(data, size);
  const auto approval = cs::tpm::Approval::parse(bytes);
  if (!approval.ok()) return 0;
  expect(std::ranges::equal(approval->encode(), bytes), "is written otherwise");
  expect(cs::tpm::check_counter_index(approval->counter_index).ok(), "a counter of others");
  expect(!approval->state.selection().banks.empty(), "a state of nothing");
  expect(!approval->verify(approver(), approval->reference).ok(), "a signature from nowhere");
  return 0;
}
