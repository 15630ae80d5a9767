// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state/text.h"

#include <netinet/in.h>

#include <array>

#include "base/hex.h"
#include "base/rfc3339.h"

namespace cs::xfrm {
namespace {

constexpr std::string_view arrow = " → ";

template <std::size_t n, class Enum>
std::string_view name_in(const std::array<std::string_view, n>& names, Enum value) noexcept {
  const auto index = static_cast<std::size_t>(value);
  return index < n ? names.at(index) : "unknown";
}

std::string hex32(std::uint32_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "0x";
  bool begun = false;
  for (int shift = 28; shift >= 0; shift -= 4) {
    const std::uint32_t digit = (value >> static_cast<unsigned>(shift)) & 0xfU;
    begun = begun || digit != 0 || shift == 0;
    if (begun) out += digits[digit];
  }
  return out;
}

std::string upper_protocol(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_SCTP:
      return "sctp";
    case IPPROTO_ICMP:
      return "icmp";
    case IPPROTO_ICMPV6:
      return "ipv6-icmp";
    case IPPROTO_GRE:
      return "gre";
    default:
      return "protocol " + std::to_string(protocol);
  }
}

std::string ports_text(const Ports& ports) {
  if (ports.mask == 0) return "any";
  const std::string port = std::to_string(ports.port);
  return ports.mask == 0xffff ? port : port + "/" + hex32(ports.mask);
}

// Lines of a description: what is usual is left out.
class Lines {
 public:
  Lines& line(const std::string& text) {
    out_ += "    " + detail::one_line(text) + "\n";
    return *this;
  }
  Lines& line_if(bool said, const std::string& text) { return said ? line(text) : *this; }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string limit_text(std::uint64_t soft, std::uint64_t hard, std::uint64_t none,
                       std::string_view unit) {
  if (soft == none && hard == none) return "";
  const auto one = [&](std::uint64_t limit) {
    return limit == none ? std::string("no limit") : std::to_string(limit);
  };
  return ", " + one(soft) + " then " + one(hard) + " " + std::string(unit);
}

std::string lifetime_text(const Lifetime& l) {
  const std::string all =
      limit_text(l.soft_seconds, l.hard_seconds, 0, "s") +
      limit_text(l.soft_use_seconds, l.hard_use_seconds, 0, "s of use") +
      limit_text(l.soft_bytes, l.hard_bytes, Lifetime::unlimited, "bytes") +
      limit_text(l.soft_packets, l.hard_packets, Lifetime::unlimited, "packets");
  return all.empty() ? all : "renewed, then ended, after " + all.substr(2);
}

std::string usage_text(const Usage& usage) {
  const auto moment = [](std::uint64_t seconds) {
    return seconds == 0 ? std::string("never")
                        : format_rfc3339(from_time_t(static_cast<std::int64_t>(seconds)));
  };
  return "carried " + std::to_string(usage.packets) + " packets, " + std::to_string(usage.bytes) +
         " bytes; made " + moment(usage.added) + ", first used " + moment(usage.first_used);
}

std::string template_text(const Template& wanted) {
  std::string out = ipsec_protocol(wanted.protocol) + " " + std::string(text(wanted.mode));
  if (wanted.mode != Mode::transport) {
    out += " " + wanted.source.text() + std::string(arrow) + wanted.destination.text();
  }
  if (wanted.spi != 0) out += " SPI " + spi_text(wanted.spi);
  if (wanted.reqid != 0) out += " reqid " + std::to_string(wanted.reqid);
  out += wanted.optional ? ", optional: in clear where there is no SA" : ", required";
  const auto narrowed = [&](std::uint32_t mask, std::string_view what) {
    if (mask != ~0U) out += ", " + std::string(what) + " " + hex32(mask);
  };
  narrowed(wanted.authentications, "authentications");
  narrowed(wanted.encryptions, "encryptions");
  narrowed(wanted.compressions, "compressions");
  return out;
}

void describe_unknown(const std::vector<Opaque>& unknown, Lines& lines) {
  for (const Opaque& one : unknown) {
    lines.line("attribute " + std::to_string(one.type) +
               ", which this program does not know: " + hex_encode(one.value));
  }
}

std::string offload_text(const Offload& offload) {
  return "given to interface " + std::to_string(offload.interface) + " to do (flags " +
         hex32(offload.flags) + ")";
}

}  // namespace

std::string_view text(Direction direction) noexcept {
  constexpr std::array<std::string_view, 5> names{"in", "out", "fwd", "socket in", "socket out"};
  return name_in(names, direction);
}

std::string_view text(Mode mode) noexcept {
  constexpr std::array<std::string_view, 6> names{"transport",  "tunnel", "route optimization",
                                                  "in trigger", "beet",   "iptfs"};
  return name_in(names, mode);
}

std::string_view text(Action action) noexcept {
  constexpr std::array<std::string_view, 2> names{"allow", "block"};
  return name_in(names, action);
}

std::string_view text(Event::Kind kind) noexcept {
  constexpr std::array<std::string_view, 17> names{
      "SA new",         "SA updated",     "SA deleted",     "SAs flushed",    "SA expired",
      "SA counters",    "policy new",     "policy updated", "policy deleted", "policies flushed",
      "policy expired", "SA wanted",      "NAT mapping",    "SA moves",       "default policy",
      "report",         "unknown message"};
  return name_in(names, kind);
}

std::string ipsec_protocol(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_ESP:
      return "ESP";
    case IPPROTO_AH:
      return "AH";
    case IPPROTO_COMP:
      return "IPComp";
    case 0:
    case 255:
      return "any";
    default:
      return "protocol " + std::to_string(protocol);
  }
}

