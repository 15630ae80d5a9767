// SPDX-License-Identifier: GPL-3.0-or-later
// All measurements of one call, and what they amount to.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/measure.h"

namespace cs::bench {

inline constexpr std::array<int, 3> latency_loads{10, 50, 90};  // per cent of the live capacity
inline constexpr double calm_pps = 1000;                        // and one that is no load at all

// Medians over the rounds.
struct ModeResult {
  std::string mode;
  Setup setup = Setup::drain;
  std::size_t batch = 0;
  double pps = 0;
  double gbps = 0;  // of unsigned IP packets
  double cpu_us_per_packet = 0;
  double overhead_bytes = 0;
  double memory_mib = 0;  // 0 in setup drain
  std::optional<std::array<Paced, latency_loads.size()>> latency{};
  Paced calm{};   // with latency
  Drops drops{};  // of all rounds
};

struct RatioResult {
  std::string name;
  Setup setup = Setup::drain;
  double value = 0;  // the median of the ratios within each round
};

struct SweepPoint {
  int load_percent = 0;
  Paced paced;
};

struct Results {
  std::vector<ModeResult> modes;
  std::vector<RatioResult> ratios;
  std::vector<SweepPoint> sweep;
  std::optional<Paced> beside_flood{};  // good packets, with as many forged ones among them
  std::string steered_by;
};

Result<Results> run_all(const Options& options);

// Of at least one value.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace cs::bench
