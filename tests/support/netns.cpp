// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <thread>

#include "base/panic.h"

namespace cs::test {
namespace {

struct Setting {
  const char* name;
  const char* value;
};

// A new namespace inherits some of these from the machine: say all that tests rely on.
constexpr std::array kSettings{
    Setting{"net/ipv6/conf/all/accept_dad", "0"}, Setting{"net/ipv6/conf/default/accept_dad", "0"},
    Setting{"net/ipv6/conf/all/accept_ra", "0"},  Setting{"net/ipv6/conf/default/accept_ra", "0"},
    Setting{"net/ipv4/ip_forward", "0"},          Setting{"net/ipv6/conf/all/forwarding", "0"},
    Setting{"net/ipv4/conf/all/rp_filter", "0"},  Setting{"net/ipv4/conf/default/rp_filter", "0"},
};

Result<UniqueFd> make_namespace() {
  if (unshare(CLONE_NEWNET) != 0) {
    return from_errno(errno, "making a network namespace").with_hint("run as root");
  }
  UniqueFd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd) return from_errno(errno, "opening /proc/thread-self/ns/net");
  return fd;
}

// The kernel tells IPv6 of a link that came up a moment later; what is sent before is lost, and the
// neighbour asked for again only after a second.
Result<void> await_link(const CableEnd& end) {
  constexpr int kTurns = 500;
  for (int turn = 0; turn < kTurns; ++turn) {
    CS_TRY(const Outcome shown,
           end.netns.command({"ip", "-o", "link", "show", "dev", end.interface}));
    if (shown.output.find("state UP") != std::string::npos) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Error(ErrorKind::timed_out, "waiting for the link of " + end.interface);
}

}  // namespace

Result<Netns> Netns::create() {
  CS_TRY(UniqueFd fd, std::async(std::launch::async, make_namespace).get());
  Netns netns(std::move(fd));
  for (const Setting& setting : kSettings)
    CS_CHECK(netns.write_sysctl(setting.name, setting.value));
  CS_CHECK(netns.must({"ip", "link", "set", "dev", "lo", "up"}));
  return netns;
}

std::string Netns::path() const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd());
}

void Netns::enter() const {
  if (setns(fd(), CLONE_NEWNET) != 0) panic("a namespace we made cannot be entered");
}

Result<Outcome> Netns::command(std::vector<std::string> argv,
                               std::chrono::milliseconds limit) const {
  return test::run({std::move(argv), "", fd()}, limit);
}

Result<void> Netns::must(std::vector<std::string> argv) const {
  std::string line;
  for (const std::string& word : argv) line += (line.empty() ? "" : " ") + word;
  CS_TRY(const Outcome outcome, command(std::move(argv)));
  if (outcome.timed_out) return Error(ErrorKind::timed_out, line + ": no end in time");
  if (outcome.exit_code == 0) return {};
  return Error(ErrorKind::io,
               line + ": exit code " + std::to_string(outcome.exit_code) + ": " + outcome.output);
}

Result<Process> Netns::start(std::vector<std::string> argv) const {
  return Process::start({std::move(argv), "", fd()});
}

Result<void> Netns::write_sysctl(const std::string& name, const std::string& value) const {
  return run([&]() -> Result<void> {
    const std::string path = "/proc/sys/" + name;
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return from_errno(errno, "opening " + path);
    if (write(file.get(), value.data(), value.size()) < 0) {
      return from_errno(errno, "writing " + value + " to " + path);
    }
    return {};
  });
}

Result<void> connect(const CableEnd& left, const CableEnd& right) {
  CS_CHECK(left.netns.must({"ip", "link", "add", "name", left.interface, "type", "veth", "peer",
                            "name", right.interface, "netns", right.netns.path()}));
  for (const CableEnd* end : {&left, &right}) {
    for (const std::string& address : end->addresses) {
      std::vector<std::string> argv{"ip", "addr", "add", address, "dev", end->interface};
      if (address.find(':') != std::string::npos) argv.emplace_back("nodad");
      CS_CHECK(end->netns.must(std::move(argv)));
    }
    CS_CHECK(end->netns.must({"ip", "link", "set", "dev", end->interface, "up"}));
  }
  CS_CHECK(await_link(left));
  return await_link(right);
}

}  // namespace cs::test
