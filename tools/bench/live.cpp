// SPDX-License-Identifier: GPL-3.0-or-later
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "tools/bench/measure.h"

namespace cs::bench {

namespace {

constexpr std::size_t stock_memory = std::size_t{256} << 20U;
constexpr std::size_t ring_size = 2048;
constexpr std::size_t most_per_millisecond = 250;
constexpr std::chrono::seconds patience{6};  // a remote signer may take 4 seconds

struct Window {
  std::uint32_t queue_length = 2048;
  std::size_t packets = 1024;
};

Window window_of(const Mode& mode, const Options& options) {
  std::size_t most = std::max<std::size_t>(1024, 4 * options.batch);
  // One batch is being signed and the next one gathers, so much as may come meanwhile.
  most += 2 * static_cast<std::size_t>(mode.signer_latency.count()) * most_per_millisecond;
  return {static_cast<std::uint32_t>(2 * most), most};
}

// Waits until fewer than `most` packets are under way.
Result<void> await_room(const Context& context, const Rig& rig, const EngineThreads& threads,
                        std::size_t most) {
  std::uint64_t finished = rig.finished();
  BootTime since = context.clock.boot();
  while (rig.sent() - finished >= most) {
    if (threads.has_failed()) return Error(ErrorKind::io, "an engine gave up");
    nap(std::chrono::microseconds(20));
    const std::uint64_t now = rig.finished();
    if (now != finished) since = context.clock.boot();
    finished = now;
    if (context.clock.boot() - since > patience) return rig.stuck();
  }
  return {};
}

// Sends until the time is over, or the packets that may be sent only once are.
class Pump {
 public:
  Pump(const Context& context, Rig& rig, const EngineThreads& threads, const PacketSet& packets,
       bool is_ring)
      : context_(context), rig_(rig), threads_(threads), packets_(packets), is_ring_(is_ring) {}

  Result<void> run(std::size_t window, BootTime until, std::uint64_t most) {
    for (std::uint64_t sent = 0; sent < most && context_.clock.boot() < until;) {
      if (next_ == packets_.size()) {
        if (!is_ring_) break;
        next_ = 0;
      }
      const std::size_t count = std::min(Sender::at_once, packets_.size() - next_);
      CS_CHECK(await_room(context_, rig_, threads_, window - count + 1));
      CS_CHECK(rig_.send(packets_, next_, count));
      next_ += count;
      sent += count;
    }
    return {};
  }

 private:
  const Context& context_;
  Rig& rig_;
  const EngineThreads& threads_;
  const PacketSet& packets_;
  bool is_ring_;
  std::size_t next_ = 0;
};

// Of this process; 0 where the kernel does not say.
double resident_mib() {
  std::ifstream file("/proc/self/statm");
  double all = 0;
  double resident = 0;
  if (!(file >> all >> resident)) return 0;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

}  // namespace

std::size_t stock_size(const Context& context, const Feed& feed, double wanted) {
  const Options& options = context.options;
  const std::size_t whole = options.batch * options.queues;
  const std::size_t fits =
      feed.is_once() ? stock_memory / (options.size + fixed_extension + 96) : ring_size;
  const auto asked = static_cast<std::size_t>(std::min(wanted, 1e9));
  return std::max<std::size_t>(1, std::min(fits, asked) / whole) * whole;
}

Result<Sample> live(const Context& context, const Mode& mode, const Network& network, Feed& feed) {
  const Options& options = context.options;
  const Window window = window_of(mode, options);
  constexpr double fastest = 1e6;  // packets a second that the stock is made for
  const std::size_t stock = stock_size(context, feed, ring_size + options.seconds * fastest);
  PacketSet packets;
  CS_CHECK(feed.fill(Target::sink, stock, packets));
  const double memory_before = resident_mib();
  CS_TRY(Rig rig, Rig::create(context, mode, network, window.queue_length));
  EngineThreads threads(rig, context);
  stay_on(context.cores, 0, rig.engines().size() + 1);
  no_timer_slack();

  Pump pump(context, rig, threads, packets, !feed.is_once());
  const auto fail = [&](Result<void> result) -> Result<void> {
    if (result.ok()) return {};
    auto stopped = threads.stop();  // the engine's own error explains more
    return (stopped.ok() ? std::move(result) : std::move(stopped)).context("mode " + mode.name);
  };
  const std::uint64_t warm_up = std::min<std::uint64_t>(window.packets, stock / 4);
  CS_CHECK(fail(pump.run(window.packets, BootTime::max(), warm_up)));
  CS_CHECK(fail(await_room(context, rig, threads, 1)));

  const std::uint64_t before = rig.sent();
  const std::chrono::nanoseconds cpu_before = threads.cpu_time();
  const BootTime begin = context.clock.boot();
  const auto length = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(options.seconds));
  CS_CHECK(fail(pump.run(window.packets, begin + length, ~std::uint64_t{0})));
  CS_CHECK(fail(await_room(context, rig, threads, 1)));
  const BootTime end = context.clock.boot();
  const std::chrono::nanoseconds cpu = threads.cpu_time() - cpu_before;
  CS_CHECK(fail({}));
  const double memory = resident_mib() - memory_before;
  CS_CHECK(threads.stop().context("mode " + mode.name));

  Sample sample;
  CS_TRY(sample.overhead_bytes, rig.prove(options));
  CS_TRY(sample.drops, rig.drops());
  const auto n = static_cast<double>(rig.sent() - before);
  sample.pps = n / std::chrono::duration<double>(end - begin).count();
  sample.memory_mib = memory / static_cast<double>(rig.engines().size());
  sample.cpu_us_per_packet = std::chrono::duration<double, std::micro>(cpu).count() / n;
  return sample;
}

}  // namespace cs::bench
