// SPDX-License-Identifier: GPL-3.0-or-later
// What is measured: somebody who takes packets from one NFQUEUE and gives them back.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/extension.h"
#include "nfq-signer/packet.h"
#include "tools/bench/packets.h"

namespace cs::bench {

class TpmSigning;

// Of mode sign-remote: a slow signer must sign for as many at once as it can.
inline constexpr std::size_t remote_batch = cs::max_batch;

using Drops =
    std::map<std::string, std::uint64_t>;  // by cause; causes that did not occur are absent

// work() and wait() on one thread; the rest on any.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) = delete;
  Engine& operator=(Engine&&) = delete;
  virtual ~Engine() = default;

  // Does what there is to do; never waits.
  virtual Result<void> work() = 0;
  // Until there is something to do, at most `limit`.
  virtual void wait(std::chrono::nanoseconds limit) const = 0;

  // Packets that got through in the way this engine is there for, and all that got a verdict.
  [[nodiscard]] virtual std::uint64_t passed() const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t finished() const noexcept = 0;
  [[nodiscard]] virtual Drops drops() const = 0;
};

enum class EngineKind : std::uint8_t {
  accept,
  example,
  mangle,
  naive,
  drop,
  sign,
  sign_remote,
  sign_tpm,
  verify
};

struct EngineSetting {
  std::uint16_t queue = 0;
  std::size_t index = 0;        // of the queue, from 0: its lane
  std::uint32_t length = 2048;  // of the queue, in packets
  std::size_t batch = 64;       // remote_batch for sign_remote
  std::chrono::milliseconds signer_latency{0};
  TpmSigning* tpm = nullptr;  // of sign_tpm
};

// Opens the queue in the namespace of the calling thread. Clock, options and keys must outlive it.
Result<std::unique_ptr<Engine>> make_engine(EngineKind kind, const EngineSetting& setting,
                                            const Options& options, const Keys& keys,
                                            const Clock& clock);

// The makers of the single kinds.
Result<std::unique_ptr<Engine>> make_plain_engine(EngineKind kind, const EngineSetting& setting,
                                                  const Options& options, const Keys& keys);
Result<std::unique_ptr<Engine>> make_example_engine(const EngineSetting& setting,
                                                    const Options& options);
Result<std::unique_ptr<Engine>> make_worker_engine(EngineKind kind, const EngineSetting& setting,
                                                   const Options& options, const Keys& keys,
                                                   const Clock& clock);

// Room for a whole queue of such packets, with what the kernel adds to each.
[[nodiscard]] std::size_t receive_buffer(const EngineSetting& setting, const Options& options);
void wait_readable(int fd, std::chrono::nanoseconds limit) noexcept;

}  // namespace cs::bench
