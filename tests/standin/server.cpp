// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/standin/server.h"

#include <algorithm>
#include <cstdio>
#include <string>

namespace cs::standin {

namespace {

// Of the socket's queue, for answers to sign requests while a large state goes out.
constexpr std::size_t room_for_answers = 32;

void say(const std::string& line) {
  std::fprintf(stderr, "cs-standin-keymsd: %s\n", line.c_str());
}

}  // namespace

Server::Server(const Clock& clock, keyms::SignerListener listener, Scenario scenario,
               const Behaviour& behaviour)
    : clock_(&clock),
      listener_(std::move(listener)),
      scenario_(std::move(scenario)),
      desk_(clock, behaviour, [this](const keyms::SignReply& reply) {
        if (!connection_) return;
        if (const auto sent = connection_->send(reply); !sent.ok()) say(sent.error().message());
      }) {
  note_starts();
}

// A key's lifetime runs from the moment the scenario first has it.
void Server::note_starts() {
  for (const auto& [name, key] : scenario_.keys)
    ends_.try_emplace(name, clock_->boot() + key.lifetime);
}

std::optional<BootTime> Server::deadline() const {
  const auto mine = desk_.deadline();
  const auto theirs = connection_ ? connection_->deadline() : std::nullopt;
  if (mine && theirs) return std::min(*mine, *theirs);
  return mine ? mine : theirs;
}

void Server::lost(const Error& why) {
  say(why.message());
  connection_.reset();
  items_.clear();
  desk_.clear();
}

// The newest connection counts: a restarted nfq-signer does not wait for the death of the old.
void Server::accept() {
  auto accepted = listener_.accept();
  if (!accepted.ok()) return say(accepted.error().message());
  if (!accepted->has_value()) return;
  if (connection_) lost({ErrorKind::closed, "a newer nfq-signer has connected"});
  connection_ = std::move(**accepted);
}

void Server::begin(const keyms::Hello& hello) {
  say("hello from an nfq-signer with " + std::to_string(hello.workers) + " workers");
  hello_ = hello;
  for (const auto& entry : scenario_.peers) items_.emplace_back(PeerItem{entry.first});
  for (const auto& entry : scenario_.keys) items_.emplace_back(KeyItem{entry.first});
  items_.emplace_back(keyms::EndOfState{});
}

void Server::take(const keyms::FromSigner& message) {
  if (const auto* hello = std::get_if<keyms::Hello>(&message)) {
    begin(*hello);
  } else if (const auto* request = std::get_if<keyms::SignRequest>(&message)) {
    desk_.take(*request);
  } else {
    const auto& status = std::get<keyms::Status>(message);
    say("status: signed " + std::to_string(status.packets_signed) + " in " +
        std::to_string(status.batches_signed) + " batches, accepted " +
        std::to_string(status.packets_accepted) + ", dropped " +
        std::to_string(status.packets_dropped) + ", bad signatures " +
        std::to_string(status.bad_signatures));
  }
}

void Server::turn() {
  accept();
  while (connection_) {
    const auto message = connection_->receive();
    if (!message.ok()) return lost(message.error());
    if (!message->has_value()) break;
    take(**message);
  }
  desk_.tick();
  if (!connection_) return;
  Result<void> written = connection_->flush();
  if (written.ok()) written = connection_->tick();
  if (!written.ok()) return lost(written.error());
  send_items();
}

void Server::send_items() {
  while (connection_ && !items_.empty() && connection_->room() > room_for_answers) {
    const Item item = items_.front();
    items_.pop_front();
    if (const auto sent = send(item); !sent.ok()) {
      if (connection_->fd() < 0) return lost(sent.error());
      say(sent.error().message());
    }
  }
}

Result<void> Server::send(const Item& item) {
  if (const auto* peer = std::get_if<PeerItem>(&item)) {
    const auto found = scenario_.peers.find(peer->id);
    if (found == scenario_.peers.end()) return {};
    const Peer& p = found->second;
    return connection_->send(keyms::Peer{p.id, p.mode, p.addresses});
  }
  if (const auto* key = std::get_if<KeyItem>(&item)) return send_key(key->name);
  if (const auto* remove = std::get_if<keyms::RemoveKey>(&item)) return connection_->send(*remove);
  if (const auto* remove = std::get_if<keyms::RemovePeer>(&item)) return connection_->send(*remove);
  return connection_->send(keyms::EndOfState{});
}

// None: it is over.
std::optional<keyms::KeyEnd> Server::end_of(const KeyName& name) const {
  using std::chrono::duration_cast;
  const auto left = ends_.at(name) - clock_->boot();
  const auto milliseconds = duration_cast<std::chrono::milliseconds>(left).count();
  if (milliseconds <= 0) return std::nullopt;
  const auto by_lifetime = static_cast<std::uint64_t>(to_time_t(clock_->wall() + left)) + 1;
  return keyms::KeyEnd{scenario_.keys.at(name).not_after.value_or(by_lifetime),
                       static_cast<std::uint32_t>(milliseconds)};
}

Result<void> Server::send_key(const KeyName& name) {
  const auto found = scenario_.keys.find(name);
  if (found == scenario_.keys.end()) return {};
  const Key& key = found->second;
  const auto end = end_of(name);
  if (!end) return {};
  CS_TRY(SecretBytes gate_secret, SecretBytes::copy_of(key.gate_secret));
  keyms::KeyRecord record{key.peer, key.scope, std::move(gate_secret), key.lanes, *end};
  if (name.first == keyms::Table::outbound) return send_outbound(key, std::move(record));
  return connection_->send(keyms::InboundKey{std::move(record), key.public_key});
}

Result<void> Server::send_outbound(const Key& key, keyms::KeyRecord record) {
  Given* given = give_lanes(key);
  if (given == nullptr) {
    return Error(ErrorKind::limit,
                 "key " + std::to_string(key.scope.key) + " has no lanes left; it is not sent")
        .with_hint("give it more lanes in the scenario");
  }
  record.lanes = given->lanes;
  if (key.remote) {
    const BootTime over = ends_.at({keyms::Table::outbound, key.scope.key});
    CS_CHECK(desk_.open(key, over, given->check));
    return connection_->send(
        keyms::OutboundKey{std::move(record), keyms::RemoteKey{key.public_key}});
  }
  CS_TRY(SecretBytes private_key, SecretBytes::copy_of(key.private_key.value()));
  return connection_->send(
      keyms::OutboundKey{std::move(record), keyms::SessionKey{std::move(private_key)}});
}

Server::Given* Server::give_lanes(const Key& key) {
  const KeyAndInstance name{key.scope.key, hello_.instance};
  if (const auto found = given_.find(name); found != given_.end()) return &found->second;
  std::uint32_t& used = lanes_used_[key.scope.key];
  const std::uint32_t first = key.lanes.first + used;
  const std::uint32_t last = first + hello_.workers - 1;
  if (last > key.lanes.last) return nullptr;
  used += hello_.workers;
  const keyms::LaneRange lanes{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
  Given given{lanes, keyms::StatementCheck(key.scope, lanes)};
  return &given_.emplace(name, std::move(given)).first->second;
}

// Forgets what went with a key that is no longer what it was.
void Server::forget(const KeyName& name) {
  ends_.erase(name);
  if (name.first != keyms::Table::outbound) return;
  const std::uint32_t key = name.second;
  desk_.close(key);
  lanes_used_.erase(key);
  std::erase_if(given_, [key](const auto& entry) { return entry.first.first == key; });
}

void Server::change(Scenario scenario) {
  const Scenario old = std::exchange(scenario_, std::move(scenario));
  std::deque<Item> changes;
  for (const auto& [name, key] : old.keys) {
    const auto now = scenario_.keys.find(name);
    if (now == scenario_.keys.end())
      changes.emplace_back(keyms::RemoveKey{name.second, name.first});
    if (now == scenario_.keys.end() || now->second != key) forget(name);
  }
  for (const auto& entry : old.peers) {
    if (!scenario_.peers.contains(entry.first))
      changes.emplace_back(keyms::RemovePeer{entry.first});
  }
  note_starts();
  for (const auto& [id, peer] : scenario_.peers) {
    const auto before = old.peers.find(id);
    if (before == old.peers.end() || before->second != peer) changes.emplace_back(PeerItem{id});
  }
  for (const auto& [name, key] : scenario_.keys) {
    const auto before = old.keys.find(name);
    if (before == old.keys.end() || before->second != key) changes.emplace_back(KeyItem{name});
  }
  say(std::to_string(changes.size()) + " changes in the scenario");
  if (!connection_ || !connection_->agreed()) return;
  items_.insert(items_.end(), changes.begin(), changes.end());
}

}  // namespace cs::standin
