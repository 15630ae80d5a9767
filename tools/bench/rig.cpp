// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/rig.h"

#include <sched.h>
#include <sys/prctl.h>

#include <cerrno>
#include <numeric>

namespace cs::bench {

namespace {

std::string text_of(const Drops& drops) {
  std::string text;
  for (const auto& [cause, count] : drops)
    text += (text.empty() ? "" : ", ") + cause + " " + std::to_string(count);
  return text.empty() ? "none" : text;
}

}  // namespace

Result<std::vector<int>> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0)
    return from_errno(errno, "asking which processors may be used");
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

void stay_on(const std::vector<int>& cores, std::size_t index, std::size_t wanted) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (wanted <= cores.size()) {
    CPU_SET(cores[index], &set);
  } else {
    for (const int core : cores) CPU_SET(core, &set);
  }
  ::sched_setaffinity(0, sizeof(set), &set);  // a thread that moves is slower, not wrong
}

void nap(std::chrono::nanoseconds time) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const timespec wanted{seconds.count(), (time - seconds).count()};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &wanted, nullptr);
}

void no_timer_slack() noexcept {
  ::prctl(PR_SET_TIMERSLACK, 1UL);
}

Result<Rig> Rig::create(const Context& context, const Mode& mode, const Network& network,
                        std::uint32_t length) {
  CS_TRY(Sender sender, Sender::open(network.a(), context.options));
  Rig rig(mode, network, std::move(sender));
  CS_TRY(rig.before_, network.count());
  if (mode.path != Path::in)
    CS_CHECK(rig.open(context, mode.first, network.a(), first_out_queue, length));
  if (mode.path == Path::in)
    CS_CHECK(rig.open(context, mode.first, network.b(), first_in_queue, length));
  if (mode.path == Path::both && mode.second) {
    rig.last_stage_ = rig.engines_.size();
    CS_CHECK(rig.open(context, *mode.second, network.b(), first_in_queue, length));
  }
  return rig;
}

Result<void> Rig::open(const Context& context, EngineKind kind, const Netns& netns,
                       std::uint16_t first_queue, std::uint32_t length) {
  for (std::size_t i = 0; i < context.options.queues; ++i) {
    const EngineSetting setting{
        .queue = static_cast<std::uint16_t>(first_queue + i),
        .index = i,
        .length = length,
        .batch = kind == EngineKind::sign_remote ? remote_batch : context.options.batch,
        .signer_latency = mode_->signer_latency,
        .tpm = context.tpm};
    CS_TRY(auto engine, netns.run([&] {
      return make_engine(kind, setting, context.options, context.keys, context.clock);
    }));
    engines_.push_back(std::move(engine));
  }
  return {};
}

std::size_t Rig::bytes_of(const PacketSet& packets, std::size_t first, std::size_t count) {
  std::size_t bytes = 0;
  for (std::size_t i = first; i < first + count; ++i) bytes += packets.at(i).size();
  return bytes;
}

std::uint64_t Rig::finished() const noexcept {
  return std::accumulate(
      engines_.begin() + static_cast<std::ptrdiff_t>(last_stage_), engines_.end(), std::uint64_t{0},
      [](std::uint64_t sum, const auto& engine) { return sum + engine->finished(); });
}

Result<Drops> Rig::drops() const {
  Drops all;
  for (const auto& engine : engines_) {
    for (const auto& [cause, count] : engine->drops()) all[cause] += count;
  }
  for (const Netns* netns : {&network_->a(), &network_->b()}) {
    CS_TRY(const QueueState state, Network::queues_of(*netns));
    if (state.dropped_full != 0) all["queue_full"] += state.dropped_full;
    if (state.dropped_buffer != 0) all["buffer_full"] += state.dropped_buffer;
  }
  return all;
}

Error Rig::stuck() const {
  const auto causes = drops();
  return Error(ErrorKind::timed_out,
               "mode " + mode_->name + ": packets are missing: " + std::to_string(sent_) +
                   " sent, " + std::to_string(finished()) + " came to an end; drops: " +
                   (causes.ok() ? text_of(*causes) : causes.error().message()))
      .with_hint("is the machine short of memory or very busy?");
}

