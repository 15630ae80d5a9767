// SPDX-License-Identifier: GPL-3.0-or-later
// What the hostile router does with each packet. Knows no socket and no clock: packets, times and
// the way out come from outside (middle.cpp), so that a test can bring its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>

#include "tests/support/nfqueue.h"
#include "tests/support/packet.h"

namespace cs::middle {

enum class Action : std::uint8_t { pass, drop, duplicate, reorder, corrupt, replay, atomic };

// The one job of a run, as the command line gives it.
struct Plan {
  Action action = Action::pass;
  std::uint64_t every = 1;  // acts on each of these; at least 1
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
  std::int64_t offset = -1;  // corrupt: byte behind the IP header; below 0: from the end
  std::optional<test::Family> family = std::nullopt;  // the other family passes and is not counted
};

struct Statistics {
  std::uint64_t seen = 0;        // well-formed packets of the chosen family
  std::uint64_t acted = 0;       // packets the action was done to
  std::uint64_t reinjected = 0;  // copies sent
  std::uint64_t malformed = 0;   // dropped: not one whole IP packet
  std::uint64_t failed = 0;      // copies the kernel refused to send
};

// The way out.
struct Output {
  std::function<void(std::uint32_t id, const test::Verdict&)> decide;
  std::function<bool(ByteView packet)> inject;  // false: refused
};

// For one thread. Every packet handed in is decided exactly once, at the latest by finish().
class Engine {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A held packet that nothing follows is released after this.
  static constexpr std::chrono::milliseconds kHold{50};
  static constexpr std::chrono::milliseconds kReplayDelay{200};
  static constexpr std::size_t kRemembered = 64;

  Engine(const Plan& plan, Output output) : plan_(plan), output_(std::move(output)) {}

  void take(const test::QueuedPacket& packet, Time now);

  // When tick() has something to do; nullopt: nothing waits.
  [[nodiscard]] std::optional<Time> deadline() const;
  void tick(Time now);

  // Lets a held packet go and forgets what was to be replayed.
  void finish();

  [[nodiscard]] const Statistics& statistics() const { return statistics_; }

 private:
  struct Held {
    std::uint32_t id;
    Time until;
  };
  struct Remembered {
    test::Bytes packet;
    Time due;
  };

  [[nodiscard]] bool is_wanted() const;
  void act(const test::QueuedPacket& packet, const test::IpView& ip, Time now);
  void corrupt(const test::QueuedPacket& packet, const test::IpView& ip);
  void make_atomic_fragment(const test::QueuedPacket& packet, const test::IpView& ip);
  void remember(const test::QueuedPacket& packet, Time now);
  void release();
  void inject(ByteView packet);

  Plan plan_;
  Output output_;
  Statistics statistics_;
  std::optional<Held> held_;
  std::deque<Remembered> remembered_;
};

}  // namespace cs::middle
