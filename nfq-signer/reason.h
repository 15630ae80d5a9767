// SPDX-License-Identifier: GPL-3.0-or-later
// Why a packet was not let through. Each has a counter of its own; the words are what operators
// see.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cs {

// From malformed to bad_signature the order is that of the checks in docs/WIRE.md, section 7.
enum class Reason : std::uint8_t {
  none,            // nothing is wrong
  malformed,       // not one whole IP packet that we can read
  fragment,        // a fragment: it should have been reassembled before us
  not_ipsec,       // neither ESP nor AH: IKE, a NAT keepalive, something else
  untranslatable,  // sent to the translator's port, and nothing it makes
  no_extension,    // ESP or AH, but not signed
  unknown_key,     // signed with a key we do not hold
  expired_key,     // the key has ended
  unknown_lane,    // the key may not be used in this lane
  pcr_mismatch,    // the PCR tag is not that of the quote that introduced the key
  stale,           // the lane has moved on
  bad_tag,         // changed on the way, or made without the gate secret
  bad_path,        // does not lead to the root of its batch
  bad_signature,   // the root is not signed
  too_big,         // would be longer than an IP packet or an AH header can be
  count,           // how many there are
};

[[nodiscard]] constexpr std::string_view to_string(Reason reason) noexcept {
  constexpr std::array<std::string_view, static_cast<std::size_t>(Reason::count)> names{
      "none",         "malformed",   "fragment",    "not_ipsec",     "untranslatable",
      "no_extension", "unknown_key", "expired_key", "unknown_lane",  "pcr_mismatch",
      "stale",        "bad_tag",     "bad_path",    "bad_signature", "too_big"};
  const auto index = static_cast<std::size_t>(reason);
  return index < names.size() ? names.at(index) : "unknown";
}

}  // namespace cs
