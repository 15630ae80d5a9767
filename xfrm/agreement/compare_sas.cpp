// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <set>

#include "xfrm/agreement/compare_parts.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

struct Finding {
  Code code;
  std::string rest;
};
using Findings = std::vector<Finding>;

// Selectors of SAs held against agreed traffic.
constexpr std::size_t most_compared = 20'000'000;
constexpr std::uint8_t flags_that_weaken = Sa::flag_wild_receive | Sa::flag_icmp;

std::string algorithms_text(const std::optional<Algorithm>& aead,
                            const std::optional<Algorithm>& encryption,
                            const std::optional<Algorithm>& authentication) {
  std::string out;
  for (const auto* one : {&aead, &encryption, &authentication}) {
    if (*one) out += (out.empty() ? "" : " with ") + text(**one);
  }
  return out.empty() ? "no algorithm" : out;
}

bool is_same(const std::optional<Algorithm>& agreed, std::optional<Algorithm> actual,
             bool authenticates) {
  if (authenticates && actual && actual->icv_bits == 0) {
    actual->icv_bits = default_icv_bits(actual->name);
  }
  return agreed == actual;
}

void judge_algorithms(const Tunnel& tunnel, const Sa& sa, Findings& out) {
  const bool agreed =
      std::any_of(tunnel.proposals.begin(), tunnel.proposals.end(), [&](const Proposal& proposal) {
        return is_same(proposal.aead, sa.aead, false) &&
               is_same(proposal.encryption, sa.encryption, false) &&
               is_same(proposal.authentication, sa.authentication, true);
      });
  if (agreed && !sa.compression) return;
  std::string wanted;
  for (const Proposal& one : tunnel.proposals) {
    if (!wanted.empty()) wanted += " or ";
    wanted += algorithms_text(one.aead, one.encryption, one.authentication);
  }
  out.push_back(
      {Code::sa_algorithm, "uses " + algorithms_text(sa.aead, sa.encryption, sa.authentication) +
                               (sa.compression ? " and compression" : "") + " where " + wanted +
                               " is agreed"});
}

void judge_use(Use use, bool used, Code code, const std::string& what, Findings& out) {
  if (use == Use::required && !used) out.push_back({code, "does without " + what});
  if (use == Use::forbidden && used) out.push_back({code, "uses " + what});
}

void judge_marks(const Sa& wanted, const Sa& sa, Findings& out) {
  if (sa.id.mark != wanted.id.mark) {
    out.push_back({Code::sa_mark, "has the mark " + text(sa.id.mark) + " where " +
                                      text(wanted.id.mark) + " is agreed"});
  }
  if (sa.output_mark != wanted.output_mark) {
    out.push_back({Code::sa_output_mark, "has the output mark " + text(sa.output_mark) + " where " +
                                             text(wanted.output_mark) + " is agreed"});
  }
  if (sa.interface_id != wanted.interface_id) {
    out.push_back({Code::sa_interface_id, "has if_id " + std::to_string(sa.interface_id) +
                                              " where " + std::to_string(wanted.interface_id) +
                                              " is agreed"});
  }
}

void judge_rest(const Tunnel& tunnel, const ExpectedSa& wanted, const Sa& sa, Findings& out) {
  const std::uint64_t seconds = sa.lifetime.hard_seconds;
  if (tunnel.most_seconds != 0 && (seconds == 0 || seconds > tunnel.most_seconds)) {
    out.push_back({Code::sa_lifetime, (seconds == 0 ? std::string("has no time limit")
                                                    : "lasts " + std::to_string(seconds) + " s") +
                                          " where " + std::to_string(tunnel.most_seconds) +
                                          " s is agreed"});
  }
  if ((sa.flags & flags_that_weaken) != 0 || (sa.extra_flags & Sa::extra_may_wrap) != 0) {
    out.push_back({Code::sa_flags, "has flags that are not agreed: " + std::to_string(sa.flags) +
                                       ", " + std::to_string(sa.extra_flags)});
  }
  const bool wrong_way = (sa.direction == SaDirection::in && !wanted.inbound) ||
                         (sa.direction == SaDirection::out && wanted.inbound);
  if (wrong_way) out.push_back({Code::sa_direction, "is made for the other direction"});
  if (sa.offload) {
    out.push_back(
        {Code::sa_offload, "is given to a network card, behind whose back nothing is signed"});
  }
  for (const Opaque& one : sa.unknown) {
    out.push_back({Code::sa_attribute, "has an attribute that this program does not know: " +
                                           std::to_string(one.type)});
  }
}

Findings judge(const Tunnel& tunnel, const ExpectedSa& wanted, const Sa& sa) {
  Findings out;
  if (sa.id.protocol != tunnel.protocol) {
    out.push_back({Code::sa_protocol, "is " + ipsec_protocol(sa.id.protocol) + " where " +
                                          ipsec_protocol(tunnel.protocol) + " is agreed"});
  }
  if (sa.mode != tunnel.mode) {
    out.push_back({Code::sa_mode, "is in " + std::string(text(sa.mode)) + " mode where " +
                                      std::string(text(tunnel.mode)) + " is agreed"});
  }
  judge_algorithms(tunnel, sa, out);
  const bool extended = sa.replay.extended || (sa.flags & Sa::flag_extended) != 0;
  judge_use(tunnel.extended_sequence_numbers, extended, Code::sa_sequence_numbers,
            "extended sequence numbers", out);
  judge_use(tunnel.udp_encapsulation, sa.encapsulation.has_value(), Code::sa_udp,
            "encapsulation in UDP", out);
  if (wanted.inbound && sa.replay.window < tunnel.least_replay_window) {
    out.push_back({Code::sa_replay_window,
                   "has a replay window of " + std::to_string(sa.replay.window) + " where " +
                       std::to_string(tunnel.least_replay_window) + " is the least"});
  }
  judge_marks(wanted.sa, sa, out);
  judge_rest(tunnel, wanted, sa, out);
  return out;
}

