// SPDX-License-Identifier: GPL-3.0-or-later
// How large an inner packet may be so that, encrypted and signed, it still fits the path.
// Arithmetic and rule text only; what is on the machine is the business of routes.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "nfq-signer/extension.h"

namespace cs::mtu {

inline constexpr std::size_t least_ipv6 = 1280;  // RFC 8200: an IPv6 link carries this much whole
// RFC 791: every host takes this much. The kernel goes down to 68; what is below 576 is a mistake
// rather than a path.
inline constexpr std::size_t least_ipv4 = 576;

enum class Mode : std::uint8_t { tunnel, transport };

// What the kernel's SA adds to a packet.
struct Encapsulation {
  bool outer_ipv6 = false;  // in transport mode: the packet's own family
  Mode mode = Mode::tunnel;
  Protocol protocol = Protocol::esp;
  bool udp = false;         // ESP in UDP (NAT traversal)
  bool translated = false;  // ours, not the kernel's: the translator's UDP around the signed packet
  std::size_t iv = 8;       // ESP: AES-GCM 8, AES-CBC 16
  std::size_t icv = 16;     // AES-GCM 16, HMAC-SHA-256-128 16, HMAC-SHA-1-96 12
  std::size_t block = 1;    // ESP: what the cipher pads to; AES-GCM 1, AES-CBC 16
  // AH on IPv4: padded to 4 bytes as RFC 4302 says (`flag align4`), not to 8 as Linux does.
  bool ah_align4 = false;
  // Instead of all this but family, protocol and translator: by how many bytes the outer packet was
  // longer than the inner one, at most, as counted on real packets.
  std::optional<std::size_t> measured;
};

// Size of the packet that goes out for an inner one of `inner` bytes, with an extension of
// `extension` bytes (0: unsigned). In transport mode the inner packet counts with its IP header,
// which it must at least have.
[[nodiscard]] std::size_t outer_size(const Encapsulation& sa, std::size_t inner,
                                     std::size_t extension) noexcept;

// The largest inner packet whose outer one fits `path`; 0: none does.
[[nodiscard]] std::size_t inner_mtu(const Encapsulation& sa, std::size_t path,
                                    std::size_t extension) noexcept;

// Bytes left for the extension when an inner packet has `inner` bytes; negative: it does not even
// fit unsigned.
[[nodiscard]] std::ptrdiff_t room(const Encapsulation& sa, std::size_t path,
                                  std::size_t inner) noexcept;

// The most packets a batch may have, up to `wanted`, if its extensions must fit `room` bytes; 0:
// not even a batch of one does.
[[nodiscard]] std::uint32_t largest_batch(const Encapsulation& sa, Suite suite, std::ptrdiff_t room,
                                          std::uint32_t wanted) noexcept;

// `mtu.policy` of the configuration: what gives way where the inner MTU would fall below its least.
enum class Policy : std::uint8_t { cap, fragment };  // the batch; or grown packets are fragmented

struct Question {
  Encapsulation sa;
  std::size_t path = 1500;
  Suite suite = Suite::p256_node16;
  std::uint32_t batch = 64;  // the most packets configured
  Policy policy = Policy::cap;
  bool inner_ipv6 = true;      // whether IPv6 goes through this tunnel
  std::size_t configured = 0;  // inner MTU at most; 0: as the path allows
};

struct Plan {
  std::size_t inner_mtu = 0;       // for the inner routes of IPv4, and what MSS follows from
  std::size_t inner_mtu_ipv6 = 0;  // for those of IPv6: the same, but never below 1280
  std::uint32_t batch = 0;         // the most packets a batch may have
  std::size_t extension = 0;       // the most bytes an extension then has
  bool fragments = false;          // outer packets may be longer than the path: clear DF
};

// Refuses (`invalid`) what cannot be, and (`limit`) a path too small for policy `cap`.
Result<Plan> plan(const Question& question);

}  // namespace cs::mtu
