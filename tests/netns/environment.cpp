// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/netns/environment.h"

#include <map>

#include "tests/support/require.h"

namespace cs::test {
namespace {

std::map<Family, std::string>& found() {
  static std::map<Family, std::string> tools;
  return tools;
}

// Whether a packet to ourselves comes to the queue by this tool's rule.
Result<void> try_queue(const Netns& netns, Family family, const std::string& tool) {
  constexpr int kNumber = 1;
  std::vector<std::string> argv{tool, "-t", "mangle"};
  for (auto& word : queue_esp("-A", "INPUT", kNumber)) argv.push_back(std::move(word));
  CS_CHECK(netns.must(std::move(argv)));
  CS_TRY(NfQueue queue, netns.run([] { return NfQueue::open({.number = kNumber}); }));
  CS_TRY(const PacketSender sender, netns.run([] { return PacketSender::open(); }));
  const std::string self = family == Family::v4 ? "127.0.0.1" : "::1";
  CS_CHECK(sender.send(esp_packet({.source = self, .target = self})));
  CS_TRY(const auto end, queue.poll(kPatience, [](const auto&) { return Verdict::drop(); }));
  if (end == NfQueue::End::handled && queue.counters().handled == 1) return {};
  return Error(ErrorKind::unsupported, tool + " set an NFQUEUE rule, but no packet came");
}

Result<std::string> find_tool(Family family) {
  const std::string plain = family == Family::v4 ? "iptables" : "ip6tables";
  std::string reasons;
  for (const char* variant : {"", "-nft", "-legacy"}) {
    CS_TRY(const Netns netns, Netns::create());
    const Result<void> tried = try_queue(netns, family, plain + variant);
    if (tried.ok()) return plain + variant;
    reasons += (reasons.empty() ? "" : "; ") + tried.error().message();
  }
  return Error(ErrorKind::unsupported, "NFQUEUE by iptables: " + reasons);
}

}  // namespace

void require_nfqueue() {
  require::programs({"ip", "iptables", "ip6tables"});
  for (const Family family : {Family::v4, Family::v6}) {
    const auto tool = find_tool(family);
    if (!tool.ok()) {
      require::missing(tool.error().message(),
                       "run as root, on a kernel with namespaces, veth and NFQUEUE");
    }
    found()[family] = *tool;
  }
}

const std::string& iptables(Family family) {
  return found().at(family);
}

Result<void> change_mangle(const Netns& netns, Family family, std::vector<std::string> rule) {
  rule.insert(rule.begin(), {iptables(family), "-t", "mangle"});
  return netns.must(std::move(rule));
}

std::vector<std::string> queue_esp(const std::string& verb, const std::string& chain, int number) {
  return {verb, chain, "-p", "esp", "-j", "NFQUEUE", "--queue-num", std::to_string(number)};
}

Result<Pair> make_pair() {
  CS_TRY(Netns a, Netns::create());
  CS_TRY(Netns b, Netns::create());
  CS_CHECK(connect({a, "left", {"192.0.2.1/24", "2001:db8::1/64"}},
                   {b, "right", {"192.0.2.2/24", "2001:db8::2/64"}}));
  return Pair{std::move(a), std::move(b)};
}

}  // namespace cs::test
