// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/daemon.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/user.h"
#include "keyms/signer_channel.h"
#include "nfq-signer/control_socket.h"
#include "nfq-signer/path_keeper.h"
#include "nfq-signer/privileges.h"
#include "nfq-signer/sessions.h"
#include "nfq-signer/status.h"
#include "nfq-signer/totals.h"
#include "xfrm/offload.h"

namespace cs {

namespace {

// How often what nobody announces is looked at, and systemd is told that we live.
constexpr std::chrono::seconds look_around{1};

// One line of the journal; the prefix is its priority (sd-daemon(3)).
void say(const char* priority, const std::string& line) {
  std::cerr << priority << line << std::endl;
}

Result<UniqueFd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT}) sigaddset(&set, number);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0)
    return Error(ErrorKind::internal, "blocking signals");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return from_errno(errno, "making a signalfd");
  return fd;
}

std::optional<int> cpu_for(const Config& config, std::size_t worker) {
  if (config.cpus.empty()) return std::nullopt;
  return config.cpus.at(worker % config.cpus.size());
}

Queue::Options queue_options(const Config& config, std::uint16_t number) {
  return {.number = number, .length = config.queue_length, .slots = config.slots};
}

Result<Workers> start_workers(const Config& config, const Clock& clock) {
  Workers out;
  for (std::uint16_t i = 0; i < config.queues; ++i) {
    const auto number = static_cast<std::uint16_t>(config.first_queue + i);
    CS_TRY(Queue queue, Queue::open(queue_options(config, number)));
    CS_TRY(OutboundWorker worker,
           OutboundWorker::create(std::move(queue), clock,
                                  {.max_batch = config.max_batch,
                                   .interval = config.interval,
                                   .udp_ports = config.udp_ports,
                                   .mark = {config.marks.signed_mark, config.marks.outbound_mask},
                                   .translator = config.translator}));
    CS_TRY(auto thread, OutboundThread::start(std::move(worker), cpu_for(config, i)));
    out.outbound.push_back(std::move(thread));
  }
  for (std::uint16_t i = 0; i < config.queues; ++i) {
    const auto number = static_cast<std::uint16_t>(config.first_queue + config.queues + i);
    CS_TRY(Queue queue, Queue::open(queue_options(config, number)));
    CS_TRY(InboundWorker worker,
           InboundWorker::create(std::move(queue), clock,
                                 {.udp_ports = config.udp_ports,
                                  .mark = {config.marks.inbound_mark, config.marks.inbound_mask},
                                  .translator_port = config.translator.port}));
    CS_TRY(auto thread, InboundThread::start(std::move(worker),
                                             cpu_for(config, std::size_t{config.queues} + i)));
    out.inbound.push_back(std::move(thread));
  }
  return out;
}

// What bypasses us, in words with the cure; empty: nothing does. Not knowing counts as bypassed.
std::string bypass(const OffloadProbe& probe) {
  const auto found = probe.find_offloads();
  if (!found.ok()) return found.error().message();
  std::string words;
  for (const OffloadFinding& finding : *found) {
    words += (words.empty() ? "" : "; ") + finding.words + ": " + finding.cure;
  }
  return words;
}

class Daemon {
 public:
  static Result<Daemon> create(const DaemonOptions& options, const Clock& clock);
  Result<void> run();

 private:
  Daemon(Config config, const Clock& clock, OffloadProbe probe, UniqueFd signals, Workers workers,
         std::shared_ptr<SignatureExchange> exchange, keyms::KeymsdConnection keymsd,
         ControlSocket control, mtu::PathKeeper paths)
      : config_(std::move(config)),
        clock_(&clock),
        probe_(std::move(probe)),
        signals_(std::move(signals)),
        workers_(std::make_unique<Workers>(std::move(workers))),
        exchange_(exchange),
        sessions_(*workers_, std::move(exchange), clock),
        keymsd_(std::move(keymsd)),
        control_(std::move(control)),
        paths_(std::move(paths)) {}

