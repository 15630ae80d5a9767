// SPDX-License-Identifier: GPL-3.0-or-later
// The rules that steer ESP and AH into the engine's queues and lower the MSS of TCP inside, and the
// ones that protect when those are gone: as text. Nothing here runs anything; rules_apply.h does.
//
// Steering (nftables, or iptables where the kernel's nftables has no queue) can be flushed by
// anybody's firewall reload. What protects then are marks: an inbound SA that demands the mark only
// the verifier's verdict sets, and an outbound SA whose output mark only the signer's verdict
// rewrites, with a tc filter that drops what still has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nfq-signer/marks.h"
#include "nfq-signer/mtu.h"
#include "xfrm/route/clamp.h"

namespace cs {

// What is to be signed goes to `queues` queues from the first on, what is to be verified to as many
// behind them.
struct RuleOptions {
  std::uint16_t first_queue = 100;
  std::uint16_t queues = 1;                         // 1 to max_queues, chosen by SPI
  std::vector<std::uint16_t> udp_ports = {4500};    // ours, for ESP in UDP; at most max_udp_ports
  std::uint16_t translator_port = 0;                // of the translator's UDP; 0: there is none
  std::vector<std::string> egress_interfaces = {};  // where tc drops what is unsigned
  Marks marks = {};
  std::vector<mtu::Clamp> clamps = {};  // peers in transport mode; the kernel knows the others' MSS

  [[nodiscard]] std::uint16_t first_inbound_queue() const noexcept {
    return static_cast<std::uint16_t>(first_queue + queues);
  }

  static constexpr std::size_t max_queues = 128;
  static constexpr std::size_t max_udp_ports = 15;  // what one multiport match of iptables takes
  static constexpr std::size_t max_interfaces = 64;
};

// Fails with `invalid` or `limit`, naming what is wrong. All functions below want options that
// passed: names and numbers go into the text as they are.
Result<void> check_rules(const RuleOptions& options);

// For `nft -f`: one table, inet countersign. Loading it again replaces it, in one transaction.
std::string nft_rules(const RuleOptions& options);
std::string nft_removal();

// For both `iptables-restore --noflush` and `ip6tables-restore --noflush`: own chains in mangle,
// and jumps to them at the heads of its chains. `saved` is what iptables-save
// (ip6tables-save) says now: jumps of ours that are in it are moved instead of doubled. Empty: none
// are there.
std::string iptables_rules(const RuleOptions& options, std::string_view saved = {});
// Takes away exactly what of ours is in `saved`, which may be an iptables_rules() that was loaded;
// empty if nothing is.
std::string iptables_removal(std::string_view saved);
// Whether all of iptables_rules() is hooked in.
bool iptables_in_place(std::string_view saved);
// All matches and targets of iptables_rules() in a chain nothing jumps to, to see whether the
// kernel takes them; and the text that removes it.
std::string iptables_trial(const RuleOptions& options);
std::string iptables_trial_removal();

// For `tc -batch`: a filter on the way out of each interface. The removal wants the filter to be
// there; it leaves the clsact qdisc, which may be somebody else's too.
std::string tc_rules(const RuleOptions& options);
std::string tc_removal(const RuleOptions& options);
// Whether `shown`, the output of `tc filter show dev … egress`, has our filter.
bool tc_in_place(const RuleOptions& options, std::string_view shown);

// What strongSwan's swanctl.conf needs in each child of an attested tunnel.
std::string swanctl_settings(const RuleOptions& options);

}  // namespace cs
