// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/outbound_worker.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

namespace cs {

namespace {

// While a signature is awaited: so many at a time that it is not noticed late.
constexpr std::size_t receive_beside_flights = 512;

}  // namespace

// A key and who signs with it; stays until its last batch has landed.
struct OutboundWorker::Keyed {
  OutboundKey key;
  std::unique_ptr<RootSigner> signer;
};

struct OutboundWorker::Peer {
  WorkerPeer what;
  std::shared_ptr<Keyed> keyed;  // null: no key
  std::size_t max_batch = 0;
  std::vector<Waiting> gathered;
  BootTime next_batch = BootTime::min();
};

// A batch from when it is closed until its verdicts are given. Reused.
struct OutboundWorker::Flight {
  explicit Flight(std::size_t capacity) : batch(capacity) { packets.reserve(capacity); }

  OutboundBatch batch;
  std::vector<Waiting> packets;
  std::shared_ptr<Keyed> keyed;
  std::uint32_t peer = 0;
  std::uint64_t ticket = 0;
  BootTime since;
  enum class State : std::uint8_t { waiting, busy, has_signature, failed } state = State::waiting;
  BootTime again;  // busy: when the signer is asked again

  [[nodiscard]] bool is_open() const noexcept {
    return state == State::waiting || state == State::busy;
  }
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

OutboundWorker::Peer* OutboundWorker::find(std::uint32_t id) noexcept {
  const auto found = std::find_if(peers_.begin(), peers_.end(),
                                  [id](const Peer& peer) { return peer.what.id == id; });
  return found == peers_.end() ? nullptr : &*found;
}

void OutboundWorker::set_peer(WorkerPeer peer) {
  const std::size_t most = batch_limit(peer);
  if (Peer* known = find(peer.id)) {
    known->what = std::move(peer);
    known->max_batch = most;
    return;
  }
  Peer& made = peers_.emplace_back();
  made.what = std::move(peer);
  made.max_batch = most;
  made.gathered.reserve(options_.max_batch);
}

void OutboundWorker::set_paths(std::vector<PathLimit> paths) {
  paths_ = std::move(paths);
  smallest_path_ = max_packet;
  for (const PathLimit& path : paths_) smallest_path_ = std::min(smallest_path_, path.mtu);
  for (Peer& peer : peers_) peer.max_batch = batch_limit(peer.what);
}

// A batch may go to any of its addresses.
std::size_t OutboundWorker::batch_limit(const WorkerPeer& peer) const noexcept {
  std::size_t most = options_.max_batch;
  for (const PathLimit& path : paths_) {
    const auto& addresses = peer.addresses;
    if (std::find(addresses.begin(), addresses.end(), path.address) != addresses.end())
      most = std::min(most, std::max<std::size_t>(path.max_batch, 1));
  }
  return most;
}

bool OutboundWorker::set_key(std::uint32_t peer, OutboundKey key,
                             std::unique_ptr<RootSigner> signer) {
  Peer* const known = find(peer);
  if (known == nullptr) return false;
  retire(*known);
  const auto used = std::find_if(used_lanes_.begin(), used_lanes_.end(), [&](const UsedLane& lane) {
    return lane.key == key.scope().key && lane.lane == key.lane();
  });
  if (used != used_lanes_.end()) {
    key.go_on_with(used->next_batch);
    used_lanes_.erase(used);
  }
  known->keyed = std::make_shared<Keyed>(Keyed{std::move(key), std::move(signer)});
  return true;
}

// A batch number is never used twice in a lane, so how far it got outlives the key's stay here.
void OutboundWorker::retire(Peer& peer) {
  const Now now = Now::read(*clock_);
  std::erase_if(used_lanes_, [&](const UsedLane& lane) { return lane.end.is_over(now); });
  if (!peer.keyed) return;
  const OutboundKey& key = peer.keyed->key;
  used_lanes_.push_back({key.scope().key, key.lane(), key.next_batch(), key.end()});
  peer.keyed.reset();
}

void OutboundWorker::set_end(std::uint32_t peer, KeyEnd end) {
  if (Peer* const known = find(peer); known != nullptr && known->keyed)
    known->keyed->key.set_end(end);
}

Result<void> OutboundWorker::remove_key(std::uint32_t peer) {
  Peer* const known = find(peer);
  if (known == nullptr) return {};
  retire(*known);
  return forget_gathered(*known);
}

Result<void> OutboundWorker::remove_peer(std::uint32_t id) {
  Peer* const known = find(id);
  if (known == nullptr) return {};
  CS_CHECK(remove_key(id));
  peers_.erase(peers_.begin() + (known - peers_.data()));
  return {};
}

Result<void> OutboundWorker::forget_gathered(Peer& peer) {
  for (const Waiting& waiting : peer.gathered) CS_CHECK(drop(waiting.held, counters_->no_peer));
  peer.gathered.clear();
  return queue_.flush();
}

Result<void> OutboundWorker::work() {
  const Now now = Now::read(*clock_);
  collect_signatures(now.boot);
  ask_again(now.boot);
  // Who signs elsewhere, and slowly, gets the next batch before the last one is given back.
  close_due(now.boot, [](const Peer& peer) { return peer.keyed->signer->fd() >= 0; });
  received_.clear();
  const std::size_t most =
      flights_.empty() ? options_.max_batch : std::min(options_.max_batch, receive_beside_flights);
  CS_CHECK(queue_.receive(most, received_));
  for (const Queue::Held& held : received_) CS_CHECK(sort(held, now));
  close_due(now.boot, [](const Peer&) { return true; });
  CS_CHECK(land());
  CS_CHECK(queue_.flush());
  counters_->set(queue_.counters());
  return {};
}

Result<void> OutboundWorker::sort(const Queue::Held& held, const Now& now) {
  if (is_closed_) return drop(held, counters_->closed);
  const ByteView packet = held.packet.payload;
  Waiting waiting{held, {}, 0};
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
  if (peer == nullptr || !peer->keyed) return drop(held, counters_->no_peer);
  if (peer->keyed->key.end().is_over(now))
    return drop(held, WorkerCounters::of(counters_->dropped, Reason::expired_key));
  const bool is_translated =
      waiting.at.udp == 0 && options_.translator.is_for(destination_of(waiting.at, packet));
  waiting.translation = is_translated ? translation_size : 0;
  // Of any suite: the next key may have another one, and sign what is gathered now.
  std::size_t most =
      largest_extension(Suite::p256_node32, static_cast<std::uint32_t>(options_.max_batch));
  most += waiting.at.ipv6 ? padding_for(waiting.at, most) : sizeof(Original);
  const std::size_t before = packet.size() + waiting.translation;
  if (check_growth(waiting.at, before, most) != Reason::none || before + most > max_queue_payload) {
    return drop(held, WorkerCounters::of(counters_->dropped, Reason::too_big));
  }
  peer->gathered.push_back(waiting);
  return {};
}

OutboundWorker::Peer* OutboundWorker::peer_for(const Layout& at, ByteView packet) noexcept {
  const Address destination = destination_of(at, packet);
  for (Peer& peer : peers_) {
    const auto& addresses = peer.what.addresses;
    if (std::find(addresses.begin(), addresses.end(), destination) != addresses.end()) return &peer;
  }
  return nullptr;
}

// Whether its signer takes another batch. Those that have their signature and wait for an earlier
// one are limited too.
bool OutboundWorker::has_room(const Keyed& keyed) const noexcept {
  std::size_t open = 0;
  std::size_t all = 0;
  for (const auto& flight : flights_) {
    if (flight->keyed.get() != &keyed) continue;
    ++all;
    if (flight->is_open()) ++open;
  }
  const std::size_t depth = keyed.signer->depth();
  return open < depth && all < 2 * depth;
}

// How long what is gathered has to wait; zero: close it; none: nothing is gathered, or only a
// signature that comes in lets it go on.
std::optional<std::chrono::nanoseconds> OutboundWorker::wait_of(const Peer& peer,
                                                                BootTime now) const noexcept {
  constexpr auto zero = std::chrono::nanoseconds::zero();
  if (peer.gathered.empty() || !has_room(*peer.keyed)) return std::nullopt;
  if (peer.gathered.size() >= peer.max_batch) return zero;
  return std::max<std::chrono::nanoseconds>(peer.next_batch - std::min(now, peer.next_batch), zero);
}

template <class Of>
void OutboundWorker::close_due(BootTime now, Of of) {
  for (Peer& peer : peers_) {
    if (wait_of(peer, now) == std::chrono::nanoseconds::zero() && of(peer)) close(peer, now);
  }
}

void OutboundWorker::close(Peer& peer, BootTime now) {
  if (spare_.empty()) spare_.push_back(std::make_unique<Flight>(options_.max_batch));
  std::unique_ptr<Flight> flight = std::move(spare_.back());
  spare_.pop_back();
  const std::size_t count = std::min(peer.gathered.size(), peer.max_batch);
  const auto end = peer.gathered.begin() + static_cast<std::ptrdiff_t>(count);
  flight->packets.assign(peer.gathered.begin(), end);
  peer.gathered.erase(peer.gathered.begin(), end);
  for (std::size_t i = 0; i < count; ++i) {
    hasher_.add(flight->packets[i].at, flight->packets[i].held.packet.payload, digests_[i]);
  }
  hasher_.run();
  flight->batch.close(peer.keyed->key, std::span(digests_).first(count));
  flight->keyed = peer.keyed;
  flight->peer = peer.what.id;
  flight->since = now;
  submit(*flight);
  peer.next_batch = now + options_.interval;
  flights_.push_back(std::move(flight));
  counters_->batches.add();
  counters_->batch_sizes.at(static_cast<std::size_t>(std::bit_width(count - 1))).add();
  if (peer.keyed->signer->fd() < 0) collect_signatures(now);
}

void OutboundWorker::submit(Flight& flight) {
  flight.ticket = next_ticket_++;
  const bool is_submitted = flight.keyed->signer->submit(flight.ticket, flight.batch.statement());
  flight.state = is_submitted ? Flight::State::waiting : Flight::State::failed;
}

// Under a new number: a later batch of the lane may have been signed meanwhile, and numbers only
// rise.
void OutboundWorker::ask_again(BootTime now) {
  for (const auto& flight : flights_) {
    if (flight->state != Flight::State::busy || flight->again > now) continue;
    const Peer* const peer = find(flight->peer);
    if (peer == nullptr || peer->keyed != flight->keyed) {
      flight->state = Flight::State::failed;  // how far a key got that was taken away is noted
      continue;
    }
    flight->batch.close_anew(flight->keyed->key);
    submit(*flight);
    counters_->asked_again.add();
  }
}

void OutboundWorker::collect_signatures(BootTime now) {
  replies_.clear();
  const Keyed* last = nullptr;
  for (const auto& flight : flights_) {
    if (flight->keyed.get() != last) flight->keyed->signer->collect(replies_);
    last = flight->keyed.get();
  }
  for (const RootSigner::Reply& reply : replies_) {
    const auto found = std::find_if(flights_.begin(), flights_.end(),
                                    [&](const auto& f) { return f->ticket == reply.ticket; });
    if (found == flights_.end() || (*found)->state != Flight::State::waiting)
      continue;  // given up already
    Flight& flight = **found;
    if (reply.signature) flight.batch.set_signature(*reply.signature);
    flight.state = reply.signature ? Flight::State::has_signature
                   : reply.is_busy ? Flight::State::busy
                                   : Flight::State::failed;
    // The longer it has waited, the longer it waits: who is busy is not helped by questions.
    flight.again =
        now + std::max<std::chrono::nanoseconds>(options_.busy_pause, (now - flight.since) / 4);
  }
  for (const auto& flight : flights_) {
    if (flight->is_open() && now - flight->since >= options_.signer_limit)
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
    if (has_earlier || flight.is_open()) {
      ++i;
      continue;
    }
    CS_CHECK(give_back(flight));
    flight.keyed.reset();
    spare_.push_back(std::move(flights_[i]));
    flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return {};
}

Result<void> OutboundWorker::give_back(Flight& flight) {
  const std::size_t count = flight.packets.size();
  if (flight.state == Flight::State::failed) {
    for (const Waiting& waiting : flight.packets)
      CS_CHECK(drop(waiting.held, counters_->signer_failed));
  } else {
    for (std::size_t i = 0; i < count; i += OutboundBatch::at_once)
      CS_CHECK(give_back_signed(flight, i, std::min(count - i, OutboundBatch::at_once)));
    counters_->signed_out.add(count);
  }
  flight.packets.clear();
  return {};
}

Result<void> OutboundWorker::give_back_signed(const Flight& flight, std::size_t first,
                                              std::size_t count) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): write_extensions() fills what is used
  std::array<std::array<std::uint8_t, max_extension>, OutboundBatch::at_once> memory;
  std::array<ByteSpan, OutboundBatch::at_once> extensions;
  std::array<std::optional<Original>, OutboundBatch::at_once> originals{};
  std::array<std::uint16_t, OutboundBatch::at_once> identifications{};
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [held, at, translation] = flight.packets[first + i];
    std::size_t size = flight.batch.extension_size(at, first + i);
    originals[i] = fit_to_path(at, held.packet.payload, size + translation, identifications[i]);
    if (originals[i]) size = flight.batch.extension_size(at, first + i, originals[i]);
    extensions[i] = ByteSpan(memory[i]).first(size);
  }
  flight.batch.write_extensions(first, std::span(originals).first(count),
                                std::span(extensions).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [held, at, translation] = flight.packets[first + i];
    const ByteView packet = held.packet.payload;
    const std::size_t size = translation + packet.size() + extensions[i].size();
    const ByteSpan out = queue_.room(held, translation, size);
    const ByteSpan whole = out.subspan(translation);
    insert_extension(at, packet, extensions[i], whole);
    if (originals[i]) clear_dont_fragment(whole, identifications[i]);
    if (translation != 0) translate(at, options_.translator.port, out);
    CS_CHECK(queue_.accept_as(held, options_.mark.of(held.packet), out));
    queue_.release(held);
  }
  return {};
}

