// SPDX-License-Identifier: GPL-3.0-or-later
// The side of keymsd; tls_worker.cpp has the network's.
#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "keyms/carrier/tls_worker.h"

namespace cs::keyms::carrier {

namespace {

constexpr std::size_t most_peers = 1024;
constexpr std::size_t most_listeners = 16;
constexpr int most_at_once = 64;

}  // namespace

Result<void> TlsWorker::take_messages() {
  for (int i = 0; i < most_at_once; ++i) {
    CS_TRY(std::optional<FromService> message, keymsd_.receive());
    if (!message) break;
    CS_CHECK(take(std::move(*message)));
  }
  return {};
}

Result<void> TlsWorker::take(FromService message) {
  if (const auto* data = std::get_if<Data>(&message)) {
    send_to_peer(*data);
  } else if (const auto* close = std::get_if<Close>(&message)) {
    end_by_keymsd(close->channel);
  } else if (const auto* deny = std::get_if<Deny>(&message)) {
    // Nothing was set up over it but the channel itself.
    end_by_keymsd(deny->channel);
    tell(Close{deny->channel, {"revoked", "the channel is closed"}});
  } else if (const auto* wanted = std::get_if<Dial>(&message)) {
    dial(*wanted, keymsd_.take_descriptor());
  } else {
    return take_configuration(std::move(message));
  }
  return {};
}

// welcome, open and grant ask nothing of us: all that there is to grant is the channel.
Result<void> TlsWorker::take_configuration(FromService message) {
  if (auto* own = std::get_if<OwnEndpoint>(&message)) {
    CS_TRY(next_.context, TlsContext::create(*own));
    next_.ne_id = own->ne_id;
  } else if (auto* peer = std::get_if<KnownPeer>(&message)) {
    if (next_.peers.size() >= most_peers) {
      return Error(ErrorKind::limit,
                   "keymsd knows more than " + std::to_string(most_peers) + " other gateways");
    }
    std::string name = peer->ne_id;
    next_.peers.insert_or_assign(std::move(name), std::move(*peer));
  } else if (std::holds_alternative<Listener>(message)) {
    UniqueFd socket = keymsd_.take_descriptor();
    if (!socket || next_.listeners.size() >= most_listeners)
      return Error(ErrorKind::invalid, "keymsd says a listener, and sends none or too many");
    next_.listeners.push_back(std::move(socket));
  } else if (std::holds_alternative<Configured>(message)) {
    return configure();
  }
  return {};
}

// Channels that are open stay: keymsd closes those that it wants closed.
Result<void> TlsWorker::configure() {
  constexpr std::uint64_t listening = std::uint64_t{1} << 32U;
  now_ = std::exchange(next_, {});
  if (!now_.context) return Error(ErrorKind::invalid, "keymsd's configuration has no endpoint");
  for (const UniqueFd& listener : now_.listeners) {
    epoll_event wanted{EPOLLIN, {.u64 = listening | static_cast<std::uint32_t>(listener.get())}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener.get(), &wanted) != 0)
      return from_errno(errno, "watching a listening socket");
  }
  return {};
}

void TlsWorker::dial(const Dial& dial, UniqueFd socket) {
  const std::string who =
      dial.endpoint.address.text() + " port " + std::to_string(dial.endpoint.port);
  if (!socket || !now_.context || connections_.size() - unproven_.size() >= most_channels)
    return tell(Unreachable{dial.peer, "no connection to " + who + " can be made now"});
  const Id id = new_id();
  Connection& connection = connections_[id];
  connection.stream = std::make_unique<TlsStream>(std::move(socket), true);
  connection.who = who;
  connection.peer = dial.peer;
  connection.outgoing = true;
  connection.stage = Stage::connecting;
  connection.deadline = clock_->boot() + connects_within;
  watch(id, connection);
}

void TlsWorker::send_to_peer(const Data& data) {
  const auto found = connections_.find(data.channel);
  if (found == connections_.end()) return;
  static_cast<void>(
      carried_on(data.channel, found->second, found->second.stream->write(data.bytes)));
}

// What it was given before still goes out, as far as the peer takes it.
void TlsWorker::end_by_keymsd(Id id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  unproven_.forget(id);
  enter(connection, Stage::closing, clock_->boot() + passes_on_within);
  if (connection.stream->unsent() == 0) return remove(id);
  watch(id, connection);
}

void TlsWorker::tell_stats() {
  const BootTime now = clock_->boot();
  if (now < next_stats_ || !keymsd_.agreed() || !keymsd_has_room()) return;
  next_stats_ = now + options_.stats_every;
  tell(Stats{connections_.size() - unproven_.size(), unproven_.size(), counters_});
}

}  // namespace cs::keyms::carrier
