// SPDX-License-Identifier: GPL-3.0-or-later
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>

#include "tools/bench/measure.h"

namespace cs::bench {

namespace {

constexpr std::uint32_t queue_length = 2048;
constexpr std::uint32_t remote_queue_length = 65536;
constexpr std::size_t ring_size = 32768;  // more than can be under way at once
constexpr int receive_buffer = 256 << 20;

// When each packet was sent, by its sequence number; 0: not under way.
using SendTimes = std::vector<std::atomic<std::int64_t>>;

std::int64_t nanoseconds(BootTime time) noexcept {
  return time.time_since_epoch().count();
}

// Notes how long packets took. One thread reads; the results are there once it has ended.
class Receiver {
 public:
  static Result<Receiver> open(const Context& context, const Netns& netns, std::size_t most) {
    return netns.run([&]() -> Result<Receiver> {
      const Options& options = context.options;
      UniqueFd socket(::socket(options.ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC,
                               static_cast<int>(options.protocol)));
      if (!socket) return from_errno(errno, "opening a raw socket").with_hint("run as root");
      const timeval limit{0, 50000};
      if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer,
                       sizeof(receive_buffer)) != 0 ||
          ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
        return from_errno(errno, "setting up a receiver");
      }
      return Receiver(context, std::move(socket), most);
    });
  }

  // Until `done` and nothing came for a while.
  void receive(SendTimes& sent, const std::atomic<bool>& done) {
    for (;;) {
      const int count = ::recvmmsg(socket_.get(), headers_.data(),
                                   static_cast<unsigned>(headers_.size()), MSG_WAITFORONE, nullptr);
      const std::int64_t now = nanoseconds(clock_->boot());
      if (count <= 0 && done) return;
      for (int i = 0; i < count; ++i) note(static_cast<std::size_t>(i), now, sent);
    }
  }
  [[nodiscard]] std::vector<std::int64_t>& times() noexcept { return times_; }

 private:
  static constexpr std::size_t at_once = 64;
  using Front = std::array<std::uint8_t, 64>;  // the rest of a packet is not of interest

  Receiver(const Context& context, UniqueFd socket, std::size_t most)
      : clock_(&context.clock),
        socket_(std::move(socket)),
        fronts_(at_once),
        vectors_(at_once),
        headers_(at_once),
        // IPv4 comes with its header, IPv6 without.
        sequence_((context.options.ipv6 ? 0 : 20) + sequence_offset(context.options.protocol)) {
    times_.reserve(most);
    for (std::size_t i = 0; i < at_once; ++i) {
      vectors_[i] = {fronts_[i].data(), fronts_[i].size()};
      headers_[i].msg_hdr.msg_iov = &vectors_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  void note(std::size_t index, std::int64_t now, SendTimes& sent) {
    ByteReader reader(
        ByteView(fronts_[index]).first(std::min<std::size_t>(headers_[index].msg_len, 64)));
    std::uint32_t sequence = 0;
    if (!reader.skip(sequence_) || !reader.u32be(sequence) || sequence >= sent.size()) return;
    const std::int64_t then = sent[sequence].exchange(0);
    if (then != 0 && times_.size() < times_.capacity()) times_.push_back(now - then);
  }

  const Clock* clock_;
  UniqueFd socket_;
  std::vector<Front> fronts_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> headers_;
  std::vector<std::int64_t> times_;
  std::size_t sequence_;
};

struct Plan {
  double pps = 0;
  std::uint64_t packets = 0;
};

// Sends what is due, in bursts as small as the rate allows. Returns how long it took.
Result<std::chrono::nanoseconds> send_paced(const Context& context, Rig& rig,
                                            const PacketSet& packets, const Plan& plan,
                                            SendTimes& times) {
  const BootTime begin = context.clock.boot();
  const double per_nanosecond = plan.pps / 1e9;
  for (std::uint64_t sent = 0; sent < plan.packets;) {
    const BootTime now = context.clock.boot();
    const double due = static_cast<double>((now - begin).count()) * per_nanosecond;
    if (due < static_cast<double>(sent) + 1) {
      const auto wait =
          static_cast<std::int64_t>((static_cast<double>(sent) + 1 - due) / per_nanosecond);
      nap(std::chrono::nanoseconds(std::min<std::int64_t>(wait, 1000000)));
      continue;
    }
    const std::size_t first = sent % packets.size();
    const std::size_t count =
        std::min({static_cast<std::size_t>(due) - sent, Sender::at_once, packets.size() - first,
                  static_cast<std::size_t>(plan.packets - sent)});
    for (std::size_t i = first; i < first + count; ++i)
      times[i] = nanoseconds(context.clock.boot());
    CS_CHECK(rig.send(packets, first, count));
    sent += count;
  }
  return context.clock.boot() - begin;
}

// `sent`: of those that should arrive.
Paced summary(std::vector<std::int64_t>& times, std::uint64_t sent, std::chrono::nanoseconds took) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    if (times.empty()) return 0.0;
    const auto index = static_cast<std::size_t>(share * static_cast<double>(times.size() - 1));
    return static_cast<double>(times[index]) / 1e3;
  };
  const double seconds = std::chrono::duration<double>(took).count();
  const auto delivered = static_cast<double>(times.size());
  return {.offered_pps = static_cast<double>(sent) / seconds,
          .delivered_pps = delivered / seconds,
          .loss = 1 - delivered / static_cast<double>(sent),
          .p50_us = at(0.5),
          .p90_us = at(0.9),
          .p99_us = at(0.99)};
}

}  // namespace

Result<Paced> pace(const Context& context, const Mode& mode, const Network& network, Feed& feed,
                   double pps, double seconds) {
  const bool is_once = feed.is_once();
  const auto wanted = static_cast<std::size_t>(std::max(1.0, pps * seconds));
  const std::size_t stock =
      is_once ? stock_size(context, feed, static_cast<double>(wanted)) : ring_size;
  PacketSet packets;
  CS_CHECK(feed.fill(Target::receiver, stock, packets));
  const Plan plan{pps, is_once ? std::min(wanted, stock) : wanted};
  const bool is_remote = mode.first == EngineKind::sign_remote;
  CS_TRY(Rig rig,
         Rig::create(context, mode, network, is_remote ? remote_queue_length : queue_length));
  CS_TRY(Receiver receiver, Receiver::open(context, network.b(), plan.packets));
  SendTimes times(stock);
  std::atomic<bool> done{false};
  EngineThreads threads(rig, context);
  const std::size_t wanted_cores = rig.engines().size() + 2;
  stay_on(context.cores, 0, wanted_cores);
  no_timer_slack();
  std::thread receiving([&] {
    stay_on(context.cores, wanted_cores - 1, wanted_cores);
    receiver.receive(times, done);
  });
  const auto took = send_paced(context, rig, packets, plan, times);
  nap(mode.signer_latency * 2);
  done = true;
  receiving.join();
  CS_CHECK(threads.stop().context("mode " + mode.name));
  if (!took.ok()) return took.error();
  const std::uint64_t good = feed.contents() == Contents::half_forged ? rig.sent() / 2 : rig.sent();
  return summary(receiver.times(), good, took.value());
}

}  // namespace cs::bench
