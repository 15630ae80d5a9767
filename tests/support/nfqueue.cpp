// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/nfqueue.h"

#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>

namespace cs::test {
namespace {

// The longest payload, its attribute headers and what else comes with it.
constexpr std::size_t kReceiveBuffer = 0xffff + 4096;
constexpr std::size_t kSmallMessage = 512;
constexpr int kLastErrno = 4095;  // of the kernel
constexpr int kTurns = 1000;      // then look whether to stop, also under a flood

using Attributes = std::array<const nlattr*, NFQA_MAX + 1>;

int remember_attribute(const nlattr* attribute, void* into) {
  const std::uint16_t type = mnl_attr_get_type(attribute);
  if (type <= NFQA_MAX) (*static_cast<Attributes*>(into))[type] = attribute;
  return MNL_CB_OK;
}

// Its bytes; nullopt if it is absent or shorter than `at_least`.
std::optional<ByteView> bytes_of(const nlattr* attribute, std::size_t at_least) {
  if (attribute == nullptr) return std::nullopt;
  const std::size_t size = mnl_attr_get_payload_len(attribute);
  if (size < at_least) return std::nullopt;
  return ByteView(static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute)), size);
}

template <class T>
std::optional<T> struct_of(const nlattr* attribute) {
  const auto bytes = bytes_of(attribute, sizeof(T));
  if (!bytes) return std::nullopt;
  T value{};
  std::memcpy(&value, bytes->data(), sizeof(T));
  return value;
}

Message read_packet(const nlmsghdr& header) {
  Attributes attributes{};
  constexpr std::size_t kFixed = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(nfgenmsg));
  if (header.nlmsg_len < kFixed) return message::Dropped{std::nullopt, false};
  // Not mnl_attr_parse(): that rounds the message's length up, and so reads behind it.
  const void* first = mnl_nlmsg_get_payload_offset(&header, sizeof(nfgenmsg));
  if (mnl_attr_parse_payload(first, header.nlmsg_len - kFixed, remember_attribute, &attributes) !=
      MNL_CB_OK) {
    return message::Dropped{std::nullopt, false};
  }
  const auto packet = struct_of<nfqnl_msg_packet_hdr>(attributes[NFQA_PACKET_HDR]);
  if (!packet) return message::Dropped{std::nullopt, false};
  const std::uint32_t id = ntohl(packet->packet_id);
  // The kernel sends the original length only if it copied less.
  if (attributes[NFQA_CAP_LEN] != nullptr) return message::Dropped{id, true};
  const auto payload = bytes_of(attributes[NFQA_PAYLOAD], 1);
  if (!payload) return message::Dropped{id, false};
  const std::uint32_t mark = struct_of<std::uint32_t>(attributes[NFQA_MARK]).value_or(0);
  return QueuedPacket{id, packet->hook, ntohl(mark), *payload};
}

Message read_error(const nlmsghdr& header) {
  if (header.nlmsg_len < mnl_nlmsg_size(sizeof(nlmsgerr))) return message::Other{};
  const auto* said = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&header));
  if (said->error == 0) return message::Other{};
  const bool is_errno = said->error < 0 && said->error >= -kLastErrno;
  return message::Refused{is_errno ? -said->error : EPROTO};
}

Result<void> send(mnl_socket* socket, const nlmsghdr* message, const std::string& tried) {
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return from_errno(errno, tried);
  return {};
}

std::string name_of(std::uint16_t number) {
  return "NFQUEUE " + std::to_string(number);
}

}  // namespace

// Not mnl_nlmsg_ok(): for it a length of 2^31 and more is negative, hence short enough.
const nlmsghdr* Messages::next() {
  if (left_.size() < sizeof(nlmsghdr)) return nullptr;
  const auto* header = reinterpret_cast<const nlmsghdr*>(left_.data());
  if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > left_.size()) return nullptr;
  left_ = left_.subspan(std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), left_.size()));
  return header;
}

Message read_message(const nlmsghdr& header) {
  constexpr std::uint16_t kPacket = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;
  if (header.nlmsg_type == kPacket) return read_packet(header);
  if (header.nlmsg_type == NLMSG_ERROR) return read_error(header);
  return message::Other{};
}

NfQueue::NfQueue(std::uint16_t number, std::unique_ptr<mnl_socket, Close> socket, UniqueFd stop)
    : number_(number),
      socket_(std::move(socket)),
      stop_(std::move(stop)),
      buffer_(kReceiveBuffer) {}

Result<NfQueue> NfQueue::open(const Options& options) {
  std::unique_ptr<mnl_socket, Close> socket(
      mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return from_errno(errno, "opening a netlink socket for netfilter");
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return from_errno(errno, "binding a netlink socket for netfilter");
  }
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return from_errno(errno, "making an eventfd");
  NfQueue queue(options.number, std::move(socket), std::move(stop));
  CS_CHECK(queue.configure(options));
  return queue;
}

// Copying is switched on last and unacknowledged: from then on packets may come before the answer.
Result<void> NfQueue::configure(const Options& options) {
  std::array<char, kSmallMessage> memory{};
  nlmsghdr* bind = nfq_nlmsg_put(memory.data(), NFQNL_MSG_CONFIG, number_);
  nfq_nlmsg_cfg_put_cmd(bind, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
  nfq_nlmsg_cfg_put_qmaxlen(bind, options.length);
  const std::uint32_t flags = options.accept_on_overflow ? NFQA_CFG_F_FAIL_OPEN : 0;
  mnl_attr_put_u32(bind, NFQA_CFG_FLAGS, htonl(flags));
  mnl_attr_put_u32(bind, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN));
  bind->nlmsg_flags |= NLM_F_ACK;
  CS_CHECK(send(socket_.get(), bind, "binding " + name_of(number_)));
  CS_CHECK(await_ack());

  nlmsghdr* copy = nfq_nlmsg_put(memory.data(), NFQNL_MSG_CONFIG, number_);
  nfq_nlmsg_cfg_put_params(copy, NFQNL_COPY_PACKET, static_cast<int>(options.copy_range));
  return send(socket_.get(), copy, "asking for whole packets from " + name_of(number_));
}

