// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/queue/queue.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/panic.h"

namespace cs {

namespace {

constexpr std::size_t copy_range = 0xffff;
// The longest packet and the attributes around it. An odd number of cache lines, so that the fronts
// of the slots do not all fall on the same few sets of the cache.
constexpr std::size_t slot_size = 65536 + std::size_t{21} * 64;
// In front of what is received: so that there is room for a longer packet and its verdict's header,
// however short the header was that it came with.
constexpr std::size_t slot_front = 2 * Queue::room_before;
constexpr std::size_t receive_at_once = 64;
// Sends larger than this gain nothing: the kernel copies each into memory it has to map.
constexpr std::size_t send_at_most = std::size_t{32} * 1024;
constexpr std::size_t most_pieces = 64;
constexpr std::size_t small_verdict =
    sizeof(nlmsghdr) + sizeof(nfgenmsg) + NLA_HDRLEN + sizeof(nfqnl_msg_verdict_hdr);
constexpr std::size_t mark_size = NLA_HDRLEN + sizeof(std::uint32_t);
static_assert(small_verdict + mark_size + NLA_HDRLEN <= Queue::room_before);
constexpr int send_buffer = 4 << 20;

std::string name_of(std::uint16_t number) {
  return "NFQUEUE " + std::to_string(number);
}

// Appends netlink structs to memory that was reserved for them.
class MessageWriter {
 public:
  explicit MessageWriter(ByteSpan out) noexcept : out_(out) {}

  template <class T>
  void put(const T& value) noexcept {
    std::memcpy(&out_[size_], &value, sizeof(T));
    size_ += sizeof(T);
  }
  // Returns where its value goes; padded to the next message or attribute.
  ByteSpan attribute(std::uint16_t type, std::size_t size) noexcept {
    put(nlattr{static_cast<std::uint16_t>(sizeof(nlattr) + size), type});
    const ByteSpan value = out_.subspan(size_, size);
    const std::size_t end = size_ + size;
    size_ += NLA_ALIGN(size);
    std::fill(out_.begin() + static_cast<std::ptrdiff_t>(end),
              out_.begin() + static_cast<std::ptrdiff_t>(size_), std::uint8_t{0});
    return value;
  }
  template <class T>
  void attribute(std::uint16_t type, const T& value) noexcept {
    std::memcpy(attribute(type, sizeof(T)).data(), &value, sizeof(T));
  }
  // Once everything is in it.
  void finish() noexcept {
    const auto length = static_cast<std::uint32_t>(size_);
    std::memcpy(out_.data(), &length, sizeof(length));  // nlmsg_len is the first field
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  ByteSpan out_;
  std::size_t size_ = 0;
};

void begin_message(MessageWriter& writer, std::uint16_t type, std::uint16_t flags,
                   std::uint16_t queue) noexcept {
  writer.put(nlmsghdr{0, static_cast<std::uint16_t>((NFNL_SUBSYS_QUEUE << 8U) | type),
                      static_cast<std::uint16_t>(NLM_F_REQUEST | flags), 0, 0});
  writer.put(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, htons(queue)});
}

}  // namespace

// Memory for packets: mapped, so that only what is used becomes real.
struct Queue::Arena {
  explicit Arena(std::size_t count) : size(count * slot_size) {
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped != MAP_FAILED) memory = static_cast<std::uint8_t*>(mapped);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  Arena(Arena&&) = delete;
  Arena& operator=(Arena&&) = delete;
  ~Arena() {
    if (memory != nullptr) ::munmap(memory, size);
  }
  [[nodiscard]] ByteSpan slot(std::uint32_t index) const noexcept {
    return {memory + index * slot_size, slot_size};
  }

  std::uint8_t* memory = nullptr;
  std::size_t size;
  std::array<mmsghdr, receive_at_once> headers{};
  std::array<iovec, receive_at_once> vectors{};
};

Queue::Queue(const Options& options, UniqueFd socket)
    : number_(options.number),
      socket_(std::move(socket)),
      arena_(std::make_unique<Arena>(options.slots)),
      small_(send_at_most + small_verdict + mark_size) {
  free_.reserve(options.slots);
  pieces_.reserve(most_pieces);
  for (std::size_t i = options.slots; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
  for (std::size_t i = 0; i < receive_at_once; ++i) {
    arena_->headers[i].msg_hdr.msg_iov = &arena_->vectors[i];
    arena_->headers[i].msg_hdr.msg_iovlen = 1;
  }
}
Queue::Queue(Queue&&) noexcept = default;
Queue& Queue::operator=(Queue&&) noexcept = default;
Queue::~Queue() = default;

Result<Queue> Queue::open(const Options& options) {
  const std::string opening = "opening " + name_of(options.number);
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!socket) return from_errno(errno, opening + ": a netlink socket for netfilter");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return from_errno(errno, opening + ": binding the netlink socket");
  }
  Queue queue(options, std::move(socket));
  if (queue.arena_->memory == nullptr)
    return from_errno(errno, opening + ": memory for its packets");
  if (auto configured = queue.configure(options); !configured.ok()) {
    return std::move(configured).error().context(opening);
  }
  return queue;
}

