// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "keyms/policy/toml.h"
#include "keyms/policy/words.h"
#include "tests/unit/policy_samples.h"

namespace {

using cs::test::get;
using cs::test::random_policy;
using cs::test::sample_policy;
using namespace cs::keyms;

constexpr std::string_view least = R"(name = "berlin-hamburg"
[gateways.hamburg-1]
attestation_key = "000ba1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
addresses = ["192.0.2.2"]
[gateways.berlin-1]
attestation_key = "000ba0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0"
addresses = ["192.0.2.1"]
keymsd = "192.0.2.1"
[tunnels.office]
traffic.berlin-1 = ["10.1.0.0/16"]
traffic.hamburg-1 = ["10.2.0.0/16"]
proposals = ["aes256gcm16"]
)";

std::string refused(const std::string& text) {
  const auto parsed = parse_toml_policy(text, "p.toml");
  return parsed.ok() ? "" : parsed.error().message();
}

// The least policy with one line put in place of another, or behind everything.
std::string with(std::string_view line, const std::string& other) {
  std::string text(least);
  const std::size_t at = text.find(line);
  if (line.empty() || at == std::string::npos) return text + other;
  return text.replace(at, line.size(), other);
}

TEST(PolicyToml, TheLeastIsTheSample) {
  EXPECT_EQ(get(parse_toml_policy(least, "p.toml")), sample_policy());
}

TEST(PolicyToml, EveryPolicyComesBackFromItsText) {
  std::mt19937 random(11);
  for (int i = 0; i < 200; ++i) {
    const CorePolicy policy = random_policy(random);
    const std::string text = toml_text(policy);
    ASSERT_EQ(get(parse_toml_policy(text, "p.toml")), policy) << text;
  }
}

TEST(PolicyToml, TellsWhereItIsWrongAndWhatWasMeant) {
  struct Case {
    std::string line;
    std::string other;
    std::string told;
  };
  const std::vector<Case> cases{
      {"traffic.hamburg-1", "traffic.hamborg-1",
       R"(p.toml:11:9: no field is called "tunnels.office.traffic.hamborg-1"; did you mean )"
       R"("hamburg-1"? docs/POLICY.md lists them)"},
      {"", "[atestation]\n",
       R"(p.toml:13:2: no field is called "atestation"; did you mean "attestation"? )"},
      {"", "mode = \"tunel\"\n",
       R"(p.toml:13:8: tunnels.office.mode has to be "tunnel" or "transport"; did you mean )"
       R"("tunnel"?)"},
      {"aes256gcm16", "aes257gcm16", "p.toml:12:14: tunnels.office.proposals has to be right: "},
      {"10.1.0.0/16", "10.1.0.1/16", "p.toml:10:21: tunnels.office.traffic.berlin-1 has to be"},
      {R"(["192.0.2.2"])", R"(["192.0.2.222", "192.0.2.2"])",
       "p.toml:9:1: address.hamburg-1 is missing; the gateway has several"},
      {"hamburg-1]", "hamburg_1]", "p.toml:11:9: no field"},
      {"000ba1a1", "000ba1a", "p.toml:3:19: gateways.hamburg-1.attestation_key has to be right: "},
      {"000ba1a1", "000ca1a1", "p.toml:2:1: gateways.hamburg-1: attestation_key is no Name"},
      {"", "least_replay_window = 0\n", "p.toml:13:23: tunnels.office.least_replay_window has"},
      {"", "output_mark = \"4/2\"\n", "p.toml:9:1: tunnels.office: a mark has bits outside"},
      {"", "[attestation]\nsilence = \"1s\"\n", "p.toml:13:1: attestation: silence is 1 s; "},
      {"", "[attestation]\nsilence = 15\n", "p.toml:14:11: attestation.silence has to be right"},
      {"keymsd = \"192.0.2.1\"", "", "p.toml: neither gateway has a keymsd"},
      {"", "[gateways.munich]\n", "more than 2 gateways"},
      {"", "[gateways.berlin-1.boot]\nx7 = []\n", "no field is called \"gateways.berlin-1.boot.x7"},
      {"", "[gateways.berlin-1.boot]\n24 = []\n", "no field is called \"gateways.berlin-1.boot.24"},
      {"", "[bypasses.dns]\nat = \"berlin-1\"\n", "p.toml:13:1: bypasses.dns.here has to be given"},
      {"", "[bypasses.dns]\nat = \"berlin\"\nhere = \"10.1.0.1\"\nthere = \"10.2.0.0/16\"\n",
       "did you mean \"berlin-1\"?"},
  };
  for (const Case& one : cases) {
    const std::string told = refused(with(one.line, one.other));
    EXPECT_NE(told.find(one.told), std::string::npos) << one.other << "\n" << told;
  }
  EXPECT_NE(refused("").find("p.toml:1:1: gateways has to be two tables"), std::string::npos)
      << refused("");
  EXPECT_NE(refused("x = \"\x1b[31m").find("p.toml:1:"), std::string::npos);
  EXPECT_NE(refused(std::string(max_toml + 1, '#')).find("longer than"), std::string::npos);
}

