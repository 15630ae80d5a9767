// SPDX-License-Identifier: GPL-3.0-or-later
// The side of the network; tls_worker_keymsd.cpp has the other.
#include "keyms/carrier/tls_worker.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "keyms/session/hello_check.h"
#include "keyms/session/messages.h"

namespace cs::keyms::carrier {

namespace {

// In the upper half of epoll's data: what the lower half is the number of.
enum Watched : std::uint32_t { keymsd_socket, listening_fd, connection_id };
std::uint64_t mark(Watched what, std::uint32_t number) {
  return std::uint64_t{what} << 32U | number;
}

// Of one turn, so that whoever floods us cannot keep us from those who have proved themselves.
constexpr int most_accepted = 64;
constexpr int most_steps_of_unproven = 64;
constexpr int most_messages = 8;
// Kept free for what a connection needs to tell: connect, data, close.
constexpr std::size_t reserve = 16;
constexpr std::chrono::milliseconds expiry_interval{50};

Endpoint endpoint_of(const sockaddr_storage& storage) {
  Endpoint endpoint;
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    endpoint.address.ipv6 = true;
    std::copy_n(std::begin(v6.sin6_addr.s6_addr), endpoint.address.bytes.size(),
                endpoint.address.bytes.begin());
    endpoint.port = ntohs(v6.sin6_port);
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    std::memcpy(endpoint.address.bytes.data(), &v4.sin_addr, sizeof(v4.sin_addr));
    endpoint.port = ntohs(v4.sin_port);
  }
  return endpoint;
}

constexpr Refusal refusal_of(HelloFault fault) {
  return static_cast<Refusal>(static_cast<std::size_t>(Refusal::role) +
                              static_cast<std::size_t>(fault));
}
static_assert(refusal_of(HelloFault::core_properties) == Refusal::core_properties);
static_assert(refusal_of(HelloFault::statement_signature) == Refusal::statement_signature);

// What a gateway that was called says instead of its hello.
std::optional<Reason> refusal_in(ByteView message) {
  const auto envelope = open_envelope(message);
  if (!envelope.ok() || envelope->type != MessageType::refuse) return std::nullopt;
  const auto refuse = decode_refuse(*envelope);
  if (!refuse.ok()) return std::nullopt;
  const std::string& code = refuse->reason.code;
  return Reason{code.size() <= max_reason ? code : "refused", refuse->reason.text};
}

}  // namespace

TlsWorker::TlsWorker(const Clock& clock, CarrierConnection keymsd, UniqueFd epoll,
                     const Options& options)
    : clock_(&clock),
      keymsd_(std::move(keymsd)),
      epoll_(std::move(epoll)),
      options_(options),
      unproven_(options.seed),
      log_(std::cerr),
      next_stats_(clock.boot() + options.stats_every),
      next_expiry_(clock.boot()) {}

Result<TlsWorker> TlsWorker::create(const Clock& clock, UniqueFd keymsd, const Options& options) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return from_errno(errno, "making an epoll descriptor");
  epoll_event wanted{EPOLLIN, {.u64 = mark(keymsd_socket, 0)}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, keymsd.get(), &wanted) != 0)
    return from_errno(errno, "watching keymsd's socket");
  CS_TRY(auto connection,
         CarrierConnection::create(std::move(keymsd), {service_version, false, "keymsd-carrier"},
                                   Other::worker));
  return TlsWorker(clock, std::move(connection), std::move(epoll), options);
}

Result<void> TlsWorker::run() {
  while (keymsd_.fd() >= 0) CS_CHECK(turn());
  if (lost_) return *lost_;
  return Error(ErrorKind::closed, "keymsd has gone");
}

bool TlsWorker::keymsd_has_room() const noexcept {
  return keymsd_.room() > reserve;
}

// Nothing is taken from the network while keymsd does not take what there is.
Result<int> TlsWorker::wait(std::array<epoll_event, 512>& events) {
  const BootTime next =
      std::min(next_stats_, connections_.size() > open_ ? next_expiry_ : next_stats_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock_->boot()).count();
  const bool at_once = !unread_.empty() && keymsd_has_room();
  const int timeout = at_once ? 0 : static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000));
  pollfd keymsd{keymsd_.fd(), keymsd_.events(), 0};
  if (!keymsd_has_room()) {
    if (::poll(&keymsd, 1, timeout) < 0 && errno != EINTR)
      return from_errno(errno, "waiting for keymsd");
    return 0;
  }
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
  if (count < 0 && errno != EINTR) return from_errno(errno, "waiting for the network");
  return std::max(count, 0);
}

