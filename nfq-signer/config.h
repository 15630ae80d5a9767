// SPDX-License-Identifier: GPL-3.0-or-later
// nfq-signer's configuration file: TOML, every field optional, none unknown.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "nfq-signer/marks.h"
#include "nfq-signer/peer.h"
#include "nfq-signer/tunnel.h"

namespace cs {

struct Config {
  // Outbound packets go to queues first … first + count − 1, inbound ones to the `count` behind
  // them.
  std::uint16_t first_queue = 100;
  std::uint16_t queues = 1;
  std::uint32_t queue_length = 2048;
  std::uint32_t slots = 4096;  // packets a worker may hold while their batch is being signed
  std::vector<int> cpus;       // worker i on cpus[i]; empty: as the kernel likes

  std::uint32_t max_batch = 64;
  std::chrono::microseconds interval{100};

  std::vector<std::uint16_t> udp_ports{4500};
  Translator translator;
  Marks marks;

  mtu::Policy mtu_policy = mtu::Policy::cap;
  std::vector<std::uint32_t> route_tables{220, 254};  // strongSwan's, and main
  std::string route_memory = "/var/lib/countersign/nfq-signer/routes";
  std::chrono::milliseconds mtu_interval{1000};
  std::vector<mtu::Tunnel> tunnels;

  std::string keymsd_socket = "/run/countersign/keymsd/data-plane";
  std::string keymsd_user = "keymsd";
  std::string control_socket = "/run/countersign/nfq-signer/control";
};

// What the file says, with its line and column where it is wrong.
Result<Config> read_config(const std::string& path);
Result<Config> parse_config(std::string_view text, const std::string& name);

}  // namespace cs
