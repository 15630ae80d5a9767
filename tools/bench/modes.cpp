// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/modes.h"

#include <algorithm>

namespace cs::bench {

namespace {

constexpr const char* remote = "sign-remote";

const std::vector<Mode>& all_modes() {
  using enum EngineKind;
  // The packets of accept-in and drop are signed as those of verify and flood they are compared
  // with.
  static const std::vector<Mode> modes{
      {.name = "accept", .first = accept},
      {.name = "example", .first = example},
      {.name = "mangle", .first = mangle},
      {.name = "naive", .first = naive},
      {.name = "sign", .first = sign},
      {.name = "sign-tpm", .first = sign_tpm},
      {.name = remote, .first = sign_remote, .can_drain = false},
      {.name = "accept-in",
       .path = Path::in,
       .contents = Contents::with_signature,
       .first = accept},
      {.name = "verify", .path = Path::in, .contents = Contents::with_signature, .first = verify},
      {.name = "drop",
       .path = Path::in,
       .contents = Contents::forged,
       .first = EngineKind::drop,
       .delivers = false},
      {.name = "flood",
       .path = Path::in,
       .contents = Contents::forged,
       .first = verify,
       .delivers = false},
      {.name = "accept-twice",
       .path = Path::both,
       .first = accept,
       .second = accept,
       .can_drain = false},
      {.name = "end-to-end",
       .path = Path::both,
       .first = sign,
       .second = verify,
       .can_drain = false},
  };
  return modes;
}

}  // namespace

std::vector<std::string> mode_names() {
  std::vector<std::string> names;
  for (const Mode& mode : all_modes()) names.push_back(mode.name);
  return names;
}

std::vector<Mode> modes_of(const Options& options) {
  std::vector<Mode> chosen;
  for (const Mode& mode : all_modes()) {
    const auto& wanted = options.modes;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), mode.name) == wanted.end())
      continue;
    if (mode.name != remote) {
      chosen.push_back(mode);
      continue;
    }
    for (const std::uint32_t milliseconds : options.signer_latencies_ms) {
      chosen.push_back(mode);
      chosen.back().name.append("-").append(std::to_string(milliseconds)).append("ms");
      chosen.back().signer_latency = std::chrono::milliseconds(milliseconds);
    }
  }
  return chosen;
}

const std::vector<Ratio>& all_ratios() {
  static const std::vector<Ratio> ratios{
      {"mangle/accept", "mangle", "accept"},
      {"sign/accept", "sign", "accept"},
      {"sign/mangle", "sign", "mangle"},
      {"sign/naive", "sign", "naive"},
      {"sign/example-accept", "sign", "example"},
      {"sign-tpm/sign", "sign-tpm", "sign"},
      {"verify/accept", "verify", "accept-in"},
      {"flood/drop", "flood", "drop"},
      {"end-to-end/accept", "end-to-end", "accept-twice"},
  };
  return ratios;
}

}  // namespace cs::bench
