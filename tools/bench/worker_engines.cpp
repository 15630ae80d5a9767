// SPDX-License-Identifier: GPL-3.0-or-later
// The data plane itself: its outbound and inbound workers.
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "nfq-signer/inbound_worker.h"
#include "nfq-signer/outbound_worker.h"
#include "tools/bench/engine.h"
#include "tools/bench/tpm_signing.h"

namespace cs::bench {

namespace {

constexpr std::uint32_t peer_id = 1;

void note(Drops& drops, std::string_view cause, const Counter& counter) {
  if (counter.value() != 0) drops[std::string(cause)] += counter.value();
}

std::uint64_t sum(const WorkerCounters::ByReason& counters) noexcept {
  std::uint64_t all = 0;
  for (const Counter& counter : counters) all += counter.value();
  return all;
}

Drops drops_of(const WorkerCounters& counters) {
  Drops drops;
  for (std::size_t i = 0; i < counters.dropped.size(); ++i)
    note(drops, to_string(static_cast<Reason>(i)), counters.dropped.at(i));
  note(drops, "no_peer", counters.no_peer);
  note(drops, "signer_failed", counters.signer_failed);
  note(drops, "truncated", counters.truncated);
  note(drops, "unusable", counters.unusable);
  note(drops, "lost", counters.lost);
  note(drops, "refused", counters.refused);
  return drops;
}

std::uint64_t finished_of(const WorkerCounters& counters) noexcept {
  return counters.signed_out.value() + counters.verified.value() + counters.unasked.value() +
         counters.untouched.value() + counters.no_peer.value() + counters.signer_failed.value() +
         sum(counters.dropped) + sum(counters.tolerated);
}

// Signs one statement at a time and gives the signature away when its time has come, as hardware
// would.
class SlowSigner final : public RootSigner {
 public:
  SlowSigner(SigningKey key, UniqueFd timer, std::chrono::milliseconds latency)
      : key_(std::move(key)), timer_(std::move(timer)), latency_(latency) {}

  [[nodiscard]] std::size_t depth() const noexcept override { return 1; }
  [[nodiscard]] bool submit(std::uint64_t ticket, const Statement& statement) override {
    auto signature = key_.sign(statement);
    if (!signature.ok()) return false;
    reply_ = {ticket, std::move(signature).value()};
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(latency_);
    const std::chrono::nanoseconds rest = latency_ - seconds;
    const itimerspec time{{0, 0}, {seconds.count(), rest.count()}};
    return ::timerfd_settime(timer_.get(), 0, &time, nullptr) == 0;
  }
  void collect(std::vector<Reply>& out) override {
    std::uint64_t times = 0;
    if (::read(timer_.get(), &times, sizeof(times)) > 0 && reply_)
      out.push_back(*std::exchange(reply_, std::nullopt));
  }
  [[nodiscard]] int fd() const noexcept override { return timer_.get(); }

 private:
  SigningKey key_;
  UniqueFd timer_;
  std::chrono::milliseconds latency_;
  std::optional<Reply> reply_;
};

template <class Worker>
class WorkerEngine final : public Engine {
 public:
  explicit WorkerEngine(Worker worker) : worker_(std::move(worker)) {}

  Result<void> work() override { return worker_.work(); }
  void wait(std::chrono::nanoseconds limit) const override {
    descriptors_.clear();
    worker_.descriptors(descriptors_);
    readable_.clear();
    for (const int fd : descriptors_) readable_.push_back({fd, POLLIN, 0});
    if (const auto idle = worker_.idle_for()) limit = std::min(limit, *idle);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
    const timespec time{seconds.count(), (limit - seconds).count()};
    ::ppoll(readable_.data(), readable_.size(), &time, nullptr);
  }
  [[nodiscard]] std::uint64_t passed() const noexcept override {
    return worker_.counters().signed_out.value() + worker_.counters().verified.value();
  }
  [[nodiscard]] std::uint64_t finished() const noexcept override {
    return finished_of(worker_.counters());
  }
  [[nodiscard]] Drops drops() const override { return drops_of(worker_.counters()); }

 private:
  Worker worker_;
  mutable std::vector<int> descriptors_;
  mutable std::vector<pollfd> readable_;
};

Result<std::unique_ptr<RootSigner>> make_signer(EngineKind kind, const EngineSetting& setting,
                                                const Keys& keys) {
  if (kind == EngineKind::sign_tpm) return setting.tpm->make_signer();
  CS_TRY(SigningKey key, keys.signing());
  std::unique_ptr<RootSigner> signer;
  if (kind == EngineKind::sign) {
    signer = std::make_unique<LocalSigner>(std::move(key));
  } else {
    UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer) return from_errno(errno, "making a timer");
    signer = std::make_unique<SlowSigner>(std::move(key), std::move(timer), setting.signer_latency);
  }
  return signer;
}

}  // namespace

Result<std::unique_ptr<Engine>> make_worker_engine(EngineKind kind, const EngineSetting& setting,
                                                   const Options& options, const Keys& keys,
                                                   const Clock& clock) {
  Queue::Options wanted{.number = setting.queue, .length = setting.length};
  wanted.receive_buffer = receive_buffer(setting, options);
  // A batch that waits for its signature and all that gathers meanwhile.
  wanted.slots = std::max(wanted.slots, 3 * setting.batch);
  CS_TRY(Queue queue, Queue::open(wanted));
  std::unique_ptr<Engine> engine;
  if (kind == EngineKind::verify) {
    CS_TRY(InboundWorker worker, InboundWorker::create(std::move(queue), clock, {}));
    CS_TRY(InboundKey key, keys.inbound(options.queues));
    CS_CHECK(worker.verifier().add_key(std::move(key)));
    engine = std::make_unique<WorkerEngine<InboundWorker>>(std::move(worker));
    return engine;
  }
  OutboundWorker::Options how;
  how.max_batch = setting.batch;
  CS_TRY(OutboundWorker worker, OutboundWorker::create(std::move(queue), clock, how));
  WorkerPeer peer{peer_id, Mode::enforce, {}};
  for (const Target target : {Target::sink, Target::receiver}) {
    peer.addresses.push_back(mapped_address(target_address(options.ipv6, target, setting.index)));
  }
  CS_TRY(OutboundKey key, keys.outbound(static_cast<std::uint16_t>(setting.index)));
  CS_TRY(std::unique_ptr<RootSigner> signer, make_signer(kind, setting, keys));
  worker.set_peer(std::move(peer));
  worker.set_key(peer_id, std::move(key), std::move(signer));
  engine = std::make_unique<WorkerEngine<OutboundWorker>>(std::move(worker));
  return engine;
}

}  // namespace cs::bench
