// SPDX-License-Identifier: GPL-3.0-or-later
// Any text as a core policy: refused, or one that its own text gives back.
#include "keyms/policy/encode.h"
#include "keyms/policy/toml.h"
#include "tests/fuzz/fuzz.h"

using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const auto policy = cs::keyms::parse_toml_policy(text, "fuzz");
  if (!policy.ok()) {
    expect(!policy.error().message().empty(), "refused without words");
    return 0;
  }
  expect(cs::keyms::encode(*policy).ok(), "accepted what cannot be encoded");
  const auto again = cs::keyms::parse_toml_policy(cs::keyms::toml_text(*policy), "again");
  expect(again.ok() && *again == *policy, "a policy that does not come back");
  return 0;
}
