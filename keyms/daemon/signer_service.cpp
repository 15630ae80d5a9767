// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/signer_service.h"

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace cs::keyms {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// Of the socket's queue, for answers to sign requests while a large state goes out.
constexpr std::size_t room_for_answers = 32;

std::string name_of(std::uint32_t key) {
  return "key " + std::to_string(key);
}

template <class Set>
typename Set::value_type take_first(Set& set) {
  return set.extract(set.begin()).value();
}

template <class Keys, class Wanted>
std::vector<std::uint32_t> ids_where(const Keys& keys, const Wanted& is_wanted) {
  std::vector<std::uint32_t> ids;
  for (const auto& [id, key] : keys) {
    if (is_wanted(key)) ids.push_back(id);
  }
  return ids;
}

}  // namespace

SignerService::SignerService(const Clock& clock, SignerListener listener, StatementSigner* signer,
                             Hooks hooks)
    : clock_(&clock), listener_(std::move(listener)), signer_(signer), hooks_(std::move(hooks)) {}

// What there is to tell.

Result<void> SignerService::set(Peer peer) {
  std::array<std::uint8_t, max_message> scratch{};
  CS_CHECK(encode(peer, scratch));
  const std::uint32_t id = peer.id;
  peers_.insert_or_assign(id, std::move(peer));
  if (is_connected()) untold_.peers.insert(id);
  return {};
}

void SignerService::remove_peer(std::uint32_t peer) {
  if (peers_.erase(peer) == 0) return;
  const auto is_its = [peer](const auto& key) { return key.peer == peer; };
  for (const std::uint32_t id : ids_where(outbound_, is_its)) drop(id, Table::outbound);
  for (const std::uint32_t id : ids_where(inbound_, is_its)) drop(id, Table::inbound);
  untold_.peers.erase(peer);
  if (is_connected()) untold_.removed_peers.insert(peer);
}

// That nothing but the private key can be wrong with it when its turn comes.
template <class Key>
Result<void> SignerService::check(const Key& key) const {
  if (!peers_.contains(key.peer)) {
    return Error(ErrorKind::not_found,
                 name_of(key.scope.key) + " is for a peer that nfq-signer does not know");
  }
  if (has_ended(key.limit))
    return Error(ErrorKind::timed_out, name_of(key.scope.key) + " has ended already");
  CS_TRY(KeyRecord record, record_of(key));
  CS_TRY(SecretBytes scratch, SecretBytes::create(max_message));
  if constexpr (std::is_same_v<Key, Inbound>) {
    CS_CHECK(encode(InboundKey{std::move(record), key.public_key}, scratch.bytes()));
  } else if (key.open) {
    if (signer_ == nullptr)
      return Error(ErrorKind::invalid, name_of(key.scope.key) + " has nobody who signs with it");
    CS_CHECK(encode(OutboundKey{std::move(record), RemoteKey{key.public_key}}, scratch.bytes()));
  } else {
    CS_TRY(SecretBytes some, SecretBytes::create(private_key_size));
    CS_CHECK(encode(OutboundKey{std::move(record), SessionKey{std::move(some)}}, scratch.bytes()));
  }
  return {};
}

Result<void> SignerService::add(Outbound key) {
  const std::uint32_t id = key.scope.key;
  if (outbound_.contains(id)) return Error(ErrorKind::exists, name_of(id) + " is there already");
  CS_CHECK(check(key));
  next_look_ = std::min(next_look_, end_of(key.limit));
  outbound_.emplace(id, std::move(key));
  if (is_connected()) untold_.outbound.insert(id);
  return {};
}

Result<void> SignerService::add(Inbound key) {
  const std::uint32_t id = key.scope.key;
  if (inbound_.contains(id)) return Error(ErrorKind::exists, name_of(id) + " is there already");
  CS_CHECK(check(key));
  next_look_ = std::min(next_look_, end_of(key.limit));
  inbound_.emplace(id, std::move(key));
  if (is_connected()) untold_.inbound.insert(id);
  return {};
}

void SignerService::remove(std::uint32_t key, Table table) {
  if (has_key(key, table)) drop(key, table);
}

void SignerService::drop(std::uint32_t key, Table table) {
  if (table == Table::inbound) {
    inbound_.erase(key);
    untold_.inbound.erase(key);
  } else {
    outbound_.erase(key);
    untold_.outbound.erase(key);
    lanes_.erase(key);
    if (signer_ != nullptr) signer_->close(key);
    if (fetching_ && *fetching_ == key) fetching_.reset();
  }
  if (is_connected()) untold_.removed_keys.emplace(table, key);
}

void SignerService::limit(std::uint32_t peer, BootTime until) {
  const auto shorten = [&](auto& keys, std::set<std::uint32_t>& untold) {
    for (auto& [id, key] : keys) {
      if (key.peer != peer || key.limit.until <= until) continue;
      key.limit.until = until;
      if (is_connected()) untold.insert(id);
    }
  };
  shorten(outbound_, untold_.outbound);
  shorten(inbound_, untold_.inbound);
  next_look_ = std::min(next_look_, until);
}