  Result<void> serve();
  Result<void> wait_and_serve();
  [[nodiscard]] int wait_limit() const;
  Result<void> serve_keymsd();
  Result<bool> take_message();
  void connection_ended(const Error& why);
  void tell_trouble(const Error& why);
  void tell_counters();
  Result<void> request_signatures();
  Result<void> look();
  Result<void> keep_paths();
  Result<void> set_closed(std::string reason);
  [[nodiscard]] Status status() const;
  void tell_systemd() const;

  Config config_;
  const Clock* clock_;
  OffloadProbe probe_;
  UniqueFd signals_;
  std::unique_ptr<Workers> workers_;
  std::shared_ptr<SignatureExchange> exchange_;
  Sessions sessions_;
  keyms::KeymsdConnection keymsd_;
  ControlSocket control_;
  mtu::PathKeeper paths_;
  std::vector<SignatureExchange::Request> requests_;
  std::string closed_;                 // the reason; empty: open
  std::optional<keyms::Status> told_;  // to this connection
  std::string trouble_;  // with keymsd, as it was told last; empty: none since it was there
  BootTime next_look_;
  BootTime next_paths_;
  bool was_agreed_ = false;
  bool is_ending_ = false;
};

keyms::Instance draw_instance() {
  keyms::Instance out{};
  Salt drawn = random_salt();
  std::copy(drawn.begin(), drawn.end(), out.begin());
  return out;
}

Result<Daemon> Daemon::create(const DaemonOptions& options, const Clock& clock) {
  const Config& config = options.config;
  auto their_user = find_user(config.keymsd_user);
  if (!their_user.ok()) return std::move(their_user).error().context("keymsd.user");
  if (!options.user.empty()) {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    static_cast<void>(
        ::setrlimit(RLIMIT_MEMLOCK, &unlimited));  // lock_memory() says if it was needed
  }
  CS_CHECK(keep_net_admin_alone(options.user));
  if (!options.allow_swapping) CS_CHECK(lock_memory());
  CS_TRY(OffloadProbe probe, OffloadProbe::create());
  if (std::string found = bypass(probe); !found.empty())
    return Error(ErrorKind::denied, "starting: " + found);
  CS_TRY(UniqueFd signals, take_signals());
  CS_TRY(std::shared_ptr<SignatureExchange> exchange, SignatureExchange::create());
  CS_TRY(keyms::KeymsdConnection keymsd,
         keyms::KeymsdConnection::create(
             clock, {.path = config.keymsd_socket,
                     .keymsd_uid = their_user->id,
                     .hello = {.workers = config.queues, .instance = draw_instance()}}));
  CS_TRY(mtu::PathKeeper paths, mtu::PathKeeper::open({.tunnels = config.tunnels,
                                                       .policy = config.mtu_policy,
                                                       .tables = config.route_tables,
                                                       .memory = config.route_memory,
                                                       .max_batch = config.max_batch}));
  CS_TRY(ControlSocket control, ControlSocket::open(config.control_socket));
  CS_TRY(Workers workers, start_workers(config, clock));
  CS_CHECK(filter_system_calls());
  return Daemon(config, clock, std::move(probe), std::move(signals), std::move(workers),
                std::move(exchange), std::move(keymsd), std::move(control), std::move(paths));
}

// Whatever ends it, the inner routes get back what they had.
Result<void> Daemon::run() {
  Result<void> served = serve();
  if (auto restored = paths_.restore(); !restored.ok())
    say(SD_ERR, "inner routes keep their MTU: " + restored.error().message());
  return served;
}

Result<void> Daemon::serve() {
  CS_CHECK(keep_paths());
  next_look_ = clock_->boot() + look_around;
  tell_systemd();
  sd_notify(0, "READY=1");
  say(SD_INFO, "ready: queues " + std::to_string(config_.first_queue) + " to " +
                   std::to_string(config_.first_queue + 2 * config_.queues - 1));
  while (!is_ending_) CS_CHECK(wait_and_serve());
  sd_notify(0, "STOPPING=1");
  say(SD_INFO, "stopping: from here on the kernel drops what comes");
  for (const auto& worker : workers_->outbound) CS_CHECK(worker->stop());
  for (const auto& worker : workers_->inbound) CS_CHECK(worker->stop());
  return {};
}

