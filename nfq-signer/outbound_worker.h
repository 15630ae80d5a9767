// SPDX-License-Identifier: GPL-3.0-or-later
// Signs what leaves: takes packets from a queue, gathers them into batches, gives them back signed,
// in the order they came. What cannot be signed is dropped.
#pragma once

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
#include "nfq-signer/outbound.h"
#include "nfq-signer/path.h"
#include "nfq-signer/peer.h"
#include "nfq-signer/root_signer.h"
#include "xfrm/queue/queue.h"

namespace cs {

// For one thread, but for counters().
class OutboundWorker {
 public:
  struct Options {
    std::size_t max_batch = 64;
    // Between two batches of a peer, while there is more: small batches cost the receiver too much.
    std::chrono::microseconds interval{100};
    std::chrono::milliseconds signer_limit{5000};  // then a batch counts as not signed
    std::chrono::milliseconds busy_pause{10};      // at least, before a busy signer is asked again
    std::vector<std::uint16_t> udp_ports{4500};
    Mark mark = {};  // for the tc filter: without it nothing leaves
    Translator translator = {};
  };

  // The clock must outlive it.
  static Result<OutboundWorker> create(Queue queue, const Clock& clock, Options options);
  OutboundWorker(OutboundWorker&& other) noexcept;
  OutboundWorker& operator=(OutboundWorker&& other) noexcept;
  OutboundWorker(const OutboundWorker&) = delete;
  OutboundWorker& operator=(const OutboundWorker&) = delete;
  ~OutboundWorker();

  // A new peer, or a new mode and new addresses for one that is there. Without a key nothing goes
  // to it, unless its mode is off.
  void set_peer(WorkerPeer peer);
  // What was gathered for it is dropped.
  Result<void> remove_peer(std::uint32_t id);
  // From here on its packets are signed with this key, those that are gathered already included.
  // Batches under way are finished with the key they were closed with. False: there is no such
  // peer.
  bool set_key(std::uint32_t peer, OutboundKey key, std::unique_ptr<RootSigner> signer);
  // The same key for a shorter or a longer time.
  void set_end(std::uint32_t peer, KeyEnd end);
  // What was gathered for it is dropped.
  Result<void> remove_key(std::uint32_t peer);

  // What is known of paths, in place of what was. To an address that is not among them packets go
  // as they are.
  void set_paths(std::vector<PathLimit> paths);

  // While closed, what comes is dropped.
  void set_closed(bool closed) noexcept { is_closed_ = closed; }

  // Does what there is to do; never waits.
  Result<void> work();
  // How long work() has nothing to do unless a descriptor becomes readable; none: for ever.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> idle_for() const;
  // Queue and signers.
  void descriptors(std::vector<int>& out) const;

  [[nodiscard]] const WorkerCounters& counters() const noexcept { return *counters_; }
  // Outlive the worker.
  [[nodiscard]] std::shared_ptr<const WorkerCounters> share_counters() const { return counters_; }

 private:
  struct Keyed;
  struct Peer;
  struct Flight;
  struct Waiting {
    Queue::Held held;
    Layout at;
    std::size_t translation = 0;  // bytes that the translator adds
  };

  // How far a lane was used with a key that has been taken away, and may come back before its end.
  struct UsedLane {
    std::uint32_t key = 0;
    std::uint16_t lane = 0;
    std::uint64_t next_batch = 0;
    KeyEnd end;
  };

  OutboundWorker(Queue queue, const Clock& clock, Options options, PacketHasher hasher);
  Result<void> sort(const Queue::Held& held, const Now& now);
  [[nodiscard]] Peer* find(std::uint32_t id) noexcept;
  [[nodiscard]] Peer* peer_for(const Layout& at, ByteView packet) noexcept;
  [[nodiscard]] std::size_t batch_limit(const WorkerPeer& peer) const noexcept;
  [[nodiscard]] std::optional<Original> fit_to_path(const Layout& at, ByteView packet,
                                                    std::size_t added,
                                                    std::uint16_t& identification) const noexcept;
  [[nodiscard]] const PathLimit* exceeded_path(const Layout& at, ByteView packet,
                                               std::size_t size) const noexcept;
  Result<void> forget_gathered(Peer& peer);
  void retire(Peer& peer);
  [[nodiscard]] bool has_room(const Keyed& keyed) const noexcept;
  [[nodiscard]] std::optional<std::chrono::nanoseconds> wait_of(const Peer& peer,
                                                                BootTime now) const noexcept;
  template <class Of>
  void close_due(BootTime now, Of of);
  void close(Peer& peer, BootTime now);
  void submit(Flight& flight);
  void ask_again(BootTime now);
  void collect_signatures(BootTime now);
  Result<void> land();
  Result<void> give_back(Flight& flight);
  Result<void> drop(const Queue::Held& held, Counter& counter);
  Result<void> give_back_signed(const Flight& flight, std::size_t first, std::size_t count);

  Queue queue_;
  const Clock* clock_;
  Options options_;
  PacketHasher hasher_;
  std::vector<Peer> peers_;
  std::vector<PathLimit> paths_;
  std::size_t smallest_path_ = max_packet;  // nothing up to here exceeds any
  std::vector<UsedLane> used_lanes_;
  std::vector<std::unique_ptr<Flight>> flights_;  // in the order they were closed
  std::vector<std::unique_ptr<Flight>> spare_;
  std::vector<Queue::Held> received_;
  std::vector<Digest> digests_;
  std::vector<RootSigner::Reply> replies_;
  std::uint64_t next_ticket_ = 1;
  bool is_closed_ = false;
  std::shared_ptr<WorkerCounters> counters_;
};

}  // namespace cs
