// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/words.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "base/hex.h"
#include "xfrm/state/text.h"

namespace cs::keyms {
namespace {

constexpr std::size_t longest_shown = 80;

Error wrong(std::string_view text, const std::string& wanted) {
  return {ErrorKind::invalid,
          "'" + std::string(text.substr(0, longest_shown)) + "' is not " + wanted};
}

constexpr std::array units{Word<std::int64_t>{"d", 86400}, Word<std::int64_t>{"h", 3600},
                           Word<std::int64_t>{"m", 60}, Word<std::int64_t>{"s", 1}};

constexpr std::array protocol_words{Word<std::uint8_t>{"icmp", std::uint8_t{IPPROTO_ICMP}},
                                    Word<std::uint8_t>{"tcp", std::uint8_t{IPPROTO_TCP}},
                                    Word<std::uint8_t>{"udp", std::uint8_t{IPPROTO_UDP}},
                                    Word<std::uint8_t>{"gre", std::uint8_t{IPPROTO_GRE}},
                                    Word<std::uint8_t>{"ipv6-icmp", std::uint8_t{IPPROTO_ICMPV6}},
                                    Word<std::uint8_t>{"sctp", std::uint8_t{IPPROTO_SCTP}}};

std::string hex_text(std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return "0x" + std::string(digits.data(), done.ptr);
}

std::string protocol_text(std::uint8_t protocol) {
  const std::string word = word_for(protocol_words, protocol);
  return word == "?" ? std::to_string(protocol) : word;
}

Result<std::uint8_t> parse_protocol(std::string_view text) {
  for (const auto& [word, number] : protocol_words) {
    if (word == text) return std::uint8_t{number};
  }
  auto number = parse_number(text, 0xff);
  if (number.ok() && *number != 0) return static_cast<std::uint8_t>(*number);
  return wrong(text, "a protocol: tcp, udp, icmp, ipv6-icmp, sctp, gre or a number");
}

}  // namespace

Result<std::uint64_t> parse_number(std::string_view text, std::uint64_t most) {
  const bool hex = text.starts_with("0x");
  const std::string_view digits = text.substr(hex ? 2 : 0);
  std::uint64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, value, hex ? 16 : 10);
  if (error == std::errc() && stopped == end && value <= most) return value;
  return wrong(text, "a whole number of at most " + std::to_string(most));
}

Result<std::chrono::seconds> parse_duration(std::string_view text) {
  const std::string wanted =
      "a number with s, m, h or d behind it, of at most " + keyms::text(max_duration);
  if (text.empty()) return wrong(text, wanted);
  for (const auto& [unit, seconds] : units) {
    if (text.substr(text.size() - 1) != unit) continue;
    const auto most = static_cast<std::uint64_t>(max_duration.count() / seconds);
    const auto count = parse_number(text.substr(0, text.size() - 1), most);
    if (!count.ok()) break;
    return std::chrono::seconds(static_cast<std::int64_t>(*count) * seconds);
  }
  return wrong(text, wanted);
}

std::string text(std::chrono::seconds duration) {
  for (const auto& [unit, seconds] : units) {
    if (duration.count() != 0 && duration.count() % seconds == 0) {
      return std::to_string(duration.count() / seconds) + std::string(unit);
    }
  }
  return "0s";
}

Result<xfrm::Mark> parse_mark(std::string_view text) {
  if (text == "none") return xfrm::Mark{};
  const std::size_t slash = text.find('/');
  const auto value = parse_number(text.substr(0, slash), ~0U);
  auto mask = Result<std::uint64_t>(~0U);
  if (slash != std::string_view::npos) mask = parse_number(text.substr(slash + 1), ~0U);
  if (!value.ok() || !mask.ok()) return wrong(text, "a mark, as in 0x10000/0x10000, or none");
  return xfrm::Mark{static_cast<std::uint32_t>(*value), static_cast<std::uint32_t>(*mask)};
}

std::string mark_text(const xfrm::Mark& mark) {
  return mark == xfrm::Mark{} ? "none" : xfrm::text(mark);
}

