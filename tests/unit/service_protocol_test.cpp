// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/service_protocol.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/hex.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/service_messages.h"

namespace cs::keyms::carrier {
namespace {

using test::encoded_for_service;
using Bytes = std::vector<std::uint8_t>;

// What decoding and encoding again makes of some bytes, or the error's words.
template <class Variant>
std::string outcome(const Bytes& bytes, Result<Variant> (*decode)(ByteView)) {
  const test::ExactBuffer exact(bytes);
  const auto decoded = decode(exact.view());
  if (!decoded.ok()) return decoded.error().message();
  const auto again = std::visit([](const auto& m) { return encoded_for_service(m); }, *decoded);
  return again == bytes ? "same" : "other bytes";
}

struct Sample {
  std::string name;
  Bytes bytes;
  bool from_carrier;
  bool is_private;
};

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto add = [&all](std::string name, const auto& message, bool up, bool is_private) {
    all.push_back({std::move(name), encoded_for_service(message), up, is_private});
  };
  add("hello", Hello{1, true, "strongswan"}, true, false);
  add("connect", test::connect_message(), true, false);
  Connect least = test::connect_message();
  least.certificate.clear();
  least.peer_certificate.clear();
  least.peer.clear();
  least.address.clear();
  add("connect, least", least, true, false);
  for (const bool up : {true, false}) {
    add("data", Data{7, {1}}, up, false);
    add("data, most", Data{7, test::filled(max_data, 9)}, up, false);
    add("close", Close{8, test::reason()}, up, false);
  }
  add("unreachable", Unreachable{"hamburg-1", "no answer"}, true, false);
  Stats stats{3, 4, {5, 6, {}}};
  stats.counters.of(Refusal::peer_closed) = 7;
  add("stats", stats, true, true);
  add("welcome", Welcome{}, false, false);
  add("open", Open{"hamburg-1", {test::endpoint(), test::endpoint("2001:db8::1")}}, false, false);
  add("grant", Grant{9}, false, false);
  add("deny", Deny{10, test::reason()}, false, false);
  add("own_endpoint", test::own_endpoint(), false, true);
  add("known_peer", test::known_peer(), false, true);
  add("listener", Listener{}, false, true);
  add("configured", Configured{}, false, true);
  add("dial", Dial{"hamburg-1", test::endpoint()}, false, true);
  return all;
}

TEST(ServiceProtocol, EveryMessageComesBackAtItsOwnEndOnly) {
  for (const Sample& sample : samples()) {
    const std::string up = outcome(sample.bytes, decode_from_worker);
    const std::string down = outcome(sample.bytes, decode_to_worker);
    EXPECT_EQ(sample.from_carrier ? up : down, "same") << sample.name;
    if (sample.name != "close" && sample.name.substr(0, 4) != "data") {
      EXPECT_NE((sample.from_carrier ? down : up).find("sends none"), std::string::npos);
    }
  }
}

TEST(ServiceProtocol, OthersThanTheWorkerHaveNoPrivateMessages) {
  for (const Sample& sample : samples()) {
    const std::string found = sample.from_carrier ? outcome(sample.bytes, decode_from_carrier)
                                                  : outcome(sample.bytes, decode_from_service);
    if (sample.is_private) {
      EXPECT_NE(found.find("its own worker only"), std::string::npos) << sample.name << found;
    } else {
      EXPECT_EQ(found, "same") << sample.name;
    }
  }
}

TEST(ServiceProtocol, WhatIsCutOrLongerIsRefused) {
  for (const Sample& sample : samples()) {
    if (sample.name.substr(0, 4) == "data") continue;  // any length from 1 on is one
    const auto refused = [&](const Bytes& bytes) {
      return (sample.from_carrier ? outcome(bytes, decode_from_worker)
                                  : outcome(bytes, decode_to_worker)) != "same";
    };
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      EXPECT_TRUE(
          refused(Bytes(sample.bytes.begin(), sample.bytes.begin() + static_cast<int>(size))));
    }
    Bytes longer = sample.bytes;
    longer.push_back(0);
    EXPECT_TRUE(refused(longer)) << sample.name;
  }
  EXPECT_NE(outcome(Bytes{3, 0, 0, 0, 7}, decode_from_carrier), "same") << "data without any";
  Bytes most = encoded_for_service(Data{7, test::filled(max_data, 9)});
  most.push_back(0);
  EXPECT_NE(outcome(most, decode_from_carrier).find("at most 32773"), std::string::npos);
}

