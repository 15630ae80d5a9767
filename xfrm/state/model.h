// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's IPsec state as it says it: policies, SAs, and what happens to them. Everything but
// key bytes, which have no place here: an SA knows only how long its keys are.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "xfrm/address.h"

namespace cs::xfrm {

using net::Address;
using net::Prefix;

// The numbers of these are the kernel's.
enum class Direction : std::uint8_t { in, out, forward, socket_in, socket_out };
enum class Mode : std::uint8_t { transport, tunnel, route_optimization, in_trigger, beet, iptfs };
enum class Action : std::uint8_t { allow, block };
enum class Share : std::uint8_t { any, session, user, unique };
enum class PolicyType : std::uint8_t { main, sub };

// A packet's mark fits if its bits under the mask are the value's. 0/0 fits any.
struct Mark {
  std::uint32_t value = 0;
  std::uint32_t mask = 0;
  auto operator<=>(const Mark&) const = default;
};

// A port fits if its bits under the mask are these. 0/0 fits any.
struct Ports {
  std::uint16_t port = 0;
  std::uint16_t mask = 0;
  auto operator<=>(const Ports&) const = default;
};

// Which packets. Of one family, but for an SA whose `any_family` says that it asks no packet.
struct Selector {
  bool any_family = false;
  Prefix source;  // bits behind the length cleared: the kernel does not look at them
  Prefix destination;
  std::uint8_t protocol = 0;  // 0: any. Of ICMP, ports are type (source) and code (destination)
  Ports source_ports;
  Ports destination_ports;
  std::uint32_t interface = 0;  // 0: any
  std::uint32_t user = 0;
  bool operator==(const Selector&) const = default;
};

// An attribute this program does not know, as it lay there.
struct Opaque {
  std::uint16_t type = 0;
  std::vector<std::uint8_t> value;
  bool operator==(const Opaque&) const = default;
};

// All ones: no limit. The seconds: 0: no limit.
struct Lifetime {
  static constexpr std::uint64_t unlimited = ~std::uint64_t{0};
  std::uint64_t soft_bytes = unlimited;
  std::uint64_t hard_bytes = unlimited;
  std::uint64_t soft_packets = unlimited;
  std::uint64_t hard_packets = unlimited;
  std::uint64_t soft_seconds = 0;  // since it was added
  std::uint64_t hard_seconds = 0;
  std::uint64_t soft_use_seconds = 0;  // since its first packet
  std::uint64_t hard_use_seconds = 0;
  bool operator==(const Lifetime&) const = default;
};

struct Usage {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  std::uint64_t added = 0;  // seconds since 1970
  std::uint64_t first_used = 0;
  bool operator==(const Usage&) const = default;
};

// What a card is asked to do for the kernel.
struct Offload {
  std::uint32_t interface = 0;
  std::uint8_t flags = 0;
  bool operator==(const Offload&) const = default;
};

// How a policy wants its packets protected.
struct Template {
  std::uint8_t protocol = 0;  // IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP; 0 or 255: any of them
  Mode mode = Mode::transport;
  bool optional = false;  // goes without where there is no SA
  Share share = Share::any;
  Address source;  // of the tunnel; in transport mode not looked at
  Address destination;
  std::uint32_t spi = 0;  // 0: any
  std::uint32_t reqid = 0;
  // A bit for each algorithm that may be used; all ones: any.
  std::uint32_t authentications = ~0U;
  std::uint32_t encryptions = ~0U;
  std::uint32_t compressions = ~0U;
  bool operator==(const Template&) const = default;
};

struct Policy {
  static constexpr std::uint8_t flag_local_ok = 1;
  static constexpr std::uint8_t flag_icmp = 2;

  Direction direction = Direction::in;
  PolicyType type = PolicyType::main;
  std::uint32_t index = 0;  // the kernel's own number for it
  Selector selector;
  std::uint32_t priority = 0;  // the lower, the earlier
  Action action = Action::allow;
  std::uint8_t flags = 0;
  Share share = Share::any;
  std::vector<Template> templates;  // all of them, in this order; none: in clear
  Mark mark;
  std::uint32_t interface_id = 0;  // if_id; 0: none
  Lifetime lifetime;
  Usage usage;
  std::optional<Offload> offload;
  std::string security_context;
  std::vector<Opaque> unknown;

