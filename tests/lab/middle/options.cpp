// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/lab/middle/options.h"

#include <CLI/CLI.hpp>
#include <map>

namespace cs::middle {
namespace {

constexpr const char* kAbout =
    "cs-middle: the hostile router of the lab. Takes packets from one NFQUEUE of the network "
    "namespace it is started in and does one thing to them.";

constexpr const char* kFooter = R"(
Actions, each on every K-th packet, at most N times:
  pass       nothing (and counts)
  drop       the packet does not go on
  duplicate  the packet goes on, then a copy of it
  reorder    the packet is held until the one behind it has passed, or for 50 ms
             if none follows; the one that overtakes is not held itself
  corrupt    one bit, the lowest of the byte at --offset, is turned over. No checksum
             is mended; the IP header stays as it is. A packet without such a byte
             passes and does not count as acted on
  replay     the packet goes on, and once more after 200 ms. At most 64 wait at a
             time; what comes while they do passes and does not count as acted on
  atomic     an IPv6 packet gets a fragment header in front that cuts nothing; one of
             IPv4 passes and does not count as acted on

The queue is fed by rules like (the tool's own packets carry mark 0x4d):
  iptables -t mangle -A FORWARD -p esp -m mark ! --mark 0x4d -j NFQUEUE --queue-num 77

Copies leave by a raw socket as they were captured: after this router's decrement of
TTL or hop limit, which they do not pass again. They pass the output and postrouting
hooks, not forward. What changes in a copy: an IPv4 identification of 0 without
"don't fragment" gets a value. Not sent, but counted as failed: copies above the MTU
of the way out. Under NAT, in the direction back to the hidden host, connection tracking takes copies
for connections of their own: it drops those of ESP and renumbers the ports of UDP, unless
  iptables -t raw -A OUTPUT -m mark --mark 0x4d -d HIDDEN-HOST -j CT --notrack

Packets that are not one whole IP packet are dropped and counted as malformed.
Packets of another family than --family pass uncounted. If this program is not
there, the kernel drops what its rules queue.

On SIGTERM or SIGINT: a held packet goes on, pending replays are forgotten, the
statistics go to --stats-file (replaced as a whole) and standard output, as
  {"seen": 9, "acted": 3, "reinjected": 3, "malformed": 0, "failed": 0}
and the exit code is 0; 1 if something failed, and other codes for wrong options.
)";

const std::map<std::string, Action> kActions{
    {"pass", Action::pass},       {"drop", Action::drop},       {"duplicate", Action::duplicate},
    {"reorder", Action::reorder}, {"corrupt", Action::corrupt}, {"replay", Action::replay},
    {"atomic", Action::atomic}};

const std::map<std::string, std::optional<test::Family>> kFamilies{
    {"4", test::Family::v4}, {"6", test::Family::v6}, {"both", std::nullopt}};

template <class Map>
CLI::Validator key_of(const Map& map) {
  std::vector<std::string> keys;
  keys.reserve(map.size());
  for (const auto& entry : map) keys.push_back(entry.first);
  return CLI::IsMember(std::move(keys));
}

}  // namespace

std::variant<Options, int> read_options(int argc, char** argv) {
  Options options;
  std::string action;
  std::string family = "both";
  CLI::App app{kAbout, "cs-middle"};
  app.footer(kFooter);
  app.add_option("--queue", options.queue, "number of the NFQUEUE")->required();
  app.add_option("--action", action, "what to do")->required()->check(key_of(kActions));
  app.add_option("--every", options.plan.every, "act on each K-th packet (1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--limit", options.plan.limit, "act at most N times (no limit)");
  app.add_option("--offset", options.plan.offset,
                 "corrupt: byte behind the IP header; below 0 from the packet's end (-1)")
      ->check(CLI::Range(-0xffff, 0xffff));
  app.add_option("--family", family, "act on IPv4, IPv6 or both (both)")->check(key_of(kFamilies));
  app.add_option("--ready-file", options.ready_file, "written once the queue is taken");
  app.add_option("--stats-file", options.stats_file, "written at the end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  options.plan.action = kActions.at(action);
  options.plan.family = kFamilies.at(family);
  return options;
}

}  // namespace cs::middle
