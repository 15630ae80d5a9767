// SPDX-License-Identifier: GPL-3.0-or-later
// What lets IPsec packets pass beside the queue. With the module esp4_offload or esp6_offload the
// kernel decrypts in GRO, before any hook, and encrypts new SAs' packets behind the last one; a
// network card that does IPsec does the same.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cs {

struct OffloadFinding {
  enum class Kind : std::uint8_t {
    module,   // loaded: signing is bypassed
    builtin,  // part of the kernel: likewise, for good
    feature,  // an interface would do IPsec itself for an SA that asks for it
  };
  Kind kind = Kind::module;
  std::string subject;  // the module or interface
  std::string words;    // what is wrong, in one sentence
  std::string cure;     // commands, or what else to do

  bool operator==(const OffloadFinding&) const = default;
};

// Looks for them. Cheap enough for every second: two or three small files, one question per
// interface.
class OffloadProbe {
 public:
  // `root`: where /proc, /sys and /lib/modules are. What is part of the kernel is found out here,
  // once. Fails with `unsupported` if nothing tells.
  static Result<OffloadProbe> create(const std::string& root = "");

  // All of them, of the calling thread's network namespace. A failure means nobody knows: treat it
  // as a finding.
  [[nodiscard]] Result<std::vector<OffloadFinding>> find_offloads() const;

 private:
  explicit OffloadProbe(std::string root) : root_(std::move(root)) {}
  std::string root_;
  std::vector<std::string> builtin_;
};

// One feature of an interface, by ethtool's name for it.
struct InterfaceFeature {
  std::string interface;
  std::string feature;
  bool fixed = false;  // the driver does not let it be switched

  bool operator==(const InterfaceFeature&) const = default;
};
// Which of `features` are on, on any interface of the calling thread's network namespace. A feature
// this kernel does not know is on nowhere.
Result<std::vector<InterfaceFeature>> features_on(std::span<const std::string_view> features);

[[nodiscard]] OffloadFinding feature_finding(const InterfaceFeature& on);

}  // namespace cs
