// SPDX-License-Identifier: GPL-3.0-or-later
// The network worker's loop: TLS connections of other gateways on one side, keymsd on the other.
// docs/PROTOCOL.md, "TLS as a carrier". Believes a peer nothing before its hello holds, and then
// only that it is worth keymsd's time.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "keyms/carrier/admission.h"
#include "keyms/carrier/refusal_log.h"
#include "keyms/carrier/service_channel.h"
#include "keyms/carrier/tls_stream.h"
#include "keyms/session/hello.h"

namespace cs::keyms::carrier {

class TlsWorker {
 public:
  static constexpr std::chrono::seconds connects_within{5};
  static constexpr std::chrono::seconds tls_within{3};
  static constexpr std::chrono::seconds hello_within{2};      // of who called us
  static constexpr std::chrono::seconds answers_within{15};   // whom we called, with its hello
  static constexpr std::chrono::seconds passes_on_within{2};  // what keymsd sent before its close
  static constexpr std::size_t most_channels = 512;
  static constexpr std::size_t most_of_peer = 4;

  struct Options {
    std::chrono::milliseconds stats_every{10'000};
    std::uint32_t seed = 0;  // of whom it turns away when there are too many
  };
  // `keymsd` is the socket it was started with. The clock must outlive it.
  static Result<TlsWorker> create(const Clock& clock, UniqueFd keymsd, const Options& options);

  // Until keymsd has gone, which is an error of kind `closed`.
  Result<void> run();

 private:
  using Id = std::uint32_t;
  enum class Stage : std::uint8_t { connecting, handshake, hello, open, closing };
  struct Connection {
    std::unique_ptr<TlsStream> stream;
    std::string who;   // for people
    std::string peer;  // whom we called; of who called us, once it has proved that it is
    bool outgoing = false;
    bool pinned = false;
    bool told = false;  // keymsd knows the channel
    Stage stage = Stage::handshake;
    std::optional<BootTime> deadline;
    std::uint32_t watched = 0;  // epoll's events
  };
  // What keymsd has told since the last Configured.
  struct Configuration {
    std::string ne_id;
    std::vector<std::uint8_t> certificate;
    std::optional<TlsContext> context;
    std::map<std::string, KnownPeer, std::less<>> peers;
    std::vector<UniqueFd> listeners;
  };

  TlsWorker(const Clock& clock, CarrierConnection keymsd, UniqueFd epoll, const Options& options);

  // From keymsd.
  Result<void> take_messages();
  Result<void> take(FromService message);
  Result<void> take_configuration(FromService message);
  Result<void> configure();
  void dial(const Dial& dial, UniqueFd socket);
  void send_to_peer(const Data& data);
  void end_by_keymsd(Id id);
  void tell_stats();
  // An error shows in keymsd_.fd(), and run() ends.
  template <class Message>
  void tell(const Message& message) {
    if (Result<void> told = keymsd_.send(message); !told.ok()) lost_ = std::move(told).error();
  }

  // From the network.
  Result<void> turn();
  Result<int> wait(std::array<epoll_event, 512>& events);
  void accept(int listener);
  void admit(UniqueFd fd, const Endpoint& from);
  void handle(Id id, std::uint32_t events);
  void advance(Id id, Connection& connection);
  [[nodiscard]] bool connected(Id id, Connection& connection);
  [[nodiscard]] bool shaken(Id id, Connection& connection);
  void read(Id id, Connection& connection);
  [[nodiscard]] std::optional<Refusal> judge(const Connection& connection,
                                             const SessionHello& hello) const;
  [[nodiscard]] bool take_hello(Id id, Connection& connection, ByteView message);
  [[nodiscard]] bool tell_channel(Id id, Connection& connection);
  [[nodiscard]] bool carried_on(Id id, Connection& connection, TlsStream::Step step);

  void watch(Id id, Connection& connection);
  void expire();
  void refuse(Id id, Refusal why);
  // Tells keymsd, if it has to do with it.
  void end(Id id, std::string_view code, const std::string& sentence);
  void remove(Id id);
  void enter(Connection& connection, Stage stage, std::optional<BootTime> deadline);
  [[nodiscard]] Id new_id();
  [[nodiscard]] bool is_pinned(const net::Address& address) const;
  [[nodiscard]] std::size_t channels_of(std::string_view peer) const;
  [[nodiscard]] bool keymsd_has_room() const noexcept;

  const Clock* clock_;
  CarrierConnection keymsd_;
  UniqueFd epoll_;
  Options options_;
  Configuration now_;
  Configuration next_;
  std::map<Id, Connection> connections_;
  Admission unproven_;
  Counters counters_;
  RefusalLog log_;
  BootTime next_stats_;
  BootTime next_expiry_;
  std::vector<Id> unread_;  // had more to give than one turn takes
  std::size_t open_ = 0;    // of connections_, those that wait for nothing
  Id last_id_ = 0;
  std::optional<Error> lost_;  // keymsd, and why
};

}  // namespace cs::keyms::carrier