class SaJudge {
 public:
  explicit SaJudge(Comparison& c) : c_(c), seen_(c.expected.sas.size(), false) { learn(); }

  void run() {
    for (const Sa& sa : c_.state.sas) {
      if (!sa.is_larval()) look(sa);
    }
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      if (seen_[i]) continue;
      const ExpectedSa& wanted = c_.expected.sas[i];
      c_.differences.add(Code::sa_missing, tunnel(wanted).name,
                         std::string("there is no SA ") + (wanted.inbound ? "in" : "out"));
    }
  }

 private:
  using Ends = std::pair<Address, Address>;

  [[nodiscard]] const Tunnel& tunnel(const ExpectedSa& one) const {
    return c_.expected.agreement.tunnels.at(one.tunnel);
  }

  // Where an end is not known before, the policy in the kernel says who it is just now.
  void learn() {
    ends_.resize(c_.expected.sas.size());
    traffic_.resize(c_.expected.sas.size());
    for (std::size_t i = 0; i < c_.expected.policies.size(); ++i) {
      const ExpectedPolicy& wanted = c_.expected.policies[i];
      if (!wanted.tunnel) continue;
      // expect() gives each tunnel its SA in, then the one out.
      const bool outbound = wanted.policy.direction == Direction::out;
      const std::size_t number = *wanted.tunnel * 2 + (outbound ? 1 : 0);
      traffic_[number].push_back(&wanted.policy.selector);
      if (!c_.matches[i]) continue;
      const Policy& actual = c_.state.policies[*c_.matches[i]];
      if (actual.templates.empty()) continue;
      const Template& used = actual.templates.front();
      auto& ends = ends_[number];
      const Ends pair{used.source, used.destination};
      if (ends.empty() || ends.back() != pair) ends.push_back(pair);
    }
  }

  [[nodiscard]] bool is_between(std::size_t i, const Sa& sa) const {
    const Sa& wanted = c_.expected.sas[i].sa;
    if (!is_agreed(wanted.source, sa.source) ||
        !is_agreed(wanted.id.destination, sa.id.destination)) {
      return false;
    }
    const bool known = !is_any(wanted.source) && !is_any(wanted.id.destination);
    if (known || wanted.mode == Mode::transport) return true;
    return std::any_of(ends_[i].begin(), ends_[i].end(), [&](const Ends& ends) {
      return ends.first == sa.source && ends.second == sa.id.destination;
    });
  }

  void look(const Sa& sa) {
    std::optional<std::size_t> best;
    Findings fewest;
    for (std::size_t i = 0; i < c_.expected.sas.size(); ++i) {
      if (!is_between(i, sa)) continue;
      Findings found = judge(tunnel(c_.expected.sas[i]), c_.expected.sas[i], sa);
      // Of tunnels it is as good for, the one that has none yet.
      if (best &&
          std::pair(found.size(), bool(seen_[i])) >= std::pair(fewest.size(), bool(seen_[*best]))) {
        continue;
      }
      best = i;
      fewest = std::move(found);
    }
    if (!best) {
      look_at_stranger(sa);
      return;
    }
    seen_[*best] = true;
    const std::string& name = tunnel(c_.expected.sas[*best]).name;
    for (const Finding& one : fewest) {
      c_.differences.add(one.code, name, "SA " + name_of(sa) + " " + one.rest);
    }
    compare_selector(*best, sa);
  }

  // An SA's selector refuses what comes out of it, or goes in, and does not fit.
  void compare_selector(std::size_t best, const Sa& sa) {
    if (sa.selector.any_family) return;
    for (const Selector* agreed : traffic_[best]) {
      if (++compared_ > most_compared) {
        c_.differences.cut("too many SAs have selectors to compare them all");
        return;
      }
      if (covers(sa.selector, *agreed)) return;
    }
    c_.differences.add(Code::sa_selector, tunnel(c_.expected.sas[best]).name,
                       "SA " + name_of(sa) + " takes only " + text(sa.selector) +
                           ", which is less than any agreed traffic");
  }

  void look_at_stranger(const Sa& sa) {
    for (const ExpectedSa& one : c_.expected.sas) {
      const Address& peer = one.inbound ? one.sa.source : one.sa.id.destination;
      if (is_any(peer) || (peer != sa.source && peer != sa.id.destination)) continue;
      c_.differences.add(Code::sa_endpoints, tunnel(one).name,
                         "SA " + name_of(sa) +
                             " has the peer at one end and at the other no "
                             "address that is agreed");
      return;
    }
  }

  Comparison& c_;
  // By expected SA.
  std::vector<bool> seen_;
  std::vector<std::vector<Ends>> ends_;
  std::vector<std::vector<const Selector*>> traffic_;
  std::size_t compared_ = 0;
};

}  // namespace

void compare_sas(Comparison& c) {
  SaJudge(c).run();
}

}  // namespace cs::xfrm
