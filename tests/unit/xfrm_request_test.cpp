// SPDX-License-Identifier: GPL-3.0-or-later
// What is sent to put policies and SAs into the kernel, byte for byte as ip(8) sends it; what is
// refused before; the file that remembers. What the kernel makes of it: netns/xfrm_install_test.cpp
// and, with SAs, netns/esp_test.cpp in the lab's guest.
#include <gtest/gtest.h>
#include <linux/xfrm.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "tests/support/memory_search.h"
#include "tests/support/unwrap.h"
#include "tests/unit/ip_messages.h"
#include "xfrm/install/install_memory.h"
#include "xfrm/install/installer.h"
#include "xfrm/install/refusal.h"
#include "xfrm/state/message.h"

namespace cs::xfrm {
namespace {

using netlink::Request;
using test::get;
using Bytes = std::vector<std::uint8_t>;

Bytes from_hex(std::string_view text) {
  return get(hex_decode(text, 4096));
}

Bytes payload_of(Request& request) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(request.header());
  return {begin + sizeof(nlmsghdr), begin + request.header()->nlmsg_len};
}

// Lines: the fixed part, and the attributes in the order of their types, as theirs means nothing.
using Lines = std::vector<std::string>;
Lines lines_of(const Bytes& payload, std::size_t fixed, std::uint16_t left_out = 0) {
  Lines lines;
  netlink::Attributes row(ByteView(payload).subspan(fixed));
  while (const auto one = row.next()) {
    if (one->type == left_out) continue;
    lines.push_back(std::to_string(one->raw_type) + ": " + hex_encode(one->value));
  }
  EXPECT_FALSE(row.is_malformed());
  std::ranges::sort(lines);
  lines.push_back(hex_encode(ByteView(payload).first(fixed)));
  return lines;
}

SecretBytes counting(std::size_t size, std::uint8_t first) {
  SecretBytes keys = get(SecretBytes::create(size));
  for (std::size_t i = 0; i < size; ++i) {
    keys.bytes()[i] = static_cast<std::uint8_t>(first + i % 0x20);
  }
  return keys;
}
// As the messages of ip(8) have them.
SecretBytes keys_of(const Sa& sa) {
  if (!sa.aead) return counting(sa.encryption ? 64 : 32, 0x41);
  SecretBytes keys = counting(36, 1);
  for (std::size_t i = 32; i < 36; ++i) keys.bytes()[i] = static_cast<std::uint8_t>(i + 1);
  return keys;
}

// As the kernel tells it: with the bitmap of a replay window.
Bytes as_told(const Bytes& payload) {
  Bytes told(payload.begin(), payload.begin() + sizeof(xfrm_usersa_info));
  netlink::Attributes row(ByteView(payload).subspan(sizeof(xfrm_usersa_info)));
  while (const auto one = row.next()) {
    Bytes value(one->value.begin(), one->value.end());
    if (one->type == XFRMA_REPLAY_ESN_VAL) value.resize(value.size() + value[0] * 4U);
    netlink::append_attribute(told, one->type, value);
  }
  return told;
}

SaWithKeys sa_of(std::string_view message) {
  Sa sa = get(parse_sa(as_told(from_hex(message))));
  SecretBytes keys = keys_of(sa);
  return {std::move(sa), std::move(keys)};
}

TEST(AddSa, SaysWhatIpSays) {
  for (const auto message : {test::kEspGcm, test::kAhV6, test::kEspEsn}) {
    Request request = get(add_sa_request(sa_of(message), 0));
    EXPECT_EQ(request.header()->nlmsg_type, XFRM_MSG_NEWSA);
    EXPECT_EQ(lines_of(payload_of(request), sizeof(xfrm_usersa_info)),
              lines_of(from_hex(message), sizeof(xfrm_usersa_info)));
  }
}

TEST(AddSa, CarriesItsTagAndDirection) {
  SaWithKeys sa = sa_of(test::kEspGcm);
  sa.sa.direction = SaDirection::in;
  Request request = get(add_sa_request(sa, 0xc0ffee));
  const Bytes payload = payload_of(request);
  EXPECT_EQ(netlink::first_of<xfrm_usersa_info>(payload)->seq, 0xc0ffeeU);
  EXPECT_EQ(get(parse_sa(as_told(payload))).direction, SaDirection::in);
}

TEST(AddSa, LeavesNoKeyInMemory) {
  test::MemorySearch search(36);
  SaWithKeys sa = sa_of(test::kEspGcm);
  test::write_key(sa.keys.bytes());
  {
    const auto request = add_sa_request(sa, 1);
    EXPECT_EQ(search.count(), 2) << "the caller's, and the request's";
  }
  EXPECT_EQ(search.count(), 1);
}

TEST(AddSa, RefusesWhatMustNotBe) {
  struct Case {
    const char* why;
    void (*change)(SaWithKeys&);
  };
  const std::vector<Case> cases{
      {"replay window of 0", [](SaWithKeys& s) { s.sa.replay.window = 0; }},
      {"replay window above", [](SaWithKeys& s) { s.sa.replay.window = 4097; }},
      {"bytes of key", [](SaWithKeys& s) { s.keys = counting(32, 1); }},
      {"bytes of key", [](SaWithKeys& s) { s.sa.aead->key_bits += 8; }},
      {"287 bits", [](SaWithKeys& s) { s.sa.aead->key_bits -= 1; }},
      {"authenticates nothing",
       [](SaWithKeys& s) {
         s.sa.encryption = std::exchange(s.sa.aead, std::nullopt);
         s.sa.encryption->icv_bits = 0;
       }},
      {"authenticates nothing", [](SaWithKeys& s) { s.sa.aead->key_bits = 0; }},
      {"alone", [](SaWithKeys& s) { s.sa.authentication = s.sa.aead; }},
      {"IPComp", [](SaWithKeys& s) { s.sa.compression = Algorithm{"deflate"}; }},
      {"name of an algorithm", [](SaWithKeys& s) { s.sa.aead->name.assign(64, 'a'); }},
      {"no SPI", [](SaWithKeys& s) { s.sa.id.spi = 0; }},
      {"one family", [](SaWithKeys& s) { s.sa.source.ipv6 = true; }},
      {"unknown attributes",
       [](SaWithKeys& s) {
         s.sa.unknown.push_back({99, {}});
       }},
      {"security contexts", [](SaWithKeys& s) { s.sa.security_context = "x"; }},
  };
  for (const Case& c : cases) {
    SaWithKeys sa = sa_of(test::kEspGcm);
    c.change(sa);
    const auto refused = add_sa_request(sa, 1);
    ASSERT_FALSE(refused.ok()) << c.why;
    EXPECT_NE(refused.error().message().find(c.why), std::string::npos)
        << refused.error().message();
  }
  SaWithKeys sends = sa_of(test::kEspGcm);
  sends.sa.replay.window = 0;
  sends.sa.direction = SaDirection::out;
  EXPECT_TRUE(add_sa_request(sends, 1).ok()) << "newer kernels want it so";
}

TEST(PutPolicy, SaysWhatIpSays) {
  for (const auto& [message, put, type] :
       {std::tuple{test::kPolicyOut, Put::add, XFRM_MSG_NEWPOLICY},
        std::tuple{test::kPolicyBlock, Put::replace, XFRM_MSG_UPDPOLICY}}) {
    Request request = get(put_policy_request(get(parse_policy(from_hex(message))), put));
    EXPECT_EQ(request.header()->nlmsg_type, type);
    // ip(8) says that the type is the main one, as without it.
    EXPECT_EQ(lines_of(payload_of(request), sizeof(xfrm_userpolicy_info)),
              lines_of(from_hex(message), sizeof(xfrm_userpolicy_info), XFRMA_POLICY_TYPE));
  }
}

TEST(PutPolicy, RefusesWhatIsNotInstalled) {
  const Policy good = get(parse_policy(from_hex(test::kPolicyOut)));
  EXPECT_TRUE(put_policy_request(good, Put::add).ok());
  const std::vector<void (*)(Policy&)> changes{
      [](Policy& p) { p.direction = Direction::socket_in; },
      [](Policy& p) { p.selector.any_family = true; },
      [](Policy& p) { p.selector.source.address.ipv6 = true; },
      [](Policy& p) { p.templates[0].source.ipv6 = true; },
      [](Policy& p) { p.templates.resize(7, p.templates[0]); },
      [](Policy& p) { p.type = PolicyType::sub; },
      [](Policy& p) { p.security_context = "x"; },
      [](Policy& p) {
        p.unknown.push_back({99, {}});
      }};
  for (const auto change : changes) {
    Policy bad = good;
    change(bad);
    EXPECT_FALSE(put_policy_request(bad, Put::add).ok()) << &change - changes.data();
  }
}

TEST(OneOfThem, IsNamedAsIpNamesIt) {
  Request sa = delete_sa_request({get(Address::parse("192.0.2.2")), 0x1000, IPPROTO_ESP, {1, 3}});
  EXPECT_EQ(sa.header()->nlmsg_type, XFRM_MSG_DELSA);
  // ip(8) says the source too, which the kernel does not look at here.
  EXPECT_EQ(lines_of(payload_of(sa), sizeof(xfrm_usersa_id)),
            lines_of(from_hex(test::kSaDelete), sizeof(xfrm_usersa_id), XFRMA_SRCADDR));

  Request policy = delete_policy_request({Direction::in, 0x40000008, {1, 3}, 0});
  EXPECT_EQ(policy.header()->nlmsg_type, XFRM_MSG_DELPOLICY);
  // By its index; the family, of a selector that is not looked at, is of no meaning.
  Bytes said = from_hex(test::kPolicyDelete);
  said[offsetof(xfrm_userpolicy_id, sel.family)] = 0;
  EXPECT_EQ(lines_of(payload_of(policy), sizeof(xfrm_userpolicy_id)),
            lines_of(said, sizeof(xfrm_userpolicy_id)));
}

TEST(BlockPolicies, FitWhatThePolicyFitsAndStandBesideIt) {
  for (const Mark mark : {Mark{}, Mark{1, 3}, Mark{0, 0x7fffffff}}) {
    Policy policy = get(parse_policy(from_hex(test::kPolicyOut)));
    policy.mark = mark;
    const auto blocks = get(block_policies(std::span(&policy, 1)));
    ASSERT_EQ(blocks.size(), 2U);
    for (const Policy& block : blocks) {
      EXPECT_EQ(block.action, Action::block);
      EXPECT_EQ(block.priority, 0U);
      EXPECT_TRUE(block.templates.empty());
      EXPECT_EQ(block.selector, policy.selector);
      EXPECT_EQ(block.direction, policy.direction);
      EXPECT_EQ(block.interface_id, policy.interface_id);
      EXPECT_NE(block.mark, mark) << "the kernel would take it for the policy";
    }
    const auto fits = [](const Mark& m, std::uint32_t packet) {
      return (packet & m.mask) == m.value;
    };
    for (const std::uint32_t packet : {0U, 1U, 2U, 5U, 0x7fffffffU, 0x80000000U, ~0U}) {
      EXPECT_EQ(fits(mark, packet), fits(blocks[0].mark, packet) || fits(blocks[1].mark, packet))
          << packet;
    }
  }
  Policy all;
  all.mark.mask = ~0U;
  EXPECT_FALSE(block_policies(std::span(&all, 1)).ok());
}

TEST(Refusal, NamesTheAlgorithmAndWhatToLoad) {
  const Sa gcm = sa_of(test::kEspGcm).sa;
  const auto words = [](int number, const Sa& sa) {
    return explain(from_errno(number, "adding it"), sa).message();
  };
  EXPECT_NE(words(ENOSYS, gcm).find("has no rfc4106(gcm(aes))"), std::string::npos);
  EXPECT_NE(words(ENOSYS, gcm).find("modprobe -a crypto-rfc4106 crypto-gcm crypto-aes"),
            std::string::npos);
  const Sa cbc = sa_of(test::kEspEsn).sa;
  EXPECT_NE(words(ENOENT, cbc).find("cbc(aes) and hmac(sha256)"), std::string::npos);
  EXPECT_NE(words(EPROTONOSUPPORT, gcm).find("modprobe esp4"), std::string::npos);
  EXPECT_NE(words(EPROTONOSUPPORT, sa_of(test::kAhV6).sa).find("modprobe ah6"), std::string::npos);
  EXPECT_NE(words(EEXIST, gcm).find("not ours"), std::string::npos);
}

const std::string kBoot = "0b5f5be4-2e0e-4a4e-9d3b-0d4c3b1c5a11";

TEST(InstallMemory, ComesBackAsItWasWritten) {
  InstallMemory memory{kBoot, 4000000000, {}};
  memory.owned["hq-branch.1"] = {
      {{Direction::out, 0x40000009, {1, 3}, 5}, {Direction::forward, 0x7ffffffa, {}, 0}},
      {{get(Address::parse("2001:db8::2")), 0xc0ffee01, IPPROTO_AH, {4000000000, ~0U}}}};
  memory.owned["x"] = {{}, {{get(Address::parse("192.0.2.2")), 1, IPPROTO_ESP, {}}}};
  const std::string text = get(format_install_memory(memory));
  EXPECT_EQ(get(parse_install_memory(text)), memory) << text;
}

TEST(InstallMemory, ThatIsNoneIsRefused) {
  const std::string first = "countersign xfrm 1 " + kBoot + " 7\n";
  EXPECT_TRUE(parse_install_memory(first).ok());
  EXPECT_TRUE(parse_install_memory(first + "policy a 0 8 0 0 0\nsa a ::1 50 1 0 0\n").ok());
  const std::vector<std::string> broken{
      "",
      "\n",
      "countersign xfrm 1\n",
      "countersign xfrm 2 " + kBoot + " 7\n",
      "countersign xfrm 1 " + kBoot + " 0\n",
      "countersign xfrm 1 " + kBoot + " 4294967296\n",
      "countersign xfrm 1 " + kBoot.substr(1) + " 7\n",
      "countersign xfrm 1 " + kBoot + " 7",
      first + "policy a 0 8 0 0 0",
      first + "policy a 0 8 0 0\n",
      first + "policy a 0 8 0 0 0 0\n",
      first + "policy a 0 8 0 0 0 \n",
      first + "policy a  0 8 0 0 0\n",
      first + "policy a 3 8 0 0 0\n",
      first + "policy a -1 8 0 0 0\n",
      first + "policy a/b 0 8 0 0 0\n",
      first + "policy " + std::string(65, 'a') + " 0 8 0 0 0\n",
      first + "sa a 192.0.2.256 50 1 0 0\n",
      first + "sa a 192.0.2.2 256 1 0 0\n",
      first + "sb a 192.0.2.2 50 1 0 0\n",
      first + "\n",
  };
  for (const std::string& text : broken) EXPECT_FALSE(parse_install_memory(text).ok()) << text;
  std::string many = first;
  for (std::size_t i = 0; i <= max_owned; ++i) many += "policy a 0 8 0 0 0\n";
  const auto above = parse_install_memory(many);
  ASSERT_FALSE(above.ok());
  EXPECT_EQ(above.error().kind(), ErrorKind::limit);
}

}  // namespace
}  // namespace cs::xfrm
