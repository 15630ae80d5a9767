// SPDX-License-Identifier: GPL-3.0-or-later
// The vectors of docs/WIRE.md, which come from another implementation (tests/vectors/reference.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/hex.h"
#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

using Json = nlohmann::json;

Packet bytes(const Json& hex) {
  return get(hex_decode(hex.get<std::string>(), 1U << 20U));
}

template <std::size_t n>
void fill(std::array<std::uint8_t, n>& out, const Json& hex) {
  const Packet from = bytes(hex);
  ASSERT_EQ(from.size(), n);
  std::copy(from.begin(), from.end(), out.begin());
}

KeyScope scope_of(const Json& record) {
  KeyScope scope;
  scope.key = record.at("key_id");
  scope.direction = record.at("direction");
  scope.suite = static_cast<Suite>(record.at("suite").get<std::uint8_t>());
  fill(scope.session, record.at("session"));
  fill(scope.pcr_digest, record.at("pcr_digest"));
  return scope;
}

LaneRange lanes_of(const Json& record) {
  const auto lanes = record.at("lanes").get<std::vector<std::uint16_t>>();
  EXPECT_EQ(lanes.size(), lanes.back() - lanes.front() + 1U) << "a range is all we know";
  return {lanes.front(), lanes.back()};
}

std::uint16_t translator_of(const Json& test) {
  return test.value("translator", std::uint16_t{0});
}

Gate gate_of(const Json& record) {
  return Gate(get(SecretBytes::copy_of(bytes(record.at("gate_secret")))));
}

WallTime seconds(const Json& time) {
  return from_time_t(time.get<std::time_t>());
}

void take_out(Packet& packet, std::uint16_t translator) {
  if (translator == 0) return;
  ByteSpan rest = packet;
  ASSERT_EQ(translate_back(translator, rest), Reason::none);
  packet = Packet(rest.begin(), rest.end());
}

class Vectors : public ::testing::Test {
 protected:
  Vectors() : all_(Json::parse(std::ifstream(CS_VECTORS))) {}

  [[nodiscard]] const Json& record(const std::string& name) const {
    return all_.at("records").at(name);
  }

  Json all_;
};

TEST_F(Vectors, EachPacketHasItsVerdictAndComesBackAsItWas) {
  std::size_t packets = 0;
  for (const Json& test : all_.at("cases")) {
    SCOPED_TRACE(test.at("name").get<std::string>());
    Verifier verifier(Verifier::Options{.window = test.at("window")});
    for (const Json& name : test.at("records")) {
      const Json& from = record(name);
      const KeyScope scope = scope_of(from);
      get(verifier.add_key({scope,
                            get(VerifyingKey::load(scope.suite, bytes(from.at("public_key")))),
                            gate_of(from),
                            lanes_of(from),
                            {seconds(from.at("end")), BootTime::max()}}));
    }
    const Now now{seconds(test.at("now")), BootTime{}};
    for (std::size_t i = 0; i < test.at("packets").size(); ++i) {
      ++packets;
      const Received got =
          receive(verifier, bytes(test.at("packets")[i]), now, {}, translator_of(test));
      EXPECT_EQ(to_string(got.reason), test.at("expect")[i].get<std::string>()) << "packet " << i;
      if (test.at("stripped")[i].is_null()) continue;
      EXPECT_EQ(got.stripped, bytes(test.at("stripped")[i])) << "packet " << i;
    }
  }
  EXPECT_GT(packets, 200U);
}

// What we make of the packets before signing is, but for salt, signature and tag, what the other
// implementation made, and it verifies under the same record.
TEST_F(Vectors, WeSignAsTheOtherDoes) {
  std::size_t batches = 0;
  for (const Json& test : all_.at("cases")) {
    if (!test.contains("sign")) continue;
    const Json& sign = test.at("sign");
    if (sign.at("batch").get<std::uint64_t>() > 5000) continue;  // we count up to it
    SCOPED_TRACE(test.at("name").get<std::string>());
    const Json& from = record(sign.at("record"));
    const KeyScope scope = scope_of(from);
    OutboundKey key(scope, gate_of(from), sign.at("lane"), {WallTime::max(), BootTime::max()});
    while (key.take_batch_number() + 1 != sign.at("batch").get<std::uint64_t>() &&
           sign.at("batch") != 0) {
    }
    if (sign.at("batch") == 0) key = OutboundKey(scope, gate_of(from), sign.at("lane"), key.end());
    const SigningKey signing = get(
        SigningKey::load(scope.suite, get(SecretBytes::copy_of(bytes(from.at("private_key"))))));
    std::vector<Packet> plain;
    std::vector<std::optional<std::uint16_t>> identifications;
    for (std::size_t i = 0; i < sign.at("original").size(); ++i) {
      plain.push_back(bytes(sign.at("original")[i]));
      const Json& identification = sign.at("identification")[i];
      identifications.push_back(identification.is_null()
                                    ? std::nullopt
                                    : std::optional(identification.get<std::uint16_t>()));
    }
    const std::uint16_t translator = translator_of(test);
    const std::vector<Packet> wire =
        cs::test::sign(key, signing, plain, identifications, {}, translator);
    Verifier verifier(Verifier::Options{});
    get(verifier.add_key({scope,
                          get(VerifyingKey::load(scope.suite, bytes(from.at("public_key")))),
                          gate_of(from),
                          lanes_of(from),
                          {WallTime::max(), BootTime::max()}}));
    for (std::size_t i = 0; i < test.at("packets").size(); ++i) {
      const std::size_t leaf = sign.at("leaf")[i];
      Packet theirs = bytes(test.at("packets")[i]);
      Packet ours = wire.at(leaf);
      ASSERT_EQ(ours.size(), theirs.size());
      const Received got = receive(verifier, ours, {WallTime{}, BootTime{}}, {}, translator);
      EXPECT_EQ(got.reason, Reason::none);
      EXPECT_EQ(got.stripped, plain.at(leaf));
      for (Packet* packet : {&ours, &theirs}) take_out(*packet, translator);
      Layout at;
      ASSERT_EQ(find_layout(theirs, {}, at), Reason::none);
      Extension mine;
      Extension other;
      ASSERT_EQ(parse_extension(at, ours, mine), Reason::none);
      ASSERT_EQ(parse_extension(at, theirs, other), Reason::none);
      // Numbers, PCR tag and length, byte for byte: what lies between salt and gate tag, and behind
      // it.
      EXPECT_TRUE(std::equal(mine.all.end() - 32, mine.all.end() - 10, other.all.end() - 32));
      EXPECT_TRUE(std::equal(mine.all.end() - 2, mine.all.end(), other.all.end() - 2));
    }
    ++batches;
  }
  EXPECT_GT(batches, 20U);
}

}  // namespace
}  // namespace cs::test
