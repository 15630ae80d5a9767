// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/rtnetlink.h"

#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace cs::rt {
namespace {

// The kernel fills at most 32 KiB per message of a dump; a link with many virtual functions is the
// largest single answer.
constexpr std::size_t receive_size = std::size_t{128} * 1024;
constexpr std::size_t request_size = std::size_t{16} * 1024;
constexpr int last_errno = 4095;  // of the kernel
// The kernel answers inside send(); this is for a kernel that does not.
constexpr timeval patience{2, 0};
// More than any table dump has; ends a conversation that does not.
constexpr std::size_t max_receives = 100'000;

// Takes a header and what it says it is long from the front; aligned to 4, as both kinds are.
template <class Header, class Length>
std::optional<ByteView> cut(ByteView& left, Length Header::*length) noexcept {
  const auto header = first_of<Header>(left);
  if (!header) return std::nullopt;
  const std::size_t size = (*header).*length;
  if (size < sizeof(Header) || size > left.size()) return std::nullopt;
  const ByteView whole = left.first(size);
  left = left.subspan(std::min(left.size(), (size + 3) & ~std::size_t{3}));
  return whole;
}

// What the kernel says in words about an error, if it does; `at` is where its attributes begin.
std::string words_at(const Message& message, std::size_t at) {
  if ((message.header.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || at > message.payload.size()) return "";
  Attributes attributes(message.payload.subspan(at));
  while (const auto attribute = attributes.next()) {
    if (attribute->type != NLMSGERR_ATTR_MSG) continue;
    const auto end = std::find(attribute->value.begin(), attribute->value.end(), 0);
    return {attribute->value.begin(), end};
  }
  return "";
}

std::uint32_t ipv6_mtu(ByteView per_family) {
  Attributes families(per_family);
  while (const auto family = families.next()) {
    if (family->type != AF_INET6) continue;
    Attributes parts(family->value);
    while (const auto part = parts.next()) {
      if (part->type != IFLA_INET6_CONF || part->value.size() % sizeof(std::uint32_t) != 0)
        continue;
      const std::size_t at = DEVCONF_MTU6 * sizeof(std::uint32_t);
      if (at >= part->value.size()) continue;
      return first_of<std::uint32_t>(part->value.subspan(at)).value_or(0);
    }
  }
  return 0;
}

// True: that was the end of the answer.
Result<bool> handle(const Message& message, const std::string& tried, const Socket::Take& take,
                    bool& interrupted) {
  if ((message.header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
  if (message.header.nlmsg_type == NLMSG_DONE || message.header.nlmsg_type == NLMSG_ERROR) {
    const auto end = parse_end(message);
    if (!end) return Error(ErrorKind::invalid, tried + ": the end of the answer is none");
    if (end->error == 0) return true;
    return from_errno(end->error, end->words.empty() ? tried : tried + " (" + end->words + ")");
  }
  if (message.header.nlmsg_type < NLMSG_MIN_TYPE) return false;  // NLMSG_NOOP
  CS_CHECK(take(message));
  return false;
}

}  // namespace

std::optional<Message> Messages::next() noexcept {
  const auto whole = cut(left_, &nlmsghdr::nlmsg_len);
  if (!whole) return std::nullopt;
  return Message{*first_of<nlmsghdr>(*whole), whole->subspan(sizeof(nlmsghdr))};
}

std::optional<Attribute> Attributes::next() noexcept {
  const auto whole = cut(left_, &nlattr::nla_len);
  if (!whole) return std::nullopt;
  const std::uint16_t raw = first_of<nlattr>(*whole)->nla_type;
  return Attribute{static_cast<std::uint16_t>(raw & NLA_TYPE_MASK), raw,
                   whole->subspan(sizeof(nlattr))};
}

std::optional<End> parse_end(const Message& message) {
  const auto number = first_of<int>(message.payload);
  if (!number || *number > 0 || *number < -last_errno) return std::nullopt;
  if (message.header.nlmsg_type == NLMSG_DONE) return End{-*number, words_at(message, sizeof(int))};
  const auto said = first_of<nlmsgerr>(message.payload);
  if (message.header.nlmsg_type != NLMSG_ERROR || !said) return std::nullopt;
  // Unless capped, the whole request comes back first.
  const bool capped = (message.header.nlmsg_flags & NLM_F_CAPPED) != 0 || *number == 0;
  const std::size_t request = capped ? sizeof(nlmsghdr) : said->msg.nlmsg_len;
  return End{-*number, words_at(message, sizeof(int) + ((request + 3) & ~std::size_t{3}))};
}

Request::Request(std::uint16_t type, std::uint16_t flags) : memory_(request_size) {
  nlmsghdr* made = mnl_nlmsg_put_header(memory_.data());
  made->nlmsg_type = type;
  made->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

Request& Request::put(std::uint16_t type, ByteView value) {
  ok_ = ok_ && mnl_attr_put_check(header(), memory_.size(), type, value.size(), value.data());
  return *this;
}

Request& Request::put_u32(std::uint16_t type, std::uint32_t value) {
  ok_ = ok_ && mnl_attr_put_u32_check(header(), memory_.size(), type, value);
  return *this;
}

Request& Request::append(ByteView attributes) {
  Attributes row(attributes);
  while (const auto attribute = row.next()) put(attribute->raw_type, attribute->value);
  ok_ = ok_ && !row.is_malformed();
  return *this;
}

void append_attribute(std::vector<std::uint8_t>& row, std::uint16_t raw_type, ByteView value) {
  const nlattr header{static_cast<std::uint16_t>(sizeof(nlattr) + value.size()), raw_type};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&header);
  row.insert(row.end(), bytes, bytes + sizeof(header));
  row.insert(row.end(), value.begin(), value.end());
  row.resize((row.size() + 3) & ~std::size_t{3});
}

Socket::Socket(std::unique_ptr<mnl_socket, Close> socket)
    : socket_(std::move(socket)), buffer_(receive_size) {}

Result<Socket> Socket::open() {
  std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket) return from_errno(errno, "opening a netlink socket for routes");
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return from_errno(errno, "binding a netlink socket for routes");
  }
  // Errors in words, and without the request in front of them. A kernel without says less.
  int on = 1;
  mnl_socket_setsockopt(socket.get(), NETLINK_EXT_ACK, &on, sizeof(on));
  mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, &on, sizeof(on));
  // A dump of one table is of that table. Without, of all.
  mnl_socket_setsockopt(socket.get(), NETLINK_GET_STRICT_CHK, &on, sizeof(on));
  const int fd = mnl_socket_get_fd(socket.get());
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
    return from_errno(errno, "limiting the waiting of a netlink socket");
  }
  return Socket(std::move(socket));
}

