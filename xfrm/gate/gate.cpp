// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/gate/gate.h"

#include <netinet/in.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/hex.h"
#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view digits = "0123456789";

bool is_any_of(char c, std::string_view some) {
  return some.find(c) != std::string_view::npos;
}

Error invalid(std::string why) {
  return {ErrorKind::invalid, std::move(why)};
}

Error too_many(const std::string& what, std::size_t count, std::size_t most) {
  return {ErrorKind::limit,
          std::to_string(count) + " " + what + ": at most " + std::to_string(most)};
}

// Nobody sends from these, and rules of all peers would mean them.
bool is_unspecified(const Address& address) {
  return std::ranges::all_of(address.view(), [](std::uint8_t byte) { return byte == 0; });
}

Result<void> check_ports(const GateConfig& config) {
  if (config.udp_ports.size() > GateConfig::max_udp_ports) {
    return too_many("UDP ports", config.udp_ports.size(), GateConfig::max_udp_ports);
  }
  std::set<std::uint16_t> seen{config.translator_port};
  seen.insert(0);
  for (const std::uint16_t port : config.udp_ports) {
    if (seen.insert(port).second) continue;
    return invalid("port " + std::to_string(port) + " is zero, the translator's or there twice");
  }
  if (!seen.insert(config.ike_port).second) {
    return invalid("the port of IKE, " + std::to_string(config.ike_port) +
                   ", is zero or also another's");
  }
  return {};
}

Result<void> check_peers(const GateConfig& config) {
  if (config.peers.empty()) {
    return invalid("a gate for no peer").with_hint("name each one: --peer NAME=ADDRESS");
  }
  if (config.peers.size() > GateConfig::max_peers) {
    return too_many("peers", config.peers.size(), GateConfig::max_peers);
  }
  std::set<std::string> names;
  std::set<std::string> addresses;
  for (const GatePeer& peer : config.peers) {
    CS_CHECK(check_peer_name(peer.name));
    if (!names.insert(peer.name).second) return invalid("peer " + peer.name + " is there twice");
    if (peer.addresses.empty()) return invalid("peer " + peer.name + " has no address");
    if (peer.addresses.size() > GateConfig::max_addresses) {
      return too_many("addresses of peer " + peer.name, peer.addresses.size(),
                      GateConfig::max_addresses);
    }
    for (const Address& address : peer.addresses) {
      if (is_unspecified(address) || !addresses.insert(address.text()).second) {
        return invalid("address " + address.text() + " of peer " + peer.name +
                       " is nobody's or there twice");
      }
    }
  }
  return {};
}

Result<void> check_passage(const Passage& passage) {
  if (passage.protocol != IPPROTO_ESP && passage.protocol != IPPROTO_AH) {
    return invalid("protocol " + std::to_string(passage.protocol) + " of an SA is not ESP or AH");
  }
  if (passage.spi == 0) return invalid("0 is no SPI");
  return {};
}

constexpr std::string_view see = "see what is there with: countersign gate show";

// A kind this machine does not have has no gate either.
Result<std::optional<GateView>> look_at(const GateRules& rules) {
  Result<std::optional<GateView>> view = rules.look();
  if (view.ok()) return view;
  const ErrorKind why = view.error().kind();
  if (why == ErrorKind::unsupported || why == ErrorKind::not_found) {
    return std::optional<GateView>();
  }
  return std::move(view).context("looking for the gate");
}

}  // namespace

std::string_view to_string(GateKind kind) noexcept {
  return kind == GateKind::nft ? "nft" : "iptables";
}

std::string_view to_string(GateWay way) noexcept {
  return way == GateWay::in ? "in" : "out";
}

std::string_view to_string(Opening opening) noexcept {
  constexpr std::array<std::string_view, 3> names{"closed", "listed", "any"};
  return names.at(static_cast<std::size_t>(opening));
}

