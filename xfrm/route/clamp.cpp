// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/route/clamp.h"

#include <algorithm>

namespace cs::mtu {
namespace {

constexpr std::size_t ipv4_header = 20;
constexpr std::size_t ipv6_header = 40;
constexpr std::size_t tcp_header = 20;
constexpr std::size_t max_packet = 65535;

}  // namespace

std::uint16_t mss(bool ipv6, std::size_t mtu) noexcept {
  const std::size_t headers = (ipv6 ? ipv6_header : ipv4_header) + tcp_header;
  return static_cast<std::uint16_t>(std::min<std::size_t>(mtu, max_packet) -
                                    std::min<std::size_t>({mtu, max_packet, headers}));
}

std::vector<std::string> nft_clamp(const Clamp& clamp) {
  const std::string size = std::to_string(clamp.mss);
  std::vector<std::string> rules;
  for (const char* side : {" daddr ", " saddr "}) {
    std::string rule = clamp.ipv6 ? "ip6" : "ip";
    rule += side + clamp.peer;
    rule += " tcp flags & (syn | rst) == syn tcp option maxseg size > " + size;
    rule += " tcp option maxseg size set " + size;
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<std::string> iptables_clamp(const Clamp& clamp) {
  std::vector<std::string> rules;
  for (const char* side : {"-d ", "-s "}) {
    rules.push_back(side + clamp.peer + " -p tcp -m tcp --tcp-flags SYN,RST SYN -m tcpmss --mss " +
                    std::to_string(std::min(clamp.mss + 1, 65535)) + ":65535 -j TCPMSS --set-mss " +
                    std::to_string(clamp.mss));
  }
  return rules;
}

}  // namespace cs::mtu
