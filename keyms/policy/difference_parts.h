// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of changes(); for it alone.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "keyms/policy/difference.h"

namespace cs::keyms {

// Gathers what changes in one part of the policy.
class PartChanges {
 public:
  PartChanges(std::string part, std::vector<Change>& out) : part_(std::move(part)), out_(out) {}

  void add(Effect effect, std::string sentence) {
    out_.push_back({effect, part_, std::move(sentence)});
  }
  // Nothing where both are the same.
  void becomes(Effect effect, const std::string& what, const std::string& before,
               const std::string& after) {
    if (before != after) add(effect, what + " " + before + " becomes " + after);
  }
  // The same of what has an order: `more` where it grows, `less` where it shrinks.
  template <class T>
  void grows(const std::string& what, const T& before, const T& after,
             const std::function<std::string(const T&)>& text, Effect more, Effect less) {
    becomes(before < after ? more : less, what, text(before), text(after));
  }
  // Members of two sets that one lacks.
  template <class T>
  void members(const std::vector<T>& before, const std::vector<T>& after,
               const std::function<void(const T&, bool added)>& tell) {
    const auto lacks = [](const std::vector<T>& all, const T& one) {
      return std::ranges::find(all, one) == all.end();
    };
    for (const T& one : before) {
      if (lacks(after, one)) tell(one, false);
    }
    for (const T& one : after) {
      if (lacks(before, one)) tell(one, true);
    }
  }

 private:
  std::string part_;
  std::vector<Change>& out_;
};

// What two policies call the same: their gateways' NeIDs, in order.
using NeIds = std::array<std::string, 2>;

void compare_tunnels(const CorePolicy& before, const CorePolicy& after, const NeIds& names,
                     std::vector<Change>& out);

}  // namespace cs::keyms
