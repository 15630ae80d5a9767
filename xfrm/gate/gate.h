// SPDX-License-Identifier: GPL-3.0-or-later
// The gate: what IPsec of a configured peer may pass. A peer's ESP and AH, bare, in UDP or in the
// translator's UDP, is dropped in both directions until the peer is opened; then it passes by SA,
// each admitted by name of the kernel (destination, protocol, SPI). With `ike`, its IKE is dropped
// as long as it is closed.
//
// Where: inbound in the hook `input` at priority -350, or by iptables in raw's PREROUTING; outbound
// in `output` at -350, or raw's OUTPUT. Both are before the rules that queue for nfq-signer, so
// that what is closed is neither verified nor signed; and behind reassembly, which the rules turn
// on. Looked at are packets of the gateway itself, never forwarded ones. Not TCP: keymsd is always
// reached, and ESP in TCP (RFC 8229) is not held up here.
//
// A peer is known by its address, while the kernel finds an SA by destination, protocol and SPI: a
// closed peer that sends from another address is stopped by `only_peers`, or by the marks.
//
// The state is in the kernel alone. It outlives this process, and each change is one transaction
// (with iptables: one for each family of addresses), so that a process killed at any point leaves
// the gate as it was or as it was to be. What a flush of all rules takes away, keep() puts back,
// closed; until then the marks protect (docs/OPERATIONS.md).
//
// Of the calling thread's network namespace. Needs CAP_NET_ADMIN (iptables: root).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "xfrm/address.h"

namespace cs::xfrm {

using net::Address;

struct GatePeer {
  std::string
      name;  // a letter, then letters, digits, '_' and '-': at most GateConfig::longest_name
  std::vector<Address> addresses;
  bool ike = false;  // closed to IKE as well
  bool operator==(const GatePeer&) const = default;
};

struct GateConfig {
  std::vector<GatePeer> peers;
  std::vector<std::uint16_t> udp_ports = {4500};  // ours, of ESP in UDP and IKE
  std::uint16_t ike_port = 500;                   // ours
  bool only_peers = false;                        // nobody else's IPsec passes either
  std::uint16_t translator_port = 0;              // ours, of nfq-signer's translator; 0: none
  // Where packets of an SA that is not admitted wait for a verdict. Nobody listens, or none: they
  // are dropped.
  std::optional<std::uint16_t> held_queue = {};

  static constexpr std::size_t longest_name = 16;
  static constexpr std::size_t max_peers = 256;
  static constexpr std::size_t max_addresses = 16;  // of one peer
  static constexpr std::size_t max_udp_ports = 14;  // what one multiport match of iptables takes
};

// Fails with `invalid` or `limit`, naming what is wrong.
Result<void> check_gate(const GateConfig& config);

enum class GateKind : std::uint8_t { nft, iptables };
enum class GateWay : std::uint8_t { in, out };
enum class Opening : std::uint8_t {
  closed,
  listed,  // to the SAs admitted
  any,     // to all of the peer's: nothing attested them
};
enum class GateReason : std::uint8_t {
  closed,    // IPsec of a closed peer
  ike,       // its IKE
  fragment,  // of a packet nobody reassembled
  unknown,   // an SA that was not admitted: dropped
  held,      // the same: to the queue
  passed,
};
inline constexpr std::array gate_ways{GateWay::in, GateWay::out};
inline constexpr std::array gate_reasons{GateReason::closed,   GateReason::ike,
                                         GateReason::fragment, GateReason::unknown,
                                         GateReason::held,     GateReason::passed};

std::string_view to_string(GateKind kind) noexcept;
std::string_view to_string(GateWay way) noexcept;
std::string_view to_string(Opening opening) noexcept;
std::string_view to_string(GateReason reason) noexcept;

// An SA as the kernel names it. One for ESP holds for ESP in UDP, too: of these the kernel takes
// only what the SA says.
struct Passage {
  GateWay way = GateWay::in;
  Address destination;        // in: ours; out: the peer's
  std::uint8_t protocol = 0;  // ESP or AH
  std::uint32_t spi = 0;
  bool operator==(const Passage&) const = default;
};

// What shall pass of a peer.
struct GateGrant {
  std::string peer;
  Opening opening = Opening::listed;
  std::vector<Passage> passages;
};

struct GateCount {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  bool operator==(const GateCount&) const = default;
};

struct GatePeerView {
  std::string name;
  std::vector<Address> addresses;
  Opening opening = Opening::closed;
  std::vector<Passage> passages;
  std::array<std::array<GateCount, gate_reasons.size()>, gate_ways.size()> counts{};

  [[nodiscard]] GateCount count(GateWay way, GateReason reason) const {
    return counts.at(static_cast<std::size_t>(way)).at(static_cast<std::size_t>(reason));
  }
};

struct GateView {
  GateKind kind = GateKind::nft;
  bool complete = false;    // no rule or address missing, of none too many
  std::string fingerprint;  // of the configuration it was made from
  std::array<GateCount, gate_ways.size()> strangers{};  // of nobody's peer, and dropped
  std::vector<GatePeerView> peers;                      // by name
};

class GateRules;

class Gate {
 public:
  // The one that is in the kernel: not_found if there is none, `exists` if there are two.
  static Result<Gate> find();
  // Adopts the one that is there, with what it lets pass, if it is complete and was made from this
  // configuration; otherwise makes it anew, closed. `kind`: none: nftables where the kernel can,
  // or iptables. Fails with `exists` if there is one of the other kind.
  static Result<Gate> set_up(GateConfig config, std::optional<GateKind> kind = {});

  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  Gate(Gate&& other) noexcept;
  Gate& operator=(Gate&& other) noexcept;
  ~Gate();

  [[nodiscard]] GateKind kind() const noexcept;
  // Opening again is fine, and keeps what is admitted; closing forgets it.
  Result<void> open(const std::string& peer, Opening opening);
  Result<void> close(const std::string& peer) { return open(peer, Opening::closed); }
  // What passes once the peer is open. Both succeed if it is so already.
  Result<void> admit(const std::string& peer, const Passage& passage);
  Result<void> withdraw(const std::string& peer, const Passage& passage);

  // Makes it that of another configuration, with counters that begin anew. What is granted passes
  // all the while; whatever is not granted is closed.
  Result<void> change(GateConfig config, const std::vector<GateGrant>& granted);

  [[nodiscard]] Result<GateView> look() const;
  // To be called each second or so, by who called set_up(): true if the gate had been lost, whole
  // or in part, and is there again, open to what is granted and to nothing else.
  Result<bool> keep(const std::vector<GateGrant>& granted = {});
  // Of both kinds, whatever is there; nothing being there is fine.
  static Result<void> remove();

 private:
  Gate(std::unique_ptr<GateRules> rules, GateConfig config);
  std::unique_ptr<GateRules> rules_;
  GateConfig config_;
};

}  // namespace cs::xfrm
