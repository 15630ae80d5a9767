// SPDX-License-Identifier: GPL-3.0-or-later
// Interfaces, forwarding, and who keys the tunnels.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>

#include "nfq-signer/mtu.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/words.h"
#include "xfrm/state/ike_sockets.h"

namespace cs::doctor {

namespace {

template <class T>
std::optional<T> read_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string attribute(const std::string& interface, std::string_view name) {
  return "/sys/class/net/" + interface + "/" + std::string(name);
}

bool is_up(const Machine& machine, const std::string& interface) {
  const std::string flags = machine.line(attribute(interface, "flags"));
  const auto number = flags.starts_with("0x")
                          ? read_number<unsigned>(std::string_view(flags).substr(2), 16)
                          : std::nullopt;
  return number && (*number & 1U) != 0;
}

// For IPv6 inside, which needs 1280 bytes, ESP with AES-GCM and IPv4 outside.
std::string what_is_left(std::size_t mtu) {
  const std::ptrdiff_t room = mtu::room({}, mtu, mtu::least_ipv6);
  const std::uint32_t batch = mtu::largest_batch({}, Suite::p256_node16, room, 64);
  if (batch == 0) return "IPv6 inside a tunnel has no room for a signature";
  return "with IPv6 inside a tunnel it leaves " + std::to_string(room) +
         " bytes for the signature, that is at most " + std::to_string(batch) + " packets a batch";
}

std::string describe(const std::string& interface, std::uint32_t mtu) {
  return interface + " takes " + std::to_string(mtu) + " bytes: " + what_is_left(mtu);
}

bool is_on(const Machine& machine, std::string_view file) {
  return machine.line(file) == "1";
}

std::vector<std::string> processes(const Machine& machine) {
  std::vector<std::string> numbers = machine.list("/proc");
  std::erase_if(numbers, [](const std::string& name) { return !read_number<std::uint32_t>(name); });
  return numbers;
}

std::string name_of(const Machine& machine, const std::string& process) {
  return machine.line("/proc/" + process + "/comm");
}

// From "strongSwan 5.9.8 swanctl", which it says even where it fails for want of a daemon.
std::string strongswan_version(const std::string& said) {
  constexpr std::string_view digits = "0123456789";
  const std::string name = "strongSwan ";
  for (std::size_t at = 0; (at = said.find(name, at)) != std::string::npos;) {
    at += name.size();
    const std::size_t end = said.find_first_not_of("0123456789.", at);
    if (end != at && at < said.size() && digits.find(said[at]) != std::string_view::npos) {
      return said.substr(at, end - at);
    }
  }
  return "of a version it does not tell";
}

bool is_strongswan(std::string_view name) {
  return name.starts_with("charon");  // charon, charon-systemd
}

}  // namespace

Finding look_at_forwarding(const Machine& machine) {
  std::string reason;
  std::string command;
  const auto want = [&](const std::string& name, std::string_view family) {
    const std::string file = "/proc/sys/" + name;
    if (!machine.has(file) || is_on(machine, file)) return;
    reason += (reason.empty() ? "" : ", ") + std::string(family);
    add(command, "echo 1 > " + file);
  };
  want("net/ipv4/ip_forward", "IPv4");
  want("net/ipv6/conf/all/forwarding", "IPv6");
  if (reason.empty()) return good("packets are forwarded");
  return {Verdict::warning,
          "packets are not forwarded (" + reason +
              "): only tunnels between the gateways themselves work",
          command, "put it into /etc/sysctl.d to last"};
}

Finding look_at_mtu(const Machine& machine) {
  constexpr std::uint32_t wanted = 1500;
  std::string reason;
  std::string command;
  for (const std::string& interface : machine.list("/sys/class/net")) {
    const auto mtu = read_number<std::uint32_t>(machine.line(attribute(interface, "mtu")));
    if (interface == "lo" || !is_up(machine, interface) || !mtu || *mtu >= wanted) continue;
    add(reason, describe(interface, *mtu));
    add(command, "ip link set dev " + shell_word(interface));
    command += " mtu 1500";
  }
  if (reason.empty()) return good("every interface takes 1500 bytes");
  return {Verdict::warning, reason, command, "only where the network behind it takes as much"};
}

Finding look_at_ike(const Machine& machine) {
  constexpr std::array<std::string_view, 4> others{"pluto", "racoon", "iked", "isakmpd"};
  for (const std::string& process : processes(machine)) {
    const std::string name = name_of(machine, process);
    if (std::ranges::find(others, name) == others.end()) continue;
    return {Verdict::warning,
            name + " runs, whose SAs nobody can ask for: they count as unknown",
            {},
            "use strongSwan with swanctl, or keys set by hand"};
  }
  const auto sockets = machine.head("/proc/net/unix", std::size_t{4} << 20U);
  if (sockets.ok() && sockets->find("/charon.vici") != std::string::npos)
    return good("charon runs and can be asked (VICI)");
  return {Verdict::warning,
          "no IKE daemon runs that can be asked (VICI): only tunnels with keys set by hand",
          "systemctl start strongswan"};
}

Finding look_at_strongswan(const Machine& machine) {
  constexpr std::string_view install =
      "apt-get install strongswan-swanctl charon-systemd libstrongswan-standard-plugins";
  const auto told = machine.run({"swanctl", "--version"});
  if (!told.ok() && told.error().kind() != ErrorKind::not_found) return unchecked(told.error());
  if (!told.ok()) {
    return {Verdict::warning, "strongSwan is not installed, or not with swanctl",
            std::string(install)};
  }
  const std::string version = strongswan_version(told->output + told->errors);
  if (version.starts_with("5.9.")) return good("strongSwan " + version);
  return {Verdict::warning,
          "strongSwan " + version + ": it is tried with 5.9",
          {},
          "take Debian's packages: " + std::string(install)};
}

Finding look_at_ports(const Machine& machine) {
  const auto sockets = xfrm::find_ike_sockets(machine.root);
  if (!sockets.ok()) return unchecked(sockets.error());
  std::set<std::string> users;
  for (const xfrm::IkeSocket& socket : *sockets) {
    if (is_strongswan(socket.process)) continue;
    users.insert("UDP " + std::to_string(socket.port) + " is taken by " +
                 (socket.process.empty() ? "a process this one cannot see" : socket.process));
  }
  if (users.empty()) return good("UDP 500 and 4500 are free or strongSwan's");
  std::string reason;
  for (const std::string& user : users) add(reason, user);
  return {Verdict::warning,
          reason,
          {},
          "stop it, or strongSwan cannot negotiate: ss -ulpn 'sport = 500 or sport = 4500'"};
}

}  // namespace cs::doctor
