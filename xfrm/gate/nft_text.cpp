// SPDX-License-Identifier: GPL-3.0-or-later
// The gate as nftables rules. Of a peer called b: the sets b.granted and b.any of protocols that
// pass by SA or wholly (all three or none), the sets of its SAs, a counter for each way and reason.
// As text, because libnftables' JSON cannot say the type of a set of SPIs.
#include <netinet/in.h>

#include <algorithm>

#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

constexpr std::string_view table = "inet countersign_gate";
// Making it first lets the removal succeed when there is none.
constexpr std::string_view fresh =
    "table inet countersign_gate\ndelete table inet countersign_gate\n";

// An SA in the three forms its packets have. `set` is without the family.
struct SpiMatch {
  std::string_view condition;
  std::string_view key;  // behind the destination
  std::string_view set;
};
constexpr std::array plain_matches{
    SpiMatch{"", "meta l4proto . esp spi", "sa"},
    SpiMatch{"", "meta l4proto . ah spi", "sa"},
    SpiMatch{"meta l4proto udp ", "meta l4proto . @th,64,32", "sa"},
};
constexpr std::array translated_matches{
    SpiMatch{"@th,72,8 50 ", "@th,72,8 . @th,96,32", "translated"},
    SpiMatch{"@th,72,8 51 ", "@th,72,8 . @th,128,32", "translated"},
};

