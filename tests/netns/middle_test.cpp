// SPDX-License-Identifier: GPL-3.0-or-later
// cs-middle on real traffic: three namespaces, synthetic ESP, its rules as the lab sets them.
//
//   a [left] ---- [ma] mid, cs-middle [mb] ---- [right -> capture] b
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include "tests/netns/environment.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"

namespace cs::test {
namespace {

using std::chrono::milliseconds;
using Numbers = std::vector<std::uint32_t>;

constexpr const char* kQueue = "77";
constexpr std::array kSource{"10.77.1.1", "fd77:1::1"};
constexpr std::array kTarget{"10.77.2.1", "fd77:2::1"};

class MiddleNet : public testing::TestWithParam<Family> {
 protected:
  MiddleNet() {
    get(connect({a_, "left", {"10.77.1.1/24", "fd77:1::1/64"}},
                {mid_, "ma", {"10.77.1.254/24", "fd77:1::fe/64"}}));
    get(connect({mid_, "mb", {"10.77.2.254/24", "fd77:2::fe/64"}},
                {b_, "right", {"10.77.2.1/24", "fd77:2::1/64"}}));
    get(mid_.write_sysctl("net/ipv4/ip_forward", "1"));
    get(mid_.write_sysctl("net/ipv6/conf/all/forwarding", "1"));
    for (const char* family : {"-4", "-6"}) {
      const bool v4 = family[1] == '4';
      get(a_.must(
          {"ip", family, "route", "add", "default", "via", v4 ? "10.77.1.254" : "fd77:1::fe"}));
      get(b_.must(
          {"ip", family, "route", "add", "default", "via", v4 ? "10.77.2.254" : "fd77:2::fe"}));
    }
    sender_ = get(a_.run([] { return PacketSender::open(); }));
    capture_ = get(b_.run([] { return Capture::open("right"); }));
  }

  static Family family() { return GetParam(); }

  static Bytes packet(std::uint32_t sequence) {
    const std::size_t i = family() == Family::v4 ? 0 : 1;
    return esp_packet({.source = kSource.at(i), .target = kTarget.at(i), .sequence = sequence});
  }
  // As it leaves the router: one hop less.
  static Bytes forwarded(std::uint32_t sequence) {
    Bytes bytes = packet(sequence);
    --bytes[family() == Family::v4 ? 8 : 7];
    EXPECT_TRUE(resize_packet(bytes, 0));  // mends the header checksum
    return bytes;
  }

  void start(std::vector<std::string> options) {
    options.insert(options.begin(),
                   {CS_MIDDLE, "--queue", kQueue, "--ready-file", scratch_.file("ready"),
                    "--stats-file", scratch_.file("stats")});
    process_.emplace(get(mid_.start(std::move(options))));
    for (int turn = 0; turn < 500 && !std::filesystem::exists(scratch_.file("ready")); ++turn) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    ASSERT_TRUE(std::filesystem::exists(scratch_.file("ready")));
    get(change_mangle(mid_, family(),
                      {"-A", "FORWARD", "-o", "mb", "-p", "esp", "-m", "mark", "!", "--mark",
                       "0x4d", "-j", "NFQUEUE", "--queue-num", kQueue}));
  }

  void send(std::uint32_t from, std::uint32_t to) const {
    for (std::uint32_t i = from; i <= to; ++i) get(sender_->send(packet(i)));
  }

  // The same, and all is in the queue before cs-middle takes the first: its own pace, not ours,
  // decides the order, however loaded the machine is.
  void send_at_once(std::uint32_t from, std::uint32_t to) const {
    get(process_->signal(SIGSTOP));
    send(from, to);
    await_queued(to - from + 1);
    get(process_->signal(SIGCONT));
  }
  void await_queued(std::uint32_t count) const {
    std::uint32_t waiting = 0;
    for (int turn = 0; turn < 500 && waiting < count; ++turn) {
      waiting = get(mid_.run([] { return queue_row(77); })).waiting;
      std::this_thread::sleep_for(milliseconds(2));
    }
    ASSERT_EQ(waiting, count);
  }

