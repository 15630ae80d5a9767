// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <sstream>
#include <thread>

#include "tools/bench/options.h"

namespace cs::bench {

namespace {

constexpr const char* mac_a = "02:00:00:00:00:0a";
constexpr const char* mac_b = "02:00:00:00:00:0b";
constexpr std::uint8_t first_sink = 16;
constexpr std::uint8_t first_receiver = 48;

// Documentation addresses: 192.0.2.x, 2001:db8::x.
std::vector<std::uint8_t> address(bool ipv6, std::uint8_t last) {
  if (!ipv6) return {192, 0, 2, last};
  std::vector<std::uint8_t> bytes(16);
  bytes[0] = 0x20;
  bytes[1] = 0x01;
  bytes[2] = 0x0d;
  bytes[3] = 0xb8;
  bytes[15] = last;
  return bytes;
}

std::string text_of(const std::vector<std::uint8_t>& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

std::string target_text(bool ipv6, Target target, std::size_t index) {
  return text_of(target_address(ipv6, target, index));
}

// A rule of nftables that applies to all addresses of that kind.
std::string all_of(bool ipv6, Target target) {
  return std::string(ipv6 ? "ip6" : "ip") + " daddr " + target_text(ipv6, target, 0) + "-" +
         target_text(ipv6, target, max_queues - 1);
}

// The kernel tells IPv6 of a link that came up a moment later; what is sent before is lost.
Result<void> await_link(const Netns& netns, const std::string& interface) {
  for (int turn = 0; turn < 400; ++turn) {
    CS_TRY(const std::string shown, netns.command({"ip", "-o", "link", "show", "dev", interface}));
    if (shown.find("state UP") != std::string::npos) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Error(ErrorKind::timed_out, "waiting for the link of " + interface);
}

// The numbers behind "packets" and "bytes" of one counter.
Result<Traffic> read_counter(const Netns& netns, const std::string& name) {
  CS_TRY(const std::string shown, netns.command({"nft", "list", "counter", "inet", "bench", name}));
  std::istringstream words(shown.substr(std::min(shown.find("packets"), shown.size())));
  std::string packets;
  std::string bytes;
  Traffic traffic;
  if (words >> packets >> traffic.packets >> bytes >> traffic.bytes) return traffic;
  return Error(ErrorKind::invalid, "reading counter " + name + ": nft said " + shown);
}

// What both families need before an address is set.
Result<void> quieten(const Netns& netns) {
  for (const char* which : {"all", "default"}) {
    const std::string v6 = std::string("/proc/sys/net/ipv6/conf/") + which;
    CS_CHECK(netns.write_file(v6 + "/accept_ra", "0"));
    CS_CHECK(netns.write_file(v6 + "/router_solicitations", "0"));
    CS_CHECK(netns.write_file(std::string("/proc/sys/net/ipv4/conf/") + which + "/rp_filter", "0"));
  }
  return {};
}

}  // namespace

std::vector<std::uint8_t> sender_address(bool ipv6) {
  return address(ipv6, 1);
}

std::vector<std::uint8_t> target_address(bool ipv6, Target target, std::size_t index) {
  const std::size_t first = target == Target::sink ? first_sink : first_receiver;
  return address(ipv6, static_cast<std::uint8_t>(first + index));
}

Result<Network> Network::create(const Setting& setting) {
  CS_TRY(Netns a, Netns::create());
  CS_TRY(Netns b, Netns::create());
  Network network(std::move(a), std::move(b));
  CS_CHECK(network.connect(setting).context("setting up the namespaces"));
  CS_CHECK(network.count_and_sink(setting).context("setting up the counters"));
  if (setting.path != Path::in)
    CS_CHECK(network.steer(network.a_, "POSTROUTING", setting, first_out_queue));
  if (setting.path != Path::out)
    CS_CHECK(network.steer(network.b_, "INPUT", setting, first_in_queue));
  return network;
}

Result<void> Network::connect(const Setting& setting) {
  CS_CHECK(quieten(a_));
  CS_CHECK(quieten(b_));
  const std::string prefix = setting.ipv6 ? "/64 nodad" : "/24";
  const std::string mtu = " mtu " + std::to_string(setting.mtu);
  const std::string sender = text_of(sender_address(setting.ipv6));
  std::string in_a = "link add left address " + std::string(mac_a) + mtu +
                     " type veth peer name right address " + mac_b + mtu + " netns " + b_.path() +
                     "\naddress add " + sender + prefix + " dev left\nlink set left up\n";
  std::string addresses_of_b;
  const std::string in_b = "link set right up\nneighbour add " + sender + " lladdr " + mac_a +
                           " dev right nud permanent\n";
  for (const Target target : {Target::sink, Target::receiver}) {
    for (std::size_t i = 0; i < setting.queues; ++i) {
      const std::string to = target_text(setting.ipv6, target, i);
      in_a.append("neighbour add ").append(to).append(" lladdr ").append(mac_b);
      in_a += " dev left nud permanent\n";
      addresses_of_b.append("address add ").append(to).append(prefix).append(" dev right\n");
    }
  }
  CS_TRY([[maybe_unused]] const std::string said_a, a_.command({"ip", "-batch", "-"}, in_a));
  CS_TRY([[maybe_unused]] const std::string said_b,
         b_.command({"ip", "-batch", "-"}, addresses_of_b + in_b));
  CS_CHECK(await_link(a_, "left"));
  return await_link(b_, "right");
}

Result<void> Network::count_and_sink(const Setting& setting) {
  const std::string sinks = all_of(setting.ipv6, Target::sink);
  const std::string sink_rule = sinks + " counter name sink drop\n";
  std::string rules =
      "table inet bench {\ncounter wire {}\ncounter sink {}\n"
      "chain arriving {\ntype filter hook prerouting priority -300;\n" +
      sinks + " counter name wire\n";
  if (setting.path == Path::out) {
    rules += sink_rule + "}\n}\n";
  } else {
    rules +=
        "}\nchain behind_the_queue {\ntype filter hook input priority 0;\n" + sink_rule + "}\n}\n";
  }
  CS_TRY([[maybe_unused]] const std::string said, b_.command({"nft", "-f", "-"}, rules));
  return {};
}

// Some kernels cannot queue from nftables; iptables does the same there.
Result<void> Network::steer(const Netns& netns, const char* hook, const Setting& setting,
                            std::uint16_t first_queue) {
  std::string lower(hook);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string nft =
      "table inet bench_queues {\nchain queues {\ntype filter hook " + lower + " priority -150;\n";
  std::string iptables = "*mangle\n";
  const char* const family = setting.ipv6 ? "ip6" : "ip";
  for (const Target target : {Target::sink, Target::receiver}) {
    for (std::size_t i = 0; i < setting.queues; ++i) {
      const std::string to = target_text(setting.ipv6, target, i);
      const std::string number = std::to_string(first_queue + i);
      nft.append(family).append(" daddr ").append(to).append(" queue num ").append(number);
      nft += "\n";
      iptables.append("-A ").append(hook).append(" -d ").append(to);
      iptables.append(" -j NFQUEUE --queue-num ").append(number).append("\n");
    }
  }
  const auto by_nft = netns.command({"nft", "-f", "-"}, nft + "}\n}\n");
  if (by_nft.ok()) {
    steered_by_ = "nftables";
    return {};
  }
  const char* tool = setting.ipv6 ? "ip6tables-restore" : "iptables-restore";
  const auto by_iptables = netns.command({tool}, iptables + "COMMIT\n");
  if (!by_iptables.ok()) {
    return Error(ErrorKind::unsupported,
                 "steering packets into a queue: " + by_nft.error().message() + "; " +
                     by_iptables.error().message())
        .with_hint("load one of: modprobe nft_queue, modprobe xt_NFQUEUE");
  }
  steered_by_ = "iptables";
  return {};
}

Result<Counted> Network::count() const {
  Counted counted;
  CS_TRY(counted.wire, read_counter(b_, "wire"));
  CS_TRY(counted.sink, read_counter(b_, "sink"));
  return counted;
}

Result<QueueState> Network::queues_of(const Netns& netns) {
  CS_TRY(const std::string text,
         netns.read_file("/proc/thread-self/net/netfilter/nfnetlink_queue"));
  QueueState all;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::array<std::uint64_t, 7> field{};  // the third, sixth and seventh are what we want
    for (std::uint64_t& value : field) words >> value;
    if (!words) return Error(ErrorKind::invalid, "reading the kernel's list of queues: " + line);
    all.waiting += field[2];
    all.dropped_full += field[5];
    all.dropped_buffer += field[6];
  }
  return all;
}

}  // namespace cs::bench
