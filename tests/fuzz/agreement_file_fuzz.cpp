// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a signed core policy: never agreed without two good signatures, and one form only.
#include <algorithm>

#include "keyms/policy/agreement_file.h"
#include "tests/fuzz/fuzz.h"

using cs::fuzz::expect;
using namespace cs::keyms;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto file = decode_agreement(bytes);
  if (!file.ok()) {
    expect(!file.error().message().empty(), "refused without words");
    return 0;
  }
  const auto again = encode(*file);
  expect(again.ok() && std::ranges::equal(*again, bytes), "a second form of one file");
  const auto verdict = verify(*file);
  if (!verdict.ok()) return 0;
  expect(read_agreed(bytes).ok() == verdict->is_agreed(), "agreed or not?");
  for (std::size_t i = 0; i < 2; ++i) {
    const SignatureVerdict& one = verdict->signatures.at(i);
    expect(file->signatures.at(i).has_value() == (one.state != SignatureState::missing),
           "whose is it?");
    expect(!one.sentence.empty() && one.key.has_value() == (one.state == SignatureState::good),
           "a verdict without words");
  }
  return 0;
}