  // What arrives: `count` packets and then silence.
  std::vector<Capture::Packet> arrive(std::size_t count) {
    auto packets = get(capture_->collect(count, kPatience));
    EXPECT_EQ(packets.size(), count);
    for (auto& more : get(capture_->collect(1000, kSilence))) {
      ADD_FAILURE() << "one packet more than expected";
      packets.push_back(std::move(more));
    }
    return packets;
  }
  static Numbers sequences(const std::vector<Capture::Packet>& packets) {
    Numbers numbers;
    for (const auto& p : packets) numbers.push_back(esp_numbers(p.bytes).value().sequence);
    return numbers;
  }
  static void expect_unchanged(const std::vector<Capture::Packet>& packets) {
    for (const auto& p : packets) {
      EXPECT_EQ(p.bytes, forwarded(esp_numbers(p.bytes).value().sequence));
    }
  }

  // {seen, acted, reinjected, malformed, failed}
  std::array<int, 5> stop(int signal = SIGTERM) {
    get(process_->signal(signal));
    const Outcome done = get(process_->wait(kPatience));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    std::ifstream file(scratch_.file("stats"));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(text, done.output);
    const auto count = [&text](const std::string& name) {
      const std::size_t at = text.find("\"" + name + "\": ");
      return at == std::string::npos ? -1 : std::stoi(text.substr(at + name.size() + 4));
    };
    return {count("seen"), count("acted"), count("reinjected"), count("malformed"),
            count("failed")};
  }

