// SPDX-License-Identifier: GPL-3.0-or-later
// The loop of the example that comes with libnetfilter_queue, with the library's own functions:
// one packet per receive, one verdict per send.
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "nfq-signer/counters.h"
#include "tools/bench/engine.h"

namespace cs::bench {

namespace {

constexpr std::size_t largest_message = 0xffff + 8192;
constexpr std::size_t at_once = 64;  // before anybody asks whether to go on

class ExampleEngine final : public Engine {
 public:
  explicit ExampleEngine(std::uint16_t number)
      : socket_(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK)),
        buffer_(largest_message),
        number_(number) {}
  ExampleEngine(const ExampleEngine&) = delete;
  ExampleEngine& operator=(const ExampleEngine&) = delete;
  ExampleEngine(ExampleEngine&&) = delete;
  ExampleEngine& operator=(ExampleEngine&&) = delete;
  ~ExampleEngine() override {
    if (socket_ != nullptr) mnl_socket_close(socket_);
  }

  Result<void> open(std::uint32_t length, std::size_t receive_buffer);
  Result<void> work() override;
  void wait(std::chrono::nanoseconds limit) const override {
    wait_readable(mnl_socket_get_fd(socket_), limit);
  }
  [[nodiscard]] std::uint64_t passed() const noexcept override { return finished_.value(); }
  [[nodiscard]] std::uint64_t finished() const noexcept override { return finished_.value(); }
  [[nodiscard]] Drops drops() const override { return {}; }

 private:
  static int on_packet(const nlmsghdr* header, void* self);
  int give_verdict(std::uint32_t id);

  mnl_socket* socket_;
  std::vector<char> buffer_;
  std::uint16_t number_;
  Counter finished_;
};

Result<void> ExampleEngine::open(std::uint32_t length, std::size_t receive_buffer) {
  const std::string opening = "opening NFQUEUE " + std::to_string(number_) + " by the library";
  if (socket_ == nullptr || mnl_socket_bind(socket_, 0, MNL_SOCKET_AUTOPID) < 0)
    return from_errno(errno, opening);
  nlmsghdr* message = nfq_nlmsg_put(buffer_.data(), NFQNL_MSG_CONFIG, number_);
  nfq_nlmsg_cfg_put_cmd(message, AF_INET, NFQNL_CFG_CMD_BIND);
  if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0)
    return from_errno(errno, opening);
  message = nfq_nlmsg_put(buffer_.data(), NFQNL_MSG_CONFIG, number_);
  nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, 0xffff);
  nfq_nlmsg_cfg_put_qmaxlen(message, length);
  mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
  mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
  if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0)
    return from_errno(errno, opening);
  // The example leaves the buffer as it is and loses packets; here the same must be measured.
  int on = 1;
  const auto size = static_cast<int>(receive_buffer);
  mnl_socket_setsockopt(socket_, NETLINK_NO_ENOBUFS, &on, sizeof(on));
  if (::setsockopt(mnl_socket_get_fd(socket_), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) !=
      0)
    return from_errno(errno, opening + ": its receive buffer");
  return {};
}

Result<void> ExampleEngine::work() {
  for (std::size_t i = 0; i < at_once; ++i) {
    const ssize_t size = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (size < 0) return from_errno(errno, "receiving from a queue by the library");
    const unsigned int port = mnl_socket_get_portid(socket_);
    if (mnl_cb_run(buffer_.data(), static_cast<std::size_t>(size), 0, port, on_packet, this) < 0)
      return from_errno(errno, "handling a packet by the library");
  }
  return {};
}

int ExampleEngine::on_packet(const nlmsghdr* header, void* self) {
  std::array<nlattr*, NFQA_MAX + 1> attributes{};
  if (nfq_nlmsg_parse(header, attributes.data()) < 0 || attributes[NFQA_PACKET_HDR] == nullptr)
    return MNL_CB_ERROR;
  const auto* packet =
      static_cast<const nfqnl_msg_packet_hdr*>(mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]));
  return static_cast<ExampleEngine*>(self)->give_verdict(ntohl(packet->packet_id));
}

int ExampleEngine::give_verdict(std::uint32_t id) {
  std::array<char, 64> memory{};  // a verdict is 32 bytes
  nlmsghdr* const message = nfq_nlmsg_put(memory.data(), NFQNL_MSG_VERDICT, number_);
  nfq_nlmsg_verdict_put(message, static_cast<int>(id), NF_ACCEPT);
  if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0) return MNL_CB_ERROR;
  finished_.add();
  return MNL_CB_OK;
}

}  // namespace

Result<std::unique_ptr<Engine>> make_example_engine(const EngineSetting& setting,
                                                    const Options& options) {
  auto engine = std::make_unique<ExampleEngine>(setting.queue);
  CS_CHECK(engine->open(setting.length, receive_buffer(setting, options)));
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace cs::bench
