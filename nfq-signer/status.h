// SPDX-License-Identifier: GPL-3.0-or-later
// What the data plane tells of itself, as JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nfq-signer/counters.h"
#include "nfq-signer/path_keeper.h"

namespace cs {

struct WorkerStatus {
  std::string direction;  // outbound, inbound
  std::uint16_t queue = 0;
  const WorkerCounters* counters = nullptr;
};

struct Status {
  bool is_closed = false;
  std::string reason;  // why, and the cure
  bool has_keymsd = false;
  std::string keymsd_trouble;  // why not
  std::size_t peers = 0;
  std::size_t outbound_keys = 0;
  std::size_t inbound_keys = 0;
  std::vector<WorkerStatus> workers;
  std::span<const mtu::PathState> paths;
};

// One object with schema_version, and a newline. Counters that are 0 are there as well.
std::string status_json(const Status& status);

}  // namespace cs
