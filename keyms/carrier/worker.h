// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's end of its network worker: starts the process, tells it the configuration, and starts it
// anew when it has died, after a delay that doubles from first_delay to last_delay. For one thread
// and its event loop, as service_channel.h.
//
// The worker dies with the *thread* that called tick(). Its user is one of its own where keymsd may
// change users (CAP_SETUID, CAP_SETGID, in the ambient set if keymsd is not root), else keymsd's.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "keyms/carrier/service_channel.h"

namespace cs::keyms::carrier {

// Where the worker finds keymsd's socket.
inline constexpr int worker_descriptor = 3;

struct WorkerConfiguration {
  OwnEndpoint endpoint;
  std::vector<KnownPeer> peers;     // at most 1024
  std::vector<UniqueFd> listeners;  // at most 16; sockets.h makes them
};

class CarrierWorker {
 public:
  static constexpr std::chrono::milliseconds first_delay{100};
  static constexpr std::chrono::milliseconds last_delay{10'000};
  // It sends its counters each ten seconds: one that says nothing for so long hangs, or lies.
  static constexpr std::chrono::seconds silent_for{25};
  // Who lived so long is started anew without much delay.
  static constexpr std::chrono::seconds steady_after{30};

  struct Options {
    std::string program;  // .../libexec/countersign/keymsd-carrier
    std::string user;     // empty: it stays keymsd's
    std::vector<std::string> arguments = {};
  };
  // Does not start it yet. The clock must outlive it.
  static Result<CarrierWorker> create(const Clock& clock, Options options);
  CarrierWorker(CarrierWorker&&) = default;
  CarrierWorker& operator=(CarrierWorker&&) = delete;
  CarrierWorker(const CarrierWorker&) = delete;
  CarrierWorker& operator=(const CarrierWorker&) = delete;
  // Kills it.
  ~CarrierWorker();

  [[nodiscard]] int fd() const noexcept { return connection_ ? connection_->fd() : -1; }
  [[nodiscard]] short events() const noexcept {
    return connection_ ? connection_->events() : short{0};
  }
  // It runs, has shut itself in, and said so.
  [[nodiscard]] bool agreed() const noexcept { return connection_ && connection_->agreed(); }
  [[nodiscard]] std::size_t room() const noexcept { return connection_ ? connection_->room() : 0; }
  [[nodiscard]] std::size_t channels() const noexcept {
    return connection_ ? connection_->channels() : 0;
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }  // -1: it does not run

  // Not while it has taken half of the last one: that half would be taken for a part of the next.
  [[nodiscard]] bool takes_configuration() const noexcept;
  // Takes the place of what was configured before; kept for workers to come.
  Result<void> configure(WorkerConfiguration configuration);
  // The worker shall speak TLS over this socket (sockets.h); connect or unreachable follows.
  Result<void> dial(const Dial& dial, UniqueFd socket);

  // When tick() has something to do.
  [[nodiscard]] std::optional<BootTime> deadline() const noexcept;
  // Starts the worker if it is time to. An error: it did not work, or the worker is stuck and was
  // killed; the next try is due at deadline().
  Result<void> tick();

  // None: nothing is there now, or it does not run. An error: it has ended, and with it all
  // channels; it says how, and the worker is started anew at deadline().
  Result<std::optional<FromCarrier>> receive();
  // As ServiceConnection::send(); `closed` while it does not run.
  template <class Message>
  Result<void> send(const Message& message) {
    if (!connection_) return Error(ErrorKind::closed, "the network worker does not run");
    return kept(connection_->send(message));
  }
  Result<void> flush();

 private:
  CarrierWorker(const Clock& clock, Options options)
      : clock_(&clock), options_(std::move(options)), next_try_(clock.boot()) {}
  Result<void> start();
  // Sends as much of the configuration as there is room for.
  Result<void> feed();
  Result<void> feed_one(std::size_t step);
  Result<void> kept(Result<void> result);
  // Of a worker that has ended, or is to: takes it away, arranges for the next, and says how it
  // was.
  Error ended(const Error& why);
  std::string reap() noexcept;

  const Clock* clock_;
  Options options_;
  std::optional<WorkerConfiguration> configuration_;
  std::size_t fed_ = 0;  // messages of the configuration that were sent
  std::optional<ServiceConnection> connection_;
  pid_t pid_ = -1;
  BootTime started_;
  BootTime heard_;
  BootTime next_try_;
  std::chrono::milliseconds delay_ = first_delay;
};

}  // namespace cs::keyms::carrier