Result<void> TlsWorker::turn() {
  std::array<epoll_event, 512> events{};
  CS_TRY(const int count, wait(events));
  CS_CHECK(keymsd_.flush());
  CS_CHECK(take_messages());
  for (const Id id : std::exchange(unread_, {})) handle(id, EPOLLIN);
  int steps = 0;
  for (const bool proven : {true, false}) {
    for (const epoll_event& event : std::span(events).first(static_cast<std::size_t>(count))) {
      if (event.data.u64 >> 32U != connection_id) continue;
      const auto id = static_cast<Id>(event.data.u64);
      const auto found = connections_.find(id);
      if (found == connections_.end()) continue;
      const bool first = found->second.stage == Stage::open || found->second.pinned;
      if (first != proven || (!proven && ++steps > most_steps_of_unproven)) continue;
      handle(id, event.events);
    }
  }
  for (const epoll_event& event : std::span(events).first(static_cast<std::size_t>(count))) {
    if (event.data.u64 >> 32U == listening_fd) accept(static_cast<int>(event.data.u64));
  }
  expire();
  tell_stats();
  return {};
}

TlsWorker::Id TlsWorker::new_id() {
  do ++last_id_;
  while (last_id_ == 0 || connections_.contains(last_id_));
  return last_id_;
}

bool TlsWorker::is_pinned(const net::Address& address) const {
  return std::ranges::any_of(now_.peers, [&](const auto& peer) {
    return std::ranges::find(peer.second.pinned, address) != peer.second.pinned.end();
  });
}

std::size_t TlsWorker::channels_of(std::string_view peer) const {
  return static_cast<std::size_t>(std::ranges::count_if(connections_, [&](const auto& one) {
    return one.second.stage == Stage::open && one.second.peer == peer;
  }));
}

void TlsWorker::accept(int listener) {
  for (int i = 0; i < most_accepted; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    UniqueFd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&from), &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;  // what stands in its way now is tried again at the next turn
    ++counters_.accepted;
    admit(std::move(fd), endpoint_of(from));
  }
}

void TlsWorker::admit(UniqueFd fd, const Endpoint& from) {
  const bool pinned = is_pinned(from.address);
  const Id id = new_id();
  const auto verdict = unproven_.admit(id, from.address, pinned);
  const std::string who = from.address.text() + " port " + std::to_string(from.port);
  if (verdict.refused) {
    ++counters_.of(*verdict.refused);
    log_.tell(clock_->boot(), *verdict.refused, who);
    return;
  }
  if (verdict.crowded_out) refuse(*verdict.crowded_out, Refusal::crowded_out);
  Connection& connection = connections_[id];
  connection.stream = std::make_unique<TlsStream>(std::move(fd), false);
  connection.who = who;
  connection.pinned = pinned;
  connection.deadline = clock_->boot() + tls_within;
  watch(id, connection);
  // What it says has mostly come with it; then it is no longer among the silent ones.
  handle(id, EPOLLIN);
}

// Which events of it matter now.
void TlsWorker::watch(Id id, Connection& connection) {
  const bool reads = connection.stage != Stage::connecting && connection.stage != Stage::closing;
  const bool writes = connection.stage == Stage::connecting || connection.stream->wants_write();
  const std::uint32_t wanted =
      (reads ? std::uint32_t{EPOLLIN} : 0U) | (writes ? std::uint32_t{EPOLLOUT} : 0U);
  if (wanted == connection.watched) return;
  epoll_event event{wanted, {.u64 = mark(connection_id, id)}};
  const int what = connection.watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_.get(), what, connection.stream->fd(), &event) == 0) {
    connection.watched = wanted;
  } else {
    connection.deadline = clock_->boot();  // unwatched it could not even end
  }
}

void TlsWorker::handle(Id id, std::uint32_t events) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if ((events & EPOLLOUT) != 0 && connection.stage >= Stage::hello) {
    const TlsStream::Step step = connection.stream->flush();
    if (!carried_on(id, connection, step)) return;
    if (connection.stage == Stage::closing && step == TlsStream::Step::done) return remove(id);
  }
  if (connection.stage == Stage::closing) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) remove(id);
    return;
  }
  advance(id, connection);
}

// Whether the connection is still there: false, and it has been ended.
bool TlsWorker::carried_on(Id id, Connection& connection, TlsStream::Step step) {
  using Step = TlsStream::Step;
  if (step == Step::done || step == Step::wait) {
    watch(id, connection);
    return true;
  }
  refuse(id, step == Step::closed ? Refusal::peer_closed : connection.stream->why());
  return false;
}

void TlsWorker::advance(Id id, Connection& connection) {
  if (connection.stage == Stage::connecting && !connected(id, connection)) return;
  if (connection.stage == Stage::handshake && !shaken(id, connection)) return;
  read(id, connection);
}

bool TlsWorker::connected(Id id, Connection& connection) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(connection.stream->fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error != 0) {
    end(id, "unreachable", from_errno(error, "connecting to " + connection.who).message());
    return false;
  }
  enter(connection, Stage::handshake, clock_->boot() + tls_within);
  return true;
}

// Whether TLS stands.
bool TlsWorker::shaken(Id id, Connection& connection) {
  if (!now_.context) {
    refuse(id, Refusal::not_configured);
    return false;
  }
  const TlsStream::Step step = connection.stream->handshake(*now_.context);
  if (!carried_on(id, connection, step)) return false;
  if (step != TlsStream::Step::done) {
    if (!connection.stream->begun()) return false;
    if (const auto other = unproven_.spoke(id)) refuse(*other, Refusal::crowded_out);
    return false;
  }
  enter(connection, Stage::hello,
        clock_->boot() + (connection.outgoing ? answers_within : hello_within));
  return !connection.outgoing || tell_channel(id, connection);
}