// Counts what is longer than its path. What clearing DF there replaces, with the identification to
// write; none: DF stays as it is.
std::optional<Original> OutboundWorker::fit_to_path(const Layout& at, ByteView packet,
                                                    std::size_t added,
                                                    std::uint16_t& identification) const noexcept {
  const std::size_t size = packet.size() + added;
  const PathLimit* const path = exceeded_path(at, packet, size);
  if (path == nullptr) return std::nullopt;
  const bool has_df = has_dont_fragment(at, packet);
  const auto original = path->clears_df ? original_of(at, packet) : std::nullopt;
  if (has_df && !original) {
    path->counters->lose(size);
    return std::nullopt;
  }
  path->counters->fragmented.fetch_add(1, std::memory_order_relaxed);
  if (original) identification = path->counters->next_identification.fetch_add(1);
  return original;
}

// Null: it fits, as far as anybody knows.
const PathLimit* OutboundWorker::exceeded_path(const Layout& at, ByteView packet,
                                               std::size_t size) const noexcept {
  if (size <= smallest_path_) return nullptr;
  const Address destination = destination_of(at, packet);
  const auto found = std::find_if(paths_.begin(), paths_.end(), [&](const PathLimit& path) {
    return path.address == destination && path.mtu < size;
  });
  return found == paths_.end() ? nullptr : &*found;
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
    if (const auto wait = wait_of(peer, now)) consider(*wait);
  }
  for (const auto& flight : flights_) {
    const BootTime limit = flight->since + options_.signer_limit;
    const bool is_busy = flight->state == Flight::State::busy;
    const BootTime next = is_busy ? std::min(limit, flight->again) : limit;
    consider(std::max<std::chrono::nanoseconds>(next - now, std::chrono::nanoseconds::zero()));
  }
  return least;
}

void OutboundWorker::descriptors(std::vector<int>& out) const {
  if (queue_.free_slots() != 0) out.push_back(queue_.fd());
  for (const auto& flight : flights_) {
    if (const int fd = flight->keyed->signer->fd(); fd >= 0) out.push_back(fd);
  }
}

}  // namespace cs
