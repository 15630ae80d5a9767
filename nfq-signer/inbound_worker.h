// SPDX-License-Identifier: GPL-3.0-or-later
// Lets in what verifies: takes packets from a queue, strips and verifies them, gives them back as
// they were before they were signed. What does not verify is dropped, unless the peer's mode says
// otherwise.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/counters.h"
#include "nfq-signer/hash.h"
#include "nfq-signer/inbound.h"
#include "nfq-signer/peer.h"
#include "xfrm/queue/queue.h"

namespace cs {

// For one thread, but for counters().
class InboundWorker {
 public:
  struct Options {
    std::size_t burst = 64;  // packets looked at together
    std::vector<std::uint16_t> udp_ports{4500};
    Mark mark = {};                     // for the inbound SA: without it a packet finds no state
    std::uint16_t translator_port = 0;  // 0: there is no translator
    Verifier::Options verifier = {};
  };

  // The clock must outlive it.
  static Result<InboundWorker> create(Queue queue, const Clock& clock, Options options);

  // A new peer, or a new mode and new addresses for one that is there. A packet that names a key of
  // ours belongs to it wherever it comes from; the addresses matter for the mode.
  void set_peer(WorkerPeer peer);
  void remove_peer(std::uint32_t id);
  [[nodiscard]] Verifier& verifier() noexcept { return verifier_; }

  // While closed, what comes is dropped.
  void set_closed(bool closed) noexcept { is_closed_ = closed; }

  // Does what there is to do; never waits.
  Result<void> work();
  // How long work() has nothing to do unless a descriptor becomes readable; none: for ever.
  [[nodiscard]] static std::optional<std::chrono::nanoseconds> idle_for() { return std::nullopt; }
  void descriptors(std::vector<int>& out) const { out.push_back(queue_.fd()); }

  [[nodiscard]] const WorkerCounters& counters() const noexcept { return *counters_; }
  // Outlive the worker.
  [[nodiscard]] std::shared_ptr<const WorkerCounters> share_counters() const { return counters_; }

 private:
  // A packet on its way through one work().
  struct Arrival {
    Queue::Held held;
    ByteSpan packet;  // out of the translator's UDP; stripped, once its extension was found
    Verifier::Candidate candidate;
    Reason reason = Reason::none;
    Mode mode = Mode::enforce;
    bool is_changed = false;  // `packet` is not what came
    std::array<std::uint8_t, max_extension>
        extension{};  // a copy, where stripping moves bytes over it
  };

  InboundWorker(Queue queue, const Clock& clock, Options options, PacketHasher hasher);
  Result<void> drop_received();
  void take_out(Arrival& arrival) const noexcept;
  void look_at(Arrival& arrival, const Now& now);
  Result<void> decide(Arrival& arrival);
  [[nodiscard]] Mode mode_of(const Layout& at, ByteView packet) const noexcept;
  Result<void> let_in(const Arrival& arrival, Counter& counter);

  Queue queue_;
  const Clock* clock_;
  Options options_;
  PacketHasher hasher_;
  Verifier verifier_;
  std::vector<WorkerPeer> peers_;
  std::vector<Queue::Held> received_;
  std::vector<Arrival> arrivals_;
  std::vector<Verifier::Candidate*> to_verify_;
  bool is_closed_ = false;
  std::shared_ptr<WorkerCounters> counters_;
};

}  // namespace cs