bool SignerService::has_key(std::uint32_t key, Table table) const {
  return table == Table::outbound ? outbound_.contains(key) : inbound_.contains(key);
}

// Time.

bool SignerService::has_ended(const KeyLimit& limit) const {
  const std::time_t now = to_time_t(clock_->wall());
  return limit.until - clock_->boot() < milliseconds(1) ||
         (now > 0 && limit.not_after <= static_cast<std::uint64_t>(now));
}

// As the clocks are now.
BootTime SignerService::end_of(const KeyLimit& limit) const {
  const auto not_after =
      from_time_t(static_cast<std::time_t>(std::min(limit.not_after, max_not_after)));
  const auto left = not_after - std::max(clock_->wall(), WallTime());
  return std::min(limit.until, clock_->boot() + left);
}

void SignerService::drop_ended() {
  const BootTime now = clock_->boot();
  if (now < next_look_) return;
  next_look_ = now + look_around;
  const auto is_over = [this](const auto& key) {
    if (has_ended(key.limit)) return true;
    next_look_ = std::min(next_look_, end_of(key.limit));
    return false;
  };
  for (const std::uint32_t id : ids_where(outbound_, is_over)) drop(id, Table::outbound);
  for (const std::uint32_t id : ids_where(inbound_, is_over)) drop(id, Table::inbound);
}

// The loop.

void SignerService::wait(Waits& waits) const {
  waits.on(listener_.fd());
  if (connection_) {
    waits.on(connection_->fd(), connection_->events());
    waits.until(connection_->deadline());
    if (next() != Next::nothing) waits.until(clock_->boot());
  }
  if (signer_ != nullptr) {
    waits.on(signer_->fd());
    waits.until(signer_->deadline());
  }
  if (!outbound_.empty() || !inbound_.empty()) waits.until(next_look_);
}

Result<void> SignerService::run() {
  accept();
  take_messages();
  send_answers();
  drop_ended();
  if (!connection_) return {};
  Result<void> written = connection_->flush();
  if (written.ok()) written = connection_->tick();
  if (!written.ok()) {
    lost(written.error());
    return {};
  }
  send_untold();
  return {};
}

// The newest connection counts: a restarted nfq-signer does not wait for the death of the old.
void SignerService::accept() {
  auto accepted = listener_.accept();
  if (!accepted.ok()) {
    hooks_.connection(is_connected(), accepted.error().message());
    return;
  }
  if (!accepted->has_value()) return;
  if (connection_) lost({ErrorKind::closed, "a newer nfq-signer has connected"});
  connection_ = std::move(**accepted);
}

void SignerService::take_messages() {
  for (std::size_t i = 0; connection_ && i < most_taken; ++i) {
    const auto message = connection_->receive();
    if (!message.ok()) return lost(message.error());
    if (!message->has_value()) return;
    take(**message);
  }
}

void SignerService::take(const FromSigner& message) {
  if (const auto* hello = std::get_if<Hello>(&message)) {
    begin(*hello);
  } else if (const auto* request = std::get_if<SignRequest>(&message)) {
    if (signer_ != nullptr) {
      signer_->take(*request);
    } else {
      answers_.push_back({{request->ticket, SignStatus::unknown_key, {}}, {}});
    }
  } else if (const auto* applied = std::get_if<Applied>(&message)) {
    if (inbound_.contains(applied->key)) hooks_.applied(applied->key);
  } else {
    counters_ = std::get<Status>(message);
  }
}

void SignerService::begin(const Hello& hello) {
  hello_ = hello;
  counters_ = {};
  for (const auto& [id, peer] : peers_) untold_.peers.insert(id);
  for (const auto& [id, key] : inbound_) untold_.inbound.insert(id);
  for (const auto& [id, key] : outbound_) untold_.outbound.insert(id);
  untold_.end_of_state = true;
  hooks_.connection(true, "nfq-signer is there, with " + std::to_string(hello.workers) +
                              " workers in each direction");
}

void SignerService::lost(const Error& why) {
  connection_.reset();
  untold_ = {};
  fetching_.reset();
  answers_.clear();
  if (signer_ != nullptr) signer_->clear();
  hooks_.connection(false, why.message());
}

void SignerService::send_answers() {
  if (signer_ != nullptr) signer_->collect(answers_);
  for (const StatementSigner::Answer& answer : std::exchange(answers_, {})) {
    if (answer.why) hooks_.connection(is_connected(), answer.why->message());
    if (!is_connected()) continue;
    if (const auto sent = connection_->send(answer.reply); !sent.ok()) return lost(sent.error());
  }
}

// Telling it.

// What is no longer comes first, so that nothing slow holds it up; a peer before its keys; and last
// what has to be fetched.
SignerService::Next SignerService::next() const {
  if (!is_connected() || connection_->room() <= room_for_answers) return Next::nothing;
  if (!untold_.removed_peers.empty() || !untold_.removed_keys.empty()) return Next::removal;
  if (!untold_.peers.empty()) return Next::peer;
  if (!untold_.inbound.empty()) return Next::inbound;
  if (fetching_) return Next::nothing;
  if (!untold_.outbound.empty()) return Next::outbound;
  return untold_.end_of_state ? Next::end_of_state : Next::nothing;
}