Result<ByteView> Socket::receive(const std::string& tried) {
  for (;;) {
    sockaddr_nl from{};
    iovec place{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof(from);
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    const ssize_t size = recvmsg(mnl_socket_get_fd(socket_.get()), &message, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return from_errno(ETIMEDOUT, tried);
    if (size < 0) return from_errno(errno, tried);
    if (from.nl_pid != 0) continue;  // another process, not the kernel
    if ((static_cast<unsigned>(message.msg_flags) & MSG_TRUNC) != 0) {
      return Error(ErrorKind::limit, tried + ": the kernel's answer is too long");
    }
    return ByteView(buffer_).first(static_cast<std::size_t>(size));
  }
}

Result<void> Socket::ask(Request request, const std::string& tried, const Take& take) {
  if (!request.ok()) return Error(ErrorKind::limit, tried + ": the request is too long");
  nlmsghdr* header = request.header();
  header->nlmsg_seq = ++sequence_;
  const bool dump = (header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP &&
                    (header->nlmsg_type == RTM_GETROUTE || header->nlmsg_type == RTM_GETLINK);
  if (!dump) header->nlmsg_flags = static_cast<std::uint16_t>(header->nlmsg_flags | NLM_F_ACK);
  if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0) {
    return from_errno(errno, tried);
  }
  bool interrupted = false;
  for (std::size_t turn = 0; turn < max_receives; ++turn) {
    CS_TRY(const ByteView received, receive(tried));
    Messages messages(received);
    while (const auto message = messages.next()) {
      // What is left of an answer we no longer waited for.
      if (message->header.nlmsg_seq != sequence_) continue;
      CS_TRY(const bool end, handle(*message, tried, take, interrupted));
      if (!end) continue;
      if (!interrupted) return {};
      return Error(ErrorKind::busy, tried + ": the tables changed meanwhile")
          .with_retry(Retry::at_once);
    }
    if (messages.is_malformed()) return Error(ErrorKind::truncated, tried + ": a broken answer");
  }
  return Error(ErrorKind::limit, tried + ": the kernel's answer has no end");
}

Result<void> Socket::tell(Request request, const std::string& tried) {
  return ask(std::move(request), tried, [](const Message&) { return Result<void>(); });
}

Result<Socket::LinkMtu> parse_link_mtu(ByteView payload) {
  const auto invalid = [] {
    return Error(ErrorKind::invalid, "reading a link: broken attributes");
  };
  if (payload.size() < sizeof(ifinfomsg)) return invalid();
  Socket::LinkMtu mtu;
  Attributes attributes(payload.subspan(sizeof(ifinfomsg)));
  while (const auto attribute = attributes.next()) {
    if (attribute->type == IFLA_MTU) mtu.ipv4 = number_of<std::uint32_t>(*attribute).value_or(0);
    if (attribute->type == IFLA_AF_SPEC) mtu.ipv6 = ipv6_mtu(attribute->value);
  }
  if (attributes.is_malformed() || mtu.ipv4 == 0) return invalid();
  mtu.ipv6 = mtu.ipv6 == 0 ? mtu.ipv4 : std::min(mtu.ipv4, mtu.ipv6);
  return mtu;
}

Result<Socket::LinkMtu> Socket::link_mtu(std::uint32_t interface) {
  const std::string tried = "asking for the MTU of interface " + std::to_string(interface);
  Request request(RTM_GETLINK, 0);
  request.fixed<ifinfomsg>().ifi_index = static_cast<int>(interface);
  request.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::optional<LinkMtu> found;
  CS_CHECK(ask(std::move(request), tried, [&](const Message& message) -> Result<void> {
    if (message.header.nlmsg_type != RTM_NEWLINK) return {};
    CS_TRY(found, parse_link_mtu(message.payload));
    return {};
  }));
  if (!found) return Error(ErrorKind::io, tried + ": no answer");
  return *found;
}

}  // namespace cs::rt
