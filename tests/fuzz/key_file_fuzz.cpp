// SPDX-License-Identifier: GPL-3.0-or-later
// Any text as a key file: what is accepted is within what a key record may say.
#include "nfq-signer/key_file.h"
#include "tests/fuzz/fuzz.h"

namespace {

using cs::fuzz::expect;

void look_at(const cs::KeyRecord& record, const cs::SecretBytes& gate_secret) {
  expect(record.scope.direction <= 1, "a direction of its own");
  expect(cs::is_known(static_cast<std::uint8_t>(record.scope.suite)), "a suite of its own");
  expect(record.lanes.first <= record.lanes.last, "lanes that end before they begin");
  expect(!record.lifetime || record.lifetime->count() > 0, "a lifetime of nothing");
  expect(gate_secret.size() == cs::Gate::secret_size, "a gate secret of another size");
  const cs::KeyEnd end = record.end({cs::WallTime{}, cs::BootTime(std::chrono::hours(1))});
  expect(end.deadline > cs::BootTime{}, "a deadline that overflowed");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto signs = cs::parse_private_key_file(text);
  const auto verifies = cs::parse_public_key_file(text);
  expect(!signs.ok() || !verifies.ok(), "both a private and a public key");
  if (signs.ok()) {
    look_at(signs->record, signs->gate_secret);
    expect(signs->private_key.size() == cs::SigningKey::private_size, "a private key of no size");
  }
  if (verifies.ok()) look_at(verifies->record, verifies->gate_secret);
  return 0;
}
