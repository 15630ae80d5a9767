// SPDX-License-Identifier: GPL-3.0-or-later
// Holds the SAs of the kernel against those that somebody answers for: the IKE daemon, or a list of
// our own. Only who can write to the kernel can make an SA that nobody answers for.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "xfrm/agreement/difference.h"
#include "xfrm/state/model.h"
#include "xfrm/vici/sas.h"

namespace cs::xfrm {

std::vector<SaName> known_sas(const std::vector<vici::ChildSa>& children);
// Asks the IKE daemon once, for half a second at most.
Result<std::vector<SaName>> ask_ike_daemon(const std::string& socket);

class Reconciler {
 public:
  using Ask = std::function<Result<std::vector<SaName>>()>;

  // `grace`: how long an SA may be in the kernel alone, as the old one of a rekeying is.
  Reconciler(Ask ask, std::chrono::seconds grace) : ask_(std::move(ask)), grace_(grace) {}

  // Codes: sa_unknown; ike_silent, if nobody has answered for as long as the grace.
  std::vector<Difference> judge(const State& state, BootTime now);
  // When to judge again, even if nothing happens.
  [[nodiscard]] BootTime due() const noexcept { return due_; }

 private:
  struct Hash {
    std::size_t operator()(const SaName& sa) const noexcept;
  };

  void ask(BootTime now);

  Ask ask_;
  std::chrono::seconds grace_;
  std::unordered_set<SaName, Hash> known_;
  std::unordered_map<SaName, BootTime, Hash> alone_since_;
  std::optional<BootTime> silent_since_;
  std::string why_silent_;
  BootTime next_question_;
  BootTime due_;
};

}  // namespace cs::xfrm
