// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/carriers.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/user.h"
#include "keyms/carrier/endpoint.h"
#include "keyms/session/hello.h"
#include "keyms/session/key_schedule.h"

namespace cs::keyms {
namespace {

constexpr std::uint32_t the_worker = 0;
constexpr std::size_t most_taken = 256;  // messages of one carrier in one turn
// Messages that one may be answered with: a piece of a log, in parts. Who has no room for so many
// is not read from, so that no peer's asking ends a carrier's connection.
constexpr std::size_t most_answered = most_get / most_part + 8;

// What to wait for, of a connection with so much room.
short events_of(short events, std::size_t room) {
  return room > most_answered ? events : static_cast<short>(events & ~POLLIN);
}

carrier::Reason for_carrier(const Reason& why) {
  return {why.code.substr(0, carrier::max_reason), why.text.substr(0, carrier::max_sentence)};
}

std::optional<Hash> hash_if_any(ByteView certificate) {
  if (certificate.empty()) return std::nullopt;
  return carrier::hash_of(certificate);
}

}  // namespace

// A pair's end of a channel, which may have gone.
class Carriers::Port final : public PairChannel {
 public:
  Port(Carriers& carriers, const Key& key, Channel channel)
      : carriers_(&carriers), key_(key), channel_(std::move(channel)) {}
  [[nodiscard]] Role role() const override { return channel_.role; }
  [[nodiscard]] Hash channel() const override { return channel_.secret; }
  [[nodiscard]] std::optional<Hash> certificate() const override { return channel_.certificate; }
  [[nodiscard]] std::optional<Hash> peer_certificate() const override {
    return channel_.peer_certificate;
  }
  void send(Bytes message) override {
    carriers_->send(key_, carrier::Data{key_.channel, std::move(message)});
  }
  void grant() override { carriers_->send(key_, carrier::Grant{key_.channel}); }
  void deny(const Reason& why) override {
    carriers_->send_last(key_, carrier::Deny{key_.channel, for_carrier(why)});
  }
  void close(const Reason& why) override {
    carriers_->send_last(key_, carrier::Close{key_.channel, for_carrier(why)});
  }

 private:
  Carriers* carriers_;
  Key key_;
  Channel channel_;
};

Result<std::unique_ptr<Carriers>> Carriers::open(CarriersHost& host, const Clock& clock,
                                                 const DaemonConfig& config) {
  const auto beside = config.kernel ? carrier::BesideIpsec::yes : carrier::BesideIpsec::no;
  std::unique_ptr<Carriers> made(new Carriers(host, clock, beside));
  CS_CHECK(made->start(config));
  return made;
}

Result<void> Carriers::start(const DaemonConfig& config) {
  if (!config.carrier_socket.empty()) {
    auto user = find_user(config.carrier_socket_user);
    if (!user.ok()) return std::move(user).error().context("network.carrier_socket_user");
    CS_TRY(listener_, carrier::ServiceListener::open(*clock_, config.carrier_socket, user->id));
  }
  if (config.carrier.empty()) return {};
  for (const Endpoint& endpoint : config.listen) {
    CS_TRY(UniqueFd fd, carrier::listen_for_peers({endpoint.address, endpoint.port}, beside_));
    CS_CHECK(sockets_.add_listener(fd.get()));
    listening_.push_back(std::move(fd));
  }
  CS_TRY(auto worker,
         carrier::CarrierWorker::create(*clock_, {config.carrier, config.carrier_user}));
  worker_.emplace(std::move(worker));
  return {};
}

Result<void> Carriers::configure(carrier::OwnEndpoint endpoint,
                                 std::vector<carrier::KnownPeer> peers) {
  if (!worker_) return {};
  carrier::WorkerConfiguration next{std::move(endpoint), std::move(peers), {}};
  for (const UniqueFd& fd : listening_) {
    UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) return from_errno(errno, "copying a listening socket");
    next.listeners.push_back(std::move(copy));
  }
  waiting_ = std::move(next);
  return {};
}

Result<void> Carriers::dial(const std::string& peer, const Endpoint& endpoint) {
  const carrier::Endpoint to{endpoint.address, endpoint.port};
  CS_TRY(UniqueFd socket, carrier::call_peer(to, beside_));
  CS_CHECK(sockets_.add_connection(socket.get()));
  return worker_->dial({peer, to}, std::move(socket));
}

