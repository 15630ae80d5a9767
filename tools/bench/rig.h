// SPDX-License-Identifier: GPL-3.0-or-later
// One mode, set up and ready to be measured.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tools/bench/modes.h"
#include "tools/bench/sender.h"

namespace cs::bench {

// What all measurements of a run share. All of it outlives them.
struct Context {
  const Options& options;
  const Keys& keys;
  const Clock& clock;
  std::vector<int> cores;     // that this process may use
  TpmSigning* tpm = nullptr;  // for mode sign-tpm
};

// Processors this process may use.
Result<std::vector<int>> allowed_cores();
// Keeps the calling thread on cores[index], or lets it go anywhere if there are not `wanted` cores.
void stay_on(const std::vector<int>& cores, std::size_t index, std::size_t wanted);
// Sleeps about that long, without the slack the kernel else adds.
void nap(std::chrono::nanoseconds time) noexcept;
void no_timer_slack() noexcept;

class Rig {
 public:
  // Opens the queues, each `length` packets long.
  static Result<Rig> create(const Context& context, const Mode& mode, const Network& network,
                            std::uint32_t length);

  Result<void> send(const PacketSet& packets, std::size_t first, std::size_t count) {
    bytes_sent_ += bytes_of(packets, first, count);
    sent_ += count;
    return sender_.send(packets, first, count);
  }
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  // Of the engine a packet meets last.
  [[nodiscard]] std::uint64_t finished() const noexcept;
  [[nodiscard]] std::vector<std::unique_ptr<Engine>>& engines() noexcept { return engines_; }
  [[nodiscard]] const Network& network() const noexcept { return *network_; }
  [[nodiscard]] const Mode& mode() const noexcept { return *mode_; }

  // All engines together, and what the kernel dropped for them.
  [[nodiscard]] Result<Drops> drops() const;
  // Waits until what was finished has been counted, and compares: every packet must have gone the
  // way this mode is there for. Returns the bytes a packet grew by on the wire.
  [[nodiscard]] Result<double> prove(const Options& options) const;
  // What to say when packets do not come.
  [[nodiscard]] Error stuck() const;

 private:
  Rig(const Mode& mode, const Network& network, Sender sender)
      : mode_(&mode), network_(&network), sender_(std::move(sender)) {}
  static std::size_t bytes_of(const PacketSet& packets, std::size_t first, std::size_t count);
  Result<void> open(const Context& context, EngineKind kind, const Netns& netns,
                    std::uint16_t first_queue, std::uint32_t length);
  [[nodiscard]] Result<void> compare(const Options& options, const Counted& counted) const;

  const Mode* mode_;
  const Network* network_;
  Sender sender_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::size_t last_stage_ = 0;  // the first engine of it
  std::uint64_t sent_ = 0;
  std::uint64_t bytes_sent_ = 0;
  Counted before_;
};

// A thread for each engine, from construction to stop().
class EngineThreads {
 public:
  EngineThreads(Rig& rig, const Context& context);
  EngineThreads(const EngineThreads&) = delete;
  EngineThreads& operator=(const EngineThreads&) = delete;
  EngineThreads(EngineThreads&&) = delete;
  EngineThreads& operator=(EngineThreads&&) = delete;
  ~EngineThreads();

  // Of all of them together, so far.
  [[nodiscard]] std::chrono::nanoseconds cpu_time() noexcept;
  [[nodiscard]] bool has_failed() const noexcept { return failed_.load(); }
  // The first error of any of them.
  Result<void> stop();

 private:
  void serve(Engine& engine);

  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::optional<Error> error_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace cs::bench
