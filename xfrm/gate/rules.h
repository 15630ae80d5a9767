// SPDX-License-Identifier: GPL-3.0-or-later
// The gate's rules: one interface, made by nftables or by iptables. Names and numbers go into texts
// as they are, so all of this wants a configuration that passed check_gate(), grants that passed
// check_grants() and names of peers that passed check_peer_name().
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "xfrm/gate/gate.h"

namespace cs::xfrm {

class GateRules {
 public:
  GateRules() = default;
  GateRules(const GateRules&) = delete;
  GateRules& operator=(const GateRules&) = delete;
  GateRules(GateRules&&) = delete;
  GateRules& operator=(GateRules&&) = delete;
  virtual ~GateRules() = default;

  [[nodiscard]] virtual GateKind kind() const noexcept = 0;
  // Whether the kernel takes such rules. Changes nothing that has an effect.
  [[nodiscard]] virtual Result<void> try_out(const GateConfig& config) const = 0;
  // All of it anew, open to what is granted and closed to the rest.
  [[nodiscard]] virtual Result<void> replace(const GateConfig& config,
                                             const std::vector<GateGrant>& granted) const = 0;
  [[nodiscard]] virtual Result<void> open(const std::string& peer, Opening opening) const = 0;
  [[nodiscard]] virtual Result<void> admit(const std::string& peer, const Passage& p) const = 0;
  [[nodiscard]] virtual Result<void> withdraw(const std::string& peer, const Passage& p) const = 0;
  // Nothing: not a trace of it.
  [[nodiscard]] virtual Result<std::optional<GateView>> look() const = 0;
  [[nodiscard]] virtual Result<void> remove() const = 0;
};

std::unique_ptr<GateRules> make_nft_gate();
std::unique_ptr<GateRules> make_iptables_gate();

Result<void> check_peer_name(std::string_view name);
// Each is of a peer of this configuration, and each peer has one at most.
Result<void> check_grants(const GateConfig& config, const std::vector<GateGrant>& granted);
// nullptr: nothing is granted to this peer.
const GateGrant* grant_of(const std::vector<GateGrant>& granted, const std::string& peer) noexcept;
// A hash over all of the configuration, in hex: to know it again.
std::string fingerprint(const GateConfig& config);
Error no_such_peer(const std::string& name);

// What stands in the rules, to know them again and see that none is missing: "FINGERPRINT of 42".
std::string gate_label(const GateConfig& config, std::size_t rules);
struct GateLabel {
  std::string fingerprint;
  std::size_t rules = 0;
};
std::optional<GateLabel> parse_gate_label(std::string_view text);

// What both ways of reading the rules back gather.
class GateParts {
 protected:
  GatePeerView& peer(const std::string& name) {
    GatePeerView& peer = peers_[name];
    peer.name = name;
    return peer;
  }
  [[nodiscard]] bool has_all_rules() const { return label_ && label_->rules == rules_; }
  [[nodiscard]] GateView view(GateKind kind, bool complete);

  std::map<std::string, GatePeerView> peers_;
  std::array<GateCount, gate_ways.size()> strangers_{};
  std::optional<GateLabel> label_;
  std::size_t rules_ = 0;
};

// ----- nftables: for libnftables, and what it answers

std::string nft_gate(const GateConfig& config, const std::vector<GateGrant>& granted = {});
std::string nft_gate_removal();
std::string nft_gate_opening(const std::string& peer, Opening opening);
std::string nft_gate_admission(const std::string& peer, const Passage& passage);
std::string nft_gate_withdrawal(const std::string& peer, const Passage& passage);
// Of `nft -j list table inet countersign_gate`. Fails with `invalid` if that is not what it is.
Result<GateView> nft_gate_view(std::string_view json);

// ----- iptables: for iptables-restore or ip6tables-restore, --noflush

enum class IpFamily : std::uint8_t { v4, v6 };
// `saved`, here and below: what iptables-save says of the table raw now, with counters (-c) or not.
std::string iptables_gate(const GateConfig& config, IpFamily family, std::string_view saved,
                          const std::vector<GateGrant>& granted = {});
std::string iptables_gate_removal(std::string_view saved);
std::string iptables_gate_opening(const std::string& peer, Opening opening, std::string_view saved);
std::string iptables_gate_admission(const std::string& peer, const Passage& passage);
std::string iptables_gate_withdrawal(const std::string& peer, const Passage& passage);
std::optional<GateView> iptables_gate_view(std::string_view saved);
// All matches and targets in a chain nothing jumps to, and its removal.
std::string iptables_gate_trial(const GateConfig& config, IpFamily family);
std::string iptables_gate_trial_removal();

}  // namespace cs::xfrm
