// SPDX-License-Identifier: GPL-3.0-or-later
// The value that binds an SA to a session, held against one computed apart from this program, by
// Python's cryptography:
//
//   keys = b"".join(len(k).to_bytes(2, "big") + k for k in (aead, encryption, authentication))
//   key = HKDF(SHA256(), 32, None, b"cs-bind").derive(keys)
//   HMAC(key, SHA256()) over session id + SPI.to_bytes(4, "big") + bytes([sense])
//
// With SAs of a kernel: netns/esp_test.cpp, in the lab's guest.
#include <gtest/gtest.h>

#include "base/hex.h"
#include "tests/support/unwrap.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/xfrm_messages.h"
#include "xfrm/binding.h"

namespace cs::xfrm {
namespace {

using test::algorithm;
using test::attribute;
using test::get;
using Bytes = std::vector<std::uint8_t>;

Bytes counting(std::size_t size, std::uint8_t first) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
  return bytes;
}

Bytes sa(std::uint32_t spi, const Bytes& attributes) {
  xfrm_usersa_info info{};
  info.family = AF_INET;
  info.id.spi = htonl(spi);
  info.id.proto = IPPROTO_ESP;
  info.id.daddr = test::ipv4("192.0.2.2");
  info.saddr = test::ipv4("192.0.2.1");
  Bytes payload = test::fixed(info);
  payload.insert(payload.end(), attributes.begin(), attributes.end());
  return payload;
}

const Bytes kSession = counting(32, 0x80);
const Bytes kKey = counting(32, 0x41);
Bytes gcm(const Bytes& key) {
  return attribute(XFRMA_ALG_AEAD, algorithm("rfc4106(gcm(aes))", key, 128));
}
// The kernel tells an authentication in both of its forms.
Bytes sha256(const Bytes& key) {
  Bytes both = attribute(XFRMA_ALG_AUTH, algorithm("hmac(sha256)", key));
  const Bytes newer = attribute(XFRMA_ALG_AUTH_TRUNC, algorithm("hmac(sha256)", key, 128));
  both.insert(both.end(), newer.begin(), newer.end());
  return both;
}
Bytes cbc(const Bytes& key) {
  return attribute(XFRMA_ALG_CRYPT, algorithm("cbc(aes)", key));
}

std::string bound(const Bytes& payload, const Bytes& session, Sense sense) {
  const test::ExactBuffer exact(payload);
  return hex_encode(get(binding_of(exact.view(), session, sense)));
}

TEST(Binding, IsWhatAnotherProgramComputes) {
  using test::operator+;
  const Bytes aead = sa(0x1000, gcm(counting(36, 1)));
  EXPECT_EQ(bound(aead, kSession, Sense::to_responder),
            "d6f0d7bc3a4e6f986007f6d6816a15261b2c34f0b855204f01a3bff02e1d2a9f");
  EXPECT_EQ(bound(aead, kSession, Sense::to_initiator),
            "1dc004b61caea29f11b5bc939d26a8d92dad1a1aba957fc33eb73c55da0d37ef");
  EXPECT_EQ(bound(sa(0xc0ffee01, sha256(kKey)), kSession, Sense::to_responder),
            "142453a61d458c833136f4e8b551258cab9ec99948d390766f0868dd76fe8b27");
  EXPECT_EQ(bound(sa(0x1001, sha256(kKey) + cbc(kKey)), {0x80}, Sense::to_initiator),
            "ff183c21430c2382b970aa5efe45bc94c2700901807843d62eefc4c5e7066cf8");
}

TEST(Binding, DependsOnTheKeysTheSpiAndTheSessionAlone) {
  const std::string one = bound(sa(1, gcm(counting(36, 1))), kSession, Sense::to_responder);
  Bytes salted = counting(36, 1);
  salted.back() ^= 1U;
  EXPECT_NE(one, bound(sa(1, gcm(salted)), kSession, Sense::to_responder));
  EXPECT_NE(one, bound(sa(2, gcm(counting(36, 1))), kSession, Sense::to_responder));
  EXPECT_NE(one, bound(sa(1, gcm(counting(36, 1))), counting(32, 0x81), Sense::to_responder));
  Bytes elsewhere = sa(1, gcm(counting(36, 1)));
  reinterpret_cast<xfrm_usersa_info*>(elsewhere.data())->id.daddr = test::ipv4("203.0.113.9");
  EXPECT_EQ(one, bound(elsewhere, kSession, Sense::to_responder)) << "a NAT may be between";
}

TEST(Binding, OfKeysThatTheKernelHidesIsRefused) {
  using test::operator+;
  for (const Bytes& attributes : {gcm(Bytes(36)), sha256(Bytes(32)), cbc(Bytes(32)) + sha256(kKey),
                                  cbc(kKey) + sha256(Bytes(32))}) {
    const auto refused = binding_of(sa(1, attributes), kSession, Sense::to_responder);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::unsupported);
    EXPECT_NE(refused.error().message().find("hides the keys"), std::string::npos);
  }
}

TEST(Binding, WithoutWhatItNeedsIsRefused) {
  const Bytes good = sa(1, gcm(counting(36, 1)));
  EXPECT_FALSE(binding_of(sa(1, {}), kSession, Sense::to_responder).ok()) << "larval";
  EXPECT_FALSE(binding_of(sa(1, cbc(kKey)), kSession, Sense::to_responder).ok());
  const Bytes older = attribute(XFRMA_ALG_AUTH, algorithm("hmac(sha256)", kKey));
  EXPECT_FALSE(binding_of(sa(1, older), kSession, Sense::to_responder).ok());
  EXPECT_FALSE(binding_of(good, {}, Sense::to_responder).ok());
  EXPECT_FALSE(binding_of(good, Bytes(max_session_id + 1), Sense::to_responder).ok());
  EXPECT_TRUE(binding_of(good, Bytes(max_session_id), Sense::to_responder).ok());
  for (std::size_t size = 0; size < good.size(); size += 4) {
    const test::ExactBuffer cut(ByteView(good).first(size));
    EXPECT_FALSE(binding_of(cut.view(), kSession, Sense::to_responder).ok()) << size;
  }
}

}  // namespace
}  // namespace cs::xfrm
