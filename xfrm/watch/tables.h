// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's IPsec state that events change, found by name: an event costs the same however many
// SAs there are. No kernel is asked here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// A change of the kernel's state, and how this program knows of it.
struct Change {
  enum class How : std::uint8_t {
    told,   // the kernel told it
    found,  // read anew, it was so: no event, or a lost one
    lost,   // events were lost here; what they said is found next
  };
  How how = How::told;
  Event event;                                 // told and found
  std::optional<InterfaceSwitches> interface;  // found: this instead of an event. Gone: all are off
};

// Whether they do the same. Counters, times of use and what a replay window has seen do not count.
[[nodiscard]] bool same(const Sa& a, const Sa& b);
[[nodiscard]] bool same(const Policy& a, const Policy& b);

// SAs that are still negotiated, which carry no packet and of which no event tells, are left out.
class Tables {
 public:
  // What a dump tells, in its order: the newest first.
  Result<void> add(Policy policy);
  Result<void> add(Sa sa);
  void set(std::optional<Defaults> defaults) { state_.defaults = defaults; }
  void set(std::vector<InterfaceSwitches> switches) { state_.interfaces = std::move(switches); }

  // What an event tells. An update of an SA tells what was asked for: only who reads that SA anew
  // knows what the kernel took of it.
  Result<void> apply(const Event& event);

  // What makes this one `now`.
  [[nodiscard]] std::vector<Change> differences(const Tables& now) const;

  // As dumps would have it, policies in their order. Valid until the next change.
  [[nodiscard]] const State& state();
  [[nodiscard]] std::size_t policies() const noexcept { return policies_.size(); }
  [[nodiscard]] std::size_t sas() const noexcept { return sas_.size(); }
  [[nodiscard]] bool has_sa(const SaId& id) const { return sas_.contains(id); }

 private:
  struct Hash {
    std::size_t operator()(const SaId& id) const noexcept;
  };
  using Place = std::int64_t;  // in the kernel's list: the lower, the newer

  Result<void> put(Policy policy, Place place);
  Result<void> put(Sa sa);
  void erase_policy(std::uint32_t index);
  void erase_sa(const SaId& id);
  void flush_sas(std::uint8_t protocol);
  void flush_policies(std::uint8_t type);

  std::map<Place, Policy> policies_;
  std::unordered_map<std::uint32_t, Place> places_;  // by index
  Place newest_ = 0;
  Place oldest_ = 0;
  std::unordered_map<SaId, Sa, Hash> sas_;

  State state_;
  bool policies_changed_ = false;  // since state() was made
  bool sas_changed_ = false;
};

}  // namespace cs::xfrm
