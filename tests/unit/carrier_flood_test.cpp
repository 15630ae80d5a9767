// SPDX-License-Identifier: GPL-3.0-or-later
// A flood of connections at the network worker's port, from many addresses: a peer gets through,
// and memory is bounded. The flood is counted in connections and goes as fast as the worker takes
// them, so that a slow machine makes it longer and no harder. CS_FLOOD_PEERS: how often.
#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <vector>

#include "keyms/carrier/admission.h"
#include "tests/unit/carrier_client.h"
#include "tests/unit/carrier_gateway.h"

namespace cs::keyms::carrier {
namespace {

using test::Gateway;
using test::get;

int setting(const char* name, int usual) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return text == nullptr ? usual : static_cast<int>(std::strtol(text, nullptr, 10));
}

long resident_kb(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    if (word != "VmRSS:") continue;
    long size = 0;
    status >> size;
    return size;
  }
  return -1;
}

// Connections from addresses all over 127.0.0.0/8; half of them begin TLS. They stay as
// long as they may.
class Flood {
 public:
  explicit Flood(const Gateway& called) : called_(&called) {}

  void add(std::uint64_t connections) { wanted_ += connections; }
  // As many as are wanted, if the worker keeps up.
  void go_on() {
    constexpr std::uint64_t most_waiting = 256;
    while (made_ < wanted_ && calls_ < taken() + most_waiting) call();
  }
  [[nodiscard]] bool was_taken() const { return made_ == wanted_ && taken() == calls_; }
  void someone_else_calls() { ++calls_; }
  [[nodiscard]] std::uint64_t made() const { return made_; }

 private:
  [[nodiscard]] std::uint64_t taken() const { return called_->stats.counters.accepted; }
  void call() {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7f010000U + static_cast<std::uint32_t>(made_ % 60000U));
    static_cast<void>(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(called_->port());
    static_cast<void>(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    if (made_ % 2 == 0)
      static_cast<void>(::send(fd.get(), hello_.data(), hello_.size(), MSG_NOSIGNAL));
    kept_.push_back(std::move(fd));
    if (kept_.size() > 700) std::erase_if(kept_, was_hung_up_on);
    ++made_;
    ++calls_;
  }
  static bool was_hung_up_on(const UniqueFd& fd) {
    std::array<std::uint8_t, 4096> answer{};
    ssize_t size = 0;
    do size = ::recv(fd.get(), answer.data(), answer.size(), 0);
    while (size > 0);
    return size == 0 || errno != EAGAIN;
  }
  const Gateway* called_;
  const std::vector<std::uint8_t> hello_ = test::client_hello();
  std::uint64_t wanted_ = 0;
  std::uint64_t made_ = 0;
  std::uint64_t calls_ = 0;  // with those of others
  std::vector<UniqueFd> kept_;
};

// Two gateways, of which the second is flooded.
class Pair {
 public:
  Pair() : a_("berlin-1"), b_("hamburg-1"), flood_(b_), idle_kb_(get_ready()) {
    flood(2 * Admission::most);
  }

  // Calls, and does not say hello before the flood has gone over all places: whether the other one
  // hears of it all the same.
  bool gets_through() {
    flood_.someone_else_calls();
    a_.call("hamburg-1", b_.port());
    flood_.add(Admission::most / 4);
    wait([&] { return a_.was_told(); }, "the call has no end");
    const FromCarrier told = a_.take();
    flood(Admission::most + 64);
    const auto* connect = std::get_if<Connect>(&told);
    if (connect == nullptr) return false;
    // Whose channel may have ended meanwhile.
    static_cast<void>(a_.worker().send(
        Data{connect->channel, get(encode(a_.self.hello(Role::initiator, "hamburg-1")))}));
    wait([&] { return a_.was_told() || b_.was_told(); }, "the hello has no answer");
    if (!b_.was_told()) {
      a_.next<Close>();
      return false;
    }
    hang_up();
    return true;
  }
  [[nodiscard]] const Flood& flood() const { return flood_; }
  [[nodiscard]] const Stats& stats() const { return b_.stats; }
  [[nodiscard]] std::uint64_t most_unproven() const { return most_unproven_; }
  [[nodiscard]] long grown_kb() const { return most_kb_ - idle_kb_; }

 private:
  void wait(const std::function<bool()>& done, const char* otherwise) {
    const bool came = test::work({&a_, &b_}, [&] {
      flood_.go_on();
      most_unproven_ = std::max<std::uint64_t>(most_unproven_, b_.stats.unproven);
      return done();
    });
    if (!came) throw std::runtime_error(otherwise);
  }
  long get_ready() {
    a_.knows({b_.self.as_peer()});
    b_.knows({a_.self.as_peer()});
    wait([&] { return a_.worker().agreed() && b_.worker().agreed(); }, "the workers are not ready");
    return resident_kb(b_.worker().pid());
  }
  void flood(std::uint64_t connections) {
    flood_.add(connections);
    wait([&] { return flood_.was_taken(); }, "the flood is not taken");
    most_kb_ = std::max(most_kb_, resident_kb(b_.worker().pid()));
  }
  void hang_up() {
    get(b_.worker().send(Close{b_.next<Connect>().channel, {"test", ""}}));
    wait([&] { return a_.was_told(); }, "nobody hangs up");
    a_.next<Close>();
    while (b_.was_told()) b_.take();  // the hello
  }

  Gateway a_;
  Gateway b_;
  Flood flood_;
  std::uint64_t most_unproven_ = 0;
  long idle_kb_;
  long most_kb_ = 0;
};

TEST(Flood, APeerGetsThroughAndMemoryIsBounded) {
  Pair pair;
  const int peers = setting("CS_FLOOD_PEERS", 3);
  int calls = 0;
  for (int peer = 0; peer < peers; ++peer) {
    // About one call of five gets through.
    constexpr int most_calls = 128;
    const int before = calls++;
    while (!pair.gets_through()) ASSERT_LT(calls++ - before, most_calls) << "it never got through";
  }
  EXPECT_EQ(pair.most_unproven(), Admission::most);
  EXPECT_LT(pair.grown_kb(), 32 * 1024);
  EXPECT_GT(pair.stats().counters.of(Refusal::crowded_out), 0U);
  std::cout << pair.flood().made() << " connections; " << peers << " peers got through in " << calls
            << " calls; memory grew by at most " << pair.grown_kb() << " kB\n";
}

}  // namespace
}  // namespace cs::keyms::carrier
