// SPDX-License-Identifier: GPL-3.0-or-later
#include <unistd.h>

#include <algorithm>

#include "xfrm/command.h"
#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

struct Family {
  IpFamily family;
  std::string save;
  std::string restore;
};

// A kernel without IPv6 has none to close.
std::vector<Family> families() {
  std::vector<Family> all{{IpFamily::v4, "iptables-save", "iptables-restore"}};
  if (access("/proc/net/if_inet6", F_OK) == 0) {
    all.push_back({IpFamily::v6, "ip6tables-save", "ip6tables-restore"});
  }
  return all;
}

constexpr std::string_view needs =
    "the kernel needs iptables' table raw and the matches addrtype, ah, comment, conntrack, esp, "
    "frag, multiport and u32";

// iptables-legacy works in one after the other: -w waits for its turn.
Result<void> feed(const Family& family, const std::string& lines) {
  CS_TRY(const std::string ignored,
         run_or_refuse({family.restore, "--noflush", "-w", "10"}, lines, needs));
  return {};
}

Result<std::string> saved(const Family& family) {
  return run_or_refuse({family.save, "-c", "-t", "raw"}, "", needs);
}

void add(GateCount& sum, const GateCount& more) {
  sum = {sum.packets + more.packets, sum.bytes + more.bytes};
}

void merge(GateView& into, GateView from) {
  into.complete = into.complete && from.complete && into.fingerprint == from.fingerprint;
  for (std::size_t way = 0; way < gate_ways.size(); ++way) {
    add(into.strangers.at(way), from.strangers.at(way));
  }
  for (GatePeerView& peer : from.peers) {
    const auto same = std::ranges::find(into.peers, peer.name, &GatePeerView::name);
    if (same == into.peers.end()) {
      into.peers.push_back(std::move(peer));
      continue;
    }
    same->addresses.insert(same->addresses.end(), peer.addresses.begin(), peer.addresses.end());
    same->passages.insert(same->passages.end(), peer.passages.begin(), peer.passages.end());
    same->opening = std::max(same->opening, peer.opening);
    for (std::size_t way = 0; way < same->counts.size(); ++way) {
      for (std::size_t reason = 0; reason < gate_reasons.size(); ++reason) {
        add(same->counts.at(way).at(reason), peer.counts.at(way).at(reason));
      }
    }
  }
}

bool has_peer(const std::optional<GateView>& view, const std::string& name) {
  return view && std::ranges::find(view->peers, name, &GatePeerView::name) != view->peers.end();
}

bool has_passage(const GateView& view, const std::string& name, const Passage& passage) {
  const auto peer = std::ranges::find(view.peers, name, &GatePeerView::name);
  return std::ranges::find(peer->passages, passage) != peer->passages.end();
}

class IptablesGate final : public GateRules {
 public:
  [[nodiscard]] GateKind kind() const noexcept override { return GateKind::iptables; }

  [[nodiscard]] Result<void> try_out(const GateConfig& config) const override {
    for (const Family& family : families()) {
      CS_CHECK(feed(family, iptables_gate_trial(config, family.family)));
      CS_CHECK(feed(family, iptables_gate_trial_removal()));
    }
    return {};
  }

  [[nodiscard]] Result<void> replace(const GateConfig& config,
                                     const std::vector<GateGrant>& granted) const override {
    for (const Family& family : families()) {
      CS_TRY(const std::string before, saved(family));
      CS_CHECK(feed(family, iptables_gate(config, family.family, before, granted)));
    }
    return {};
  }

  [[nodiscard]] Result<void> open(const std::string& peer, Opening opening) const override {
    for (const Family& family : families()) {
      CS_TRY(const std::string before, saved(family));
      if (!has_peer(iptables_gate_view(before), peer)) return no_such_peer(peer);
      CS_CHECK(feed(family, iptables_gate_opening(peer, opening, before)));
    }
    return {};
  }

  [[nodiscard]] Result<void> admit(const std::string& peer, const Passage& p) const override {
    return change(peer, p, true);
  }
  [[nodiscard]] Result<void> withdraw(const std::string& peer, const Passage& p) const override {
    return change(peer, p, false);
  }

  [[nodiscard]] Result<std::optional<GateView>> look() const override {
    std::optional<GateView> all;
    bool everywhere = true;
    for (const Family& family : families()) {
      CS_TRY(const std::string now, saved(family));
      std::optional<GateView> view = iptables_gate_view(now);
      everywhere = everywhere && view.has_value();
      if (!all) {
        all = std::move(view);
      } else if (view) {
        merge(*all, std::move(*view));
      }
    }
    if (all) all->complete = all->complete && everywhere;
    return all;
  }

  [[nodiscard]] Result<void> remove() const override {
    for (const Family& family : families()) {
      CS_TRY(const std::string before, saved(family));
      const std::string removal = iptables_gate_removal(before);
      if (!removal.empty()) CS_CHECK(feed(family, removal));
    }
    return {};
  }

 private:
  static Result<void> change(const std::string& peer, const Passage& passage, bool wanted) {
    for (const Family& family : families()) {
      if ((family.family == IpFamily::v6) != passage.destination.ipv6) continue;
      CS_TRY(const std::string before, saved(family));
      const std::optional<GateView> view = iptables_gate_view(before);
      if (!has_peer(view, peer)) return no_such_peer(peer);
      if (has_passage(*view, peer, passage) == wanted) return {};
      return feed(family, wanted ? iptables_gate_admission(peer, passage)
                                 : iptables_gate_withdrawal(peer, passage));
    }
    return Error(ErrorKind::unsupported, "this kernel has no IPv6");
  }
};

}  // namespace

std::unique_ptr<GateRules> make_iptables_gate() {
  return std::make_unique<IptablesGate>();
}

}  // namespace cs::xfrm
