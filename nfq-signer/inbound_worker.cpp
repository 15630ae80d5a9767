// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/inbound_worker.h"

#include <algorithm>
#include <utility>

namespace cs {

InboundWorker::InboundWorker(Queue queue, const Clock& clock, Options options, PacketHasher hasher)
    : queue_(std::move(queue)),
      clock_(&clock),
      options_(std::move(options)),
      hasher_(std::move(hasher)),
      verifier_(options_.verifier),
      arrivals_(options_.burst),
      counters_(std::make_shared<WorkerCounters>()) {
  received_.reserve(options_.burst);
  to_verify_.reserve(options_.burst);
}

Result<InboundWorker> InboundWorker::create(Queue queue, const Clock& clock, Options options) {
  CS_TRY(PacketHasher hasher, PacketHasher::create(options.burst));
  return InboundWorker(std::move(queue), clock, std::move(options), std::move(hasher));
}

void InboundWorker::set_peer(WorkerPeer peer) {
  remove_peer(peer.id);
  peers_.push_back(std::move(peer));
}

void InboundWorker::remove_peer(std::uint32_t id) {
  std::erase_if(peers_, [id](const WorkerPeer& peer) { return peer.id == id; });
}

Result<void> InboundWorker::work() {
  const Now now = Now::read(*clock_);
  received_.clear();
  CS_CHECK(queue_.receive(options_.burst, received_));
  if (is_closed_) CS_CHECK(drop_received());
  to_verify_.clear();
  for (std::size_t i = 0; i < received_.size(); ++i) {
    arrivals_[i].held = received_[i];
    look_at(arrivals_[i], now);
  }
  hasher_.run();
  verifier_.verify(to_verify_);
  for (std::size_t i = 0; i < received_.size(); ++i) CS_CHECK(decide(arrivals_[i]));
  CS_CHECK(queue_.flush());
  counters_->set(queue_.counters());
  counters_->signatures_checked.set(verifier_.signatures_checked());
  return {};
}

Result<void> InboundWorker::drop_received() {
  for (const Queue::Held& held : received_) {
    queue_.release(held);
    CS_CHECK(queue_.drop(held.packet.id));
  }
  counters_->closed.add(received_.size());
  received_.clear();
  return {};
}

// Whatever the peer's mode: it is about the packet that was translated.
void InboundWorker::take_out(Arrival& arrival) const noexcept {
  arrival.packet = arrival.held.packet.payload;
  arrival.reason = Reason::none;
  if (options_.translator_port != 0)
    arrival.reason = translate_back(options_.translator_port, arrival.packet);
  arrival.is_changed = arrival.packet.size() != arrival.held.packet.payload.size();
}

// Everything up to the digest and what needs it, which are made for all of them together.
void InboundWorker::look_at(Arrival& arrival, const Now& now) {
  take_out(arrival);
  const ByteSpan packet = arrival.packet;
  Layout at;
  if (arrival.reason == Reason::none) arrival.reason = find_layout(packet, options_.udp_ports, at);
  arrival.mode = Mode::enforce;
  if (arrival.reason != Reason::none) return;
  if (!peers_.empty()) arrival.mode = mode_of(at, packet);
  if (arrival.mode == Mode::off) return;
  Extension& extension = arrival.candidate.extension;
  arrival.reason = verifier_.admit(at, packet, now, arrival.candidate);
  // Without a key of ours there is no telling an extension from an ICV that looks like one.
  if (arrival.reason == Reason::no_extension || arrival.reason == Reason::unknown_key) return;
  if (arrival.reason != Reason::none && arrival.mode == Mode::enforce) return;
  const std::size_t size = extension.all.size();
  if (at.protocol == Protocol::ah) {
    std::copy(extension.all.begin(), extension.all.end(), arrival.extension.begin());
    extension.move_to(ByteView(arrival.extension).first(size));
  }
  arrival.packet = remove_extension(at, packet, size, extension.fields.original);
  arrival.is_changed = true;
  if (at.protocol == Protocol::ah) at.ah_header -= size;
  if (arrival.reason != Reason::none || arrival.mode == Mode::sign_only) return;
  hasher_.add(at, arrival.packet, arrival.candidate.digest);
  to_verify_.push_back(&arrival.candidate);
}

Result<void> InboundWorker::decide(Arrival& arrival) {
  const std::uint32_t id = arrival.held.packet.id;
  queue_.release(arrival.held);  // its bytes stay until the next receive
  if (arrival.reason == Reason::not_ipsec || arrival.mode == Mode::off) {
    return let_in(arrival, counters_->untouched);
  }
  if (arrival.reason == Reason::none) {
    if (arrival.mode == Mode::sign_only) return let_in(arrival, counters_->unasked);
    arrival.reason = arrival.candidate.reason;
    if (arrival.reason == Reason::none) return let_in(arrival, counters_->verified);
  }
  if (arrival.mode != Mode::enforce) {
    return let_in(arrival, WorkerCounters::of(counters_->tolerated, arrival.reason));
  }
  WorkerCounters::of(counters_->dropped, arrival.reason).add();
  return queue_.drop(id);
}

Result<void> InboundWorker::let_in(const Arrival& arrival, Counter& counter) {
  counter.add();
  const QueuedPacket& packet = arrival.held.packet;
  const auto mark = options_.mark.of(packet);
  if (!arrival.is_changed) return queue_.accept(packet.id, mark);
  return queue_.accept_as(arrival.held, mark, arrival.packet);
}

Mode InboundWorker::mode_of(const Layout& at, ByteView packet) const noexcept {
  const Address source = source_of(at, packet);
  for (const WorkerPeer& peer : peers_) {
    if (std::find(peer.addresses.begin(), peer.addresses.end(), source) != peer.addresses.end())
      return peer.mode;
  }
  return Mode::enforce;
}

}  // namespace cs