Result<void> Queue::configure(const Options& options) {
  const auto receive = static_cast<int>(std::min<std::size_t>(options.receive_buffer, 1U << 30U));
  const int on = 1;
  const int socket = socket_.get();
  // Beyond what an ordinary process may have: CAP_NET_ADMIN, which NFQUEUE needs anyhow. What does
  // not fit the receive buffer shows as a gap in the packets' numbers; the error for it would only
  // stop us.
  if (::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) != 0 ||
      ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof(send_buffer)) != 0 ||
      ::setsockopt(socket, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) != 0) {
    return from_errno(errno, "setting the netlink socket's buffers")
        .with_hint("it needs CAP_NET_ADMIN");
  }
  const auto bytes = [](const auto& value) {
    return ByteView(reinterpret_cast<const std::uint8_t*>(&value), sizeof(value));
  };
  const nfqnl_msg_config_cmd bind{NFQNL_CFG_CMD_BIND, 0, 0};
  CS_CHECK(send_config(NFQA_CFG_CMD, bytes(bind), true, "becoming its listener"));
  const std::uint32_t length = htonl(options.length);
  CS_CHECK(send_config(NFQA_CFG_QUEUE_MAXLEN, bytes(length), true, "setting its length"));
  // Only this makes packets come, so there is no waiting for an answer among them. Five bytes: the
  // kernel's struct is packed.
  nfqnl_msg_config_params params{};
  params.copy_range = htonl(copy_range);
  params.copy_mode = NFQNL_COPY_PACKET;
  return send_config(NFQA_CFG_PARAMS, bytes(params), false, "asking for whole packets");
}

Result<void> Queue::send_config(std::uint16_t type, ByteView value, bool wait, const char* tried) {
  std::array<std::uint8_t, 128> message{};
  MessageWriter writer(message);
  begin_message(writer, NFQNL_MSG_CONFIG, wait ? NLM_F_ACK : 0, number_);
  const ByteSpan place = writer.attribute(type, value.size());
  std::copy(value.begin(), value.end(), place.begin());
  writer.finish();
  if (::send(socket_.get(), message.data(), writer.size(), 0) < 0) return from_errno(errno, tried);
  if (!wait) return {};
  pollfd waiting{socket_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, 2000) <= 0)
    return Error(ErrorKind::timed_out, std::string(tried) + ": no answer from the kernel");
  std::array<std::uint8_t, 4096> answer{};
  const ssize_t size = ::recv(socket_.get(), answer.data(), answer.size(), 0);
  if (size < 0) return from_errno(errno, tried);
  const QueueMessage read =
      read_queue_message(ByteSpan(answer).first(static_cast<std::size_t>(size)));
  const auto* said = std::get_if<queue_message::Answer>(&read);
  if (said == nullptr) {
    return Error(ErrorKind::invalid, std::string(tried) + ": the kernel's answer is none");
  }
  if (said->error == 0) return {};
  Error error = from_errno(said->error, tried);
  if (said->error == EPERM) return std::move(error).with_hint("run with CAP_NET_ADMIN");
  if (said->error == EBUSY) {
    return std::move(error).with_hint(
        "another program listens on it; see /proc/net/netfilter/nfnetlink_queue");
  }
  return error;
}

