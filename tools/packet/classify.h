// SPDX-License-Identifier: GPL-3.0-or-later
// What a captured frame is to us.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nfq-signer/packet.h"
#include "nfq-signer/reason.h"
#include "tools/capture/frame.h"

namespace cs::packet {

enum class Kind : std::uint8_t {
  passed,   // not IP, or neither ESP nor AH
  ipsec,    // a whole ESP or AH packet
  refused,  // ESP or AH, or it may be, but not one that can be looked at: `reason`
  cut,      // the same, because the capture kept its beginning only
};

struct Classified {
  Kind kind = Kind::passed;
  Reason reason = Reason::not_ipsec;
  capture::IpInFrame ip;  // unless passed
  Layout layout;          // of ipsec
};

// Fragments and broken packets count as passed only where the header that is there says that it is
// something else. `translator_port`: where the translator's UDP goes to; 0: there is none.
[[nodiscard]] Classified classify(const capture::Frame& frame,
                                  std::span<const std::uint16_t> udp_ports,
                                  std::uint16_t translator_port = 0) noexcept;

// Where the frame's packet is in the translator's UDP, `frame` becomes the one without, in
// `memory`. Otherwise nothing changes; other than `none`: it is what nobody can translate back.
[[nodiscard]] Reason translate_back(std::uint16_t translator_port, capture::Frame& frame,
                                    std::vector<std::uint8_t>& memory);

}  // namespace cs::packet
