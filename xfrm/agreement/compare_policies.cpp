// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <limits>
#include <set>

#include "xfrm/agreement/compare_parts.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

// Pairs of policies held against each other. A gateway has a few for each of its own.
constexpr std::size_t most_pairs = 20'000'000;

// How a policy of the pair with another selector stands to the agreed one.
enum class Fit : std::uint8_t { none, narrower, wider, exact };

class Matcher {
 public:
  explicit Matcher(Comparison& c) : c_(c) {}

  void run() {
    c_.matches.resize(c_.expected.policies.size());
    for (std::size_t i = 0; i < c_.expected.policies.size() && pairs_ <= most_pairs; ++i) match(i);
    if (pairs_ > most_pairs) c_.differences.cut("too many policies overlap to compare them all");
  }

 private:
  void match(std::size_t number) {
    const ExpectedPolicy& wanted = c_.expected.policies[number];
    fit_ = Fit::none;
    c_.index.each_near(wanted.policy.direction, wanted.policy.selector, [&](std::size_t position) {
      consider(wanted.policy, position);
      return ++pairs_ <= most_pairs;
    });
    if (pairs_ > most_pairs) return;
    if (fit_ == Fit::exact) {
      c_.matches[number] = best_;
      c_.claimed[best_] = true;
      compare_contents(wanted, c_.state.policies[best_], c_.tunnel_name(wanted), c_.differences);
    } else {
      tell_missing(wanted);
    }
  }

  void consider(const Policy& wanted, std::size_t position) {
    const Policy& actual = c_.state.policies[position];
    if (actual.type != PolicyType::main) return;
    const Fit fit = fit_of(wanted, actual);
    if (fit == Fit::none || fit < fit_) return;
    if (fit == fit_ && !is_better(wanted, position)) return;
    fit_ = fit;
    best_ = position;
  }

  static Fit fit_of(const Policy& wanted, const Policy& actual) {
    if (actual.selector == wanted.selector) return Fit::exact;
    const bool of_tunnel =
        names_pair(actual, wanted) || (wanted.templates.size() == 1 && !actual.templates.empty() &&
                                       wanted.templates.front().mode == Mode::transport);
    if (!of_tunnel) return Fit::none;
    if (covers(actual.selector, wanted.selector)) return Fit::wider;
    return covers(wanted.selector, actual.selector) ? Fit::narrower : Fit::none;
  }

  // Of two that fit alike: the one for the same marks, then the kernel's choice.
  bool is_better(const Policy& wanted, std::size_t position) {
    const auto key = [&](std::size_t one) {
      const Policy& p = c_.state.policies[one];
      const bool other = p.mark != wanted.mark || p.interface_id != wanted.interface_id;
      return std::pair(other, p.priority);
    };
    return key(position) < key(best_);
  }

  void tell_missing(const ExpectedPolicy& wanted) {
    const std::string& tunnel = c_.tunnel_name(wanted);
    const std::string name = name_of(wanted.policy);
    if (fit_ == Fit::none) {
      c_.differences.add(wanted.tunnel ? Code::policy_missing : Code::bypass_missing, tunnel,
                         name + " is missing");
      return;
    }
    c_.claimed[best_] = true;
    const bool wider = fit_ == Fit::wider;
    c_.differences.add(wider ? Code::policy_widened : Code::policy_narrowed, tunnel,
                       name + " is " + (wider ? "widened" : "narrowed") + " to " +
                           text(c_.state.policies[best_].selector));
  }

  Comparison& c_;
  Fit fit_ = Fit::none;
  std::size_t best_ = 0;
  std::size_t pairs_ = 0;
};

class Intruders {
 public:
  explicit Intruders(Comparison& c) : c_(c), agreed_by_(c.state.policies.size()) {
    for (std::size_t i = 0; i < c.matches.size(); ++i) {
      if (c.matches[i]) agreed_by_[*c.matches[i]] = i;
    }
  }

