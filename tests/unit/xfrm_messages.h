// SPDX-License-Identifier: GPL-3.0-or-later
// XFRM messages as a kernel sends them, put together byte by byte.
#pragma once

#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "xfrm/netlink/message.h"

namespace cs::test {

using Bytes = std::vector<std::uint8_t>;

template <class T>
Bytes raw(const T& value) {
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(&value);
  return {begin, begin + sizeof(value)};
}

inline Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

inline Bytes attribute(std::uint16_t type, const Bytes& value) {
  Bytes row;
  netlink::append_attribute(row, type, value);
  return row;
}

// A structure as the fixed part of a message, padded as the kernel does.
template <class T>
Bytes fixed(const T& value) {
  Bytes bytes = raw(value);
  bytes.resize((bytes.size() + 3) & ~std::size_t{3});
  return bytes;
}

// An algorithm of any form: `icv` is left out where it is negative.
inline Bytes algorithm(const std::string& name, const Bytes& key, int icv = -1) {
  std::array<char, 64> field{};
  std::memcpy(field.data(), name.data(), std::min(name.size(), field.size()));
  Bytes bytes = raw(field) + raw(static_cast<std::uint32_t>(key.size() * 8));
  if (icv >= 0) bytes = bytes + raw(static_cast<std::uint32_t>(icv));
  return bytes + key;
}

inline xfrm_address_t ipv4(const char* text) {
  xfrm_address_t out{};
  inet_pton(AF_INET, text, &out.a4);
  return out;
}

inline xfrm_address_t ipv6(const char* text) {
  xfrm_address_t out{};
  inet_pton(AF_INET6, text, &out.in6);
  return out;
}

inline xfrm_selector selector(const char* source, std::uint8_t source_length,
                              const char* destination, std::uint8_t destination_length) {
  xfrm_selector out{};
  out.family = AF_INET;
  out.saddr = ipv4(source);
  out.prefixlen_s = source_length;
  out.daddr = ipv4(destination);
  out.prefixlen_d = destination_length;
  return out;
}

// What is in every key of these messages: no text and no model may have it.
inline const Bytes key_bytes(36, 0xa5);

inline xfrm_usersa_info usual_sa() {
  xfrm_usersa_info info{};
  info.family = AF_INET;
  info.saddr = ipv4("192.0.2.1");
  info.id.daddr = ipv4("192.0.2.2");
  info.id.spi = htonl(0xc0ffee01);
  info.id.proto = IPPROTO_ESP;
  info.mode = XFRM_MODE_TUNNEL;
  info.reqid = 7;
  info.sel.family = AF_INET;
  info.replay_window = 32;
  info.lft = {~0ULL, ~0ULL, ~0ULL, ~0ULL, 3300, 3600, 0, 0};
  return info;
}

inline xfrm_userpolicy_info usual_policy() {
  xfrm_userpolicy_info info{};
  info.sel = selector("10.1.0.0", 16, "10.2.0.0", 16);
  info.dir = XFRM_POLICY_OUT;
  info.index = 9;
  info.priority = 375423;
  info.lft = {~0ULL, ~0ULL, ~0ULL, ~0ULL, 0, 0, 0, 0};
  return info;
}

inline xfrm_user_tmpl usual_template() {
  xfrm_user_tmpl wanted{};
  wanted.family = AF_INET;
  wanted.saddr = ipv4("192.0.2.1");
  wanted.id.daddr = ipv4("192.0.2.2");
  wanted.id.proto = IPPROTO_ESP;
  wanted.mode = XFRM_MODE_TUNNEL;
  wanted.reqid = 7;
  wanted.aalgos = wanted.ealgos = wanted.calgos = ~0U;
  return wanted;
}

inline Bytes usual_aead() {
  return attribute(XFRMA_ALG_AEAD, algorithm("rfc4106(gcm(aes))", key_bytes, 128));
}

inline Bytes sa_message(const Bytes& attributes) {
  return fixed(usual_sa()) + attributes;
}

inline Bytes policy_message(const Bytes& attributes) {
  return fixed(usual_policy()) + attributes;
}

}  // namespace cs::test
