// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/daemon.h"

#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/user.h"
#include "keyms/daemon/config_watch.h"
#include "keyms/daemon/control_verbs.h"
#include "keyms/daemon/running.h"

namespace cs::keyms {
namespace {

constexpr std::chrono::seconds open_again{5};
// A TPM command that takes so long: the device hangs, and only a new process gets rid of it.
constexpr std::chrono::seconds most_for_tpm{60};
// So long a carrier has for passing on what it was given last (docs/PROTOCOL.md).
constexpr std::chrono::seconds most_goodbye{2};

Result<UniqueFd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0)
    return Error(ErrorKind::internal, "blocking signals");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return from_errno(errno, "making a signalfd");
  return fd;
}

class Daemon final : public LoopPart, private ControlState {
 public:
  Daemon(const DaemonConfig& config, const std::string& path, std::string release, UniqueFd signals)
      : config_(&config),
        config_watch_(path, configuration_digest(config), clock_),
        release_(std::move(release)),
        signals_(std::move(signals)),
        events_(clock_),
        since_(clock_.wall()) {}

  Result<void> serve();

  void wait(Waits& waits) const override;
  Result<void> run() override;

 private:
  // ControlState
  [[nodiscard]] Running* running() override { return running_ ? &*running_ : nullptr; }
  [[nodiscard]] Events& events() override { return events_; }
  [[nodiscard]] const Clock& clock() const override { return clock_; }
  [[nodiscard]] About about() const override {
    return {release_, since_, locked_, config_watch_.found()};
  }
  void try_again() override {
    if (!running_ || !running_->conductor) next_try_ = clock_.boot();
  }

  Result<void> say_goodbye();
  void take_signal();
  void tell_configuration();
  void try_to_open();
  [[nodiscard]] Result<void> open_tpm();
  [[nodiscard]] SignerService::Hooks signer_hooks();
  void open_machine();
  struct Opened {
    std::unique_ptr<Machine> machine;  // null: the one that was there
    std::optional<Conductor::Kept> kept;
    std::optional<Error> why;  // it is not open
  };
  void machine_opened(Result<Opened> opened);
  void locked(const Error& why);
  void tell_systemd();

  const DaemonConfig* config_;
  SystemClock clock_;
  ConfigWatch config_watch_;
  std::string release_;
  UniqueFd signals_;
  Events events_;
  WallTime since_;
  std::string locked_ = "it is starting";  // why there is no conductor; empty: there is
  std::unique_ptr<ControlServer> control_;
  std::optional<Running> running_;
  std::optional<BootTime> next_try_;
  BootTime next_telling_;  // to systemd
  bool ending_ = false;
};

Result<void> Daemon::serve() {
  CS_TRY(control_,
         ControlServer::open(clock_, config_->control_socket,
                             [this](const auto& request, const auto& arguments, auto reply) {
                               answer(*this, request, arguments, std::move(reply));
                             }));
  events_.follow([this](const nlohmann::json& event) { control_->publish(event); });
  next_try_ = clock_.boot();
  Loop loop(clock_);
  loop.add(*control_);
  loop.add(*this);
  // It answers from here on; whether it attests is its status.
  sd_notify(0, "READY=1");
  events_.tell({EventKind::started, "", "", "keymsd " + release_});
  while (!ending_) {
    CS_CHECK(loop.turn());
    tell_systemd();
  }
  sd_notify(0, "STOPPING=1");
  events_.tell({EventKind::stopping, "", "", "the peers are told, and nothing passes any more"});
  return say_goodbye();
}

// A carrier ends with this process, and takes with it what it has not passed on.
Result<void> Daemon::say_goodbye() {
  if (!running_ || !running_->conductor) return {};
  running_->conductor->stop();
  Carriers* const carriers = running_->conductor->carriers();
  if (carriers == nullptr) return {};
  const BootTime until = clock_.boot() + most_goodbye;
  Loop loop(clock_);
  loop.add(*carriers);
  while (carriers->has_channels() && clock_.boot() < until) CS_CHECK(loop.turn());
  return {};
}

void Daemon::wait(Waits& waits) const {
  waits.on(signals_.get());
  waits.until(next_try_);
  if (locked_.empty()) waits.until(config_watch_.deadline());
  if (!running_) return;
  running_->desk->wait(waits);
  running_->signer->wait(waits);
  if (running_->conductor) running_->conductor->wait(waits);
}

Result<void> Daemon::run() {
  take_signal();
  // What opens a closed store may be another configuration.
  if (locked_.empty() && config_watch_.look()) tell_configuration();
  if (next_try_ && clock_.boot() >= *next_try_) try_to_open();
  if (!running_) return {};
  CS_CHECK(running_->desk->run());
  CS_CHECK(running_->signer->run());
  if (!running_->conductor) return {};
  if (running_->began_anew->exchange(false)) running_->conductor->tpm_began_anew();
  return running_->conductor->run();
}

void Daemon::take_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != SIGHUP) ending_ = true;
    if (info.ssi_signo == SIGHUP && running_ && running_->conductor)
      running_->conductor->reread_trust();
  }
}