Result<void> Queue::receive(std::size_t most, std::vector<Held>& out) {
  while (most > 0 && !free_.empty()) {
    const std::size_t wanted = std::min({most, free_.size(), receive_at_once});
    std::array<std::uint32_t, receive_at_once> slots{};
    for (std::size_t i = 0; i < wanted; ++i) {
      slots[i] = free_.back();
      free_.pop_back();
      const ByteSpan memory = arena_->slot(slots[i]).subspan(slot_front);
      arena_->vectors[i] = {memory.data(), memory.size()};
    }
    const int count = ::recvmmsg(socket_.get(), arena_->headers.data(),
                                 static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    const int error = errno;
    const std::size_t got = count < 0 ? 0 : static_cast<std::size_t>(count);
    for (std::size_t i = wanted; i-- > got;) free_.push_back(slots[i]);
    for (std::size_t i = 0; i < got; ++i) CS_CHECK(take(i, slots[i], out));
    if (count < 0 && error != EAGAIN && error != EINTR && error != ENOBUFS) {
      return from_errno(error, "receiving from " + name_of(number_));
    }
    if (got < wanted) return {};
    most -= got;
  }
  return {};
}

Result<void> Queue::take(std::size_t index, std::uint32_t slot, std::vector<Held>& out) {
  const mmsghdr& header = arena_->headers[index];
  const bool is_cut = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0;
  const QueueMessage message =
      read_queue_message(arena_->slot(slot).subspan(slot_front, is_cut ? 0 : header.msg_len));
  if (const auto* packet = std::get_if<QueuedPacket>(&message)) {
    count_gap(packet->id);
    ++counters_.received;
    out.push_back({*packet, slot});
    return {};
  }
  free_.push_back(slot);
  if (const auto* unusable = std::get_if<queue_message::Unusable>(&message)) {
    ++(unusable->why == queue_message::Unusable::Why::truncated ? counters_.truncated
                                                                : counters_.unusable);
    if (unusable->id == 0) return {};
    count_gap(unusable->id);
    return drop(unusable->id);
  }
  if (const auto* answer = std::get_if<queue_message::Answer>(&message);
      answer != nullptr && answer->error != 0) {
    ++counters_.refused;
  }
  return {};
}

// The kernel numbers what it hands out, before it finds our buffer full.
void Queue::count_gap(std::uint32_t id) noexcept {
  counters_.lost += static_cast<std::uint32_t>(id - last_id_ - 1);
  last_id_ = id;
}

Result<void> Queue::drop(std::uint32_t id) {
  return decide(id, NF_DROP, {});
}

Result<void> Queue::accept(std::uint32_t id, std::optional<std::uint32_t> mark) {
  return decide(id, NF_ACCEPT, mark);
}

namespace {

void begin_verdict(MessageWriter& writer, std::uint16_t queue, std::uint32_t id,
                   std::uint32_t verdict, std::optional<std::uint32_t> mark) noexcept {
  begin_message(writer, NFQNL_MSG_VERDICT, 0, queue);
  writer.attribute(NFQA_VERDICT_HDR, nfqnl_msg_verdict_hdr{htonl(verdict), htonl(id)});
  if (mark) writer.attribute(NFQA_MARK, htonl(*mark));
}

}  // namespace

Result<void> Queue::decide(std::uint32_t id, std::uint32_t verdict,
                           std::optional<std::uint32_t> mark) {
  CS_CHECK(make_room());
  const ByteSpan rest = ByteSpan(small_).subspan(small_used_);
  MessageWriter writer(rest);
  begin_verdict(writer, number_, id, verdict, mark);
  writer.finish();
  add_piece(rest.first(writer.size()));
  small_used_ += writer.size();
  return {};
}

ByteSpan Queue::room(const Held& held, std::size_t before, std::size_t size) const {
  const ByteSpan slot = arena_->slot(held.slot);
  const auto at = static_cast<std::size_t>(held.packet.payload.data() - slot.data());
  if (before > room_before || size > max_queue_payload)
    panic("Queue: a packet longer than a verdict can carry");
  return slot.subspan(at - before, size);
}

// The verdict's header goes right in front of the packet, over what it came with.
Result<void> Queue::accept_as(const Held& held, std::optional<std::uint32_t> mark,
                              ByteSpan packet) {
  CS_CHECK(make_room());
  const ByteSpan slot = arena_->slot(held.slot);
  const auto at = static_cast<std::size_t>(packet.data() - slot.data());
  const std::size_t header = small_verdict + (mark ? mark_size : 0) + NLA_HDRLEN;
  const ByteSpan message = slot.subspan(at - header, header + NLA_ALIGN(packet.size()));
  MessageWriter writer(message);
  begin_verdict(writer, number_, held.packet.id, NF_ACCEPT, mark);
  if (writer.attribute(NFQA_PAYLOAD, packet.size()).data() != packet.data())
    panic("Queue: a verdict's header is not as long as it was said");
  writer.finish();
  add_piece(message);
  return {};
}

Result<void> Queue::make_room() {
  if (pieces_size_ < send_at_most && pieces_.size() < most_pieces) return {};
  return flush();
}

void Queue::add_piece(ByteSpan bytes) {
  pieces_size_ += bytes.size();
  if (!pieces_.empty()) {
    iovec& last = pieces_.back();
    if (static_cast<std::uint8_t*>(last.iov_base) + last.iov_len == bytes.data()) {
      last.iov_len += bytes.size();
      return;
    }
  }
  pieces_.push_back({bytes.data(), bytes.size()});
}

Result<void> Queue::flush() {
  if (pieces_.empty()) return {};
  msghdr message{};
  message.msg_iov = pieces_.data();
  message.msg_iovlen = pieces_.size();
  // The kernel works on all of it before this returns; there is nothing to wait for.
  Result<void> result;
  while (::sendmsg(socket_.get(), &message, 0) < 0) {
    if (errno == EINTR) continue;
    result = from_errno(errno, "giving verdicts to " + name_of(number_));
    break;
  }
  pieces_.clear();
  pieces_size_ = 0;
  small_used_ = 0;
  return result;
}

}  // namespace cs