std::string_view to_string(GateReason reason) noexcept {
  constexpr std::array<std::string_view, gate_reasons.size()> names{"closed",  "ike",  "fragment",
                                                                    "unknown", "held", "passed"};
  return names.at(static_cast<std::size_t>(reason));
}

Result<void> check_peer_name(std::string_view name) {
  const std::string others = std::string(letters) + std::string(digits) + "_-";
  if (name.empty() || name.size() > GateConfig::longest_name || !is_any_of(name.front(), letters) ||
      !std::ranges::all_of(name, [&](char c) { return is_any_of(c, others); })) {
    return invalid("\"" + std::string(name.substr(0, 2 * GateConfig::longest_name)) +
                   "\" is no name of a peer")
        .with_hint("a letter, then letters, digits, _ and -, in all at most " +
                   std::to_string(GateConfig::longest_name));
  }
  return {};
}

Result<void> check_gate(const GateConfig& config) {
  CS_CHECK(check_peers(config));
  return check_ports(config);
}

Result<void> check_grants(const GateConfig& config, const std::vector<GateGrant>& granted) {
  std::set<std::string> seen;
  for (const GateGrant& grant : granted) {
    if (std::ranges::find(config.peers, grant.peer, &GatePeer::name) == config.peers.end())
      return no_such_peer(grant.peer);
    if (!seen.insert(grant.peer).second)
      return invalid("peer " + grant.peer + " is granted something twice");
    for (const Passage& passage : grant.passages) CS_CHECK(check_passage(passage));
  }
  return {};
}

const GateGrant* grant_of(const std::vector<GateGrant>& granted, const std::string& peer) noexcept {
  const auto found = std::ranges::find(granted, peer, &GateGrant::peer);
  return found == granted.end() ? nullptr : &*found;
}

std::string fingerprint(const GateConfig& config) {
  std::string all;
  for (const GatePeer& peer : config.peers) {
    all += peer.name + (peer.ike ? " ike" : "");
    for (const Address& address : peer.addresses) all += " " + address.text();
    all += "\n";
  }
  for (const std::uint16_t port : config.udp_ports) all += std::to_string(port) + " ";
  all += "ike " + std::to_string(config.ike_port) + " translator " +
         std::to_string(config.translator_port);
  if (config.only_peers) all += " only";
  if (config.held_queue) all += " held " + std::to_string(*config.held_queue);
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): OpenSSL wants unsigned bytes.
  SHA256(reinterpret_cast<const unsigned char*>(all.data()), all.size(), digest.data());
  return hex_encode(ByteView(digest).first<8>());
}

GateView GateParts::view(GateKind kind, bool complete) {
  GateView view;
  view.kind = kind;
  view.complete = complete;
  if (label_) view.fingerprint = label_->fingerprint;
  view.strangers = strangers_;
  for (auto& [name, peer] : peers_) view.peers.push_back(std::move(peer));
  return view;
}

Error no_such_peer(const std::string& name) {
  return Error(ErrorKind::not_found, "the gate has no peer " + name).with_hint(std::string(see));
}

std::string gate_label(const GateConfig& config, std::size_t rules) {
  return fingerprint(config) + " of " + std::to_string(rules);
}

std::optional<GateLabel> parse_gate_label(std::string_view text) {
  const std::size_t of = text.find(" of ");
  if (of == std::string_view::npos) return std::nullopt;
  GateLabel label{std::string(text.substr(0, of)), 0};
  const std::string_view number = text.substr(of + 4);
  const auto read = std::from_chars(number.data(), number.data() + number.size(), label.rules);
  if (read.ec != std::errc() || read.ptr != number.data() + number.size()) return std::nullopt;
  return label;
}

Gate::Gate(std::unique_ptr<GateRules> rules, GateConfig config)
    : rules_(std::move(rules)), config_(std::move(config)) {}
Gate::Gate(Gate&& other) noexcept = default;
Gate& Gate::operator=(Gate&& other) noexcept = default;
Gate::~Gate() = default;

