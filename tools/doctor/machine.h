// SPDX-License-Identifier: GPL-3.0-or-later
// The machine as the checks see it: its files below a root, its programs, and what only its kernel,
// its cards and its TPM can answer. Asking changes nothing that lasts; at most the kernel loads a
// module it has. Tests put another machine together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/rules_apply.h"
#include "tpm/device/status.h"
#include "xfrm/command.h"
#include "xfrm/offload.h"
#include "xfrm/state/model.h"

namespace cs::doctor {

enum class SaKind : std::uint8_t { esp_gcm, esp_cbc_sha256, ah_sha256 };

struct SaQuestion {
  SaKind kind = SaKind::esp_gcm;
  bool ipv6 = false;
};

struct Machine {
  std::string root;  // where /proc, /sys, /etc, /dev, /lib and /var are; empty: this machine's own
  const Clock* clock = nullptr;

  // A program of the system that only tells something.
  std::function<Result<CommandOutcome>(std::vector<std::string> argv)> run;

  // These three in a network namespace made for the question. `denied`: not as this user.
  std::function<Result<void>(SaQuestion)> try_sa;  // os_error() is the kernel's
  std::function<Result<void>()> try_nfqueue;
  std::function<Result<void>(RuleKind)> try_rules;

  std::function<Result<std::optional<xfrm::Defaults>>()> read_defaults;
  std::function<Result<std::vector<OffloadFinding>>()> find_offloads;
  std::function<Result<std::uint32_t>(const net::Address& peer)> path_mtu;
  std::function<Result<bool>()> is_clock_synchronised;
  std::function<Result<tpm::Status>()> read_tpm;

  [[nodiscard]] std::string path(std::string_view name) const { return root + std::string(name); }
  [[nodiscard]] bool has(std::string_view name) const;
  // What a file begins with, at most `most` bytes; `not_found`, `denied`: as they say.
  [[nodiscard]] Result<std::string> head(std::string_view name,
                                         std::size_t most = std::size_t{1} << 20U) const;
  // Of a file with one line; empty where it cannot be read.
  [[nodiscard]] std::string line(std::string_view name) const;
  // Names in a directory, sorted; none where it cannot be read.
  [[nodiscard]] std::vector<std::string> list(std::string_view directory) const;
};

// The one this process runs on. The clock must outlive it.
Machine this_machine(const Clock& clock);

}  // namespace cs::doctor
