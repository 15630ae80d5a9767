// SPDX-License-Identifier: GPL-3.0-or-later
// Any text as a swanctl.conf: refused in words, or a policy with a text of its own.
#include "keyms/policy/from_swanctl.h"
#include "keyms/policy/toml.h"
#include "tests/fuzz/fuzz.h"

using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const auto drawn = cs::keyms::from_swanctl(text, "fuzz", "", {});
  if (!drawn.ok()) {
    expect(!drawn.error().message().empty(), "refused without words");
    return 0;
  }
  for (const std::string& note : drawn->notes) expect(!note.empty(), "a note without words");
  expect(!cs::keyms::toml_text(drawn->policy).empty(), "a policy without text");
  return 0;
}
