// SPDX-License-Identifier: GPL-3.0-or-later
// Packets of every form the rules must tell apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/packet.h"

namespace cs::test {

inline constexpr std::uint8_t kProtocolAh = 51;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolOptions = 60;  // IPv6 destination options
inline constexpr std::uint8_t kProtocolLast = 253;    // for experiments: nobody's

// All that may stand in the IP header of what is made here.
inline const std::vector<std::uint8_t> kAllProtocols{kProtocolEsp, kProtocolAh,      kProtocolUdp,
                                                     kProtocolTcp, kProtocolOptions, kProtocolLast};

// Whose port is the gateway's: source on the way out, target on the way in.
enum class Side : std::uint8_t { source, target };

class IpsecPackets {
 public:
  struct Named {
    std::string name;
    Bytes packet;
  };

  IpsecPackets(Family family, std::string source, std::string target)
      : family_(family), source_(std::move(source)), target_(std::move(target)) {}

  // What has to be signed or verified, in all its forms.
  [[nodiscard]] std::vector<Named> signed_ones(Side side) const;
  // What looks like it and has to be left alone.
  [[nodiscard]] std::vector<Named> foreign_ones(Side side) const;

  [[nodiscard]] Bytes esp() const;
  [[nodiscard]] Bytes udp_esp(std::uint16_t source, std::uint16_t target) const;
  // What is sent behind the others, and no rule means.
  [[nodiscard]] Bytes last() const;

 private:
  [[nodiscard]] Bytes make(std::uint8_t protocol, const Bytes& payload) const;
  // With IPv4 options or an IPv6 destination options header before the payload.
  [[nodiscard]] Bytes make_with_options(std::uint8_t protocol, const Bytes& payload) const;

  Family family_;
  std::string source_, target_;
};

}  // namespace cs::test
