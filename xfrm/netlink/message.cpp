// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/netlink/message.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cstring>

namespace cs::netlink {
namespace {

constexpr std::size_t request_size = std::size_t{16} * 1024;
constexpr int last_errno = 4095;  // of the kernel

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

Request::~Request() {
  if (!memory_.empty()) explicit_bzero(memory_.data(), memory_.size());
}

Request Request::dump(std::uint16_t type) {
  Request request(type, NLM_F_DUMP);
  request.is_dump_ = true;
  return request;
}

Request& Request::put(std::uint16_t type, ByteView head, ByteView tail) {
  const std::size_t at = header()->nlmsg_len;  // a multiple of 4, as everything here
  const std::size_t left = memory_.size() - at;
  const std::size_t size = sizeof(nlattr) + head.size() + tail.size();
  ok_ = ok_ && head.size() < left && tail.size() < left && size <= left;
  if (!ok_) return *this;
  const nlattr made{static_cast<std::uint16_t>(size), type};
  std::uint8_t* to = memory_.data() + at;
  std::memcpy(to, &made, sizeof(made));
  std::copy(head.begin(), head.end(), to + sizeof(made));
  std::copy(tail.begin(), tail.end(), to + sizeof(made) + head.size());
  // What is not written yet is zero, and so is the padding.
  header()->nlmsg_len += static_cast<std::uint32_t>((size + 3) & ~std::size_t{3});
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

}  // namespace cs::netlink