// The kernel answers inside sendto(), so the answer is there or never comes.
Result<void> NfQueue::await_ack() {
  const std::string tried = "binding " + name_of(number_);
  const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
  if (size < 0) return from_errno(errno, tried);
  const auto* header = Messages(ByteView(buffer_).first(static_cast<std::size_t>(size))).next();
  if (header == nullptr) return Error(ErrorKind::io, tried + ": no valid answer");
  const Message said = read_message(*header);
  if (const auto* refused = std::get_if<message::Refused>(&said)) {
    return from_errno(refused->error, tried)
        .with_hint(
            "another listener may have that number, the caller may lack CAP_NET_ADMIN or the "
            "kernel CONFIG_NETFILTER_NETLINK_QUEUE");
  }
  return {};
}

Result<NfQueue::End> NfQueue::poll(std::chrono::milliseconds limit, const Handler& handler) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::array<pollfd, 2> fds{pollfd{stop_.get(), POLLIN, 0}, pollfd{fd(), POLLIN, 0}};
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto wait = std::max<std::int64_t>(left.count(), 0);
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(wait));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return from_errno(errno, "waiting for packets from " + name_of(number_));
    if (fds[0].revents != 0) return End::stopped;
    if (ready == 0) return End::timed_out;
    CS_CHECK(receive(handler));
    return End::handled;
  }
}

Result<void> NfQueue::receive(const Handler& handler) {
  for (int turn = 0; turn < kTurns; ++turn) {
    const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (size < 0 && errno == ENOBUFS) {
      ++counters_.overflows;
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return {};
    if (size < 0) return from_errno(errno, "receiving from " + name_of(number_));
    Messages messages(ByteView(buffer_).first(static_cast<std::size_t>(size)));
    while (const nlmsghdr* header = messages.next()) CS_CHECK(dispatch(*header, handler));
  }
  return {};
}

Result<void> NfQueue::dispatch(const nlmsghdr& header, const Handler& handler) {
  const Message message = read_message(header);
  if (const auto* packet = std::get_if<QueuedPacket>(&message)) {
    ++counters_.handled;
    const Verdict verdict = handler(*packet);
    if (verdict.kind == Verdict::Kind::hold) return {};
    return decide(packet->id, verdict);
  }
  if (const auto* dropped = std::get_if<message::Dropped>(&message)) {
    ++(dropped->truncated ? counters_.truncated : counters_.without_attributes);
    if (dropped->id) return decide(*dropped->id, Verdict::drop());
  }
  if (std::holds_alternative<message::Refused>(message)) ++counters_.refused;
  return {};
}

Result<void> NfQueue::decide(std::uint32_t id, const Verdict& verdict) {
  const bool accept = verdict.kind == Verdict::Kind::accept;
  std::vector<char> memory(kSmallMessage + (verdict.replacement ? verdict.replacement->size() : 0));
  nlmsghdr* message = nfq_nlmsg_put(memory.data(), NFQNL_MSG_VERDICT, number_);
  nfq_nlmsg_verdict_put(message, static_cast<int>(id), accept ? NF_ACCEPT : NF_DROP);
  if (accept && verdict.mark) nfq_nlmsg_verdict_put_mark(message, *verdict.mark);
  if (accept && verdict.replacement) {
    nfq_nlmsg_verdict_put_pkt(message, verdict.replacement->data(),
                              static_cast<std::uint32_t>(verdict.replacement->size()));
  }
  return send(socket_.get(), message, "giving a verdict to " + name_of(number_));
}

void NfQueue::stop() {
  eventfd_write(stop_.get(), 1);
}

QueueThread::QueueThread(NfQueue queue, NfQueue::Handler handler)
    : queue_(std::move(queue)), thread_([this, handler = std::move(handler)] { serve(handler); }) {}

QueueThread::~QueueThread() {
  static_cast<void>(stop());
}

void QueueThread::serve(const NfQueue::Handler& handler) {
  for (;;) {
    const auto end = queue_->poll(std::chrono::minutes(1), handler);
    if (!end.ok()) failure_ = end.error();
    if (!end.ok() || *end == NfQueue::End::stopped) return;
  }
}

Result<NfQueue::Counters> QueueThread::stop() {
  if (thread_.joinable()) {
    queue_->stop();
    thread_.join();
    counters_ = queue_->counters();
    queue_.reset();
  }
  if (failure_) return *failure_;
  return counters_;
}

Result<QueueRow> queue_row(std::uint16_t number) {
  // Not /proc/net: that is the namespace of the main thread.
  const std::string path = "/proc/thread-self/net/netfilter/nfnetlink_queue";
  std::ifstream table(path);
  if (!table) return Error(ErrorKind::io, "opening " + path).with_hint("it is for root only");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::uint32_t queue = 0;
    std::uint32_t other = 0;  // port id, copy mode, copy range
    QueueRow row;
    words >> queue >> other >> row.waiting >> other >> other >> row.dropped >> row.user_dropped;
    if (words && queue == number) return row;
  }
  return Error(ErrorKind::not_found, name_of(number) + " has no listener in " + path);
}

}  // namespace cs::test
