// SPDX-License-Identifier: GPL-3.0-or-later
// All that carries sessions: keymsd's own network worker, and third parties at the attestation
// service's socket. To each gateway it speaks to, one channel counts, the newest.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keyms/carrier/service_channel.h"
#include "keyms/carrier/sockets.h"
#include "keyms/carrier/worker.h"
#include "keyms/daemon/config.h"
#include "keyms/daemon/loop.h"
#include "keyms/daemon/own_socket.h"
#include "keyms/daemon/pair.h"

namespace cs::keyms {

// Whom it hands everything to. A gateway is named by its NeID.
class CarriersHost {
 public:
  CarriersHost() = default;
  CarriersHost(const CarriersHost&) = delete;
  CarriersHost& operator=(const CarriersHost&) = delete;
  CarriersHost(CarriersHost&&) = delete;
  CarriersHost& operator=(CarriersHost&&) = delete;
  virtual ~CarriersHost() = default;

  [[nodiscard]] virtual bool knows(const std::string& peer) const = 0;
  // Whether a hello is of who it says, over a channel made with this certificate.
  [[nodiscard]] virtual bool believes(const SessionHello& hello,
                                      const std::optional<Hash>& peer_certificate) const = 0;
  virtual void channel_up(const std::string& peer, std::unique_ptr<PairChannel> channel) = 0;
  virtual void receive(const std::string& peer, ByteView message) = 0;
  virtual void channel_down(const std::string& peer, const Reason& why) = 0;
  virtual void unreachable(const std::string& peer, const std::string& why) = 0;
  // Of a carrier as a whole.
  virtual void trouble(const Error& error) = 0;
};

class Carriers final : public LoopPart {
 public:
  static constexpr std::size_t most_third_parties = 16;
  static constexpr std::size_t most_channels = 1024;

  // Host and clock must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Carriers>> open(CarriersHost& host,
                                                              const Clock& clock,
                                                              const DaemonConfig& config);

  // To the worker, in place of what it was told before.
  Result<void> configure(carrier::OwnEndpoint endpoint, std::vector<carrier::KnownPeer> peers);
  // channel_up or unreachable follows, in a later turn.
  void connect(const std::string& peer, const std::optional<Endpoint>& endpoint);
  // Those that the worker carries: of the certificate they were made with, another one has taken
  // the place. Who called calls again.
  void renew_channels(const Reason& why);

  // How many policies keymsd's own sockets may have.
  [[nodiscard]] Result<std::size_t> own_bypasses() const { return sockets_.bypasses(); }
  [[nodiscard]] bool worker_runs() const noexcept { return worker_ && worker_->agreed(); }
  // Who would make a channel is there.
  [[nodiscard]] bool can_call() const;
  // Or has closed some, and no carrier has answered: what was said last may be on its way.
  [[nodiscard]] bool has_channels() const noexcept;
  [[nodiscard]] std::size_t third_parties() const noexcept { return others_.size(); }
  // Of the worker, as it told last.
  [[nodiscard]] const carrier::Stats& stats() const noexcept { return stats_; }

  void wait(Waits& waits) const override;
  Result<void> run() override;

 private:
  struct Key {
    std::uint32_t carrier = 0;  // 0: the worker
    std::uint32_t channel = 0;
    // NOLINTNEXTLINE(modernize-use-nullptr): it takes the 0 of the comparison for a pointer.
    auto operator<=>(const Key&) const = default;
  };
  struct Channel {
    std::string peer;  // empty: its first message has to tell
    Role role = Role::initiator;
    Hash secret{};  // channel_of() it
    std::optional<Hash> certificate;
    std::optional<Hash> peer_certificate;
    bool told = false;  // the host knows it
  };
  class Port;

  Carriers(CarriersHost& host, const Clock& clock, carrier::BesideIpsec beside)
      : host_(&host), clock_(&clock), beside_(beside) {}
  [[nodiscard]] Result<void> start(const DaemonConfig& config);
  void run_worker();
  void run_others();
  void take(std::uint32_t from, carrier::FromCarrier message);
  void take_connect(std::uint32_t from, const carrier::Connect& message);
  void take_data(const Key& key, const carrier::Data& message);
  void announce(const Key& key, Channel& channel);
  void end(const Key& key, const Reason& why);
  void end_all(std::uint32_t carrier, const Error& why);
  void lose(std::uint32_t carrier, Error why);
  [[nodiscard]] Result<void> dial(const std::string& peer, const Endpoint& endpoint);

  template <class Message>
  void send(const Key& key, const Message& message);
  template <class Message>
  void send_last(const Key& key, Message message);

  CarriersHost* host_;
  const Clock* clock_;
  carrier::BesideIpsec beside_;
  OwnSockets sockets_;
  std::vector<UniqueFd> listening_;
  std::optional<carrier::CarrierWorker> worker_;
  std::optional<carrier::WorkerConfiguration> waiting_;  // until the worker takes one
  std::optional<carrier::ServiceListener> listener_;
  std::map<std::uint32_t, carrier::ServiceConnection> others_;
  std::map<std::uint32_t, bool> opens_;  // whether it makes channels when asked
  std::map<Key, Channel> channels_;
  std::uint32_t last_carrier_ = 0;
  carrier::Stats stats_;
  // What has happened while somebody else was on the stack.
  struct Lost {
    std::uint32_t carrier = 0;
    bool gone = false;  // with all its channels
    Error why;
  };
  std::vector<Lost> lost_;
  std::vector<std::pair<std::string, std::string>> unreachable_;
};

}  // namespace cs::keyms
