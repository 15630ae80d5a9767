// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/hello.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/cbor_writer.h"
#include "base/hex.h"
#include "keyms/ne_id.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/hellos.h"

namespace cs::keyms {
namespace {

std::string why_not(const Bytes& bytes) {
  const test::ExactBuffer exact(bytes);
  const auto hello = decode_hello(exact.view());
  return hello.ok() ? "accepted" : hello.error().message();
}

std::vector<SessionHello> samples() {
  SessionHello responder = test::session_hello();
  responder.role = Role::responder;
  responder.wants_proof = false;
  SessionHello largest = test::session_hello();
  largest.ak_public.assign(max_ak_public, 1);
  largest.statement.assign(max_endpoint_statement, 2);
  largest.signature.assign(max_endpoint_signature, 3);
  largest.policy_version = std::numeric_limits<std::uint64_t>::max();
  largest.vouchers.assign(max_vouchers, Voucher{~std::uint64_t{0}, Bytes(max_voucher, 4)});
  return {test::session_hello(), responder, largest};
}

TEST(Hello, ComesBackAsItWas) {
  for (const SessionHello& hello : samples()) {
    const Bytes bytes = test::get(encode(hello));
    EXPECT_LE(bytes.size(), max_session_message);
    EXPECT_EQ(test::get(decode_hello(bytes)), hello);
  }
}

// Written by hand from docs/PROTOCOL.md.
TEST(Hello, HasTheDocumentsBytes) {
  SessionHello hello = test::session_hello();
  hello.ak_public = {0xa1};
  hello.statement = {0xa2};
  hello.signature = {0xa3};
  hello.vouchers = {{9, {0xa4}}};
  const std::string nonce = "5820" + hex_encode(hello.nonce);
  const std::string value = "5820" + hex_encode(hello.core_properties);
  const std::string share = "5841" + hex_encode(hello.share);
  EXPECT_EQ(hex_encode(test::get(encode(hello))),
            "8201ad"
            "0001"
            "01686265726c696e2d31"
            "026968616d627572672d31"
            "03" +
                nonce + "04" + value +
                "0507"
                "06" +
                share +
                "0741a1"
                "0841a2"
                "0941a3"
                "0af5"
                "0b81a200090141a4"
                "0c1a11223344");
  EXPECT_EQ(hex_encode(test::get(encode(test::endpoint_statement()))),
            "a4"
            "00686265726c696e2d31"
            "015820" +
                hex_encode(test::counted<32>(0xc0)) +
                "021a6553f100"
                "031a65554280");
  EXPECT_EQ(hex_encode(signed_endpoint(Bytes{0xee})),
            "636f756e7465727369676e20656e64706f696e7420763100"
            "ee");
}

TEST(Hello, WhatIsCutOrLongerIsRefused) {
  const Bytes whole = test::get(encode(test::session_hello()));
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(why_not(Bytes(whole.begin(), whole.begin() + static_cast<int>(size))), "accepted");
  Bytes longer = whole;
  longer.push_back(0);
  EXPECT_NE(why_not(longer).find("should end"), std::string::npos);
}

TEST(Hello, EachRuleIsKeptByBothDirections) {
  using Break = std::function<void(SessionHello&)>;
  const std::vector<std::pair<std::string, Break>> breaks{
      {"neither 1 nor 2", [](SessionHello& h) { h.role = Role{0}; }},
      {"sender's name is no NeID", [](SessionHello& h) { h.from = "Berlin"; }},
      {"receiver's name is no NeID", [](SessionHello& h) { h.to.clear(); }},
      {"are the same", [](SessionHello& h) { h.to = h.from; }},
      {"version is 0", [](SessionHello& h) { h.policy_version = 0; }},
      {"begin with 4", [](SessionHello& h) { h.share[0] = 2; }},
      {"attestation key has 0", [](SessionHello& h) { h.ak_public.clear(); }},
      {"attestation key has 1025", [](SessionHello& h) { h.ak_public.resize(1025); }},
      {"statement has 513", [](SessionHello& h) { h.statement.resize(513); }},
      {"signature has 0", [](SessionHello& h) { h.signature.clear(); }},
      {"too many",
       [](SessionHello& h) {
         h.vouchers.assign(5, Voucher{1, {1}});
       }},
      {"key id is 0", [](SessionHello& h) { h.key_id = 0; }},
      {"a voucher has 0", [](SessionHello& h) { h.vouchers.resize(1); }},
  };
  for (const auto& [why, spoil] : breaks) {
    SessionHello hello = test::session_hello();
    spoil(hello);
    const auto refused = encode(hello);
    ASSERT_FALSE(refused.ok()) << why;
    EXPECT_NE(refused.error().message().find(why), std::string::npos) << refused.error().message();
  }
}

// The same rules for bytes that encode() would not write: one byte of a good hello is changed.
TEST(Hello, BytesThatBreakARuleAreRefused) {
  const Bytes good = test::get(encode(test::session_hello()));
  const auto with = [&](std::size_t at, std::uint8_t byte) {
    Bytes bad = good;
    bad.at(at) = byte;
    return why_not(bad);
  };
  EXPECT_NE(with(0, 0x83).find("at most 2"), std::string::npos);
  EXPECT_NE(with(0, 0x81).find("no pair"), std::string::npos);
  EXPECT_NE(with(1, 0x00).find("neither 1 nor 2"), std::string::npos);
  EXPECT_NE(with(1, 0x03).find("at most 2"), std::string::npos);
  EXPECT_NE(with(2, 0xad).find("goes on with a key"), std::string::npos);
  EXPECT_NE(with(4, 0x02).find("version 2 of the attestation session"), std::string::npos);
  EXPECT_NE(with(5, 0x02).find("missing or not in its place"), std::string::npos);
  EXPECT_NE(with(7, 'B').find("no NeID"), std::string::npos);
  EXPECT_NE(with(good.size() - 7, 0xf6).find("neither true nor false"), std::string::npos);
}

TEST(Hello, AnEmptyArrayOfVouchersIsNoSecondForm) {
  Bytes bytes = test::get(encode(test::session_hello()));
  bytes.at(2) = 0xad;
  const Bytes empty{0x0b, 0x80};
  bytes.insert(bytes.end() - 6, empty.begin(), empty.end());
  EXPECT_NE(why_not(bytes).find("empty array"), std::string::npos);
}

TEST(EndpointStatement, ComesBackAndKeepsItsRules) {
  const EndpointStatement good = test::endpoint_statement();
  const Bytes bytes = test::get(encode(good));
  EXPECT_EQ(test::get(decode_endpoint_statement(bytes)), good);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_endpoint_statement(ByteView(bytes).first(size)).ok());
  EndpointStatement crossed = good;
  std::swap(crossed.not_before, crossed.not_after);
  EXPECT_FALSE(encode(crossed).ok());
  EndpointStatement late = good;
  late.not_after = 253402300800;
  EXPECT_FALSE(encode(late).ok());
  EndpointStatement nameless = good;
  nameless.ne_id = "-";
  EXPECT_FALSE(encode(nameless).ok());
  Bytes bad = bytes;
  bad.back() = 0;  // the end now lies before the begin, or is another
  bad.at(bad.size() - 4) = 0;
  EXPECT_FALSE(decode_endpoint_statement(bad).ok());
}

TEST(NeId, IsALetterThenLettersDigitsAndHyphens) {
  for (const char* good : {"a", "berlin-1", "a23456789-123456"}) EXPECT_TRUE(is_ne_id(good));
  for (const char* bad : {"", "1a", "-a", "Berlin", "a_b", "a.b", "a23456789-1234567", "\xc3\xa4"})
    EXPECT_FALSE(is_ne_id(bad)) << bad;
}

}  // namespace
}  // namespace cs::keyms
