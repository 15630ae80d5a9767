// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/sessions.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/constant_time.h"
#include "nfq-signer/key_from_keyms.h"

namespace cs {

namespace {

// Statements of one worker and key that keymsd may be working on.
constexpr std::size_t remote_depth = 2;

Mode mode_from(keyms::Mode mode) noexcept {
  switch (mode) {
    case keyms::Mode::off:
      return Mode::off;
    case keyms::Mode::sign_only:
      return Mode::sign_only;
    case keyms::Mode::audit:
      return Mode::audit;
    case keyms::Mode::enforce:
      break;
  }
  return Mode::enforce;
}

WorkerPeer peer_from(const keyms::Peer& peer) {
  WorkerPeer out{peer.id, mode_from(peer.mode), {}};
  for (const keyms::Address& address : peer.addresses)
    out.addresses.push_back(mapped_address(address.view()));
  return out;
}

// Calls f(worker) on each worker's thread; f returns a Result<void>.
template <class Threads, class F>
Result<void> on_each(const Threads& threads, F f) {
  std::size_t index = 0;
  for (const auto& thread : threads) {
    CS_TRY(const Result<void> done,
           thread->call([&](auto& worker) -> Result<void> { return f(worker, index); }));
    CS_CHECK(done);
    ++index;
  }
  return {};
}

bool is_same_record(const keyms::KeyRecord& a, const keyms::KeyRecord& b) {
  return a.peer == b.peer && a.scope == b.scope &&
         constant_time_equal(a.gate_secret.bytes(), b.gate_secret.bytes());
}

bool is_same_key(const keyms::OutboundKey& a, const keyms::OutboundKey& b) {
  if (!is_same_record(a.record, b.record) || a.signer.index() != b.signer.index()) return false;
  if (const auto* own = std::get_if<keyms::SessionKey>(&a.signer)) {
    return constant_time_equal(own->private_key.bytes(),
                               std::get<keyms::SessionKey>(b.signer).private_key.bytes());
  }
  return std::get<keyms::RemoteKey>(a.signer).public_key ==
         std::get<keyms::RemoteKey>(b.signer).public_key;
}

Error for_nobody(std::uint32_t key) {
  return {ErrorKind::invalid, "key " + std::to_string(key) + " is for a peer that was not told"};
}

Result<Gate> gate_from(const keyms::KeyRecord& record) {
  CS_TRY(SecretBytes secret, SecretBytes::copy_of(record.gate_secret.bytes()));
  return Gate(std::move(secret));
}

}  // namespace

Result<void> Sessions::apply(keyms::FromKeymsd message) {
  return std::visit(
      [this](auto& what) -> Result<void> {
        if constexpr (requires { on(what); }) {
          return on(what);
        } else {
          return Error(ErrorKind::internal, "a message that is not about peers or keys");
        }
      },
      message);
}

void Sessions::begin_state() noexcept {
  for (auto& [id, peer] : peers_) peer.is_current = false;
  for (auto& [id, key] : outbound_) key.is_current = false;
  for (auto& [id, key] : inbound_) key.is_current = false;
}

Result<void> Sessions::on(keyms::Peer& message) {
  Peer& peer = peers_[message.id];
  peer.is_current = true;
  peer.what = std::move(message);
  const WorkerPeer told = peer_from(peer.what);
  const auto set = [&](auto& worker, std::size_t) {
    worker.set_peer(told);
    return Result<void>();
  };
  CS_CHECK(on_each(workers_->outbound, set));
  return on_each(workers_->inbound, set);
}

Result<void> Sessions::on(keyms::OutboundKey& message) {
  const std::uint32_t id = message.record.scope.key;
  const auto peer = peers_.find(message.record.peer);
  if (peer == peers_.end()) return for_nobody(id);
  if (message.record.lanes.last - message.record.lanes.first + std::size_t{1} <
      workers_->outbound.size()) {
    return Error(ErrorKind::limit,
                 "key " + std::to_string(id) + " has fewer lanes than there are workers");
  }
  const KeyEnd end = end_from(message.record.end, *clock_);
  const auto known = outbound_.find(id);
  const bool goes_on = known != outbound_.end() && is_same_key(known->second.message, message) &&
                       known->second.message.record.lanes == message.record.lanes;
  if (goes_on && peer->second.has_key && peer->second.signs_with == id) {
    known->second.end = end;
    known->second.is_current = true;
    return on_each(workers_->outbound, [&](OutboundWorker& worker, std::size_t) {
      worker.set_end(message.record.peer, end);
      return Result<void>();
    });
  }
  CS_CHECK(start_signing(message, end));
  peer->second.signs_with = id;
  peer->second.has_key = true;
  outbound_.insert_or_assign(id, Key<keyms::OutboundKey>{std::move(message), end});
  return {};
}

Result<std::unique_ptr<RootSigner>> Sessions::make_signer(const keyms::OutboundKey& message) const {
  if (const auto* own = std::get_if<keyms::SessionKey>(&message.signer)) {
    CS_TRY(SigningKey key,
           SigningKey::load(suite_from(message.record.scope.suite), own->private_key));
    return std::unique_ptr<RootSigner>(std::make_unique<LocalSigner>(std::move(key)));
  }
  return SignatureExchange::make_signer(exchange_, message.record.scope.key, remote_depth);
}

Result<void> Sessions::start_signing(const keyms::OutboundKey& message, KeyEnd end) {
  const keyms::KeyRecord& record = message.record;
  return on_each(workers_->outbound,
                 [&](OutboundWorker& worker, std::size_t index) -> Result<void> {
                   CS_TRY(Gate gate, gate_from(record));
                   CS_TRY(std::unique_ptr<RootSigner> signer, make_signer(message));
                   const auto lane = static_cast<std::uint16_t>(record.lanes.first + index);
                   worker.set_key(record.peer,
                                  OutboundKey(scope_from(record.scope), std::move(gate), lane, end),
                                  std::move(signer));
                   return {};
                 });
}

Result<void> Sessions::on(keyms::InboundKey& message) {
  const keyms::KeyRecord& record = message.record;
  const std::uint32_t id = record.scope.key;
  if (!peers_.contains(record.peer)) return for_nobody(id);
  const KeyEnd end = end_from(record.end, *clock_);
  const LaneRange lanes = lanes_from(record.lanes);
  const auto known = inbound_.find(id);
  if (known != inbound_.end() && is_same_record(known->second.message.record, record) &&
      known->second.message.public_key == message.public_key) {
    CS_CHECK(on_each(workers_->inbound, [&](InboundWorker& worker, std::size_t) {
      return worker.verifier().change_key(id, lanes, end);
    }));
  } else {
    CS_CHECK(on_each(workers_->inbound, [&](InboundWorker& worker, std::size_t) -> Result<void> {
      CS_TRY(Gate gate, gate_from(record));
      CS_TRY(VerifyingKey key,
             VerifyingKey::load(suite_from(record.scope.suite), message.public_key));
      worker.verifier().remove_key(id);
      return worker.verifier().add_key(
          {scope_from(record.scope), std::move(key), std::move(gate), lanes, end});
    }));
  }
  inbound_.insert_or_assign(id, Key<keyms::InboundKey>{std::move(message), end});
  return {};
}

Result<void> Sessions::on(const keyms::RemoveKey& message) {
  return message.table == keyms::Table::outbound ? remove_outbound(message.key)
                                                 : remove_inbound(message.key);
}

Result<void> Sessions::on(const keyms::RemovePeer& message) {
  return remove_peer(message.id);
}

Result<void> Sessions::on(const keyms::EndOfState& /*message*/) {
  const auto stale = [](const auto& entries) {
    std::vector<std::uint32_t> ids;
    for (const auto& [id, entry] : entries) {
      if (!entry.is_current) ids.push_back(id);
    }
    return ids;
  };
  for (const std::uint32_t id : stale(outbound_)) CS_CHECK(remove_outbound(id));
  for (const std::uint32_t id : stale(inbound_)) CS_CHECK(remove_inbound(id));
  for (const std::uint32_t id : stale(peers_)) CS_CHECK(remove_peer(id));
  return {};
}

Result<void> Sessions::remove_outbound(std::uint32_t key) {
  const auto found = outbound_.find(key);
  if (found == outbound_.end()) return {};
  const std::uint32_t id = found->second.message.record.peer;
  outbound_.erase(found);
  const auto peer = peers_.find(id);
  if (peer == peers_.end() || !peer->second.has_key || peer->second.signs_with != key) return {};
  peer->second.has_key = false;
  return on_each(workers_->outbound,
                 [&](OutboundWorker& worker, std::size_t) { return worker.remove_key(id); });
}

Result<void> Sessions::remove_inbound(std::uint32_t key) {
  if (inbound_.erase(key) == 0) return {};
  return on_each(workers_->inbound, [&](InboundWorker& worker, std::size_t) {
    worker.verifier().remove_key(key);
    return Result<void>();
  });
}

Result<void> Sessions::remove_peer(std::uint32_t id) {
  const auto of_peer = [id](const auto& keys) {
    std::vector<std::uint32_t> ids;
    for (const auto& [key, entry] : keys) {
      if (entry.message.record.peer == id) ids.push_back(key);
    }
    return ids;
  };
  for (const std::uint32_t key : of_peer(outbound_)) CS_CHECK(remove_outbound(key));
  for (const std::uint32_t key : of_peer(inbound_)) CS_CHECK(remove_inbound(key));
  if (peers_.erase(id) == 0) return {};
  CS_CHECK(on_each(workers_->outbound,
                   [&](OutboundWorker& worker, std::size_t) { return worker.remove_peer(id); }));
  return on_each(workers_->inbound, [&](InboundWorker& worker, std::size_t) {
    worker.remove_peer(id);
    return Result<void>();
  });
}

std::vector<mtu::Destination> Sessions::destinations() const {
  std::vector<mtu::Destination> out;
  for (const auto& [id, peer] : peers_) {
    std::optional<Suite> suite;
    if (const auto key = outbound_.find(peer.signs_with); peer.has_key && key != outbound_.end())
      suite = suite_from(key->second.message.record.scope.suite);
    for (const keyms::Address& address : peer.what.addresses) {
      mtu::Destination to{{.ipv6 = address.view().size() == 16}, suite};
      std::copy(address.view().begin(), address.view().end(), to.address.bytes.begin());
      out.push_back(to);
    }
  }
  return out;
}

std::size_t Sessions::outbound_keys() const {
  const Now now = Now::read(*clock_);
  return static_cast<std::size_t>(
      std::count_if(outbound_.begin(), outbound_.end(),
                    [&](const auto& entry) { return !entry.second.end.is_over(now); }));
}

std::size_t Sessions::inbound_keys() const {
  const Now now = Now::read(*clock_);
  return static_cast<std::size_t>(
      std::count_if(inbound_.begin(), inbound_.end(),
                    [&](const auto& entry) { return !entry.second.end.is_over(now); }));
}

}  // namespace cs
