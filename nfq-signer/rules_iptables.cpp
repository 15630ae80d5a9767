// SPDX-License-Identifier: GPL-3.0-or-later
// The iptables side of rules.h. One text for both families: iptables-restore passes over lines that
// begin with -6, ip6tables-restore over those with -4.
#include <algorithm>
#include <array>
#include <charconv>

#include "nfq-signer/rules.h"

namespace cs {
namespace {

constexpr std::string_view prefix = "COUNTERSIGN_";
constexpr std::string_view trial = "COUNTERSIGN_TRIAL";
constexpr std::string_view jump_out =
    "POSTROUTING -m policy --dir out --pol none -j COUNTERSIGN_OUT";
constexpr std::string_view jump_in = "INPUT -j COUNTERSIGN_IN";
// TCP into a tunnel and out of it, and with peers in transport mode.
constexpr std::array mss_jumps{
    std::string_view("FORWARD -m policy --dir out --pol ipsec -j COUNTERSIGN_MSS"),
    std::string_view("FORWARD -m policy --dir in --pol ipsec -j COUNTERSIGN_MSS"),
    std::string_view("OUTPUT -m policy --dir out --pol ipsec -j COUNTERSIGN_MSS"),
    std::string_view("OUTPUT -j COUNTERSIGN_PEERS"),
    std::string_view("INPUT -j COUNTERSIGN_PEERS")};

// Where in a packet u32 finds things. The IPv6 forms hold only where UDP follows the fixed header,
// so they ask for that; anything else is looked at by the engine. The kernel, too, takes a datagram
// for ESP only if its first four bytes are there and not all zero.
constexpr std::string_view ike_v4 = R"("0>>22&0x3C@8=0x0")";
constexpr std::string_view ike_v6 = R"("3&0xFF=0x11&&48=0x0")";
constexpr std::string_view short_v4 = R"("0>>22&0x3C@2&0xFFFF=0x0:0xB")";
constexpr std::string_view short_v6 = R"("3&0xFF=0x11&&42&0xFFFF=0x0:0xB")";

std::string masked(std::uint32_t mark, std::uint32_t mask) {
  std::string text;
  for (const std::uint32_t number : {mark, mask}) {
    std::array<char, 8> digits{};
    char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
    text += (text.empty() ? "0x" : "/0x") + std::string(digits.data(), end);
  }
  return text;
}

std::string queue_target(std::uint16_t first, std::uint16_t count) {
  if (count == 1) return "-j NFQUEUE --queue-num " + std::to_string(first);
  return "-j NFQUEUE --queue-balance " + std::to_string(first) + ":" +
         std::to_string(first + count - 1);
}

std::string line(std::string_view chain, std::string_view rule, std::string_view family = "") {
  return std::string(family) + "-A " + std::string(chain) + " " + std::string(rule) + "\n";
}

// ESP, AH and ESP in UDP, each to `target`.
std::string ipsec_lines(const RuleOptions& options, std::string_view chain, std::string_view side,
                        const std::string& target) {
  // AH first: for ip6tables it is an extension header, and -p means what comes behind it.
  std::string text = line(chain, "-p ah " + target, "-4 ") + line(chain, "-m ah " + target, "-6 ") +
                     line(chain, "-p esp " + target);
  if (options.udp_ports.empty()) return text;
  std::string udp = "-p udp -m multiport " + std::string(side) + " ";
  for (const std::uint16_t port : options.udp_ports) {
    udp += (udp.back() == ' ' ? "" : ",") + std::to_string(port);
  }
  const auto spared = [&](std::string_view where, std::string_view family) {
    return line(chain, udp + " -m u32 --u32 " + std::string(where) + " -j RETURN", family);
  };
  text += "# Behind UDP: not IKE (four zero bytes first), not the keepalive (one byte).\n";
  text += spared(ike_v4, "-4 ") + spared(short_v4, "-4 ");
  text += spared(ike_v6, "-6 ") + spared(short_v6, "-6 ");
  return text + line(chain, udp + " " + target);
}

// What is in the translator's UDP; it leaves as such, and comes out of it on the way in.
std::string translated_lines(const RuleOptions& options, std::string_view chain,
                             const std::string& target) {
  if (options.translator_port == 0) return {};
  return "# In the translator's UDP.\n" +
         line(chain, "-p udp -m multiport --dports " + std::to_string(options.translator_port) +
                         " " + target);
}

// What the chain of outbound packets lets pass before ipsec_lines().
std::string not_ours_lines(const Marks& marks, std::string_view chain) {
  return "# Signed already.\n" +
         line(chain,
              "-m mark --mark " + masked(marks.signed_mark, marks.outbound_mask) + " -j RETURN") +
         "# Neither asked for by its SA nor ours: IPsec of a host behind us.\n" +
         line(chain, "-m mark ! --mark " + masked(marks.outbound_mark, marks.outbound_mask) +
                         " -m addrtype ! --src-type LOCAL -j RETURN");
}

// What the smaller of both directions' routes carries: of a tunnel's inner routes, whose MTU
// follows the path.
std::string mss_lines(std::string_view chain) {
  return line(chain, "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu");
}

std::string peer_lines(const RuleOptions& options, std::string_view chain) {
  std::string text;
  for (const mtu::Clamp& clamp : options.clamps) {
    for (const std::string& rule : mtu::iptables_clamp(clamp))
      text += line(chain, rule, clamp.ipv6 ? "-6 " : "-4 ");
  }
  return text;
}

std::string unmark(const Marks& marks) {
  return "-j MARK --set-xmark " + masked(0, marks.inbound_mask);
}
constexpr std::string_view reassemble = "-m conntrack --ctstate INVALID";

std::string in_mangle(const std::string& lines) {
  return "*mangle\n" + lines + "COMMIT\n";
}

template <class F>
void for_each_line(std::string_view text, F&& f) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    f(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// What of ours is in the table mangle, by iptables-save or our own text, as the lines that take it
// away.
struct Ours {
  std::string jumps;   // -D
  std::string chains;  // -F, then -X
  bool out = false;
  bool in = false;
};

Ours find_ours(std::string_view saved) {
  Ours ours;
  std::string flush;
  std::string remove;
  bool in_table = false;
  for_each_line(saved, [&](std::string_view l) {
    if (l.starts_with('*')) in_table = l == "*mangle";
    if (!in_table) return;
    if (l.starts_with(":" + std::string(prefix))) {
      const std::string name(l.substr(1, l.find(' ') - 1));
      flush += "-F " + name + "\n";
      remove += "-X " + name + "\n";
    } else if ((l.starts_with("-A ") || l.starts_with("-I ")) && !l.substr(3).starts_with(prefix)) {
      const bool to_ours = l.find(" -j " + std::string(prefix)) != std::string_view::npos ||
                           l.find(" -g " + std::string(prefix)) != std::string_view::npos;
      if (to_ours) ours.jumps += "-D " + std::string(l.substr(3)) + "\n";
      ours.out |= l.substr(3) == jump_out;
      ours.in |= l.substr(3) == jump_in;
    }
  });
  ours.chains = flush + remove;
  return ours;
}

std::string jumps() {
  std::string text = "-I " + std::string(jump_out) + "\n-I " + std::string(jump_in) + "\n";
  for (const std::string_view jump : mss_jumps) text += "-I " + std::string(jump) + "\n";
  return text;
}

}  // namespace

std::string iptables_rules(const RuleOptions& options, std::string_view saved) {
  const std::string to_signer = queue_target(options.first_queue, options.queues);
  const std::string to_verifier = queue_target(options.first_inbound_queue(), options.queues);
  return "# SPDX-License-Identifier: GPL-3.0-or-later\n"
         "# Generated by nfq-signer: ESP and AH go through the engine. No engine, no IPsec "
         "packets.\n"
         "# Load with iptables-restore --noflush and ip6tables-restore --noflush, once: loading "
         "it\n"
         "# again doubles the jumps; nfq-signer rules --iptables --apply moves them instead.\n"
         "# Remove with: nfq-signer rules --iptables --remove\n" +
         in_mangle(
             ":COUNTERSIGN_OUT - [0:0]\n"
             ":COUNTERSIGN_IN - [0:0]\n"
             ":COUNTERSIGN_VERIFY - [0:0]\n"
             ":COUNTERSIGN_MSS - [0:0]\n"
             ":COUNTERSIGN_PEERS - [0:0]\n" +
             not_ours_lines(options.marks, "COUNTERSIGN_OUT") +
             ipsec_lines(options, "COUNTERSIGN_OUT", "--sports", to_signer) +
             "# Asking for the connection makes the kernel reassemble IPv6 before this hook.\n" +
             line("COUNTERSIGN_IN", reassemble, "-6 ") +
             ipsec_lines(options, "COUNTERSIGN_IN", "--dports", "-g COUNTERSIGN_VERIFY") +
             translated_lines(options, "COUNTERSIGN_IN", "-g COUNTERSIGN_VERIFY") +
             "# Whatever mark it comes with: only the verdict says that it is verified.\n" +
             line("COUNTERSIGN_VERIFY", unmark(options.marks)) +
             line("COUNTERSIGN_VERIFY", to_verifier) + mss_lines("COUNTERSIGN_MSS") +
             peer_lines(options, "COUNTERSIGN_PEERS") + find_ours(saved).jumps +
             "# At the head: an ACCEPT of another rule must not come first.\n" + jumps());
}

std::string iptables_removal(std::string_view saved) {
  const Ours ours = find_ours(saved);
  const std::string lines = ours.jumps + ours.chains;
  return lines.empty() ? lines : in_mangle(lines);
}

bool iptables_in_place(std::string_view saved) {
  const Ours ours = find_ours(saved);
  return ours.out && ours.in;
}

std::string iptables_trial(const RuleOptions& options) {
  return in_mangle(
      ":" + std::string(trial) + " - [0:0]\n" +
      line(trial, "-m policy --dir out --pol none -j RETURN") +
      not_ours_lines(options.marks, trial) + line(trial, reassemble, "-6 ") +
      ipsec_lines(options, trial, "--sports", queue_target(options.first_queue, options.queues)) +
      translated_lines(options, trial, queue_target(options.first_queue, options.queues)) +
      line(trial, unmark(options.marks)) + mss_lines(trial) + peer_lines(options, trial));
}

std::string iptables_trial_removal() {
  const std::string name(trial);
  return in_mangle("-F " + name + "\n-X " + name + "\n");
}

}  // namespace cs
