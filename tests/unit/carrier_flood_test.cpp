// SPDX-License-Identifier: GPL-3.0-or-later
// A flood of connections at the network worker's port, from many addresses: a peer gets through,
// and memory is bounded. CS_FLOOD_SECONDS and CS_FLOOD_RATE make it longer and harder.
#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <thread>

#include "keyms/carrier/admission.h"
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

// Connections from addresses all over 127.0.0.0/8, so many a second; half of them begin TLS. Each
// stays until there are a thousand younger ones.
class Flood {
 public:
  Flood(std::uint16_t port, int rate) : thread_([this, port, rate] { run(port, rate); }) {}
  ~Flood() {
    stop_ = true;
    thread_.join();
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  Flood(Flood&&) = delete;
  Flood& operator=(Flood&&) = delete;
  [[nodiscard]] std::uint64_t made() const { return made_; }

 private:
  void run(std::uint16_t port, int rate) {
    const BootTime start = test::machine_clock.boot();
    while (!stop_) {
      const auto elapsed = test::machine_clock.boot() - start;
      const auto due =
          static_cast<std::uint64_t>(std::chrono::duration<double>(elapsed).count() * rate);
      while (made_ < due && !stop_) call(port);
      ::usleep(1000);
    }
  }
  void call(std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const auto number = static_cast<std::uint32_t>(made_);
    address.sin_addr.s_addr = htonl(0x7f010000U + number % 60000U);
    static_cast<void>(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    static_cast<void>(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    // The head of a long record: TLS waits for the rest.
    constexpr std::array<std::uint8_t, 6> begun{22, 3, 1, 0x3f, 0xff, 1};
    if (number % 2 == 0)
      static_cast<void>(::send(fd.get(), begun.data(), begun.size(), MSG_NOSIGNAL));
    kept_.push_back(std::move(fd));
    if (kept_.size() > 500) kept_.pop_front();
    ++made_;
  }
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> made_ = 0;
  std::deque<UniqueFd> kept_;
  std::thread thread_;
};

// Whose channel may have ended meanwhile.
template <class Message>
void send(Gateway& gateway, const Message& message) {
  static_cast<void>(gateway.worker().send(message));
  ASSERT_TRUE(gateway.worker().agreed());
}

// Also of calls that came through after the caller had tried again.
void hang_up(Gateway& called) {
  while (called.was_told()) {
    const FromCarrier told = called.take();
    const auto* connect = std::get_if<Connect>(&told);
    if (connect != nullptr) send(called, Close{connect->channel, {"test", ""}});
  }
}

// How long until the called gateway hears of the caller, who tries again each half second.
std::chrono::milliseconds time_to_get_through(Gateway& a, Gateway& b) {
  const BootTime start = test::machine_clock.boot();
  for (int attempt = 0; attempt < 100; ++attempt) {
    a.call("hamburg-1", b.port());
    std::uint32_t channel = 0;
    const bool through = test::work(
        {&a, &b},
        [&] {
          while (a.was_told()) {
            const FromCarrier told = a.take();
            if (const auto* connect = std::get_if<Connect>(&told)) {
              channel = connect->channel;
              send(a, Data{channel, get(encode(a.self.hello(Role::initiator, "hamburg-1")))});
            } else if (const auto* close = std::get_if<Close>(&told)) {
              if (close->channel == channel) return true;  // turned away: again
            }
          }
          return b.was_told();
        },
        std::chrono::milliseconds(500));
    if (through && b.was_told()) break;
  }
  return std::chrono::ceil<std::chrono::milliseconds>(test::machine_clock.boot() - start);
}

TEST(Flood, APeerGetsThroughAndMemoryIsBounded) {
  Gateway a("berlin-1");
  Gateway b("hamburg-1");
  a.knows({b.self.as_peer()});
  b.knows({a.self.as_peer()});
  ASSERT_TRUE(test::work({&a, &b}, [&] { return a.worker().agreed() && b.worker().agreed(); }));
  const long idle = resident_kb(b.worker().pid());
  const std::chrono::seconds length(setting("CS_FLOOD_SECONDS", 2));
  Flood flood(b.port(), setting("CS_FLOOD_RATE", 2000));
  test::work(
      {&a, &b}, [&] { return b.stats.unproven >= Admission::most; }, length);
  EXPECT_GE(b.stats.unproven, Admission::most - 56);
  long most = 0;
  std::chrono::milliseconds slowest{0};
  for (const BootTime end = test::machine_clock.boot() + length;
       test::machine_clock.boot() < end;) {
    slowest = std::max(slowest, time_to_get_through(a, b));
    ASSERT_TRUE(b.was_told()) << "it never got through";
    hang_up(b);
    most = std::max(most, resident_kb(b.worker().pid()));
  }
  EXPECT_LT(slowest, std::chrono::seconds(3));
  EXPECT_LT(most - idle, 32 * 1024);
  EXPECT_GT(b.stats.counters.of(Refusal::crowded_out), 0U);
  std::cout << flood.made() << " connections, of which " << b.stats.counters.accepted
            << " were taken; the slowest peer took " << slowest.count() << " ms; memory " << idle
            << " kB idle, at most " << most << " kB\n";
}

}  // namespace
}  // namespace cs::keyms::carrier