void SignerService::send_untold() {
  if (untold_.removed_peers.size() + untold_.removed_keys.size() > most_removals)
    return lost({ErrorKind::limit, "nfq-signer reads too slowly; disconnected"});
  for (Next what = next(); what != Next::nothing; what = next()) {
    Result<void> sent;
    switch (what) {
      case Next::removal:
        sent = send_removal();
        break;
      case Next::peer:
        sent = connection_->send(peers_.at(take_first(untold_.peers)));
        break;
      case Next::inbound:
        send_inbound();
        break;
      case Next::outbound:
        send_outbound();
        break;
      default:
        untold_.end_of_state = false;
        sent = connection_->send(EndOfState{});
    }
    if (!sent.ok()) return lost(sent.error());
  }
}

Result<void> SignerService::send_removal() {
  if (!untold_.removed_peers.empty())
    return connection_->send(RemovePeer{take_first(untold_.removed_peers)});
  const auto [table, key] = take_first(untold_.removed_keys);
  return connection_->send(RemoveKey{key, table});
}

void SignerService::send_inbound() {
  const std::uint32_t id = take_first(untold_.inbound);
  const Inbound& key = inbound_.at(id);
  if (has_ended(key.limit)) return drop(id, Table::inbound);
  auto record = record_of(key);
  settle(id, Table::inbound,
         record.ok() ? connection_->send(InboundKey{std::move(record).value(), key.public_key})
                     : Result<void>(std::move(record).error()));
}

void SignerService::send_outbound() {
  const std::uint32_t id = take_first(untold_.outbound);
  const Outbound& key = outbound_.at(id);
  if (has_ended(key.limit)) return drop(id, Table::outbound);
  if (!key.open) return fetch(id);
  settle(id, Table::outbound, open_here(key));
}

Result<void> SignerService::open_here(const Outbound& key) {
  CS_TRY(const Given given, give_lanes(key));
  CS_CHECK(key.open({key.scope, end_of(key.limit), given.check}));
  return tell(key, RemoteKey{key.public_key});
}

void SignerService::fetch(std::uint32_t id) {
  fetching_ = std::make_shared<const std::uint32_t>(id);
  hooks_.fetch(id, [this, asked = std::weak_ptr(fetching_)](Result<SecretBytes> private_key) {
    const auto still = asked.lock();
    if (!still) return;
    fetching_.reset();
    fetched(*still, std::move(private_key));
  });
}

void SignerService::fetched(std::uint32_t id, Result<SecretBytes> private_key) {
  const Outbound& key = outbound_.at(id);
  if (has_ended(key.limit)) return drop(id, Table::outbound);
  settle(id, Table::outbound,
         private_key.ok() ? tell(key, SessionKey{std::move(private_key).value()})
                          : Result<void>(std::move(private_key).error()));
}

template <class Signer>
Result<void> SignerService::tell(const Outbound& key, Signer signer) {
  CS_TRY(KeyRecord record, record_of(key));
  CS_TRY(const Given given, give_lanes(key));
  record.lanes = given.lanes;
  return connection_->send(OutboundKey{std::move(record), std::move(signer)});
}

void SignerService::settle(std::uint32_t key, Table table, const Result<void>& told) {
  if (told.ok()) return;
  if (connection_->fd() < 0) return lost(told.error());
  drop(key, table);
  hooks_.lost(key, table, told.error());
}

// Of a key that has not ended.
template <class Key>
Result<KeyRecord> SignerService::record_of(const Key& key) const {
  const auto left = duration_cast<milliseconds>(key.limit.until - clock_->boot()).count();
  const KeyEnd end{key.limit.not_after, static_cast<std::uint32_t>(std::min<std::int64_t>(
                                            left, std::numeric_limits<std::uint32_t>::max()))};
  CS_TRY(SecretBytes gate_secret, SecretBytes::copy_of(key.gate_secret.bytes()));
  return KeyRecord{key.peer, key.scope, std::move(gate_secret), key.lanes, end};
}

Result<SignerService::Given> SignerService::give_lanes(const Outbound& key) {
  Lanes& lanes = lanes_[key.scope.key];
  if (const auto found = lanes.given.find(hello_.instance); found != lanes.given.end())
    return found->second;
  const std::uint32_t first = key.lanes.first + lanes.used;
  const std::uint32_t last = first + hello_.workers - 1;
  if (last > key.lanes.last) {
    return Error(ErrorKind::limit, name_of(key.scope.key) + " has no lanes left")
        .with_hint("each start of nfq-signer takes some; a new key has them all");
  }
  lanes.used += hello_.workers;
  Given given{{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)}, {}};
  if (key.open) given.check = std::make_shared<StatementCheck>(key.scope, given.lanes);
  lanes.given.emplace(hello_.instance, given);
  return given;
}

}  // namespace cs::keyms
