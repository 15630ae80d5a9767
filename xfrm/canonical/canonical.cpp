// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/canonical/canonical.h"

#include <openssl/sha.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/hex.h"
#include "xfrm/agreement/expected.h"
#include "xfrm/agreement/sockets.h"
#include "xfrm/canonical/encode.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using canonical::Unagreed;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t max_bytes = std::size_t{64} << 20U;
constexpr std::size_t max_item = std::size_t{1} << 20U;
// Pairs of policies held against each other.
constexpr std::size_t most_pairs = 20'000'000;
constexpr std::uint64_t version = 1;

bool may_be(const std::optional<Address>& agreed, const Address& actual) noexcept {
  return !agreed || *agreed == actual;
}

Sha256 sha256(ByteView bytes) {
  Sha256 out{};
  SHA256(bytes.data(), bytes.size(), out.data());
  return out;
}

// Items in the order of their bytes, which does not depend on the kernel's.
void write_sorted(std::vector<Bytes> items, CborWriter& out) {
  std::sort(items.begin(), items.end());
  out.array(items.size());
  for (const Bytes& one : items) out.item(one);
}

class Canonicaliser {
 public:
  Canonicaliser(const Tunnel& tunnel, End end, const State& state, const PolicyIndex& index)
      : here_(tunnel.ends.at(xfrm::index(end)).address),
        there_(tunnel.ends.at(xfrm::index(other(end))).address),
        state_(state),
        index_(index) {}

  // Which policies are the tunnel's: those for its traffic, and those that lead through it.
  Result<void> choose(const std::vector<ExpectedPolicy>& expected) {
    chosen_.resize(state_.policies.size(), false);
    for (const ExpectedPolicy& one : expected) {
      const Selector& selector = one.policy.selector;
      CS_CHECK(choose_near(one.policy.direction, selector));
      if (one.policy.direction == Direction::out) continue;
      Selector back = selector;
      std::swap(back.source, back.destination);
      std::swap(back.source_ports, back.destination_ports);
      CS_CHECK(choose_near(Direction::forward, selector));
      CS_CHECK(choose_near(Direction::forward, back));
    }
    for (const std::size_t position : index_.order()) {
      const Policy& policy = state_.policies[position];
      if (!chosen_[position]) chosen_[position] = here_ && there_ && names_pair(policy);
      if (chosen_[position]) told_.push_back(position);
    }
    learn_ends();
    return {};
  }

  Result<Bytes> policies(std::size_t known_bypasses) {
    CS_CHECK(find_levels());
    CborWriter out(max_bytes);
    out.array(6).text("countersign-policies").number(version);
    std::vector<Bytes> items;
    for (const std::size_t position : told_) {
      const Policy& policy = state_.policies[position];
      CborWriter item(max_item);
      encode(policy, levels_[position], unagreed(policy.direction), item);
      CS_TRY(items.emplace_back(), item.finish("a policy"));
    }
    write_sorted(std::move(items), out);
    write_defaults(out);
    CS_CHECK(write_switches(out));
    CS_CHECK(write_sockets(known_bypasses, out));
    return out.finish("the canonical policies");
  }

  Result<Bytes> sas() {
    std::set<Bytes> kinds;
    for (std::size_t i = 0; i < state_.sas.size(); ++i) {
      const Sa& sa = state_.sas[i];
      const auto inbound = is_inbound(sa);
      if (sa.is_larval() || !inbound) continue;
      sas_told_.push_back(i);
      CborWriter item(max_item);
      encode(sa, *inbound, unagreed(*inbound ? Direction::in : Direction::out), item);
      CS_TRY(Bytes kind, item.finish("an SA"));
      kinds.insert(std::move(kind));
    }
    CborWriter out(max_bytes);
    out.array(3).text("countersign-sas").number(version).array(kinds.size());
    for (const Bytes& one : kinds) out.item(one);
    return out.finish("the canonical SAs");
  }

  [[nodiscard]] std::vector<std::size_t> policies_told() { return std::move(told_); }
  [[nodiscard]] std::vector<std::size_t> sas_told() { return std::move(sas_told_); }

 private:
  static Error too_many() {
    return Error(ErrorKind::limit, "telling a tunnel's policies: too many of them overlap")
        .with_hint("remove those that are not agreed: countersign xfrm show");
  }

  Result<void> choose_near(Direction direction, const Selector& selector) {
    const bool all = index_.each_near(direction, selector, [&](std::size_t position) {
      if (overlap(state_.policies[position].selector, selector)) chosen_[position] = true;
      return ++pairs_ <= most_pairs;
    });
    return all ? Result<void>() : too_many();
  }

  [[nodiscard]] bool names_pair(const Policy& policy) const {
    const bool out = policy.direction == Direction::out;
    return std::any_of(policy.templates.begin(), policy.templates.end(), [&](const Template& t) {
      const bool away = t.source == *here_ && t.destination == *there_;
      const bool back = t.source == *there_ && t.destination == *here_;
      return t.mode != Mode::transport && ((out && away) || (!out && back));
    });
  }

  // A policy's level is one above the highest of those that go before it and overlap it. So levels
  // tell which of two that overlap goes first, and nothing of two that do not, or are equals.
  Result<void> find_levels() {
    std::vector<std::size_t> above(state_.policies.size(), 0);  // level + 1; 0: not reached yet
    levels_.resize(state_.policies.size());
    for (const std::size_t position : told_) {
      const Policy& policy = state_.policies[position];
      std::size_t level = 0;
      const bool all =
          index_.each_near(policy.direction, policy.selector, [&](std::size_t earlier) {
            const Policy& before = state_.policies[earlier];
            if (above[earlier] > level && before.priority < policy.priority &&
                before.type == policy.type && overlap(before, policy)) {
              level = above[earlier];
            }
            return ++pairs_ <= most_pairs;
          });
      if (!all) return too_many();
      levels_[position] = level;
      above[position] = level + 1;
    }
    return {};
  }