std::string text(const Selector& selector) {
  if (selector.any_family) return "any" + std::string(arrow) + "any";
  std::string out = selector.source.text() + std::string(arrow) + selector.destination.text();
  if (selector.protocol != 0) out += " " + upper_protocol(selector.protocol);
  if (selector.source_ports.mask != 0 || selector.destination_ports.mask != 0) {
    out += " port " + ports_text(selector.source_ports) + std::string(arrow) +
           ports_text(selector.destination_ports);
  }
  if (selector.interface != 0) out += " interface " + std::to_string(selector.interface);
  if (selector.user != 0) out += " user " + std::to_string(selector.user);
  return out;
}

std::string spi_text(std::uint32_t spi) {
  std::string digits = hex32(spi).substr(2);
  return "0x" + std::string(8 - digits.size(), '0') + digits;
}

std::vector<std::string> flag_names(const Sa& sa) {
  struct Word {
    bool on;
    std::string_view word;
  };
  const std::array words{Word{(sa.flags & Sa::flag_no_ecn) != 0, "noecn"},
                         Word{(sa.flags & Sa::flag_decap_dscp) != 0, "decap-dscp"},
                         Word{(sa.flags & Sa::flag_no_pmtu_discovery) != 0, "nopmtudisc"},
                         Word{(sa.flags & Sa::flag_wild_receive) != 0, "wildrecv"},
                         Word{(sa.flags & Sa::flag_icmp) != 0, "icmp"},
                         Word{(sa.flags & Sa::flag_any_family) != 0, "af-unspec"},
                         Word{(sa.flags & Sa::flag_align4) != 0, "align4"},
                         Word{(sa.flags & Sa::flag_extended) != 0, "esn"},
                         Word{(sa.extra_flags & Sa::extra_keep_dscp) != 0, "dont-encap-dscp"},
                         Word{(sa.extra_flags & Sa::extra_may_wrap) != 0, "oseq-may-wrap"}};
  std::vector<std::string> out;
  for (const Word& one : words) {
    if (one.on) out.emplace_back(one.word);
  }
  return out;
}

std::string text(const Mark& mark) {
  return hex32(mark.value) + "/" + hex32(mark.mask);
}

std::string text(const Algorithm& algorithm) {
  std::string out = detail::one_line(algorithm.name);
  if (algorithm.key_bits != 0) out += " " + std::to_string(algorithm.key_bits) + " bit";
  if (algorithm.icv_bits != 0) out += ", ICV " + std::to_string(algorithm.icv_bits);
  return out;
}

std::string name_of(const Sa& sa) {
  return ipsec_protocol(sa.id.protocol) + " " + sa.source.text() + std::string(arrow) +
         sa.id.destination.text() + " SPI " + spi_text(sa.id.spi);
}