bool TlsWorker::tell_channel(Id id, Connection& connection) {
  Result<SecretBytes> secret = connection.stream->channel_secret();
  if (!secret.ok()) {
    refuse(id, Refusal::tls);
    return false;
  }
  connection.told = true;
  tell(Connect{id, !connection.outgoing, attestation_protocol, attestation_version,
               attestation_version, std::move(secret).value(), connection.stream->own_certificate(),
               connection.stream->peer_certificate(), connection.peer, connection.who});
  return true;
}

void TlsWorker::read(Id id, Connection& connection) {
  std::vector<std::uint8_t> message;
  for (int i = 0; i < most_messages && keymsd_has_room(); ++i) {
    const TlsStream::Step step = connection.stream->read(message);
    if (!carried_on(id, connection, step)) return;
    if (step == TlsStream::Step::wait) return;
    if (connection.stage == Stage::hello && !take_hello(id, connection, message)) return;
    tell(Data{id, message});
  }
  unread_.push_back(id);
}

std::optional<Refusal> TlsWorker::judge(const Connection& connection,
                                        const SessionHello& hello) const {
  HelloExpectations expected;
  expected.role = connection.outgoing ? Role::responder : Role::initiator;
  expected.self = now_.ne_id;
  expected.now = clock_->wall();
  expected.certificate = hash_of(connection.stream->peer_certificate());
  tpm::Name name;
  const auto peer = now_.peers.find(connection.outgoing ? connection.peer : hello.from);
  if (peer != now_.peers.end()) {
    expected.peer = peer->first;
    expected.core_properties = peer->second.core_properties;
    name.bytes = peer->second.attestation_key;
    if (!name.bytes.empty()) expected.attestation_key = &name;
  }
  const auto fault = find_fault(hello, expected);
  if (!fault) return std::nullopt;
  return refusal_of(*fault);
}

// Whether the peer has proved what it must before keymsd hears of it.
bool TlsWorker::take_hello(Id id, Connection& connection, ByteView message) {
  const auto hello = decode_hello(message);
  if (!hello.ok() && connection.outgoing) {
    // Whoever it is: their words, for the operator here.
    if (const auto words = refusal_in(message)) {
      end(id, words->code, connection.who + " refuses: " + words->sentence);
      return false;
    }
  }
  std::optional<Refusal> refusal = Refusal::hello;
  if (hello.ok()) refusal = judge(connection, *hello);
  if (!refusal && !connection.outgoing &&
      (channels_of(hello->from) >= most_of_peer ||
       connections_.size() - unproven_.size() >= most_channels)) {
    refusal = Refusal::too_many_channels;
  }
  if (refusal) {
    refuse(id, *refusal);
    return false;
  }
  unproven_.forget(id);
  connection.peer = hello->from;
  enter(connection, Stage::open, std::nullopt);
  ++counters_.proven;
  return connection.outgoing || tell_channel(id, connection);
}

void TlsWorker::enter(Connection& connection, Stage stage, std::optional<BootTime> deadline) {
  if (connection.stage == Stage::open) --open_;
  if (stage == Stage::open) ++open_;
  connection.stage = stage;
  connection.deadline = deadline;
}

void TlsWorker::expire() {
  const BootTime now = clock_->boot();
  if (now < next_expiry_) return;
  next_expiry_ = now + expiry_interval;
  std::vector<Id> late;
  for (const auto& [id, connection] : connections_) {
    if (connection.deadline && now >= *connection.deadline) late.push_back(id);
  }
  for (const Id id : late) {
    const Connection& connection = connections_.at(id);
    if (connection.stage == Stage::connecting) {
      end(id, "unreachable", connection.who + " does not answer");
    } else if (connection.stage == Stage::closing) {
      remove(id);
    } else {
      refuse(id,
             connection.stage == Stage::handshake ? Refusal::tls_timeout : Refusal::hello_timeout);
    }
  }
}

void TlsWorker::refuse(Id id, Refusal why) {
  const Connection& connection = connections_.at(id);
  ++counters_.of(why);
  // keymsd tells of a channel that it knows.
  if (!connection.told) log_.tell(clock_->boot(), why, connection.who);
  end(id, to_string(why), connection.who + " was turned away: " + std::string(to_string(why)));
}

void TlsWorker::end(Id id, std::string_view code, const std::string& sentence) {
  const Connection& connection = connections_.at(id);
  const std::string words = sentence.substr(0, max_sentence);
  if (connection.told && connection.stage != Stage::closing) {
    tell(Close{id, {std::string(code), words}});
  } else if (connection.outgoing && !connection.told) {
    tell(Unreachable{connection.peer, words});
  }
  remove(id);
}

// Closing the descriptor takes it out of epoll.
void TlsWorker::remove(Id id) {
  unproven_.forget(id);
  enter(connections_.at(id), Stage::closing, std::nullopt);
  connections_.at(id).stream->shut_down();
  connections_.erase(id);
}

}  // namespace cs::keyms::carrier