  [[nodiscard]] bool is_of_socket() const noexcept {
    return direction == Direction::socket_in || direction == Direction::socket_out;
  }
};

struct Algorithm {
  std::string name;  // the kernel's: "rfc4106(gcm(aes))", "hmac(sha256)"
  std::uint32_t key_bits = 0;
  std::uint32_t icv_bits = 0;  // of AEAD and of authentication (truncated); encryption: 0
  auto operator<=>(const Algorithm&) const = default;
};

// IPsec in UDP.
struct Encapsulation {
  std::uint16_t type = 0;  // UDP_ENCAP_ESPINUDP
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  bool operator==(const Encapsulation&) const = default;
};

// What names an SA for the kernel, with the mark (`ip xfrm state get`).
struct SaId {
  Address destination;
  std::uint32_t spi = 0;
  std::uint8_t protocol = 0;
  Mark mark;
  bool operator==(const SaId&) const = default;
};

// An SA as packets, IKE daemons and people name it: without the mark.
struct SaName {
  Address destination;
  std::uint8_t protocol = 0;
  std::uint32_t spi = 0;
  bool operator==(const SaName&) const = default;
};

struct Replay {
  std::uint32_t window = 0;  // packets; 0: nobody looks
  bool extended = false;     // 64-bit sequence numbers (ESN)
  std::uint64_t sent = 0;
  std::uint64_t received = 0;  // the highest
  bool operator==(const Replay&) const = default;
};

enum class SaDirection : std::uint8_t { unknown, in, out };  // only kernels from 6.10 on say it

struct Sa {
  // Of `flags`.
  static constexpr std::uint8_t flag_no_ecn = 1;
  static constexpr std::uint8_t flag_decap_dscp = 2;
  static constexpr std::uint8_t flag_no_pmtu_discovery = 4;
  static constexpr std::uint8_t flag_wild_receive = 8;
  static constexpr std::uint8_t flag_icmp = 16;
  static constexpr std::uint8_t flag_any_family = 32;
  static constexpr std::uint8_t flag_align4 = 64;
  static constexpr std::uint8_t flag_extended = 128;
  // Of `extra_flags`.
  static constexpr std::uint32_t extra_keep_dscp = 1;
  static constexpr std::uint32_t extra_may_wrap = 2;

  SaId id;
  Address source;
  Mode mode = Mode::transport;
  std::uint32_t reqid = 0;
  Selector selector;
  std::uint8_t flags = 0;
  std::uint32_t extra_flags = 0;
  Replay replay;
  std::optional<Algorithm> aead;
  std::optional<Algorithm> encryption;
  std::optional<Algorithm> authentication;
  std::optional<Algorithm> compression;
  std::optional<Encapsulation> encapsulation;
  Mark output_mark;  // what the kernel writes on packets it made; mask 0: nothing
  std::uint32_t interface_id = 0;
  std::uint32_t tfc_pad = 0;
  std::optional<Offload> offload;
  SaDirection direction = SaDirection::unknown;
  Lifetime lifetime;
  Usage usage;
  std::uint64_t last_used = 0;  // seconds since 1970; 0: never, or nobody says
  std::uint32_t replay_failures = 0;
  std::uint32_t integrity_failures = 0;
  std::uint32_t window_failures = 0;
  std::string security_context;
  std::vector<Opaque> unknown;

  // Made for a negotiation that has not ended: it carries no packet yet.
  [[nodiscard]] bool is_larval() const noexcept {
    return !aead && !encryption && !authentication && !compression;
  }
};

// What becomes of a packet that fits no policy (`ip xfrm policy getdefault`).
struct Defaults {
  Action in = Action::allow;
  Action forward = Action::allow;
  Action out = Action::allow;
  bool operator==(const Defaults&) const = default;
};

// Switches that turn IPsec off for an interface and appear in no policy.
struct InterfaceSwitches {
  std::string name;                  // "all" and "default" among them
  bool disable_xfrm = false;         // IPv4: what leaves by it leaves in clear
  bool disable_policy = false;       // IPv4: what comes in clear is taken
  bool disable_policy_ipv6 = false;  // likewise
  bool operator==(const InterfaceSwitches&) const = default;
};

struct State {
  // As the kernel lists them: what was changed last before the rest, those of sockets among them.
  std::vector<Policy> policies;
  std::vector<Sa> sas;
  // Not where the kernel is too old to have them: then everything is allowed.
  std::optional<Defaults> defaults;
  std::vector<InterfaceSwitches> interfaces;
};

struct Event {
  enum class Kind : std::uint8_t {
    sa_new,
    sa_update,
    sa_delete,
    sa_flush,
    sa_expire,
    sa_replay,  // its counters or replay window were set or passed a threshold
    policy_new,
    policy_update,
    policy_delete,
    policy_flush,
    policy_expire,
    acquire,  // a packet needs an SA that is not there
    mapping,  // the peer's NAT address changed
    migrate,
    defaults,
    report,
    unknown,  // a message this program does not know
  };
  Kind kind = Kind::unknown;
  std::uint32_t port = 0;  // what who did it wrote into its request as its own; may be any
  // What the kind lets expect.
  std::optional<Sa> sa;  // a deletion by id has at least `id`
  std::optional<Policy> policy;
  std::optional<Defaults> defaults;
  bool hard = false;                // expire: it has gone; not: a new one is due
  std::uint16_t message = 0;        // its netlink type
  std::uint8_t flushed = 0;         // sa_flush: the protocol, 0 for all; policy_flush: the type
  std::optional<Address> moved_to;  // mapping: the peer's new address
  std::uint16_t moved_to_port = 0;
};

}  // namespace cs::xfrm