Result<Gate> Gate::find() {
  std::unique_ptr<GateRules> nft = make_nft_gate();
  std::unique_ptr<GateRules> iptables = make_iptables_gate();
  CS_TRY(const std::optional<GateView> by_nft, look_at(*nft));
  CS_TRY(const std::optional<GateView> by_iptables, look_at(*iptables));
  if (by_nft && by_iptables) {
    return Error(ErrorKind::exists, "there are two gates, by nft and by iptables")
        .with_hint("take both away and set up one: countersign gate remove");
  }
  if (by_nft) return Gate(std::move(nft), {});
  if (by_iptables) return Gate(std::move(iptables), {});
  return Error(ErrorKind::not_found, "there is no gate")
      .with_hint("make one with: countersign gate set-up --peer NAME=ADDRESS");
}

Result<Gate> Gate::set_up(GateConfig config, std::optional<GateKind> kind) {
  CS_CHECK(check_gate(config));
  std::unique_ptr<GateRules> ours = make_nft_gate();
  std::unique_ptr<GateRules> other = make_iptables_gate();
  CS_TRY(std::optional<GateView> view, look_at(*ours));
  CS_TRY(std::optional<GateView> other_view, look_at(*other));
  if (!kind) {
    const bool can_nft = !other_view && (view || ours->try_out(config).ok());
    kind = can_nft ? GateKind::nft : GateKind::iptables;
  }
  if (*kind == GateKind::iptables) {
    std::swap(ours, other);
    std::swap(view, other_view);
  }
  if (other_view) {
    return Error(ErrorKind::exists,
                 "there is a gate already, by " + std::string(to_string(other->kind())))
        .with_hint("remove it first: countersign gate remove");
  }
  if (!view || !view->complete || view->fingerprint != fingerprint(config)) {
    CS_CHECK(ours->try_out(config));
    CS_CHECK(ours->replace(config, {}));
  }
  return Gate(std::move(ours), std::move(config));
}

GateKind Gate::kind() const noexcept {
  return rules_->kind();
}

Result<void> Gate::open(const std::string& peer, Opening opening) {
  CS_CHECK(check_peer_name(peer));
  return rules_->open(peer, opening);
}

Result<void> Gate::admit(const std::string& peer, const Passage& passage) {
  CS_CHECK(check_peer_name(peer));
  CS_CHECK(check_passage(passage));
  return rules_->admit(peer, passage);
}

Result<void> Gate::withdraw(const std::string& peer, const Passage& passage) {
  CS_CHECK(check_peer_name(peer));
  CS_CHECK(check_passage(passage));
  return rules_->withdraw(peer, passage);
}

Result<GateView> Gate::look() const {
  CS_TRY(std::optional<GateView> view, rules_->look());
  if (view) return std::move(*view);
  return Error(ErrorKind::not_found, "the gate is not there any more")
      .with_hint("set it up again: countersign gate set-up");
}

Result<void> Gate::change(GateConfig config, const std::vector<GateGrant>& granted) {
  CS_CHECK(check_gate(config));
  CS_CHECK(check_grants(config, granted));
  CS_CHECK(rules_->replace(config, granted));
  config_ = std::move(config);
  return {};
}

Result<bool> Gate::keep(const std::vector<GateGrant>& granted) {
  CS_CHECK(check_gate(config_).context("keeping a gate that was found, not set up"));
  CS_CHECK(check_grants(config_, granted));
  CS_TRY(const std::optional<GateView> view, rules_->look());
  if (view && view->complete && view->fingerprint == fingerprint(config_)) return false;
  CS_CHECK(rules_->replace(config_, granted));
  return true;
}

Result<void> Gate::remove() {
  for (const auto make : {make_nft_gate, make_iptables_gate}) {
    const std::unique_ptr<GateRules> rules = make();
    CS_TRY(const std::optional<GateView> view, look_at(*rules));
    if (view) CS_CHECK(rules->remove());
  }
  return {};
}

}  // namespace cs::xfrm
