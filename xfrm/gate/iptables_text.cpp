// SPDX-License-Identifier: GPL-3.0-or-later
// The gate as iptables rules, in the table raw of both families. Of a peer called b and the way in,
// CSGATE_b.I sorts its packets into chains named by one letter more:
//   S IPsec, X translated IPsec, E IKE: hold the state, one jump or none
//   L the SAs that may pass, T the same translated
//   C closed, K IKE, F fragment, U unknown or held, P passed: count, and decide
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "xfrm/gate/iptables_save.h"
#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

constexpr std::string_view trial = "CSGATE_TRIAL";
constexpr std::string_view jump_in = "PREROUTING -m addrtype --dst-type LOCAL -j CSGATE_IN";
constexpr std::string_view jump_out = "OUTPUT -j CSGATE_OUT";

// Where u32 finds things: behind the header of UDP, and behind the two words of the translator's.
// The IPv6 forms hold only where UDP follows the fixed header, so they ask for that.
struct U32 {
  std::string_view udp;       // comes before each
  std::string_view first;     // the first word in UDP: 0: IKE; or the SPI
  std::string_view protocol;  // in the translator's UDP
  std::string_view esp_spi;
  std::string_view ah_spi;
};
constexpr U32 in_v4{"", "0>>22&0x3C@8", "0>>22&0x3C@8>>16&0xFF", "0>>22&0x3C@12", "0>>22&0x3C@16"};
constexpr U32 in_v6{"3&0xFF=0x11&&", "48", "48>>16&0xFF", "52", "56"};
// Too short for ESP in UDP.
constexpr std::string_view short_v4 = R"("0>>22&0x3C@2&0xFFFF=0x0:0xB")";
constexpr std::string_view short_v6 = R"("3&0xFF=0x11&&42&0xFFFF=0x0:0xB")";

const U32& u32_of(IpFamily family) {
  return family == IpFamily::v4 ? in_v4 : in_v6;
}

std::string chain(const std::string& peer, GateWay way, std::string_view letter = "") {
  return std::string(gate_prefix) + peer + (way == GateWay::in ? ".I" : ".O") + std::string(letter);
}

std::string line(const std::string& in, const std::string& rule) {
  return "-A " + in + " " + rule + "\n";
}

std::string fresh_chain(const std::string& name) {
  return ":" + name + " - [0:0]\n";
}

std::string in_raw(const std::string& lines) {
  return "*raw\n" + lines + "COMMIT\n";
}

std::string ports_of(const std::vector<std::uint16_t>& ports, GateWay way) {
  std::string text = "-p udp -m multiport ";
  text += way == GateWay::in ? "--dports " : "--sports ";
  for (const std::uint16_t port : ports) {
    text += (text.back() == ' ' ? "" : ",") + std::to_string(port);
  }
  return text;
}

std::string u32_match(const std::string& test) {
  return " -m u32 --u32 \"" + test + "\"";
}

// The lists of SAs, without any.
std::string empty_lists(const std::string& peer, GateWay way) {
  std::string text;
  for (const std::string_view letter : {"L", "T"}) {
    text += fresh_chain(chain(peer, way, letter)) +
            line(chain(peer, way, letter), "-g " + chain(peer, way, "U"));
  }
  return text;
}

// The chains that hold the state, and what they hold.
std::string state(const std::string& peer, GateWay way, Opening opening, bool ike) {
  const auto to = [&](std::string_view letter) { return "-g " + chain(peer, way, letter); };
  const bool listed = opening == Opening::listed;
  const bool closed = opening == Opening::closed;
  std::string text;
  for (const std::string_view letter : {"S", "X", "E"})
    text += fresh_chain(chain(peer, way, letter));
  text += line(chain(peer, way, "S"), to(closed ? "C" : listed ? "L" : "P"));
  text += line(chain(peer, way, "X"), to(closed ? "C" : listed ? "T" : "P"));
  if (closed && ike) text += line(chain(peer, way, "E"), to("K"));
  return closed ? text + empty_lists(peer, way) : text;
}

std::string deciding(const GateConfig& config, const GatePeer& peer, GateWay way) {
  const std::string unknown = config.held_queue
                                  ? "-j NFQUEUE --queue-num " + std::to_string(*config.held_queue)
                                  : "-j DROP";
  std::string text =
      line(chain(peer.name, way, "C"), "-j DROP") + line(chain(peer.name, way, "F"), "-j DROP") +
      line(chain(peer.name, way, "U"), unknown) + line(chain(peer.name, way, "P"), "-j RETURN");
  if (peer.ike) text += line(chain(peer.name, way, "K"), "-j DROP");
  return text;
}

