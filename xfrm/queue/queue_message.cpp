// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/queue/queue_message.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cs {

namespace {

// The struct at the front of `bytes`, in whatever alignment; false if it is not wholly there.
template <class T>
bool read(ByteView bytes, T& out) noexcept {
  if (bytes.size() < sizeof(T)) return false;
  std::memcpy(&out, bytes.data(), sizeof(T));
  return true;
}

QueueMessage read_packet(ByteSpan attributes) noexcept {
  QueuedPacket packet;
  nfqnl_msg_packet_hdr header{};
  bool is_truncated = false;
  nlattr attribute{};
  while (read(attributes, attribute) && attribute.nla_len >= sizeof(nlattr) &&
         attribute.nla_len <= attributes.size()) {
    const ByteSpan value = attributes.subspan(sizeof(nlattr), attribute.nla_len - sizeof(nlattr));
    switch (attribute.nla_type & NLA_TYPE_MASK) {
      case NFQA_PACKET_HDR:
        if (read(value, header)) packet.id = ntohl(header.packet_id);
        break;
      case NFQA_MARK:
        if (read(value, packet.mark)) packet.mark = ntohl(packet.mark);
        break;
      case NFQA_CAP_LEN:  // only sent when less than all was copied
        is_truncated = true;
        break;
      case NFQA_PAYLOAD:
        packet.payload = value;
        break;
      default:
        break;
    }
    attributes =
        attributes.subspan(std::min<std::size_t>(NLA_ALIGN(attribute.nla_len), attributes.size()));
  }
  using queue_message::Unusable;
  if (is_truncated) return Unusable{Unusable::Why::truncated, packet.id};
  if (packet.id == 0 || packet.payload.empty() || !attributes.empty()) {
    return Unusable{Unusable::Why::attributes, packet.id};
  }
  return packet;
}

QueueMessage read_answer(ByteView body) noexcept {
  nlmsgerr answer{};
  if (!read(body, answer)) return queue_message::Other{};
  constexpr int last_errno = 4095;
  const bool is_errno = answer.error <= 0 && answer.error >= -last_errno;
  return queue_message::Answer{is_errno ? -answer.error : EPROTO};
}

}  // namespace

QueueMessage read_queue_message(ByteSpan datagram) noexcept {
  nlmsghdr header{};
  if (!read(datagram, header) || header.nlmsg_len < NLMSG_HDRLEN ||
      header.nlmsg_len > datagram.size()) {
    return queue_message::Other{};
  }
  const ByteSpan body = datagram.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
  if (header.nlmsg_type == NLMSG_ERROR) return read_answer(body);
  if (header.nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8U) | NFQNL_MSG_PACKET))
    return queue_message::Other{};
  constexpr std::size_t fixed = NLMSG_ALIGN(sizeof(nfgenmsg));
  if (body.size() < fixed) return queue_message::Unusable{};
  return read_packet(body.subspan(fixed));
}

}  // namespace cs