  [[nodiscard]] Unagreed unagreed(Direction direction) const {
    const bool out = direction == Direction::out;
    return {.source = out ? !here_ : !there_, .destination = out ? !there_ : !here_};
  }

  void write_defaults(CborWriter& out) const {
    const Defaults defaults = state_.defaults.value_or(Defaults{});
    out.array(3);
    for (const Action one : {defaults.in, defaults.forward, defaults.out}) {
      out.number(static_cast<std::uint64_t>(one));
    }
  }

  Result<void> write_switches(CborWriter& out) const {
    std::vector<Bytes> items;
    for (const InterfaceSwitches& one : state_.interfaces) {
      const bool set = one.disable_xfrm || one.disable_policy || one.disable_policy_ipv6;
      if (!set || one.name == "lo") continue;  // the kernel sets loopback's by itself
      CborWriter item(max_item);
      item.array(4).bytes(
          {reinterpret_cast<const std::uint8_t*>(one.name.data()), one.name.size()});
      item.boolean(one.disable_xfrm).boolean(one.disable_policy).boolean(one.disable_policy_ipv6);
      CS_TRY(items.emplace_back(), item.finish("an interface"));
    }
    write_sorted(std::move(items), out);
    return {};
  }

  Result<void> write_sockets(std::size_t known_bypasses, CborWriter& out) const {
    std::size_t bypasses = 0;
    std::vector<Bytes> items;
    for (const Policy& policy : state_.policies) {
      if (!policy.is_of_socket()) continue;
      if (socket_class(policy) == SocketPolicy::bypass) {
        ++bypasses;
        continue;
      }
      CborWriter item(max_item);
      encode(policy, 0, Unagreed{}, item);
      CS_TRY(items.emplace_back(), item.finish("a policy of a socket"));
    }
    out.array(2).number(bypasses - std::min(bypasses, known_bypasses));
    write_sorted(std::move(items), out);
    return {};
  }

  // nullopt: it is none of the pair's.
  [[nodiscard]] std::optional<bool> is_inbound(const Sa& sa) const {
    const Address& from = sa.source;
    const Address& to = sa.id.destination;
    const bool away = may_be(here_, from) && may_be(there_, to);
    const bool back = may_be(there_, from) && may_be(here_, to);
    if (!away && !back) return std::nullopt;
    if (!here_ || !there_) {
      const bool out = away && has_ends(from, to);
      const bool in = back && has_ends(to, from);
      if (!in && !out) return std::nullopt;
      return in;
    }
    return back;
  }

  // Where an end is not agreed, the tunnel's policies name who it is just now: here, there.
  void learn_ends() {
    for (const std::size_t position : told_) {
      const Policy& policy = state_.policies[position];
      const bool out = policy.direction == Direction::out;
      for (const Template& one : policy.templates) {
        const auto [own, far] =
            out ? std::pair(one.source, one.destination) : std::pair(one.destination, one.source);
        if (one.mode == Mode::transport) {
          any_ends_ = true;
        } else if (may_be(here_, own) && may_be(there_, far)) {
          ends_.emplace(own.text(), far.text());
        }
      }
    }
  }
  [[nodiscard]] bool has_ends(const Address& own, const Address& far) const {
    return any_ends_ || ends_.contains({own.text(), far.text()});
  }

  const std::optional<Address>& here_;
  const std::optional<Address>& there_;
  const State& state_;
  const PolicyIndex& index_;
  std::vector<bool> chosen_;
  std::vector<std::size_t> told_;
  std::vector<std::size_t> sas_told_;
  std::vector<std::size_t> levels_;
  std::size_t pairs_ = 0;
  bool any_ends_ = false;
  std::set<std::pair<std::string, std::string>> ends_;
};

}  // namespace

Result<Canonical> canonicalise(const Tunnel& tunnel, End end, const State& state,
                               const PolicyIndex& index, std::size_t known_bypasses) {
  Agreement alone;
  alone.tunnels = {tunnel};
  CS_TRY(const Expected expected, expect(alone, end));
  Canonicaliser work(tunnel, end, state, index);
  CS_CHECK(work.choose(expected.policies));
  Canonical out;
  CS_TRY(out.policies, work.policies(known_bypasses));
  CS_TRY(out.sas, work.sas());
  out.policies_sha256 = sha256(out.policies);
  CborWriter whole(2 * max_bytes);
  CS_TRY(const Bytes both,
         whole.array(2).item(out.policies).item(out.sas).finish("the canonical form"));
  out.whole_sha256 = sha256(both);
  out.policies_told = work.policies_told();
  out.sas_told = work.sas_told();
  return out;
}

std::string describe(const Canonical& canonical, const State& state) {
  std::string out = "policies  SHA-256 " + hex_encode(canonical.policies_sha256) + "\n" +
                    "whole     SHA-256 " + hex_encode(canonical.whole_sha256) + "\n";
  for (const std::size_t one : canonical.policies_told) {
    out += name_of(state.policies[one]) + "\n" + describe(state.policies[one]);
  }
  for (const std::size_t one : canonical.sas_told) {
    out += name_of(state.sas[one]) + "\n" + describe(state.sas[one]);
  }
  return out;
}

}  // namespace cs::xfrm
