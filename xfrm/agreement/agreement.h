// SPDX-License-Identifier: GPL-3.0-or-later
// What two gateways have agreed that their kernels do: the part of a core policy that IPsec keeps.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// The two gateways of an agreement, and who of them reads it.
enum class End : std::uint8_t { left, right };
[[nodiscard]] constexpr End other(End end) noexcept {
  return end == End::left ? End::right : End::left;
}
[[nodiscard]] constexpr std::size_t index(End end) noexcept {
  return static_cast<std::size_t>(end);
}

enum class Use : std::uint8_t { forbidden, allowed, required };

// What is protected behind an end.
struct Traffic {
  Prefix network;
  std::uint8_t protocol = 0;  // 0: any
  Ports ports;
  bool operator==(const Traffic&) const = default;
};

struct TunnelEnd {
  std::optional<Address> address;  // nullopt: not known before, as behind a NAT
  std::vector<Traffic> traffic;    // in transport mode none: the address itself
  bool operator==(const TunnelEnd&) const = default;
};

// Algorithms that go together, by the kernel's names: AEAD, or encryption with authentication, or
// (AH) authentication alone.
struct Proposal {
  std::optional<Algorithm> aead;
  std::optional<Algorithm> encryption;
  std::optional<Algorithm> authentication;
  bool operator==(const Proposal&) const = default;
};

struct Tunnel {
  std::string name;
  std::array<TunnelEnd, 2> ends;  // by index(End)
  Mode mode = Mode::tunnel;
  std::uint8_t protocol = 50;  // IPPROTO_ESP or IPPROTO_AH
  std::vector<Proposal> proposals;
  Use extended_sequence_numbers = Use::allowed;
  Use udp_encapsulation = Use::allowed;
  std::uint32_t least_replay_window = 32;
  // On inbound SAs: only a packet that the verifier marked finds one.
  Mark inbound_mark{0x10000, 0x10000};
  // Written on what outbound SAs made: unsigned packets are told by it.
  Mark output_mark{0x20000, 0x30000};
  // Of the policies in and forward: none, or the inbound mark, as strongSwan's mark_in sets it.
  Mark inbound_policy_mark;
  // Of the policies out and of outbound SAs.
  Mark outbound_policy_mark;
  std::uint32_t interface_id = 0;
  std::uint64_t most_seconds = 0;  // an SA's hard limit since it was added; 0: none is asked
  bool forwards = true;            // whether what comes out of the tunnel may be forwarded
  bool operator==(const Tunnel&) const = default;
};

// Traffic of one gateway that may go in clear although a tunnel would cover it, both ways.
struct Bypass {
  std::string name;
  End at = End::left;
  Traffic here;
  Traffic there;
  bool operator==(const Bypass&) const = default;
};

struct Agreement {
  std::vector<Tunnel> tunnels;
  std::vector<Bypass> bypasses;
  // The least: a kernel that blocks where this allows is as good.
  Defaults defaults;
  bool operator==(const Agreement&) const = default;
};

inline constexpr std::size_t max_tunnels = 256;
inline constexpr std::size_t max_bypasses = 256;
inline constexpr std::size_t max_proposals = 16;
inline constexpr std::size_t max_name = 64;
// Pairs of traffic of all tunnels; each makes up to three policies.
inline constexpr std::size_t max_pairs = 10'000;

// Whether it can be kept at all, and protects: no replay window of 0, no unprotected proposal.
Result<void> validate(const Agreement& agreement);
// One of its tunnels alone, but for its name.
Result<void> validate(const Tunnel& tunnel);

// "aes256gcm16", "aes128-sha256", "sha384" for AH: strongSwan's words for ESP and AH proposals.
// Key exchange groups and "esn"/"noesn" are no algorithms of an SA and refused.
Result<Proposal> parse_proposal(std::string_view words);
// The words for it, encryption first; none: it has algorithms that no words are known for.
[[nodiscard]] std::optional<std::string> words_of(const Proposal& proposal);

// The ICV length the kernel gives an authentication algorithm unless it is told another; 0: none
// known.
[[nodiscard]] std::uint32_t default_icv_bits(std::string_view name) noexcept;

}  // namespace cs::xfrm
