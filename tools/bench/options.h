// SPDX-License-Identifier: GPL-3.0-or-later
// What the user asked for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nfq-signer/extension.h"
#include "nfq-signer/packet.h"

namespace cs::bench {

// drain: a full queue is emptied, by the engine alone. live: packets come while it works.
enum class Setup : std::uint8_t { drain, live };
[[nodiscard]] constexpr const char* to_string(Setup setup) noexcept {
  return setup == Setup::drain ? "drain" : "live";
}

inline constexpr std::size_t max_queues = 16;

struct Options {
  std::size_t size = 1400;  // bytes of the IP packet, unsigned
  double seconds = 2;       // of one measurement
  std::size_t rounds = 5;
  std::size_t batch = 64;
  std::size_t queues = 1;
  std::vector<std::string> modes;  // names of modes.h; none: all
  std::vector<Setup> setups;
  std::vector<std::uint32_t> signer_latencies_ms;
  Protocol protocol = Protocol::esp;
  Suite suite = Suite::p256_node16;
  bool ipv6 = false;
  bool json = false;
  bool sweep = false;
  std::string plot;  // file to write; empty: none

  [[nodiscard]] bool has(Setup setup) const noexcept;
};

// nullopt: the program is to end with `exit_code`; what there was to say was said.
[[nodiscard]] std::optional<Options> read_options(int argc, char** argv, int& exit_code);

}  // namespace cs::bench