std::string name_of(const Policy& policy) {
  return "policy " + std::string(text(policy.direction)) + " " + text(policy.selector);
}

std::string describe(const Sa& sa) {
  Lines lines;
  std::string first = std::string(text(sa.mode)) + ", reqid " + std::to_string(sa.reqid);
  if (sa.interface_id != 0) first += ", if_id " + std::to_string(sa.interface_id);
  lines.line(first);
  lines.line_if(sa.is_larval(), "no algorithm yet: it is being negotiated");
  const auto algorithm = [&](std::string_view what, const std::optional<Algorithm>& one) {
    if (one) lines.line(std::string(what) + " " + text(*one));
  };
  algorithm("AEAD", sa.aead);
  algorithm("encryption", sa.encryption);
  algorithm("authentication", sa.authentication);
  algorithm("compression", sa.compression);
  lines.line("replay window " + std::to_string(sa.replay.window) +
             (sa.replay.extended ? ", extended sequence numbers" : "") + ", sent " +
             std::to_string(sa.replay.sent) + ", received " + std::to_string(sa.replay.received));
  if (sa.encapsulation) {
    lines.line("in UDP, port " + std::to_string(sa.encapsulation->source_port) +
               std::string(arrow) + std::to_string(sa.encapsulation->destination_port));
  }
  lines.line_if(sa.id.mark.mask != 0, "mark " + text(sa.id.mark));
  lines.line_if(sa.output_mark.mask != 0, "output mark " + text(sa.output_mark));
  std::string flags;
  for (const std::string& name : flag_names(sa)) flags += " " + name;
  lines.line_if(!flags.empty(), "flags" + flags);
  lines.line_if(sa.tfc_pad != 0, "padded to " + std::to_string(sa.tfc_pad));
  lines.line_if(!(sa.selector == Selector{}) && !sa.selector.any_family,
                "only for " + text(sa.selector));
  if (sa.offload) lines.line(offload_text(*sa.offload));
  lines.line_if(!sa.security_context.empty(), "security context " + sa.security_context);
  const std::string lifetime = lifetime_text(sa.lifetime);
  lines.line_if(!lifetime.empty(), lifetime);
  lines.line(usage_text(sa.usage));
  lines.line_if(sa.replay_failures + sa.window_failures + sa.integrity_failures != 0,
                "refused: " + std::to_string(sa.replay_failures) + " replayed, " +
                    std::to_string(sa.window_failures) + " outside the window, " +
                    std::to_string(sa.integrity_failures) + " with a wrong ICV");
  describe_unknown(sa.unknown, lines);
  return lines.take();
}

std::string describe(const Policy& policy) {
  Lines lines;
  std::string first = std::string(text(policy.action)) + ", priority " +
                      std::to_string(policy.priority) + ", index " + std::to_string(policy.index);
  if (policy.type == PolicyType::sub) first += ", of type sub";
  if (policy.interface_id != 0) first += ", if_id " + std::to_string(policy.interface_id);
  lines.line(first);
  lines.line_if(policy.templates.empty() && policy.action == Action::allow, "in clear");
  for (const Template& wanted : policy.templates) lines.line(template_text(wanted));
  lines.line_if(policy.mark.mask != 0, "mark " + text(policy.mark));
  lines.line_if((policy.flags & Policy::flag_local_ok) != 0, "a socket may override it");
  lines.line_if((policy.flags & Policy::flag_icmp) != 0, "ICMP errors about it too");
  lines.line_if(policy.share != Share::any,
                "share " + std::to_string(static_cast<unsigned>(policy.share)));
  if (policy.offload) lines.line(offload_text(*policy.offload));
  lines.line_if(!policy.security_context.empty(), "security context " + policy.security_context);
  const std::string lifetime = lifetime_text(policy.lifetime);
  lines.line_if(!lifetime.empty(), lifetime);
  lines.line_if(policy.usage.packets != 0 || policy.usage.first_used != 0,
                usage_text(policy.usage));
  describe_unknown(policy.unknown, lines);
  return lines.take();
}

}  // namespace cs::xfrm
