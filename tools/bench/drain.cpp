// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <thread>

#include "tools/bench/measure.h"

namespace cs::bench {

namespace {

constexpr std::size_t roughly = 2000;  // packets in a queue
constexpr std::chrono::seconds patience{20};

struct Turn {
  BootTime begin;
  BootTime end;
  std::chrono::nanoseconds cpu{0};
  Result<void> result;
};

std::chrono::nanoseconds thread_cpu_time() noexcept {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

// The timed part.
void empty(Engine& engine, std::size_t packets, const Clock& clock, Turn& turn) {
  const std::uint64_t goal = engine.finished() + packets;
  const std::chrono::nanoseconds cpu = thread_cpu_time();
  turn.begin = clock.boot();
  while (engine.finished() < goal) {
    if (auto worked = engine.work(); !worked.ok()) {
      turn.result = std::move(worked);
      break;
    }
    if (clock.boot() - turn.begin > patience) {
      turn.result = Error(ErrorKind::timed_out, "emptying a queue: the engine does not get on");
      break;
    }
  }
  turn.end = clock.boot();
  turn.cpu = thread_cpu_time() - cpu;
}

Result<void> await_full(const Netns& netns, std::size_t packets, const Rig& rig) {
  for (int i = 0; i < 500; ++i) {
    CS_TRY(const QueueState state, Network::queues_of(netns));
    if (state.waiting == packets) return {};
    nap(std::chrono::milliseconds(2));
  }
  return rig.stuck().context("filling the queue");
}

// Each engine on a thread of its own, all at once.
std::vector<Turn> empty_all(const Context& context, Rig& rig, std::size_t share) {
  auto& engines = rig.engines();
  std::vector<Turn> turns(engines.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    threads.emplace_back([&, i] {
      stay_on(context.cores, context.cores.size() - 1 - i % context.cores.size(), engines.size());
      empty(*engines[i], share, context.clock, turns[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return turns;
}

}  // namespace

Result<Sample> drain(const Context& context, const Mode& mode, const Network& network, Feed& feed) {
  const Options& options = context.options;
  const std::size_t share = std::max<std::size_t>(1, roughly / options.batch) * options.batch;
  const std::size_t all = share * options.queues;
  CS_TRY(Rig rig, Rig::create(context, mode, network, static_cast<std::uint32_t>(share)));
  const Netns& where = mode.path == Path::out ? network.a() : network.b();
  PacketSet packets;
  std::chrono::nanoseconds spent{0};
  std::chrono::nanoseconds cpu{0};
  std::uint64_t counted = 0;
  const auto enough = std::chrono::duration<double>(options.seconds);
  for (bool is_warm = false; spent < enough; is_warm = true) {
    CS_CHECK(feed.fill(Target::sink, all, packets));
    CS_CHECK(rig.send(packets, 0, all));
    CS_CHECK(await_full(where, all, rig));
    BootTime begin = BootTime::max();
    BootTime end = BootTime::min();
    std::chrono::nanoseconds used{0};
    for (Turn& turn : empty_all(context, rig, share)) {
      CS_CHECK(std::move(turn.result).context("mode " + mode.name));
      begin = std::min(begin, turn.begin);
      end = std::max(end, turn.end);
      used += turn.cpu;
    }
    if (!is_warm) continue;
    spent += end - begin;
    cpu += used;
    counted += all;
  }
  Sample sample;
  CS_TRY(sample.overhead_bytes, rig.prove(options));
  CS_TRY(sample.drops, rig.drops());
  const auto n = static_cast<double>(counted);
  sample.pps = n / std::chrono::duration<double>(spent).count();
  sample.cpu_us_per_packet = std::chrono::duration<double, std::micro>(cpu).count() / n;
  return sample;
}

}  // namespace cs::bench