Result<void> Daemon::wait_and_serve() {
  std::array<pollfd, 4> polled{{{signals_.get(), POLLIN, 0},
                                {control_.fd(), POLLIN, 0},
                                {exchange_->fd(), POLLIN, 0},
                                {keymsd_.fd(), keymsd_.events(), 0}}};
  if (::poll(polled.data(), polled.size(), wait_limit()) < 0 && errno != EINTR)
    return from_errno(errno, "waiting (poll)");
  if (polled[0].revents != 0) is_ending_ = true;
  if (polled[1].revents != 0) control_.answer(status_json(status()));
  CS_CHECK(serve_keymsd());
  CS_CHECK(request_signatures());
  if (clock_->boot() >= next_look_) CS_CHECK(look());
  if (clock_->boot() >= next_paths_) CS_CHECK(keep_paths());
  return {};
}

int Daemon::wait_limit() const {
  BootTime until = std::min(next_look_, next_paths_);
  if (const auto deadline = keymsd_.deadline()) until = std::min(until, *deadline);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock_->boot());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

Result<void> Daemon::serve_keymsd() {
  if (const auto deadline = keymsd_.deadline(); deadline && clock_->boot() >= *deadline) {
    if (auto tried = keymsd_.tick(); !tried.ok()) tell_trouble(tried.error());
  }
  for (;;) {
    CS_TRY(const bool more, take_message());
    if (!more) break;
  }
  if (auto flushed = keymsd_.flush(); !flushed.ok()) connection_ended(flushed.error());
  return {};
}

// False: nothing is there now. Only a worker that ended ends the daemon.
Result<bool> Daemon::take_message() {
  auto received = keymsd_.receive();
  if (!received.ok()) {
    connection_ended(received.error());
    return false;
  }
  if (!*received) return false;
  keyms::FromKeymsd message = std::move(**received);
  if (std::holds_alternative<keyms::Welcome>(message)) {
    was_agreed_ = true;
    trouble_.clear();
    told_.reset();
    sessions_.begin_state();
    say(SD_INFO, "connected to keymsd");
    return true;
  }
  if (const auto* reply = std::get_if<keyms::SignReply>(&message)) {
    const bool is_done = reply->status == keyms::SignStatus::done;
    const bool is_busy = reply->status == keyms::SignStatus::busy;
    exchange_->reply(
        {reply->ticket, is_done ? std::optional(reply->signature) : std::nullopt, is_busy});
    if (!is_done && !is_busy)
      say(SD_WARNING, "keymsd did not sign a batch: " + std::string(to_string(reply->status)));
    return true;
  }
  const auto* const inbound = std::get_if<keyms::InboundKey>(&message);
  const auto key = inbound != nullptr ? std::optional(inbound->record.scope.key) : std::nullopt;
  if (auto applied = sessions_.apply(std::move(message)); !applied.ok()) {
    if (applied.error().kind() == ErrorKind::closed) return std::move(applied).error();
    say(SD_ERR, "refused what keymsd told: " + applied.error().message());
  } else if (key) {
    if (auto sent = keymsd_.send(keyms::Applied{*key}); !sent.ok()) connection_ended(sent.error());
  }
  tell_systemd();
  return true;
}

void Daemon::connection_ended(const Error& why) {
  exchange_->postpone_all();
  if (std::exchange(was_agreed_, false))
    say(SD_WARNING, "lost keymsd; its keys stay until each ends");
  tell_trouble(why);
  tell_systemd();
}

// What keeps us from keymsd: once, not at each try.
void Daemon::tell_trouble(const Error& why) {
  const std::string words = why.message();
  if (words == trouble_) return;
  trouble_ = words;
  say(SD_WARNING, "keymsd: " + words);
}