Result<void> parse_ports(std::string_view text, xfrm::Traffic& out) {
  const std::size_t slash = text.find('/');
  CS_TRY(out.protocol, parse_protocol(text.substr(0, slash)));
  out.ports = {};
  if (slash == std::string_view::npos) return {};
  const std::string_view ports = text.substr(slash + 1);
  const std::size_t colon = ports.find(':');
  CS_TRY(const std::uint64_t port, parse_number(ports.substr(0, colon), 0xffff));
  std::uint64_t mask = 0xffff;
  if (colon != std::string_view::npos) {
    CS_TRY(mask, parse_number(ports.substr(colon + 1), 0xffff));
  }
  out.ports = {static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(mask)};
  return {};
}

Result<xfrm::Traffic> parse_traffic(std::string_view text) {
  xfrm::Traffic out;
  const std::size_t bracket = text.find('[');
  CS_TRY(out.network, net::Prefix::parse(text.substr(0, bracket)));
  if (bracket == std::string_view::npos) return out;
  if (!text.ends_with(']'))
    return wrong(text, "a network with its protocol, as in 10.1.0.0/16[tcp/443]");
  CS_CHECK(parse_ports(text.substr(bracket + 1, text.size() - bracket - 2), out));
  return out;
}

std::string text(const xfrm::Traffic& traffic) {
  std::string out = traffic.network.text();
  if (traffic.protocol == 0) return out;
  out += "[" + protocol_text(traffic.protocol);
  const xfrm::Ports& ports = traffic.ports;
  if (ports.mask == 0xffff) out += "/" + std::to_string(ports.port);
  if (ports.mask != 0xffff && ports.mask != 0) {
    out += "/" + hex_text(ports.port) + ":" + hex_text(ports.mask);
  }
  return out + "]";
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t last = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  const std::size_t close = bracketed ? text.find(']') : std::string_view::npos;
  if (bracketed && close == std::string_view::npos) {
    return wrong(text, "an address with a port, as in [2001:db8::1]:4739");
  }
  // An IPv6 address without brackets has no port behind it.
  const bool plain_ipv6 = !bracketed && text.find(':') != last;
  const std::size_t end = bracketed    ? close + 1
                          : plain_ipv6 ? text.size()
                                       : std::min(last, text.size());
  Endpoint out;
  CS_TRY(out.address,
         net::Address::parse(bracketed ? text.substr(1, close - 1) : text.substr(0, end)));
  out.port = keymsd_port;
  const std::string_view rest = text.substr(end);
  if (rest.empty()) return out;
  auto port =
      rest.starts_with(':') ? parse_number(rest.substr(1), 0xffff) : Result<std::uint64_t>(0);
  if (!port.ok() || *port == 0) return wrong(text, "an address with a port, as in 192.0.2.1:4739");
  out.port = static_cast<std::uint16_t>(*port);
  return out;
}

std::string text(const Endpoint& endpoint) {
  const std::string address = endpoint.address.text();
  return (endpoint.address.ipv6 ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port);
}

Result<tpm::CelRegister> parse_register(std::string_view text) {
  using Kind = tpm::CelRegister::Kind;
  const bool nv = text.starts_with("nv:");
  if (nv || text.starts_with("pcr:")) {
    const auto number = parse_number(text.substr(nv ? 3 : 4), nv ? ~0U : tpm::pcr_count - 1);
    if (number.ok()) {
      return tpm::CelRegister{nv ? Kind::nv_index : Kind::pcr, static_cast<std::uint32_t>(*number)};
    }
  }
  return wrong(text, "a register, as in pcr:13 or nv:0x1d10300");
}

std::string text(const tpm::CelRegister& of) {
  return of.kind == tpm::CelRegister::Kind::pcr ? "pcr:" + std::to_string(of.number)
                                                : "nv:" + hex_text(of.number);
}

Result<Hash> parse_hash(std::string_view text) {
  Hash out{};
  const auto bytes = hex_decode(text, out.size());
  if (!bytes.ok() || bytes->size() != out.size()) {
    return wrong(text, "a SHA-256 of 64 hexadecimal digits");
  }
  std::ranges::copy(*bytes, out.begin());
  return out;
}

Result<tpm::Digest> parse_digest(std::string_view text) {
  CS_TRY(const Hash hash, parse_hash(text));
  return tpm::Digest::from(tpm::HashAlgorithm::sha256, hash);
}

Result<tpm::Name> parse_name(std::string_view text) {
  auto bytes = hex_decode(text, tpm::most_name);
  if (!bytes.ok() || bytes->empty()) return wrong(text, "a Name, 000b and 64 hexadecimal digits");
  return tpm::Name{*std::move(bytes)};
}

}  // namespace cs::keyms