Result<double> Rig::prove(const Options& options) const {
  Counted counted;
  const std::uint64_t expected = mode_->delivers ? sent_ : 0;
  // What the engine gave back may still be on its way through the other end's kernel.
  for (int turn = 0; turn < 50; ++turn) {
    CS_TRY(const Counted after, network_->count());
    counted = {after.wire - before_.wire, after.sink - before_.sink};
    if (counted.wire.packets >= sent_ && counted.sink.packets >= expected) break;
    nap(std::chrono::milliseconds(20));
  }
  CS_CHECK(compare(options, counted));
  return static_cast<double>(counted.wire.bytes) / static_cast<double>(sent_) -
         static_cast<double>(options.size);
}

Result<void> Rig::compare(const Options& options, const Counted& counted) const {
  const auto wrong = [&](const std::string& what) {
    return Error(ErrorKind::unverified, "mode " + mode_->name + " did not do its work: " + what);
  };
  const auto number = [](std::uint64_t n) { return std::to_string(n); };
  std::uint64_t passed = 0;
  for (std::size_t i = last_stage_; i < engines_.size(); ++i) passed += engines_[i]->passed();
  CS_TRY(const Drops causes, drops());
  const std::uint64_t expected = mode_->delivers ? sent_ : 0;
  if (passed != expected || counted.sink.packets != expected) {
    return wrong("of " + number(sent_) + " packets it passed " + number(passed) + " and " +
                 number(counted.sink.packets) + " arrived, " + number(expected) +
                 " should have; drops: " + text_of(causes));
  }
  const char* const only = mode_->first == EngineKind::drop ? "unseen" : "bad_tag";
  const Drops all_dropped{{only, sent_}};
  if (causes != (mode_->delivers ? Drops{} : all_dropped))
    return wrong("unexpected drops: " + text_of(causes));
  const std::uint64_t plain = sent_ * options.size;
  if (mode_->verifies() && mode_->delivers && counted.sink.bytes != plain)
    return wrong("what it let in has not the size it had before it was signed");
  const bool grows =
      mode_->signs() || mode_->first == EngineKind::mangle || mode_->first == EngineKind::naive;
  if (grows ? counted.wire.bytes < plain + sent_ * fixed_extension
            : counted.wire.bytes != bytes_sent_) {
    return wrong(number(counted.wire.bytes) + " bytes on the wire, " + number(bytes_sent_) +
                 " were sent");
  }
  return {};
}

EngineThreads::EngineThreads(Rig& rig, const Context& context) {
  const std::size_t wanted = rig.engines().size() + 1;  // and the sender
  for (std::size_t i = 0; i < rig.engines().size(); ++i) {
    threads_.emplace_back([this, &rig, &context, i, wanted] {
      stay_on(context.cores, i + 1, wanted);
      no_timer_slack();
      serve(*rig.engines()[i]);
    });
  }
}

EngineThreads::~EngineThreads() {
  if (!threads_.empty()) (void)stop();
}

void EngineThreads::serve(Engine& engine) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    engine.wait(std::chrono::milliseconds(20));
    auto worked = engine.work();
    if (worked.ok()) continue;
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(worked).error();
    failed_ = true;
    return;
  }
}

std::chrono::nanoseconds EngineThreads::cpu_time() noexcept {
  std::chrono::nanoseconds all{0};
  for (std::thread& thread : threads_) {
    clockid_t clock{};
    timespec used{};
    if (::pthread_getcpuclockid(thread.native_handle(), &clock) == 0 &&
        ::clock_gettime(clock, &used) == 0) {
      all += std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
    }
  }
  return all;
}

Result<void> EngineThreads::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  const std::lock_guard lock(mutex_);
  if (error_) return std::move(*error_);
  return {};
}

}  // namespace cs::bench