  const Netns a_ = get(Netns::create());
  const Netns mid_ = get(Netns::create());
  const Netns b_ = get(Netns::create());
  const Scratch scratch_ = get(Scratch::create());
  std::optional<PacketSender> sender_;
  std::optional<Capture> capture_;
  std::optional<Process> process_;
};

using Counts = std::array<int, 5>;

TEST_P(MiddleNet, Pass) {
  start({"--action", "pass"});
  send(1, 9);
  const auto seen = arrive(9);
  EXPECT_EQ(sequences(seen), (Numbers{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  expect_unchanged(seen);
  EXPECT_EQ(stop(), (Counts{9, 9, 0, 0, 0}));
}

TEST_P(MiddleNet, Drop) {
  start({"--action", "drop", "--every", "3", "--limit", "2"});
  send(1, 9);
  const auto seen = arrive(7);
  EXPECT_EQ(sequences(seen), (Numbers{1, 2, 4, 5, 7, 8, 9}));
  expect_unchanged(seen);
  EXPECT_EQ(stop(SIGINT), (Counts{9, 2, 0, 0, 0}));
}

TEST_P(MiddleNet, Duplicate) {
  start({"--action", "duplicate", "--every", "2"});
  send(1, 5);
  const auto seen = arrive(7);
  EXPECT_EQ(sequences(seen), (Numbers{1, 2, 2, 3, 4, 4, 5}));
  expect_unchanged(seen);
  EXPECT_EQ(stop(), (Counts{5, 2, 2, 0, 0}));
}

TEST_P(MiddleNet, Reorder) {
  start({"--action", "reorder", "--every", "2"});
  send_at_once(1, 5);
  EXPECT_EQ(sequences(arrive(5)), (Numbers{1, 3, 2, 5, 4}));
  const auto sent = std::chrono::steady_clock::now();
  send(6, 6);
  const auto alone = arrive(1);
  EXPECT_EQ(sequences(alone), Numbers{6});
  EXPECT_GE(alone.at(0).time - sent, milliseconds(50));
  expect_unchanged(alone);
  EXPECT_EQ(stop(), (Counts{6, 3, 0, 0, 0}));
}

TEST_P(MiddleNet, CorruptTheLastByte) {
  start({"--action", "corrupt", "--every", "2"});
  send(1, 2);
  const auto seen = arrive(2);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].bytes, forwarded(1));
  Bytes changed = forwarded(2);
  changed.back() ^= 1;
  EXPECT_EQ(seen[1].bytes, changed);
  EXPECT_EQ(stop(), (Counts{2, 1, 0, 0, 0}));
}

TEST_P(MiddleNet, CorruptAtAnOffset) {
  start({"--action", "corrupt", "--offset", "8"});
  send(1, 1);
  const auto seen = arrive(1);
  ASSERT_EQ(seen.size(), 1U);
  Bytes changed = forwarded(1);
  changed[parse_ip(changed)->header_size + 8] ^= 1;
  EXPECT_EQ(seen[0].bytes, changed);
}

TEST_P(MiddleNet, Replay) {
  start({"--action", "replay", "--limit", "3"});
  const auto sent = std::chrono::steady_clock::now();
  send_at_once(1, 5);
  const auto seen = arrive(8);
  EXPECT_EQ(sequences(seen), (Numbers{1, 2, 3, 4, 5, 1, 2, 3}));
  expect_unchanged(seen);
  EXPECT_GE(seen.at(5).time - sent, milliseconds(200));
  EXPECT_EQ(stop(), (Counts{5, 3, 3, 0, 0}));
}

TEST_P(MiddleNet, ReplayRemembers64) {
  start({"--action", "replay"});
  send_at_once(1, 80);
  const auto seen = arrive(144);
  Numbers expected;
  for (const std::uint32_t last : {80U, 64U}) {
    for (std::uint32_t i = 1; i <= last; ++i) expected.push_back(i);
  }
  EXPECT_EQ(sequences(seen), expected);
  EXPECT_EQ(stop(), (Counts{80, 64, 64, 0, 0}));
}

TEST_P(MiddleNet, TheOtherFamilyIsLeftAlone) {
  start({"--action", "drop", "--family", family() == Family::v4 ? "6" : "4"});
  send(1, 3);
  expect_unchanged(arrive(3));
  EXPECT_EQ(stop(), (Counts{0, 0, 0, 0, 0}));
}

TEST_P(MiddleNet, WithoutItNothingPasses) {
  start({"--action", "pass"});
  send(1, 1);
  arrive(1);
  stop();
  send(2, 3);
  arrive(0);
}

INSTANTIATE_TEST_SUITE_P(Families, MiddleNet, testing::Values(Family::v4, Family::v6),
                         [](const auto& test) { return test.param == Family::v4 ? "v4" : "v6"; });

TEST(MiddleProgram, HelpTellsAllAndWrongOptionsAreRefused) {
  const auto help = get(run({.argv = {CS_MIDDLE, "--help"}}));
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word :
       {"pass", "drop", "duplicate", "reorder", "corrupt", "replay", "--queue", "--every",
        "--limit", "--offset", "--family", "--ready-file", "--stats-file", "0x4d", "malformed"}) {
    EXPECT_NE(help.output.find(word), std::string::npos) << word;
  }
  const std::vector<std::vector<std::string>> wrong{
      {CS_MIDDLE},
      {CS_MIDDLE, "--queue", "1", "--action", "explode"},
      {CS_MIDDLE, "--queue", "65536", "--action", "drop"},
      {CS_MIDDLE, "--queue", "1", "--action", "drop", "--every", "0"},
      {CS_MIDDLE, "--queue", "1", "--action", "drop", "--family", "5"},
      {CS_MIDDLE, "--queue", "1", "--action", "drop", "--offset", "70000"}};
  for (const auto& argv : wrong) EXPECT_NE(get(run({.argv = argv})).exit_code, 0);
}

TEST(MiddleProgram, SaysWhyItCannotTakeTheQueue) {
  const Netns netns = get(Netns::create());
  const auto taken = get(netns.run([] { return NfQueue::open({.number = 77}); }));
  const auto done = get(netns.command({CS_MIDDLE, "--queue", "77", "--action", "pass"}));
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_NE(done.output.find("cs-middle: binding NFQUEUE 77"), std::string::npos) << done.output;
}

}  // namespace
}  // namespace cs::test