// What is not known is left to be filled in; the text says so, and is refused until it is.
TEST(PolicyToml, AnUnfinishedPolicyIsTextToo) {
  CorePolicy policy = sample_policy();
  policy.gateways[1].attestation_key.reset();
  policy.gateways[1].ne_id = "THERE";
  const std::string text = toml_text(policy);
  EXPECT_NE(text.find("# attestation_key = \"000b…\"\n"), std::string::npos);
  EXPECT_NE(refused(text).find("gateways.THERE: its NeID is not right"), std::string::npos);
}

TEST(PolicyWords, ComeBackAsTheyWere) {
  for (const char* one : {"0s", "90s", "10m", "23h", "7d", "400d"}) {
    EXPECT_EQ(text(get(parse_duration(one))), one);
  }
  for (const char* one :
       {"", "s", "10", "-1s", "1.5h", "401d", "10 m", "99999999999999999999s", "0x"}) {
    EXPECT_FALSE(parse_duration(one).ok()) << one;
  }
  for (const char* one : {"none", "0x10000/0x10000", "0x1/0xffffffff"}) {
    EXPECT_EQ(mark_text(get(parse_mark(one))), one);
  }
  EXPECT_EQ(get(parse_mark("66")), (cs::xfrm::Mark{66, 0xffffffff}));
  for (const char* one : {"", "/", "1/", "x", "0x100000000", "%unique", "-1"}) {
    EXPECT_FALSE(parse_mark(one).ok()) << one;
  }
  for (const char* one : {"10.1.0.0/16", "2001:db8::/32[udp/53]", "0.0.0.0/0[tcp]",
                          "10.1.0.7/32[89]", "::/0[sctp/0x4000:0xc000]", "::/0[ipv6-icmp/128]"}) {
    EXPECT_EQ(text(get(parse_traffic(one))), one);
  }
  EXPECT_EQ(text(get(parse_traffic("10.1.0.7"))), "10.1.0.7/32");
  for (const char* one :
       {"", "10.1.0.0/16[", "10.1.0.0/16[]", "10.1.0.0/16[tcp/]", "10.1.0.0/16[tcp/65536]",
        "10.1.0.0/16[tcp/http]", "10.1.0.0/16[256]", "10.1.0.0/16[tcp/80]x", "10.1.0.0/16[0]"}) {
    EXPECT_FALSE(parse_traffic(one).ok()) << one;
  }
  for (const char* one : {"192.0.2.1:1", "[2001:db8::1]:65535"}) {
    EXPECT_EQ(text(get(parse_endpoint(one))), one);
  }
  EXPECT_EQ(text(get(parse_endpoint("2001:db8::1"))), "[2001:db8::1]:4739");
  EXPECT_EQ(text(get(parse_endpoint("192.0.2.1"))), "192.0.2.1:4739");
  for (const char* one : {"", ":", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[", "[]:1",
                          "[2001:db8::1", "[2001:db8::1]1", "gateway:4739"}) {
    EXPECT_FALSE(parse_endpoint(one).ok()) << one;
  }
  for (const char* one : {"pcr:13", "nv:0x1d10300"}) {
    EXPECT_EQ(text(get(parse_register(one))), one);
  }
  for (const char* one : {"", "13", "pcr:24", "nv:", "pcr:0x1g"}) {
    EXPECT_FALSE(parse_register(one).ok()) << one;
  }
}

}  // namespace