// Written by hand from docs/PROTOCOL.md.
TEST(ServiceProtocol, MessagesHaveTheDocumentsBytes) {
  const auto hex = [](const auto& message) { return hex_encode(encoded_for_service(message)); };
  EXPECT_EQ(hex(Hello{1, true, "ike"}),
            "01"
            "0001"
            "01"
            "03696b65");
  Connect connect = test::connect_message();
  connect.certificate = {0xaa};
  connect.peer_certificate = {0xbb, 0xbc};
  connect.peer = "b";
  connect.address = "c";
  EXPECT_EQ(hex(connect),
            "02"
            "01020304"
            "01"
            "0001"
            "01"
            "03"
            "20" +
                hex_encode(test::counted<32>(0x20)) +
                "0001aa"
                "0002bbbc"
                "0162"
                "0163");
  EXPECT_EQ(hex(Data{5, {0xdd}}),
            "03"
            "00000005"
            "dd");
  EXPECT_EQ(hex(Close{5, {"x", "y"}}),
            "04"
            "00000005"
            "0178"
            "0179");
  EXPECT_EQ(hex(Unreachable{"b", "y"}),
            "05"
            "0162"
            "0179");
  EXPECT_EQ(hex(Welcome{}),
            "81"
            "0001");
  EXPECT_EQ(hex(Open{"b", {test::endpoint()}}),
            "82"
            "0162"
            "01"
            "04c0000201"
            "1283");
  EXPECT_EQ(hex(Grant{5}),
            "83"
            "00000005");
  EXPECT_EQ(hex(Deny{5, {"x", ""}}),
            "84"
            "00000005"
            "0178"
            "00");
}

TEST(ServiceProtocol, NothingThatBreaksARuleIsSent) {
  Bytes memory(max_service_message);
  const auto why = [&memory](const auto& message) {
    const auto refused = encode(message, memory);
    return refused.ok() ? "sent" : refused.error().message();
  };
  EXPECT_NE(why(Hello{1, false, ""}).find("no name"), std::string::npos);
  EXPECT_NE(why(Hello{1, false, "a\n"}).find("printable"), std::string::npos);
  const auto connect = [&why](const std::function<void(Connect&)>& spoil) {
    Connect bad = test::connect_message();
    spoil(bad);
    return why(bad);
  };
  EXPECT_NE(connect([](Connect& c) { c.lowest_version = 4; }).find("above"), std::string::npos);
  EXPECT_NE(connect([](Connect& c) { c.secret = test::secret<31>(1); }).find("32 to 64"),
            std::string::npos);
  EXPECT_NE(connect([](Connect& c) { c.certificate.resize(4097); }).find("4097"),
            std::string::npos);
  EXPECT_NE(connect([](Connect& c) { c.peer = "Hamburg"; }).find("no NeID"), std::string::npos);
  EXPECT_NE(connect([](Connect& c) { c.address.resize(65, 'a'); }).find("65"), std::string::npos);
  EXPECT_NE(why(Data{1, {}}).find("0 bytes"), std::string::npos);
  EXPECT_NE(why(Close{1, {"", "x"}}).find("reason"), std::string::npos);
  EXPECT_NE(why(Deny{1, {"No", "x"}}).find("lower-case"), std::string::npos);
  EXPECT_NE(why(Open{"b", {}}).find("endpoints"), std::string::npos);
  EXPECT_NE(why(Open{"b", {{{}, 0}}}).find("port"), std::string::npos);
  KnownPeer peer = test::known_peer();
  peer.core_properties.clear();
  EXPECT_NE(why(peer).find("values"), std::string::npos);
}

TEST(ServiceProtocol, BytesThatBreakARuleAreRefused) {
  const auto with = [](Bytes bytes, std::size_t at, std::uint8_t byte) {
    bytes.at(at) = byte;
    return outcome(bytes, decode_from_carrier);
  };
  const Bytes hello = encoded_for_service(Hello{1, false, "ike"});
  EXPECT_NE(with(hello, 0, 0x3f).find("sends none"), std::string::npos);
  EXPECT_NE(with(hello, 3, 2).find("neither 0 nor 1"), std::string::npos);
  EXPECT_NE(with(hello, 5, 0x80).find("printable"), std::string::npos);
  const Bytes connect = encoded_for_service(test::connect_message());
  EXPECT_NE(with(connect, 5, 2).find("neither 0 nor 1"), std::string::npos);
  EXPECT_NE(with(connect, 8, 4).find("above the highest"), std::string::npos);
  EXPECT_NE(with(connect, 10, 65).find("above the limit of 64"), std::string::npos);
}

}  // namespace
}  // namespace cs::keyms::carrier