// What sorts a peer's packets.
std::string sorting(const GateConfig& config, const GatePeer& peer, GateWay way, IpFamily family) {
  const std::string here = chain(peer.name, way);
  const auto to = [&](std::string_view letter) { return " -g " + chain(peer.name, way, letter); };
  const bool v4 = family == IpFamily::v4;
  std::string text;
  if (way == GateWay::in) text += line(here, (v4 ? "-f" : "-m frag --fragmore") + to("F"));
  // For ip6tables AH is an extension header, and -p means what comes behind it.
  text += line(here, (v4 ? "-p ah" : "-m ah") + to("S")) + line(here, "-p esp" + to("S"));
  if (config.translator_port != 0 && way == GateWay::in) {
    text += line(here, ports_of({config.translator_port}, way) + to("X"));
  }
  text += line(here, ports_of({config.ike_port}, way) + to("E"));
  if (config.udp_ports.empty()) return text;
  const std::string udp = ports_of(config.udp_ports, way);
  const U32& at = u32_of(family);
  text +=
      line(here, udp + u32_match(std::string(at.udp) + std::string(at.first) + "=0x0") + to("E"));
  text += line(here, udp + " -m u32 --u32 " + std::string(v4 ? short_v4 : short_v6) + to("E"));
  return text + line(here, udp + to("S"));
}

// What sorts those of nobody's peer, behind all peers' addresses.
std::string strangers(const GateConfig& config, GateWay way, IpFamily family) {
  const bool in = way == GateWay::in;
  const std::string here = in ? "CSGATE_IN" : "CSGATE_OUT";
  const std::string nobody(in ? gate_strangers_in : gate_strangers_out);
  const std::string to = " -g " + nobody;
  const bool v4 = family == IpFamily::v4;
  std::string text;
  if (in) text += line(here, (v4 ? "-f" : "-m frag --fragmore") + to);
  text += line(here, (v4 ? "-p ah" : "-m ah") + to) + line(here, "-p esp" + to);
  if (config.translator_port != 0 && in) {
    text += line(here, ports_of({config.translator_port}, way) + to);
  }
  if (!config.udp_ports.empty()) {
    const std::string udp = ports_of(config.udp_ports, way);
    const std::string is_ike =
        std::string(u32_of(family).udp) + std::string(u32_of(family).first) + "=0x0";
    text += line(here, udp + u32_match(is_ike) + " -j RETURN");
    text +=
        line(here, udp + " -m u32 --u32 " + std::string(v4 ? short_v4 : short_v6) + " -j RETURN");
    text += line(here, udp + to);
  }
  return text + line(nobody, "-j DROP");
}

std::string dispatch(const GateConfig& config, GateWay way, IpFamily family) {
  std::string text;
  for (const GatePeer& peer : config.peers) {
    for (const Address& address : peer.addresses) {
      if (address.ipv6 != (family == IpFamily::v6)) continue;
      text += way == GateWay::in
                  ? line("CSGATE_IN", "-s " + address.text() + " -g " + chain(peer.name, way))
                  : line("CSGATE_OUT", "-d " + address.text() + " -g " + chain(peer.name, way));
    }
  }
  return text;
}

constexpr std::string_view all_letters = "SXELTCKFUP";

std::vector<std::string> chains_of(const GateConfig& config) {
  std::vector<std::string> all{"CSGATE_IN", "CSGATE_OUT"};
  if (config.only_peers) {
    all.insert(all.end(), {std::string(gate_strangers_in), std::string(gate_strangers_out)});
  }
  for (const GatePeer& peer : config.peers) {
    for (const GateWay way : gate_ways) {
      all.push_back(chain(peer.name, way));
      for (const char letter : all_letters) {
        if (letter == 'K' && !peer.ike) continue;
        all.push_back(chain(peer.name, way, {&letter, 1}));
      }
    }
  }
  return all;
}

struct SpiRule {
  std::string in;  // the chain
  std::string rule;
};

std::vector<SpiRule> rules_of(const std::string& peer, const Passage& passage) {
  const Address& to = passage.destination;
  const U32& at = to.ipv6 ? in_v6 : in_v4;
  const bool esp = passage.protocol == IPPROTO_ESP;
  const std::string spi = std::to_string(passage.spi);
  const std::string passed = " -g " + chain(peer, passage.way, "P");
  const std::string destination = "-d " + to.text() + " ";
  const std::string listed = chain(peer, passage.way, "L");
  const std::string udp(at.udp);
  std::vector<SpiRule> all;
  // The plain one last, because only by it the SA is known to be there.
  if (esp) {
    all.push_back({listed, destination + "-p udp" +
                               u32_match(udp + std::string(at.first) + "=" + spi) + passed});
  }
  all.push_back(
      {chain(peer, passage.way, "T"),
       destination + "-p udp" +
           u32_match(udp + std::string(at.protocol) + "=" + std::to_string(passage.protocol) +
                     "&&" + std::string(esp ? at.esp_spi : at.ah_spi) + "=" + spi) +
           passed});
  const std::string ah = to.ipv6 ? "-m ah --ahspi " : "-p ah -m ah --ahspi ";
  all.push_back({listed, destination + (esp ? "-p esp -m esp --espspi " : ah) + spi + passed});
  return all;
}