void Daemon::tell_configuration() {
  const auto& [words, mend] = config_watch_.found();
  if (words.empty()) {
    events_.tell({EventKind::healed, "", "configuration", "the file is what keymsd runs with"});
  } else {
    events_.tell({EventKind::trouble, "", "configuration", words + "; " + mend});
  }
}

void Daemon::locked(const Error& why) {
  next_try_ = clock_.boot() + open_again;
  if (locked_ == why.message()) return;
  locked_ = why.message();
  events_.tell({EventKind::trouble, "", "locked", "nothing is attested: " + locked_});
}

void Daemon::try_to_open() {
  next_try_.reset();
  if (!running_) {
    if (const auto opened = open_tpm(); !opened.ok()) {
      locked(opened.error());
      return;
    }
  }
  open_machine();
}

Result<void> Daemon::open_tpm() {
  Running made;
  tpm::DeviceOptions device;
  device.tcti = config_->tcti;
  device.failures = config_->failures();
  CS_TRY(made.owner,
         tpm::Owner::open(std::move(device),
                          [anew = made.began_anew](const tpm::Generation& /*generation*/) {
                            anew->store(true);
                          }));
  CS_TRY(made.desk, TpmDesk::create(*made.owner));
  CS_TRY(made.root_signer, TpmRootSigner::create(*made.owner, clock_));
  auto user = find_user(config_->signer_user);
  if (!user.ok()) return std::move(user).error().context("sockets.signer_user");
  CS_TRY(SignerListener listener, SignerListener::open(clock_, config_->signer_socket, user->id));
  made.signer = std::make_unique<SignerService>(clock_, std::move(listener), made.root_signer.get(),
                                                signer_hooks());
  running_.emplace(std::move(made));
  return {};
}

SignerService::Hooks Daemon::signer_hooks() {
  SignerService::Hooks hooks;
  hooks.fetch = [this](std::uint32_t key, SignerService::Answer answer) {
    running_->desk->ask(
        tpm::Priority::signature,
        [machine = running_->machine.get(), key](tpm::Device& device) {
          return machine->fetch_key(device, key);
        },
        std::move(answer));
  };
  hooks.applied = [this](std::uint32_t key) {
    if (running_->conductor) running_->conductor->applied(key);
  };
  hooks.lost = [this](std::uint32_t key, Table table, const Error& why) {
    events_.tell({EventKind::trouble, "", "key", why.message()});
    if (running_->conductor) running_->conductor->lost_key(key, table);
  };
  hooks.connection = [this](bool connected, const std::string& words) {
    events_.tell({connected ? EventKind::healed : EventKind::trouble, "", "data_plane", words});
  };
  return hooks;
}

// Where the state of the machine is not one that the store opens in, the machine is kept as far as
// it goes: logs can be looked at, and an approval opens it.
void Daemon::open_machine() {
  Machine::Options options{*config_, configuration_digest(*config_), &clock_};
  running_->desk->ask(
      tpm::Priority::extend,
      [options = std::move(options),
       there = running_->machine.get()](tpm::Device& device) -> Result<Opened> {
        Opened out;
        Machine* machine = there;
        if (machine == nullptr) {
          CS_TRY(out.machine, Machine::open_locked(device, options));
          machine = out.machine.get();
        }
        if (auto unlocked = machine->try_unlock(device); !unlocked.ok()) {
          out.why = std::move(unlocked).error();
          return out;
        }
        CS_TRY(out.kept, Conductor::read_kept(device, *machine, *options.clock));
        return out;
      },
      [this](Result<Opened> opened) { machine_opened(std::move(opened)); });
}

void Daemon::machine_opened(Result<Opened> opened) {
  if (opened.ok() && opened->machine) running_->machine = std::move(opened->machine);
  if (!opened.ok() || opened->why) {
    locked(opened.ok() ? *opened->why : opened.error());
    return;
  }
  locked_.clear();
  running_->conductor = std::make_unique<Conductor>(
      Conductor::Tools{config_, &clock_, running_->desk.get(), running_->machine.get(),
                       running_->signer.get(), running_->root_signer.get(), &events_},
      std::move(*opened->kept));
}

// The watchdog is fed by who goes round, and only while the TPM answers too. Not at every turn: a
// flood makes many.
void Daemon::tell_systemd() {
  if (clock_.boot() < next_telling_) return;
  next_telling_ = clock_.boot() + Loop::longest;
  const bool hangs = running_ && running_->desk->is_stuck_for(most_for_tpm);
  if (hangs) {
    events_.tell({EventKind::trouble, "", "tpm", "the TPM has not answered for a minute"});
    return;
  }
  std::string line = "WATCHDOG=1\nSTATUS=" + summary_of(*this);
  sd_notify(0, line.c_str());
}

}  // namespace

Result<void> run_daemon(const DaemonConfig& config, const std::string& path,
                        const std::string& release) {
  CS_TRY(UniqueFd signals, take_signals());
  Daemon daemon(config, path, release, std::move(signals));
  return daemon.serve();
}

}  // namespace cs::keyms