void Carriers::connect(const std::string& peer, const std::optional<Endpoint>& endpoint) {
  if (worker_runs() && endpoint) {
    if (const auto dialled = dial(peer, *endpoint); !dialled.ok())
      unreachable_.emplace_back(peer, dialled.error().message());
    return;
  }
  for (auto& [id, other] : others_) {
    if (!opens_[id]) continue;
    carrier::Open open{peer, {}};
    if (endpoint) open.endpoints.push_back({endpoint->address, endpoint->port});
    if (auto sent = other.send(open); !sent.ok()) lose(id, std::move(sent).error());
    return;
  }
  unreachable_.emplace_back(
      peer,
      !endpoint
          ? "no carrier can make a channel to it, and the policy names no address of its keymsd"
      : worker_ ? "the network worker does not run"
                : "no carrier is connected");
}

bool Carriers::can_call() const {
  if (worker_runs() && !waiting_) return true;
  return std::ranges::any_of(opens_, [](const auto& one) { return one.second; });
}

bool Carriers::has_channels() const noexcept {
  return (worker_ && worker_->channels() > 0) ||
         std::ranges::any_of(others_, [](const auto& one) { return one.second.channels() > 0; });
}

void Carriers::renew_channels(const Reason& why) {
  std::vector<std::pair<Key, std::string>> all;
  for (const auto& [key, channel] : channels_) {
    if (key.carrier == the_worker && channel.told) all.emplace_back(key, channel.peer);
  }
  for (const auto& [key, peer] : all) {
    send_last(key, carrier::Close{key.channel, for_carrier(why)});
    host_->channel_down(peer, why);
  }
}

template <class Message>
void Carriers::send(const Key& key, const Message& message) {
  const auto found = channels_.find(key);
  if (found == channels_.end()) return;
  Result<void> sent;
  if (key.carrier == the_worker) {
    sent = worker_->send(message);
  } else if (const auto other = others_.find(key.carrier); other != others_.end()) {
    sent = other->second.send(message);
  }
  if (!sent.ok()) lose(key.carrier, std::move(sent).error());
}

void Carriers::lose(std::uint32_t carrier, Error why) {
  const auto other = others_.find(carrier);
  // A message that breaks a rule of ours does not end the connection.
  const bool gone =
      carrier == the_worker ? worker_->fd() < 0 : other == others_.end() || other->second.fd() < 0;
  lost_.push_back({carrier, gone, std::move(why)});
}

// Its number is free again when the carrier has answered, which the connection to it knows.
template <class Message>
void Carriers::send_last(const Key& key, Message message) {
  send(key, message);
  channels_.erase(key);
}

void Carriers::take(std::uint32_t from, carrier::FromCarrier message) {
  if (const auto* hello = std::get_if<carrier::Hello>(&message)) {
    opens_[from] = hello->opens_channels;
  } else if (const auto* connect = std::get_if<carrier::Connect>(&message)) {
    take_connect(from, *connect);
  } else if (const auto* data = std::get_if<carrier::Data>(&message)) {
    take_data({from, data->channel}, *data);
  } else if (const auto* close = std::get_if<carrier::Close>(&message)) {
    end({from, close->channel}, {close->reason.code, as_text(close->reason.sentence)});
  } else if (const auto* none = std::get_if<carrier::Unreachable>(&message)) {
    unreachable_.emplace_back(none->peer, as_text(none->sentence));
  } else if (const auto* stats = std::get_if<carrier::Stats>(&message)) {
    stats_ = *stats;
  }
}

void Carriers::take_connect(std::uint32_t from, const carrier::Connect& message) {
  const Key key{from, message.channel};
  Channel channel;
  channel.peer = message.peer;
  channel.role = message.opened_by_peer ? Role::responder : Role::initiator;
  channel.secret = channel_of(message.secret.bytes());
  channel.certificate = hash_if_any(message.certificate);
  channel.peer_certificate = hash_if_any(message.peer_certificate);
  Channel& kept = channels_.insert_or_assign(key, std::move(channel)).first->second;
  const auto refuse = [&](std::string code, std::string sentence) {
    send_last(key, carrier::Close{key.channel, {std::move(code), std::move(sentence)}});
  };
  if (message.protocol != carrier::attestation_protocol ||
      message.lowest_version > carrier::attestation_version ||
      message.highest_version < carrier::attestation_version) {
    refuse("version", "this keymsd conducts version 1 of attestation protocol 1");
  } else if (channels_.size() > most_channels) {
    refuse("too_many_channels", "keymsd has too many channels");
  } else if (!kept.peer.empty() && !host_->knows(kept.peer)) {
    refuse("unknown_peer", "no core policy is in force with that gateway");
  } else if (!kept.peer.empty() && (from == the_worker || kept.role == Role::initiator)) {
    announce(key, kept);
  } else if (kept.role == Role::initiator) {
    refuse("unknown_peer", "whom it leads to has to be said by who opens it");
  }
}

