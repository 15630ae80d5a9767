// SPDX-License-Identifier: GPL-3.0-or-later
// NFQUEUE for test code: one queue, one packet at a time, plain and strict.
// The data plane has its own, batched one in nfq-signer/; tests must not share its mistakes.
#pragma once

#include <libmnl/libmnl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/support/packet.h"

namespace cs::test {

// One packet, whole. Truncated ones and ones without payload never get here.
struct QueuedPacket {
  std::uint32_t id;
  std::uint8_t hook;   // NF_INET_LOCAL_IN …
  std::uint32_t mark;  // the kernel leaves the attribute out when it is 0
  ByteView payload;    // from the IP header on; valid until the handler returns
};

struct Verdict {
  enum class Kind : std::uint8_t { drop, accept, hold };

  Kind kind = Kind::drop;
  std::optional<Bytes> replacement;   // instead of the payload; only with accept
  std::optional<std::uint32_t> mark;  // replaces the whole mark; only with accept

  static Verdict drop() { return {}; }
  static Verdict accept() { return {Kind::accept, std::nullopt, std::nullopt}; }
  static Verdict replace(Bytes with) { return {Kind::accept, std::move(with), std::nullopt}; }
  // The handler has called NfQueue::decide() for this packet, or somebody will.
  static Verdict hold() { return {Kind::hold, std::nullopt, std::nullopt}; }
};

// What one netlink message from the queue turned out to be.
namespace message {
struct Dropped {                    // cannot be given to a handler
  std::optional<std::uint32_t> id;  // without one not even a verdict can be given
  bool truncated = false;           // else: attributes missing
};
struct Refused {  // the kernel's answer to something we sent
  int error;
};
struct Other {};
}  // namespace message
using Message = std::variant<QueuedPacket, message::Dropped, message::Refused, message::Other>;

// The netlink messages in what one receive brought, up to the first that is not wholly there.
class Messages {
 public:
  explicit Messages(ByteView received) : left_(received) {}
  const nlmsghdr* next();  // nullptr: no more

 private:
  ByteView left_;
};

// Reads one message, as Messages gives it. Trusts no attribute to be there.
Message read_message(const nlmsghdr& header);

// A listener on one NFQUEUE of the network namespace it was opened in; it may be used from any
// other afterwards. For one thread, except stop(). Closing drops what still waits (the kernel's
// rule: fail closed).
class NfQueue {
 public:
  struct Options {
    std::uint16_t number = 0;
    std::uint32_t length = 1024;        // more than this waiting: the kernel drops
    std::uint32_t copy_range = 0xffff;  // bytes copied; a longer packet counts as truncated
    bool accept_on_overflow = false;    // NFQA_CFG_F_FAIL_OPEN, to show what it does
  };
  struct Counters {
    std::uint64_t handled = 0;             // given to the handler
    std::uint64_t truncated = 0;           // dropped
    std::uint64_t without_attributes = 0;  // dropped, or left to the kernel if without an id
    std::uint64_t overflows = 0;           // times our socket lost messages (ENOBUFS)
    std::uint64_t refused = 0;             // verdicts the kernel did not take
  };
  enum class End : std::uint8_t { handled, timed_out, stopped };
  using Handler = std::function<Verdict(const QueuedPacket&)>;

  // Fails if the kernel has no NFQUEUE, the caller lacks CAP_NET_ADMIN, or the number is taken.
  static Result<NfQueue> open(const Options& options);

  // Waits at most `limit` for packets or stop(), then handles what is there.
  Result<End> poll(std::chrono::milliseconds limit, const Handler& handler);

  // Handles what is there, up to a bound; never waits. fd() is readable while there is something.
  Result<void> receive(const Handler& handler);
  [[nodiscard]] int fd() const { return mnl_socket_get_fd(socket_.get()); }

  // Gives the verdict on a packet that was held. Not for Kind::hold.
  Result<void> decide(std::uint32_t id, const Verdict& verdict);

  // Ends poll(), now or the next time; from any thread. Stays.
  void stop();

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };

  NfQueue(std::uint16_t number, std::unique_ptr<mnl_socket, Close> socket, UniqueFd stop);
  Result<void> configure(const Options& options);
  Result<void> await_ack();
  Result<void> dispatch(const nlmsghdr& header, const Handler& handler);

  std::uint16_t number_;
  std::unique_ptr<mnl_socket, Close> socket_;
  UniqueFd stop_;
  std::vector<std::uint8_t> buffer_;
  Counters counters_;
};

// Serves a queue on a thread of its own until it goes out of scope.
class QueueThread {
 public:
  QueueThread(NfQueue queue, NfQueue::Handler handler);
  ~QueueThread();
  QueueThread(const QueueThread&) = delete;
  QueueThread& operator=(const QueueThread&) = delete;
  QueueThread(QueueThread&&) = delete;
  QueueThread& operator=(QueueThread&&) = delete;

  // Ends the thread and closes the queue. Fails if polling failed. The second call says the same.
  Result<NfQueue::Counters> stop();

 private:
  void serve(const NfQueue::Handler& handler);

  std::optional<NfQueue> queue_;
  std::optional<Error> failure_;
  NfQueue::Counters counters_;
  std::thread thread_;
};

// A row of /proc/net/netfilter/nfnetlink_queue, of the calling thread's namespace.
struct QueueRow {
  std::uint32_t waiting = 0;       // in the queue, no verdict yet
  std::uint32_t dropped = 0;       // because the queue was full
  std::uint32_t user_dropped = 0;  // because our socket's buffer was full
};
// Fails if nobody listens on that number, or the file cannot be read.
Result<QueueRow> queue_row(std::uint16_t number);

}  // namespace cs::test