// The lines of one chain, counted.
class Lines {
 public:
  void rule(const std::string& text) {
    text_ += "\t\t" + text + "\n";
    ++count_;
  }
  void plain(const std::string& text) { text_ += text + "\n"; }
  void counted() { ++count_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

std::string of(const std::string& peer, GateWay way, std::string_view what = "") {
  std::string name = peer + "." + std::string(to_string(way));
  return what.empty() ? name : name + "." + std::string(what);
}

std::string counter(const std::string& peer, GateWay way, GateReason reason) {
  return "counter name \"" + of(peer, way, to_string(reason)) + "\" ";
}

std::string braces(const std::vector<std::uint16_t>& ports) {
  std::string text;
  for (const std::uint16_t port : ports) text += (text.empty() ? "" : ", ") + std::to_string(port);
  return "{ " + text + " }";
}

void sets(Lines& lines, const GatePeer& peer) {
  for (const std::string_view set : {"granted", "any"}) {
    lines.plain("\tset " + peer.name + "." + std::string(set) + " { type inet_proto; }");
  }
  for (const GateWay way : gate_ways) {
    for (const std::string_view ip : {"ip", "ip6"}) {
      lines.plain("\tset " + of(peer.name, way, "sa") + "." + std::string(ip) + " { typeof " +
                  std::string(ip) + " daddr . meta l4proto . esp spi; }");
      if (way == GateWay::out) continue;
      lines.plain("\tset " + of(peer.name, way, "translated") + "." + std::string(ip) +
                  " { typeof " + std::string(ip) + " daddr . @th,72,8 . @th,96,32; }");
    }
    for (const GateReason reason : gate_reasons) {
      lines.plain("\tcounter " + of(peer.name, way, to_string(reason)) + " { }");
    }
  }
}

// Who has come here is of an open peer, or is dropped.
void spi_chain(Lines& lines, const GateConfig& config, const GatePeer& peer, GateWay way,
               std::string_view chain, std::span<const SpiMatch> matches) {
  const std::string passed = counter(peer.name, way, GateReason::passed) + "accept";
  lines.plain("\tchain " + of(peer.name, way, chain) + " {");
  lines.rule("meta l4proto @" + peer.name + ".any " + passed);
  lines.rule("meta l4proto != @" + peer.name + ".granted " +
             counter(peer.name, way, GateReason::closed) + "drop");
  for (const std::string ip : {"ip", "ip6"}) {
    for (const SpiMatch& match : matches) {
      std::string rule(match.condition);
      rule.append(ip).append(" daddr . ").append(match.key).append(" @");
      rule.append(of(peer.name, way, match.set)).append(".").append(ip).append(" ").append(passed);
      lines.rule(rule);
    }
  }
  lines.rule(config.held_queue ? counter(peer.name, way, GateReason::held) + "queue to " +
                                     std::to_string(*config.held_queue)
                               : counter(peer.name, way, GateReason::unknown) + "drop");
  lines.plain("\t}");
}

void peer_chains(Lines& lines, const GateConfig& config, const GatePeer& peer, GateWay way) {
  // What is ours: NAT may change the other.
  const std::string port = way == GateWay::in ? "udp dport " : "udp sport ";
  spi_chain(lines, config, peer, way, "ipsec", plain_matches);
  if (config.translator_port != 0 && way == GateWay::in) {
    spi_chain(lines, config, peer, way, "translator", translated_matches);
  }
  lines.plain("\tchain " + of(peer.name, way) + " {");
  if (way == GateWay::in) {
    for (const char* part : {"frag frag-off != 0 ", "frag more-fragments 1 "}) {
      lines.rule(part + counter(peer.name, way, GateReason::fragment) + "drop");
    }
  }
  const std::string to_ipsec = "goto " + of(peer.name, way, "ipsec");
  lines.rule("meta l4proto { esp, ah } " + to_ipsec);
  if (!config.udp_ports.empty()) {
    lines.rule(port + braces(config.udp_ports) + " @th,64,32 != 0 " + to_ipsec);
  }
  if (config.translator_port != 0 && way == GateWay::in) {
    lines.rule(port + std::to_string(config.translator_port) + " goto " +
               of(peer.name, way, "translator"));
  }
  if (peer.ike) {
    std::vector<std::uint16_t> ports = config.udp_ports;
    ports.push_back(config.ike_port);
    lines.rule(port + braces(ports) + " meta l4proto != @" + peer.name + ".granted " +
               counter(peer.name, way, GateReason::ike) + "drop");
  }
  lines.plain("\t}");
}

void dispatch(Lines& lines, const GateConfig& config, GateWay way) {
  for (const bool ipv6 : {false, true}) {
    std::string elements;
    for (const GatePeer& peer : config.peers) {
      for (const Address& address : peer.addresses) {
        if (address.ipv6 != ipv6) continue;
        elements +=
            (elements.empty() ? "" : ", ") + address.text() + " : goto " + of(peer.name, way);
        lines.counted();
      }
    }
    lines.plain("\tmap " + std::string(to_string(way)) + (ipv6 ? ".ip6" : ".ip") + " { type " +
                (ipv6 ? "ipv6_addr" : "ipv4_addr") + " : verdict; " +
                (elements.empty() ? "" : "elements = { " + elements + " } ") + "}");
  }
}

// Who comes here is nobody's peer.
void strangers(Lines& lines, const GateConfig& config, GateWay way) {
  const std::string dropped =
      " counter name \"" + std::string(to_string(way)) + ".strangers\" drop";
  const std::string port = way == GateWay::in ? "udp dport " : "udp sport ";
  if (way == GateWay::in) {
    lines.rule("frag frag-off != 0" + dropped);
    lines.rule("frag more-fragments 1" + dropped);
  }
  lines.rule("meta l4proto { esp, ah }" + dropped);
  if (!config.udp_ports.empty()) {
    lines.rule(port + braces(config.udp_ports) + " @th,64,32 != 0" + dropped);
  }
  if (config.translator_port != 0 && way == GateWay::in) {
    lines.rule(port + std::to_string(config.translator_port) + dropped);
  }
}

void base_chain(Lines& lines, const GateConfig& config, GateWay way, const std::string& first) {
  const std::string name(to_string(way));
  const std::string side = way == GateWay::in ? " saddr" : " daddr";
  lines.plain("\tchain " + name + " {");
  lines.plain(std::string("\t\ttype filter hook ") + (way == GateWay::in ? "input" : "output") +
              " priority -350; policy accept;");
  if (!first.empty()) lines.plain(first);
  lines.rule("ip" + side + " vmap @" + name + ".ip");
  lines.rule("ip6" + side + " vmap @" + name + ".ip6");
  if (config.only_peers) strangers(lines, config, way);
  lines.plain("\t}");
}

std::string element(const std::string& peer, GateWay way, std::string_view set,
                    const Passage& passage, std::string_view protocol) {
  const Address& to = passage.destination;
  return "element " + std::string(table) + " " + of(peer, way, set) + (to.ipv6 ? ".ip6" : ".ip") +
         " { " + to.text() + " . " + std::string(protocol) + " . " + std::to_string(passage.spi) +
         " }\n";
}

std::vector<std::string> elements(const std::string& peer, const Passage& passage) {
  const bool esp = passage.protocol == IPPROTO_ESP;
  std::vector<std::string> all{element(peer, passage.way, "sa", passage, esp ? "esp" : "ah")};
  if (esp) all.push_back(element(peer, passage.way, "sa", passage, "udp"));
  if (passage.way == GateWay::in) {
    all.push_back(element(peer, passage.way, "translated", passage, esp ? "50" : "51"));
  }
  return all;
}

}  // namespace

std::string nft_gate(const GateConfig& config, const std::vector<GateGrant>& granted) {
  Lines lines;
  for (const GatePeer& peer : config.peers) {
    sets(lines, peer);
    for (const GateWay way : gate_ways) peer_chains(lines, config, peer, way);
  }
  for (const GateWay way : gate_ways) {
    if (config.only_peers)
      lines.plain("\tcounter " + std::string(to_string(way)) + ".strangers { }");
    dispatch(lines, config, way);
  }
  Lines last;
  base_chain(last, config, GateWay::out, "");
  last.counted();  // the one with the label
  base_chain(last, config, GateWay::in, "LABEL");
  std::string text = last.text();
  // Asking for the connection makes the kernel reassemble IPv6 before this hook.
  const std::string first = "\t\tct state invalid continue comment \"" +
                            gate_label(config, lines.count() + last.count()) + "\"";
  text.replace(text.find("LABEL"), 5, first);
  std::string all =
      std::string(fresh) + "table " + std::string(table) + " {\n" + lines.text() + text + "}\n";
  for (const GateGrant& grant : granted) {
    if (grant.opening == Opening::closed) continue;
    all += nft_gate_opening(grant.peer, grant.opening);
    for (const Passage& passage : grant.passages) all += nft_gate_admission(grant.peer, passage);
  }
  return all;
}

std::string nft_gate_removal() {
  return std::string(fresh);
}

std::string nft_gate_opening(const std::string& peer, Opening opening) {
  const auto command = [&](std::string_view verb, const std::string& set) {
    return std::string(verb) + " set " + std::string(table) + " " + set + "\n";
  };
  const auto give = [&](std::string_view set) {
    return "add element " + std::string(table) + " " + peer + "." + std::string(set) +
           " { esp, ah, udp }\n";
  };
  if (opening == Opening::any) return give("any") + give("granted");
  std::string text = command("flush", peer + ".any");
  if (opening == Opening::listed) return text + give("granted");
  text += command("flush", peer + ".granted");
  for (const char* set : {".in.sa.ip", ".in.sa.ip6", ".in.translated.ip", ".in.translated.ip6",
                          ".out.sa.ip", ".out.sa.ip6"}) {
    text += command("flush", peer + set);
  }
  return text;
}

std::string nft_gate_admission(const std::string& peer, const Passage& passage) {
  std::string text;
  for (const std::string& one : elements(peer, passage)) text += "add " + one;
  return text;
}

// What is not there cannot be deleted: adding it first makes it succeed.
std::string nft_gate_withdrawal(const std::string& peer, const Passage& passage) {
  std::string text;
  for (const std::string& one : elements(peer, passage))
    text.append("add ").append(one).append("delete ").append(one);
  return text;
}

}  // namespace cs::xfrm