  void run() {
    for (std::size_t i = 0; i < c_.expected.policies.size() && pairs_ <= most_pairs; ++i) look(i);
    if (pairs_ > most_pairs) c_.differences.cut("too many policies overlap to compare them all");
  }

 private:
  void look(std::size_t number) {
    const ExpectedPolicy& wanted = c_.expected.policies[number];
    Unmarked unmarked;
    c_.index.each_near(wanted.policy.direction, wanted.policy.selector, [&](std::size_t position) {
      const Policy& actual = c_.state.policies[position];
      if (actual.type == PolicyType::main) {
        judge(number, position);
        unmarked.see(wanted.policy, actual, agreed_by_[position].has_value());
      }
      return ++pairs_ <= most_pairs;
    });
    const bool marked = c_.matches[number] && wanted.policy.mark.mask != 0;
    if (!marked || !unmarked.passes(blocks_by_default(wanted.policy.direction))) return;
    c_.differences.add(Code::policy_mark_gap, c_.tunnel_name(wanted),
                       name_of(wanted.policy) + " holds only for the mark " +
                           text(wanted.policy.mark) +
                           ": without it the same traffic passes in clear");
  }

  // What happens to an expected policy's traffic where it lacks the mark.
  class Unmarked {
   public:
    void see(const Policy& wanted, const Policy& actual, bool agreed) {
      if (actual.mark == wanted.mark) return;
      Policy unmarked = wanted;
      unmarked.mark = {};
      const bool strict = actual.action == Action::block ||
                          (!actual.templates.empty() &&
                           std::none_of(actual.templates.begin(), actual.templates.end(),
                                        [](const Template& t) { return t.optional; }));
      if (strict && covers(actual, unmarked)) {
        strict_ = std::min<std::uint64_t>(strict_, actual.priority);
      } else if (!strict && !agreed && overlap(actual, unmarked)) {
        lax_ = std::min<std::uint64_t>(lax_, actual.priority);
      }
    }
    [[nodiscard]] bool passes(bool default_blocks) const {
      return (lax_ != none && lax_ <= strict_) || (strict_ == none && !default_blocks);
    }

   private:
    static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t strict_ = none;  // priority of the first that stops or protects all of it
    std::uint64_t lax_ = none;     // of the first that lets some of it pass
  };

  [[nodiscard]] bool blocks_by_default(Direction direction) const {
    const Defaults defaults = c_.state.defaults.value_or(Defaults{});
    return (direction == Direction::in    ? defaults.in
            : direction == Direction::out ? defaults.out
                                          : defaults.forward) == Action::block;
  }

  // What another policy does to an expected one.
  void judge(std::size_t number, std::size_t position) {
    const ExpectedPolicy& wanted = c_.expected.policies[number];
    const Policy& actual = c_.state.policies[position];
    const auto& match = c_.matches[number];
    if (match == position) return;
    if (agreed_by_[position]) {
      if (match && is_out_of_order(wanted, *match, position)) {
        tell(
            Code::policy_order, wanted, position,
            name_of(actual) + " goes before " + name_of(wanted.policy) + ", which should go first");
      }
      return;
    }
    if (match && actual.selector == c_.state.policies[*match].selector) {
      judge_twin(wanted, *match, position);
    } else if (match && goes_before(position, *match) && overlap(wanted.policy, actual)) {
      tell_before(wanted, position);
    } else if (!c_.claimed[position] && wanted.tunnel && names_pair(actual, wanted.policy) &&
               overlap(wanted.policy, actual)) {
      tell_extra(wanted, position);
    }
  }

  void judge_twin(const ExpectedPolicy& wanted, std::size_t match, std::size_t position) {
    const Policy& actual = c_.state.policies[position];
    if (!overlap(wanted.policy, actual)) return;
    if (goes_before(position, match)) {
      tell_before(wanted, position);
    } else if (covers(c_.state.policies[match], actual)) {
      tell(Code::policy_duplicate, wanted, position,
           "a second " + name_of(actual) + " is never reached");
    }
  }

