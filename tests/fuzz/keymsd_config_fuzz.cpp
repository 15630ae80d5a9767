// SPDX-License-Identifier: GPL-3.0-or-later
// Any text as keymsd's configuration: it is refused, with words, or what it says is possible.
#include <string_view>

#include "keyms/daemon/config.h"
#include "tests/fuzz/fuzz.h"

using namespace cs::keyms;
using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_daemon_config(text, "fuzz");
  if (!config.ok()) {
    expect(!config.error().message().empty(), "refused without words");
    return 0;
  }
  expect(!config->tcti.empty() && !config->state_directory.empty(), "no TPM, or no store");
  expect(config->static_pcr < 24, "no such register");
  expect(config->resettable || (config->static_pcr != 16 && config->static_pcr != 23),
         "a static register that anybody may reset");
  static_cast<void>(configuration_digest(*config));
  return 0;
}