// Only what has changed, and only where it keeps nothing from its place.
void Daemon::tell_counters() {
  if (!keymsd_.agreed() || keymsd_.room() == 0) return;
  keyms::Status now;
  for (const auto& worker : workers_->outbound) add_to(now, worker->counters());
  for (const auto& worker : workers_->inbound) add_to(now, worker->counters());
  if (std::exchange(told_, now) == now) return;
  if (const auto sent = keymsd_.send(now); !sent.ok()) connection_ended(sent.error());
}

Result<void> Daemon::request_signatures() {
  if (!keymsd_.agreed()) {
    exchange_->postpone_all();
    return {};
  }
  requests_.clear();
  exchange_->take(keymsd_.room(), requests_);
  for (const SignatureExchange::Request& request : requests_) {
    const auto sent =
        keymsd_.send(keyms::SignRequest{request.ticket, request.key, request.statement});
    if (sent.ok()) continue;
    connection_ended(sent.error());
    break;
  }
  return {};
}

Result<void> Daemon::look() {
  next_look_ = clock_->boot() + look_around;
  for (const auto& worker : workers_->outbound) {
    if (worker->has_ended()) return worker->stop();
  }
  for (const auto& worker : workers_->inbound) {
    if (worker->has_ended()) return worker->stop();
  }
  CS_CHECK(set_closed(bypass(probe_)));
  tell_counters();
  tell_systemd();
  sd_notify(0, "WATCHDOG=1");
  return {};
}

Result<void> Daemon::keep_paths() {
  const std::vector<mtu::Destination> destinations = sessions_.destinations();
  const bool has_changed = paths_.look(destinations, clock_->boot());
  next_paths_ = clock_->boot() + config_.mtu_interval;
  for (const auto& notice : paths_.take_notices())
    say(notice.is_trouble ? SD_WARNING : SD_INFO, notice.words);
  if (!has_changed) return {};
  const std::vector<PathLimit> limits = paths_.limits();
  for (const auto& worker : workers_->outbound)
    CS_CHECK(worker->call([&](OutboundWorker& signer) { signer.set_paths(limits); }));
  return {};
}

Result<void> Daemon::set_closed(std::string reason) {
  if (reason == closed_) return {};
  const bool is_change = reason.empty() != closed_.empty();
  closed_ = std::move(reason);
  say(closed_.empty() ? SD_NOTICE : SD_CRIT,
      closed_.empty() ? "open again" : "CLOSED, nothing passes: " + closed_);
  if (!is_change) return {};
  const bool closed = !closed_.empty();
  const auto set = [closed](auto& worker) { worker.set_closed(closed); };
  for (const auto& worker : workers_->outbound) CS_CHECK(worker->call(set));
  for (const auto& worker : workers_->inbound) CS_CHECK(worker->call(set));
  return {};
}

Status Daemon::status() const {
  Status out{.is_closed = !closed_.empty(),
             .reason = closed_,
             .has_keymsd = keymsd_.agreed(),
             .keymsd_trouble = trouble_,
             .peers = sessions_.peers(),
             .outbound_keys = sessions_.outbound_keys(),
             .inbound_keys = sessions_.inbound_keys(),
             .workers = {},
             .paths = paths_.paths()};
  std::uint16_t queue = config_.first_queue;
  for (const auto& worker : workers_->outbound)
    out.workers.push_back({"outbound", queue++, &worker->counters()});
  for (const auto& worker : workers_->inbound)
    out.workers.push_back({"inbound", queue++, &worker->counters()});
  return out;
}

void Daemon::tell_systemd() const {
  const Status now = status();
  std::string line = "STATUS=";
  if (now.is_closed) {
    line += "CLOSED: " + now.reason;
  } else {
    line += std::to_string(now.peers) + " peers, " + std::to_string(now.outbound_keys) +
            " keys to sign, " + std::to_string(now.inbound_keys) + " to verify; keymsd " +
            (now.has_keymsd ? "connected" : "away");
  }
  sd_notify(0, line.c_str());
}

}  // namespace

Result<void> run_daemon(const DaemonOptions& options) {
  const SystemClock clock;
  auto daemon = Daemon::create(options, clock);
  if (!daemon.ok()) return std::move(daemon).error();
  return daemon->run();
}

}  // namespace cs
