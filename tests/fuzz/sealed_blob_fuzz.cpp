// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as sealed data: what is accepted is what we would have written, under the policy it
// says.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/seal/sealed_blob.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using cs::fuzz::expect;
  const cs::ByteView bytes(data, size);
  const auto blob = cs::tpm::SealedBlob::parse(bytes);
  if (!blob.ok()) return 0;
  const auto& header = blob->header;
  expect(header.policy.approved.has_value() == header.policy.state.selection().banks.empty(),
         "both a state and an approver, or neither");
  expect(std::ranges::equal(header.policy.digest().bytes(), header.object.policy),
         "an object with another policy");
  expect(header.object.attributes == cs::tpm::sealed_attributes(header.policy.auth_value),
         "an object that opens otherwise");
  const auto written = header.encode(blob->ciphertext.size());
  expect(written.ok() && std::ranges::equal(*written, blob->associated), "is written otherwise");
  expect(blob->associated.size() + blob->ciphertext.size() + blob->tag.size() == size &&
             blob->associated.data() == data && blob->tag.data() + blob->tag.size() == data + size,
         "bytes that belong to nothing");
  return 0;
}
