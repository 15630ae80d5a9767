// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as the public area of a key or an NV index: what is accepted is written back the same,
// so that its Name is the TPM's.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/evidence/key_check.h"
#include "tpm/evidence/make_credential.h"
#include "tpm/evidence/name.h"
#include "tpm/evidence/public_key.h"

namespace {

using cs::fuzz::expect;
using cs::tpm::PublicArea;
using cs::tpm::PublicKey;

void make_a_credential(const PublicArea& area) {
  auto secret = cs::SecretBytes::create(16);
  if (!secret.ok()) return;
  const auto made = cs::tpm::make_credential(area, name_of(area), *secret);
  expect(!made.ok() || PublicKey::from(area).ok(), "a credential for no key");
}

void look_at(const PublicArea& area, cs::ByteView bytes) {
  expect(std::ranges::equal(area.encode(), bytes), "read, not written back");
  expect(name_of(area).bytes.size() == 2 + digest_size(area.name_algorithm), "a Name of no size");
  const auto key = PublicKey::from(area);
  expect(!key.ok() || key->bits() >= 256, "a short key");
  const bool signs = check_attestation_key(area).all_hold();
  const bool free =
      check_signing_key(area, {{}, cs::tpm::Digest(cs::tpm::HashAlgorithm::sha256)}).all_hold();
  expect(!(signs && free), "a key both restricted and not");
  make_a_credential(area);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes = cs::tpm::without_size({data, size});
  const auto area = PublicArea::parse(bytes);
  if (area.ok()) look_at(*area, bytes);
  const auto index = cs::tpm::NvPublic::parse(bytes);
  if (index.ok()) expect(std::ranges::equal(index->encode(), bytes), "read, not written back");
  static_cast<void>(PublicKey::read({data, size}));
  return 0;
}
