// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/outbound_worker.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

namespace cs {

struct OutboundWorker::Peer {
  OutboundPeer what;
  std::vector<Waiting> gathered;
  BootTime last_batch = BootTime::min();
  std::size_t in_flight = 0;
};

// A batch from when it is closed until its verdicts are given. Reused.
struct OutboundWorker::Flight {
  explicit Flight(std::size_t capacity) : batch(capacity) { packets.reserve(capacity); }

  OutboundBatch batch;
  std::vector<Waiting> packets;
  std::shared_ptr<Peer> peer;
  std::uint64_t ticket = 0;
  BootTime since;
  enum class State : std::uint8_t { waiting, has_signature, failed } state = State::waiting;
};

OutboundWorker::OutboundWorker(Queue queue, const Clock& clock, Options options,
                               PacketHasher hasher)
    : queue_(std::move(queue)),
      clock_(&clock),
      options_(std::move(options)),
      hasher_(std::move(hasher)),
      digests_(options_.max_batch),
      counters_(std::make_shared<WorkerCounters>()) {
  received_.reserve(options_.max_batch);
}
OutboundWorker::OutboundWorker(OutboundWorker&&) noexcept = default;
OutboundWorker& OutboundWorker::operator=(OutboundWorker&&) noexcept = default;
OutboundWorker::~OutboundWorker() = default;

Result<OutboundWorker> OutboundWorker::create(Queue queue, const Clock& clock, Options options) {
  if (options.max_batch == 0 || options.max_batch > max_batch) {
    return Error(ErrorKind::invalid, "a batch of " + std::to_string(options.max_batch) +
                                         " packets: 1 to " + std::to_string(max_batch) +
                                         " are possible");
  }
  CS_TRY(PacketHasher hasher, PacketHasher::create(options.max_batch));
  return OutboundWorker(std::move(queue), clock, std::move(options), std::move(hasher));
}

Result<void> OutboundWorker::set_peer(OutboundPeer peer) {
  auto made = std::make_shared<Peer>();
  made->gathered.reserve(options_.max_batch);
  made->what = std::move(peer);
  const auto old = std::find_if(peers_.begin(), peers_.end(),
                                [&](const auto& p) { return p->what.id == made->what.id; });
  if (old == peers_.end()) {
    peers_.push_back(std::move(made));
    return {};
  }
  made->gathered = std::exchange((*old)->gathered, {});
  *old = std::move(made);
  return {};
}

Result<void> OutboundWorker::remove_peer(std::uint32_t id) {
  const auto found =
      std::find_if(peers_.begin(), peers_.end(), [&](const auto& p) { return p->what.id == id; });
  if (found == peers_.end()) return {};
  for (const Waiting& waiting : (*found)->gathered)
    CS_CHECK(drop(waiting.held, counters_->no_peer));
  peers_.erase(found);
  return queue_.flush();
}

Result<void> OutboundWorker::work() {
  const Now now = Now::read(*clock_);
  collect_signatures(now.boot);
  received_.clear();
  CS_CHECK(queue_.receive(options_.max_batch, received_));
  for (const Queue::Held& held : received_) CS_CHECK(sort(held, now));
  for (const auto& peer : peers_) {
    if (wait_of(*peer, now.boot) == std::chrono::nanoseconds::zero())
      CS_CHECK(close(peer, now.boot));
  }
  CS_CHECK(land());
  CS_CHECK(queue_.flush());
  counters_->set(queue_.counters());
  return {};
}

Result<void> OutboundWorker::sort(const Queue::Held& held, const Now& now) {
  const ByteView packet = held.packet.payload;
  Waiting waiting{held, {}};
  const Reason reason = find_layout(packet, options_.udp_ports, waiting.at);
  if (reason == Reason::not_ipsec) {
    counters_->untouched.add();
    CS_CHECK(queue_.accept(held.packet.id, options_.mark.of(held.packet)));
    queue_.release(held);
    return {};
  }
  if (reason != Reason::none) return drop(held, WorkerCounters::of(counters_->dropped, reason));
  Peer* const peer = peer_for(waiting.at, packet);
  if (peer != nullptr && peer->what.mode == Mode::off) {
    counters_->untouched.add();
    CS_CHECK(queue_.accept(held.packet.id, options_.mark.of(held.packet)));
    queue_.release(held);
    return {};
  }
  if (peer == nullptr || !peer->what.key) return drop(held, counters_->no_peer);
  if (peer->what.key->end().is_over(now))
    return drop(held, WorkerCounters::of(counters_->dropped, Reason::expired_key));
  const std::size_t most = largest_extension(peer->what.key->scope().suite,
                                             static_cast<std::uint32_t>(options_.max_batch));
  if (check_growth(waiting.at, packet.size(), most) != Reason::none ||
      packet.size() + most > max_queue_payload) {
    return drop(held, WorkerCounters::of(counters_->dropped, Reason::too_big));
  }
  peer->gathered.push_back(waiting);
  return {};
}
OutboundWorker::Peer* OutboundWorker::peer_for(const Layout& at, ByteView packet) const noexcept {
  const Address destination = destination_of(at, packet);
  for (const auto& peer : peers_) {
    const auto& addresses = peer->what.addresses;
    if (std::find(addresses.begin(), addresses.end(), destination) != addresses.end())
      return peer.get();
  }
  return nullptr;
}

// How long what is gathered has to wait; zero: close it; none: nothing is gathered, or only a
// signature that comes in lets it go on.
std::optional<std::chrono::nanoseconds> OutboundWorker::wait_of(const Peer& peer,
                                                                BootTime now) const noexcept {
  if (peer.gathered.empty() || peer.in_flight >= peer.what.signer->depth()) return std::nullopt;
  if (peer.gathered.size() >= options_.max_batch || peer.last_batch == BootTime::min())
    return std::chrono::nanoseconds::zero();
  return std::max<std::chrono::nanoseconds>(peer.last_batch + options_.interval - now,
                                            std::chrono::nanoseconds::zero());
}

Result<void> OutboundWorker::close(const std::shared_ptr<Peer>& peer, BootTime now) {
  if (spare_.empty()) spare_.push_back(std::make_unique<Flight>(options_.max_batch));
  std::unique_ptr<Flight> flight = std::move(spare_.back());
  spare_.pop_back();
  const std::size_t count = std::min(peer->gathered.size(), options_.max_batch);
  const auto end = peer->gathered.begin() + static_cast<std::ptrdiff_t>(count);
  flight->packets.assign(peer->gathered.begin(), end);
  peer->gathered.erase(peer->gathered.begin(), end);
  for (std::size_t i = 0; i < count; ++i) {
    hasher_.add(flight->packets[i].at, flight->packets[i].held.packet.payload, digests_[i]);
  }
  hasher_.run();
  flight->batch.close(*peer->what.key, std::span(digests_).first(count));
  flight->peer = peer;
  flight->ticket = next_ticket_++;
  flight->since = now;
  flight->state = peer->what.signer->submit(flight->ticket, flight->batch.statement())
                      ? Flight::State::waiting
                      : Flight::State::failed;
  peer->last_batch = now;
  ++peer->in_flight;
  flights_.push_back(std::move(flight));
  counters_->batches.add();
  counters_->batch_sizes.at(static_cast<std::size_t>(std::bit_width(count - 1))).add();
  if (peer->what.signer->fd() < 0) collect_signatures(now);
  return {};
}

void OutboundWorker::collect_signatures(BootTime now) {
  if (flights_.empty()) return;
  replies_.clear();
  const Peer* last = nullptr;
  for (const auto& flight : flights_) {
    if (flight->peer.get() != last) flight->peer->what.signer->collect(replies_);
    last = flight->peer.get();
  }
  for (const RootSigner::Reply& reply : replies_) {
    const auto found = std::find_if(flights_.begin(), flights_.end(),
                                    [&](const auto& f) { return f->ticket == reply.ticket; });
    if (found == flights_.end() || (*found)->state != Flight::State::waiting)
      continue;  // given up already
    if (reply.signature) (*found)->batch.set_signature(*reply.signature);
    (*found)->state = reply.signature ? Flight::State::has_signature : Flight::State::failed;
  }
  for (const auto& flight : flights_) {
    if (flight->state == Flight::State::waiting && now - flight->since > options_.signer_limit)
      flight->state = Flight::State::failed;
  }
}

// Gives back what is decided, per peer in the order it came.
Result<void> OutboundWorker::land() {
  for (std::size_t i = 0; i < flights_.size();) {
    Flight& flight = *flights_[i];
    const bool has_earlier =
        std::any_of(flights_.begin(), flights_.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const auto& f) { return f->peer == flight.peer; });
    if (has_earlier || flight.state == Flight::State::waiting) {
      ++i;
      continue;
    }
    CS_CHECK(give_back(flight));
    --flight.peer->in_flight;
    flight.peer.reset();
    spare_.push_back(std::move(flights_[i]));
    flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return {};
}

Result<void> OutboundWorker::give_back(Flight& flight) {
  for (std::size_t i = 0; i < flight.packets.size(); ++i) {
    if (flight.state == Flight::State::failed) {
      CS_CHECK(drop(flight.packets[i].held, counters_->signer_failed));
      continue;
    }
    CS_CHECK(give_back_signed(flight, i));
    queue_.release(flight.packets[i].held);
  }
  if (flight.state == Flight::State::has_signature)
    counters_->signed_out.add(flight.packets.size());
  flight.packets.clear();
  return {};
}

Result<void> OutboundWorker::give_back_signed(const Flight& flight, std::size_t index) {
  const auto& [held, at] = flight.packets[index];
  std::array<std::uint8_t, max_extension> memory;
  const ByteSpan extension = ByteSpan(memory).first(flight.batch.extension_size(at, index));
  flight.batch.write_extension(index, {}, extension);
  CS_TRY(const ByteSpan out, queue_.accept_as(held.packet.id, options_.mark.of(held.packet),
                                              held.packet.payload.size() + extension.size()));
  insert_extension(at, held.packet.payload, extension, out);
  return {};
}

Result<void> OutboundWorker::drop(const Queue::Held& held, Counter& counter) {
  counter.add();
  queue_.release(held);
  return queue_.drop(held.packet.id);
}

std::optional<std::chrono::nanoseconds> OutboundWorker::idle_for() const {
  const BootTime now = clock_->boot();
  std::optional<std::chrono::nanoseconds> least;
  const auto consider = [&](std::chrono::nanoseconds wait) {
    least = least ? std::min(*least, wait) : wait;
  };
  for (const auto& peer : peers_) {
    if (const auto wait = wait_of(*peer, now)) consider(*wait);
  }
  for (const auto& flight : flights_) {
    consider(std::max<std::chrono::nanoseconds>(flight->since + options_.signer_limit - now,
                                                std::chrono::nanoseconds::zero()));
  }
  return least;
}

void OutboundWorker::descriptors(std::vector<int>& out) const {
  if (queue_.free_slots() != 0) out.push_back(queue_.fd());
  for (const auto& flight : flights_) {
    if (const int fd = flight->peer->what.signer->fd(); fd >= 0) out.push_back(fd);
  }
}

}  // namespace cs