std::string admission(const std::string& peer, const Passage& passage) {
  std::string text;
  for (const SpiRule& one : rules_of(peer, passage)) text += "-I " + one.in + " " + one.rule + "\n";
  return text;
}

// A peer's state in a gate that is made anew.
std::string granted_state(const GatePeer& peer, GateWay way, IpFamily family,
                          const GateGrant* grant) {
  if (grant == nullptr || grant->opening == Opening::closed)
    return state(peer.name, way, Opening::closed, peer.ike);
  std::string text = empty_lists(peer.name, way) + state(peer.name, way, grant->opening, peer.ike);
  for (const Passage& passage : grant->passages) {
    if (passage.way == way && passage.destination.ipv6 == (family == IpFamily::v6))
      text += admission(peer.name, passage);
  }
  return text;
}

std::size_t count_rules(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find("-A ", at)) != std::string_view::npos; ++at) ++count;
  return count;
}

}  // namespace

std::string iptables_gate(const GateConfig& config, IpFamily family, std::string_view saved,
                          const std::vector<GateGrant>& granted) {
  std::string constant;
  std::string changing;
  for (const GateWay way : gate_ways) {
    constant += dispatch(config, way, family);
    if (config.only_peers) constant += strangers(config, way, family);
    for (const GatePeer& peer : config.peers) {
      constant += sorting(config, peer, way, family) + deciding(config, peer, way);
      changing += granted_state(peer, way, family, grant_of(granted, peer.name));
    }
  }
  const std::vector<std::string> chains = chains_of(config);
  std::string declared;
  for (const std::string& name : chains) declared += fresh_chain(name);
  const SavedGate before = read_saved_gate(saved);
  std::string flushed;
  std::string removed;
  for (const std::string& name : before.chains) {
    if (std::ranges::find(chains, name) != chains.end()) continue;
    flushed += "-F " + name + "\n";
    removed += "-X " + name + "\n";
  }
  // Three more: this label, and two jumps.
  const std::string label = gate_label(config, count_rules(constant) + 3);
  return in_raw(
      declared + changing +
      "# Asking for the connection makes the kernel reassemble before this table.\n" +
      line("CSGATE_IN", "-m conntrack --ctstate INVALID -m comment --comment \"" + label + "\"") +
      constant + flushed + removed + before.unhook +
      "# At the head: an ACCEPT of another rule must not come first.\n" + "-I " +
      std::string(jump_in) + "\n-I " + std::string(jump_out) + "\n");
}

std::string iptables_gate_removal(std::string_view saved) {
  const SavedGate before = read_saved_gate(saved);
  std::string flushed;
  std::string removed;
  for (const std::string& name : before.chains) {
    flushed += "-F " + name + "\n";
    removed += "-X " + name + "\n";
  }
  const std::string lines = before.unhook + flushed + removed;
  return lines.empty() ? lines : in_raw(lines);
}

std::string iptables_gate_opening(const std::string& peer, Opening opening,
                                  std::string_view saved) {
  const SavedGate before = read_saved_gate(saved);
  std::string text;
  for (const GateWay way : gate_ways) {
    const bool ike = std::ranges::find(before.chains, chain(peer, way, "K")) != before.chains.end();
    text += state(peer, way, opening, ike);
  }
  return in_raw(text);
}

std::string iptables_gate_admission(const std::string& peer, const Passage& passage) {
  return in_raw(admission(peer, passage));
}

std::string iptables_gate_withdrawal(const std::string& peer, const Passage& passage) {
  std::string text;
  for (const SpiRule& one : rules_of(peer, passage)) text += "-D " + one.in + " " + one.rule + "\n";
  return in_raw(text);
}

std::string iptables_gate_trial(const GateConfig& config, IpFamily family) {
  GatePeer peer{"trial", {}, true};
  const std::string name(trial);
  std::string text = fresh_chain(name);
  const bool v6 = family == IpFamily::v6;
  const Address any{v6, {}};
  text += line(name, "-m conntrack --ctstate INVALID -m comment --comment \"trial\"");
  text += line(name, "-m addrtype --dst-type LOCAL");
  for (const std::uint8_t protocol : {std::uint8_t{IPPROTO_ESP}, std::uint8_t{IPPROTO_AH}}) {
    for (const SpiRule& one : rules_of(peer.name, {GateWay::in, any, protocol, 1}))
      text += line(name, one.rule.substr(0, one.rule.find(" -g ")));
  }
  if (v6) text += line(name, "-m frag --fragmore");
  text += line(name, ports_of({1, 2}, GateWay::in));
  if (config.held_queue)
    text += line(name, "-j NFQUEUE --queue-num " + std::to_string(*config.held_queue));
  return in_raw(text);
}

std::string iptables_gate_trial_removal() {
  const std::string name(trial);
  return in_raw("-F " + name + "\n-X " + name + "\n");
}

}  // namespace cs::xfrm
