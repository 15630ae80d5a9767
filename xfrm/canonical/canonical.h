// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel does with one tunnel's traffic, as bytes that are the same wherever it does the
// same. docs/XFRM.md is the norm for each field.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "xfrm/agreement/agreement.h"
#include "xfrm/agreement/precedence.h"

namespace cs::xfrm {

using Sha256 = std::array<std::uint8_t, 32>;

struct Canonical {
  std::vector<std::uint8_t> policies;  // CBOR: policies, default policy, interfaces, sockets
  std::vector<std::uint8_t> sas;       // CBOR: the kinds of SAs
  Sha256 policies_sha256{};            // does not change as SAs come and go
  Sha256 whole_sha256{};               // of an array of both

  // Positions in the state of what is told of: policies by their priority, SAs as they
  // stand there.
  std::vector<std::size_t> policies_told;
  std::vector<std::size_t> sas_told;
};

// Of a tunnel whose agreement validates, at one of its ends. `index` is of `state.policies`, and
// serves for all tunnels. `known_bypasses` are the socket policies of the IKE daemon and keymsd, as
// in Known. Fails where more overlaps than can be told within reason (limit).
Result<Canonical> canonicalise(const Tunnel& tunnel, End end, const State& state,
                               const PolicyIndex& index, std::size_t known_bypasses);

// For a person: both digests, and what they are of.
[[nodiscard]] std::string describe(const Canonical& canonical, const State& state);

}  // namespace cs::xfrm
