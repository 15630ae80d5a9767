// SPDX-License-Identifier: GPL-3.0-or-later
// A gateway with a real network worker, and in the place of keymsd a stub that keeps what it is
// told. All in one thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "keyms/carrier/endpoint.h"
#include "keyms/carrier/sockets.h"
#include "keyms/carrier/worker.h"
#include "tests/unit/signed_hello.h"

namespace cs::test {

namespace carrier = keyms::carrier;

inline const SystemClock machine_clock;

inline carrier::OwnEndpoint fresh_endpoint(std::string_view ne_id) {
  const WallTime now = machine_clock.wall();
  return get(carrier::make_endpoint(ne_id, {now, now + std::chrono::hours(1)}));
}

inline carrier::OwnEndpoint copy(const carrier::OwnEndpoint& endpoint) {
  return {endpoint.ne_id, endpoint.certificate,
          get(SecretBytes::copy_of(endpoint.private_key.bytes()))};
}

// What one gateway is, and what it says of itself.
struct Identity {
  explicit Identity(const std::string& ne_id) : endpoint(fresh_endpoint(ne_id)) {}

  [[nodiscard]] keyms::SessionHello hello(keyms::Role role, const std::string& to) const {
    keyms::SessionHello hello = session_hello();
    hello.role = role;
    hello.from = endpoint.ne_id;
    hello.to = to;
    hello.core_properties = counted<32>(0x30);
    hello.ak_public = key.area().encode();
    key.sign(hello, statement());
    return hello;
  }
  [[nodiscard]] keyms::EndpointStatement statement() const {
    const auto now = static_cast<std::uint64_t>(to_time_t(machine_clock.wall()));
    return {endpoint.ne_id, carrier::hash_of(endpoint.certificate), now - 5, now + 3600};
  }
  [[nodiscard]] carrier::KnownPeer as_peer() const {
    return {endpoint.ne_id, {counted<32>(0x30)}, key.name().bytes, {}};
  }
  carrier::OwnEndpoint endpoint;
  SignedHello key;
};

inline std::uint16_t port_of(const UniqueFd& fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

inline net::Address loopback(const char* address = "127.0.0.1") {
  return get(net::Address::parse(address));
}

// Port 0, which Endpoint's rules refuse but the kernel knows: any.
inline UniqueFd listener() {
  return get(carrier::listen_for_peers({loopback(), 0}, carrier::BesideIpsec::no));
}

class Gateway {
 public:
  Gateway(const std::string& ne_id, std::vector<std::string> arguments = {})
      : self(ne_id), listening(listener()), worker_(start(std::move(arguments))) {}

  void knows(std::vector<carrier::KnownPeer> peers) {
    carrier::WorkerConfiguration configuration{copy(self.endpoint), std::move(peers), {}};
    configuration.listeners.emplace_back(::dup(listening.get()));
    get(worker_.configure(std::move(configuration)));
  }
  void call(const std::string& peer, std::uint16_t port) {
    const carrier::Endpoint there{loopback(), port};
    get(worker_.dial({peer, there}, get(carrier::call_peer(there, carrier::BesideIpsec::no))));
  }
  [[nodiscard]] std::uint16_t port() const { return port_of(listening); }
  [[nodiscard]] carrier::CarrierWorker& worker() { return worker_; }

  // Takes what there is, without waiting.
  void turn() {
    if (const auto ticked = worker_.tick(); !ticked.ok()) trouble = ticked.error().message();
    if (const auto sent = worker_.flush(); !sent.ok()) trouble = sent.error().message();
    while (true) {
      auto message = worker_.receive();
      if (!message.ok()) {
        trouble = message.error().message();
        return;
      }
      if (!*message) return;
      if (auto* told = std::get_if<carrier::Stats>(&**message)) {
        stats = *told;
      } else if (!std::holds_alternative<carrier::Hello>(**message)) {
        told_.push_back(std::move(**message));
      }
    }
  }
  [[nodiscard]] bool was_told() const { return !told_.empty(); }
  // The next that is not `stats`.
  carrier::FromCarrier take() {
    carrier::FromCarrier message = std::move(told_.at(0));
    told_.pop_front();
    return message;
  }
  // That, and of this kind.
  template <class Message>
  Message next() {
    auto* message = std::get_if<Message>(&told_.at(0));
    if (message == nullptr) {
      throw std::runtime_error("another message: " + std::to_string(told_.front().index()));
    }
    Message taken = std::move(*message);
    told_.pop_front();
    return taken;
  }

  Identity self;
  UniqueFd listening;
  carrier::Stats stats;
  std::string trouble;  // the last

 private:
  static carrier::CarrierWorker start(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--stats-every-ms", "20"});
    return get(carrier::CarrierWorker::create(
        machine_clock, {CS_CARRIER, ::geteuid() == 0 ? "nobody" : "", std::move(arguments)}));
  }
  carrier::CarrierWorker worker_;
  std::deque<carrier::FromCarrier> told_;
};

// Lets the gateways work until `done`. Whether it came to that.
inline bool work(const std::vector<Gateway*>& gateways, const std::function<bool()>& done,
                 std::chrono::milliseconds limit = std::chrono::seconds(8)) {
  const BootTime end = machine_clock.boot() + limit;
  while (machine_clock.boot() < end) {
    for (Gateway* gateway : gateways) gateway->turn();
    if (done()) return true;
    std::vector<pollfd> waiting;
    for (Gateway* gateway : gateways)
      waiting.push_back({gateway->worker().fd(), gateway->worker().events(), 0});
    ::poll(waiting.data(), waiting.size(), 10);
  }
  return false;
}

}  // namespace cs::test
