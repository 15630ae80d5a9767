// SPDX-License-Identifier: GPL-3.0-or-later
// What can be measured, and what is compared with what.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/engine.h"

namespace cs::bench {

struct Mode {
  std::string name;
  Path path = Path::out;
  Contents contents = Contents::plain;
  EngineKind first = EngineKind::accept;  // the engine a packet meets first
  std::optional<EngineKind> second{};     // the other one, on Path::both
  bool can_drain = true;
  bool can_go_live = true;
  bool delivers = true;  // packets arrive behind it
  std::chrono::milliseconds signer_latency{0};

  [[nodiscard]] bool allows(Setup setup) const noexcept {
    return setup == Setup::drain ? can_drain : can_go_live;
  }
  // Puts signatures into plain packets.
  [[nodiscard]] bool signs() const noexcept {
    return first == EngineKind::sign || first == EngineKind::sign_remote ||
           first == EngineKind::sign_tpm;
  }
  [[nodiscard]] bool verifies() const noexcept {
    return first == EngineKind::verify || second == EngineKind::verify;
  }
};

// The rates of two modes, divided.
struct Ratio {
  const char* name;
  const char* above;
  const char* below;
};

[[nodiscard]] std::vector<std::string> mode_names();
// Those asked for; sign-remote once for each latency.
[[nodiscard]] std::vector<Mode> modes_of(const Options& options);
[[nodiscard]] const std::vector<Ratio>& all_ratios();

}  // namespace cs::bench