void Carriers::announce(const Key& key, Channel& channel) {
  channel.told = true;
  const std::string peer = channel.peer;  // who takes it may close it at once
  host_->channel_up(peer, std::make_unique<Port>(*this, key, channel));
}

void Carriers::take_data(const Key& key, const carrier::Data& message) {
  const auto found = channels_.find(key);
  if (found == channels_.end()) return;
  Channel& channel = found->second;
  if (!channel.told) {
    // Who it is says the session; whether that is so, too: else anybody's channel would take the
    // place of the one that is.
    const auto hello = decode_hello(message.bytes);
    if (!hello.ok() || !host_->believes(*hello, channel.peer_certificate)) {
      send_last(key,
                carrier::Close{
                    key.channel,
                    {"unknown_peer",
                     "its first message is no hello of a gateway that a policy is in force with"}});
      return;
    }
    channel.peer = hello->from;
    announce(key, channel);
    if (!channels_.contains(key)) return;  // it was closed at once
  }
  const std::string peer = channel.peer;
  host_->receive(peer, message.bytes);
}

void Carriers::end(const Key& key, const Reason& why) {
  const auto found = channels_.find(key);
  if (found == channels_.end()) return;
  const Channel channel = std::move(found->second);
  channels_.erase(found);
  if (channel.told) host_->channel_down(channel.peer, why);
}

void Carriers::end_all(std::uint32_t carrier, const Error& why) {
  host_->trouble(why);
  std::vector<Key> all;
  for (const auto& [key, channel] : channels_) {
    if (key.carrier == carrier) all.push_back(key);
  }
  for (const Key& key : all) end(key, {"carrier_gone", as_text(why.message())});
}

void Carriers::wait(Waits& waits) const {
  if (worker_) {
    waits.on(worker_->fd(),
             worker_->agreed() ? events_of(worker_->events(), worker_->room()) : worker_->events());
    waits.until(worker_->deadline());
  }
  if (listener_ && others_.size() < most_third_parties) waits.on(listener_->fd());
  for (const auto& [id, other] : others_) {
    waits.on(other.fd(), events_of(other.events(), other.room()));
    waits.until(other.deadline());
  }
  if (!lost_.empty() || !unreachable_.empty()) waits.until(clock_->boot());
}

void Carriers::run_worker() {
  const auto held = [this](Result<void> result) {
    if (!result.ok()) lose(the_worker, std::move(result).error());
    return worker_->fd() >= 0;
  };
  // First what it has said: who was not listened to has not been silent.
  for (std::size_t i = 0; i < most_taken && worker_->room() > most_answered; ++i) {
    auto message = worker_->receive();
    if (!message.ok()) {
      lose(the_worker, std::move(message).error());
      return;
    }
    if (!*message) break;
    take(the_worker, std::move(**message));
  }
  if (!held(worker_->tick()) || !held(worker_->flush())) return;
  if (waiting_ && worker_->takes_configuration()) {
    held(worker_->configure(std::move(*waiting_)));
    waiting_.reset();
  }
}

void Carriers::run_others() {
  while (listener_ && others_.size() < most_third_parties) {
    auto accepted = listener_->accept();
    if (!accepted.ok()) {
      host_->trouble(accepted.error());
      break;
    }
    if (!*accepted) break;
    others_.emplace(++last_carrier_, std::move(**accepted));
  }
  for (auto& [id, other] : others_) {
    if (auto done = other.tick(); !done.ok()) lose(id, std::move(done).error());
    if (other.fd() < 0) continue;
    if (auto done = other.flush(); !done.ok()) lose(id, std::move(done).error());
    for (std::size_t i = 0; other.fd() >= 0 && i < most_taken && other.room() > most_answered;
         ++i) {
      auto message = other.receive();
      if (!message.ok()) {
        lose(id, std::move(message).error());
        break;
      }
      if (!*message) break;
      take(id, std::move(**message));
    }
  }
}

Result<void> Carriers::run() {
  if (worker_) run_worker();
  run_others();
  for (const Lost& one : std::exchange(lost_, {})) {
    if (!one.gone) {
      host_->trouble(one.why);
      continue;
    }
    end_all(one.carrier, one.why);
    others_.erase(one.carrier);
    opens_.erase(one.carrier);
  }
  for (const auto& [peer, why] : std::exchange(unreachable_, {})) {
    if (host_->knows(peer)) host_->unreachable(peer, why);
  }
  return {};
}

}  // namespace cs::keyms