  // Of a bypass and a tunnel the bypass goes first, of two tunnels the narrower.
  [[nodiscard]] bool is_out_of_order(const ExpectedPolicy& first, std::size_t match,
                                     std::size_t position) const {
    const Policy& second = c_.state.policies[position];
    return c_.expected.policies[*agreed_by_[position]].tunnel && goes_before(position, match) &&
           (first.tunnel ? covers(second, first.policy) : overlap(second, first.policy));
  }

  // Of equals nobody knows.
  [[nodiscard]] bool goes_before(std::size_t one, std::size_t match) const {
    return c_.state.policies[one].priority <= c_.state.policies[match].priority;
  }

  void tell_before(const ExpectedPolicy& wanted, std::size_t position) {
    const Policy& actual = c_.state.policies[position];
    const bool all = covers(actual, wanted.policy);
    const std::string reach = (all ? "all of " : "part of ") + name_of(wanted.policy);
    const std::string extra = "an extra `" + std::string(text(actual.action)) + "` " +
                              name_of(actual) + " with higher priority (" +
                              std::to_string(actual.priority) + ") ";
    if (actual.action == Action::block) {
      tell(Code::policy_blocked, wanted, position, extra + "blocks " + reach);
    } else if (actual.templates.empty()) {
      tell(Code::policy_bypass, wanted, position, extra + "bypasses the tunnel: it takes " + reach);
    } else {
      tell(Code::policy_shadowed, wanted, position,
           extra + "shadows " + reach + " and protects it otherwise");
    }
  }

  void tell_extra(const ExpectedPolicy& wanted, std::size_t position) {
    tell(Code::policy_extra, wanted, position,
         "an extra " + name_of(c_.state.policies[position]) + " leads through the tunnel");
  }

  // Each once for a tunnel, however many of its policies it concerns.
  void tell(Code code, const ExpectedPolicy& wanted, std::size_t position,
            const std::string& sentence) {
    const std::string& tunnel = c_.tunnel_name(wanted);
    if (!told_.emplace(position, code, tunnel).second) return;
    c_.claimed[position] = true;
    c_.differences.add(code, tunnel, sentence);
  }

  Comparison& c_;
  std::vector<std::optional<std::size_t>> agreed_by_;  // by position: the expected policy
  std::set<std::tuple<std::size_t, Code, std::string>> told_;
  std::size_t pairs_ = 0;
};

// What leads through a tunnel whose ends are both known, far from the traffic agreed.
void find_strangers(Comparison& c) {
  // By the addresses of tunnel and direction; a tunnel's expected policies share them.
  std::vector<const ExpectedPolicy*> pairs;
  std::set<std::tuple<std::size_t, Direction>> seen;
  for (const ExpectedPolicy& one : c.expected.policies) {
    if (!one.tunnel || is_any(one.policy.templates.front().source) ||
        is_any(one.policy.templates.front().destination)) {
      continue;
    }
    if (seen.emplace(*one.tunnel, one.policy.direction).second) pairs.push_back(&one);
  }
  for (const std::size_t position : c.index.order()) {
    const Policy& actual = c.state.policies[position];
    if (c.claimed[position] || actual.type != PolicyType::main) continue;
    for (const ExpectedPolicy* pair : pairs) {
      const bool same_way =
          actual.direction == pair->policy.direction ||
          (actual.direction == Direction::forward && pair->policy.direction == Direction::in);
      if (!same_way || !names_pair(actual, pair->policy)) continue;
      c.differences.add(Code::policy_extra, c.tunnel_name(*pair),
                        "an extra " + name_of(actual) + " leads through the tunnel");
      break;
    }
  }
}

}  // namespace

void match_policies(Comparison& c) {
  Matcher(c).run();
}

void find_intruders(Comparison& c) {
  Intruders(c).run();
  find_strangers(c);
}

}  // namespace cs::xfrm
