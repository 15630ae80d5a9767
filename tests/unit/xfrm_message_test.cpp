// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's IPsec messages, as they are and as they must not be. What a kernel really sends:
// netns/xfrm_state_test.cpp and the lab.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <functional>

#include "tests/unit/exact_buffer.h"
#include "tests/unit/xfrm_messages.h"
#include "xfrm/state/message.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using test::algorithm;
using test::attribute;
using test::Bytes;
using test::fixed;
using test::policy_message;
using test::raw;
using test::sa_message;
using test::operator+;  // NOLINT(misc-unused-using-decls): it does not see operators

Result<Sa> read_sa(const Bytes& bytes) {
  return parse_sa(test::ExactBuffer(bytes).view());
}

Result<Policy> read_policy(const Bytes& bytes) {
  return parse_policy(test::ExactBuffer(bytes).view());
}

Event event(std::uint16_t type, const Bytes& payload, std::uint32_t port = 0) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_pid = port;
  const test::ExactBuffer exact{ByteView(payload)};
  return parse_event({header, exact.view()}).value();
}

Bytes window(std::uint32_t words, std::uint32_t window_size) {
  return raw(words) + raw(5U) + raw(6U) + raw(1U) + raw(2U) + raw(window_size) +
         Bytes(std::size_t{words} * 4);
}

Bytes context(const std::string& text, std::uint16_t said) {
  xfrm_user_sec_ctx head{};
  head.ctx_len = said;
  return raw(head) + Bytes(text.begin(), text.end());
}

Bytes every_sa_attribute() {
  xfrm_encap_tmpl udp{2, htons(4500), htons(4501), {}};
  return attribute(XFRMA_LASTUSED, raw(std::uint64_t{1700000000})) +
         attribute(XFRMA_ALG_AUTH, algorithm("hmac(sha256)", test::key_bytes)) +
         attribute(XFRMA_ALG_AUTH_TRUNC, algorithm("hmac(sha256)", test::key_bytes, 128)) +
         attribute(XFRMA_ALG_CRYPT, algorithm("cbc(aes)", test::key_bytes)) +
         attribute(XFRMA_ALG_COMP, algorithm("deflate", {})) + attribute(XFRMA_ENCAP, raw(udp)) +
         attribute(XFRMA_TFCPAD, raw(1400U)) +
         attribute(XFRMA_MARK, raw(xfrm_mark{0x10000, 0x10000})) +
         attribute(XFRMA_SET_MARK, raw(0x20000U)) + attribute(XFRMA_SET_MARK_MASK, raw(0x30000U)) +
         attribute(XFRMA_REPLAY_ESN_VAL, window(2, 64)) +
         attribute(XFRMA_OFFLOAD_DEV, raw(xfrm_user_offload{3, 2})) +
         attribute(XFRMA_SEC_CTX, context("system_u", 8)) + attribute(XFRMA_IF_ID, raw(42U)) +
         attribute(XFRMA_SA_EXTRA_FLAGS, raw(3U)) + attribute(XFRMA_PAD, {}) +
         attribute(33, Bytes{1}) + attribute(35, raw(7U));
}

TEST(Sa, IsReadWithAllItHas) {
  auto info = test::usual_sa();
  info.flags = XFRM_STATE_ESN | XFRM_STATE_NOPMTUDISC;
  info.stats = {1, 2, 3};
  info.curlft = {1000, 10, 1700000001, 1700000002};
  const Sa sa = read_sa(fixed(info) + every_sa_attribute()).value();
  EXPECT_EQ(name_of(sa), "ESP 192.0.2.1 → 192.0.2.2 SPI 0xc0ffee01");
  EXPECT_EQ(sa.mode, Mode::tunnel);
  EXPECT_EQ(sa.reqid, 7U);
  EXPECT_EQ(sa.authentication, (Algorithm{"hmac(sha256)", 288, 128}));
  EXPECT_EQ(sa.encryption, (Algorithm{"cbc(aes)", 288, 0}));
  EXPECT_EQ(sa.compression, (Algorithm{"deflate", 0, 0}));
  EXPECT_FALSE(sa.aead);
  EXPECT_FALSE(sa.is_larval());
  EXPECT_EQ(sa.encapsulation, (Encapsulation{2, 4500, 4501}));
  EXPECT_EQ(sa.tfc_pad, 1400U);
  EXPECT_EQ(sa.id.mark, (Mark{0x10000, 0x10000}));
  EXPECT_EQ(sa.output_mark, (Mark{0x20000, 0x30000}));
  EXPECT_EQ(sa.replay, (Replay{64, true, (1ULL << 32U) | 5, (2ULL << 32U) | 6}));
  EXPECT_EQ(sa.offload, (Offload{3, 2}));
  EXPECT_EQ(sa.security_context, "system_u");
  EXPECT_EQ(sa.interface_id, 42U);
  EXPECT_EQ(sa.extra_flags, 3U);
  EXPECT_EQ(sa.direction, SaDirection::in);
  EXPECT_EQ(sa.last_used, 1700000000U);
  EXPECT_EQ(sa.lifetime.hard_seconds, 3600U);
  EXPECT_EQ(sa.usage, (Usage{1000, 10, 1700000001, 1700000002}));
  EXPECT_EQ(sa.window_failures, 1U);
  EXPECT_EQ(sa.replay_failures, 2U);
  EXPECT_EQ(sa.integrity_failures, 3U);
  EXPECT_EQ(sa.unknown, (std::vector<Opaque>{{35, raw(7U)}}));
}

TEST(Sa, OfAnAead) {
  const Sa sa = read_sa(sa_message(test::usual_aead())).value();
  EXPECT_EQ(sa.aead, (Algorithm{"rfc4106(gcm(aes))", 288, 128}));
  EXPECT_EQ(sa.replay.window, 32U);
  EXPECT_FALSE(sa.replay.extended);
  EXPECT_EQ(sa.output_mark, Mark{});
  EXPECT_EQ(sa.unknown.size(), 0U);
}

TEST(Sa, ThatIsBeingNegotiatedHasNoAlgorithm) {
  EXPECT_TRUE(read_sa(sa_message({})).value().is_larval());
}

TEST(Sa, OfOldKernelsWritesTheWholeMark) {
  EXPECT_EQ(read_sa(sa_message(attribute(XFRMA_SET_MARK, raw(5U)))).value().output_mark,
            (Mark{5, ~0U}));
}

// Its key is nowhere in what a person or a log gets to see.
TEST(Sa, HasNoKey) {
  const Sa sa = read_sa(sa_message(every_sa_attribute())).value();
  const std::string told = describe(sa) + name_of(sa);
  EXPECT_EQ(told.find(static_cast<char>(0xa5)), std::string::npos);
  EXPECT_EQ(told.find("a5a5"), std::string::npos);
}

struct Lie {
  const char* what;
  Bytes attributes;
};

TEST(Sa, ThatLiesIsRefused) {
  const Bytes aead = algorithm("rfc4106(gcm(aes))", test::key_bytes, 128);
  const std::vector<Lie> lies{
      {"ends early", attribute(XFRMA_ALG_AEAD, Bytes(aead.begin(), aead.end() - 1))},
      {"without a name", attribute(XFRMA_ALG_AEAD, algorithm("", test::key_bytes, 128))},
      {"without a name",
       attribute(XFRMA_ALG_CRYPT, algorithm(std::string(64, 'x'), test::key_bytes))},
      {"short of its structure", attribute(XFRMA_ALG_AUTH, Bytes(67))},
      {"short of its structure", attribute(XFRMA_ALG_AUTH_TRUNC, Bytes(70))},
      {"without a name", attribute(XFRMA_ALG_AUTH_TRUNC, Bytes(72))},
      {"window that ends early", attribute(XFRMA_REPLAY_ESN_VAL, raw(3U) + Bytes(20 + 8))},
      {"window that ends early", attribute(XFRMA_REPLAY_ESN_VAL, raw(~0U) + Bytes(20 + 8))},
      {"wrong length", attribute(XFRMA_MARK, Bytes(7))},
      {"wrong length", attribute(XFRMA_MARK, Bytes(9))},
      {"wrong length", attribute(XFRMA_IF_ID, Bytes(2))},
      {"wrong length", attribute(XFRMA_ENCAP, Bytes(23))},
      {"wrong length", attribute(XFRMA_OFFLOAD_DEV, Bytes(4))},
      {"context ends early", attribute(XFRMA_SEC_CTX, context("abc", 4))},
      {"direction 3", attribute(33, Bytes{3})},
      {"is there twice", test::usual_aead() + test::usual_aead()},
      {"not wholly there", Bytes{8, 0, XFRMA_IF_ID, 0, 1}},
      {"not wholly there", Bytes{3, 0, XFRMA_IF_ID, 0}},
      {"not wholly there", Bytes{0}},
  };
  for (const Lie& lie : lies) {
    const auto read = read_sa(sa_message(lie.attributes));
    ASSERT_FALSE(read.ok()) << lie.what;
    EXPECT_NE(read.error().message().find(lie.what), std::string::npos) << read.error().message();
  }
}

TEST(Sa, WithUnknownsWithoutEndIsRefused) {
  Bytes many;
  for (std::uint16_t type = 100; type < 140; ++type) many = many + attribute(type, {1});
  EXPECT_FALSE(read_sa(sa_message(many)).ok());
}

TEST(Sa, OfNumbersNobodyKnowsIsRefused) {
  using Change = std::function<void(xfrm_usersa_info&)>;
  const std::vector<std::pair<const char*, Change>> changes{
      {"family 7", [](auto& info) { info.family = 7; }},
      {"mode 6", [](auto& info) { info.mode = 6; }},
      {"prefix of 33", [](auto& info) { info.sel.prefixlen_s = 33; }},
      {"family 9", [](auto& info) { info.sel.family = 9; }},
  };
  for (const auto& [what, change] : changes) {
    auto info = test::usual_sa();
    change(info);
    const auto read = read_sa(fixed(info));
    ASSERT_FALSE(read.ok()) << what;
    EXPECT_NE(read.error().message().find(what), std::string::npos) << read.error().message();
  }
}

// Cut off anywhere it is refused, or what is left of it is whole.
TEST(Sa, CutOffNeverReadsFurther) {
  const Bytes whole = sa_message(every_sa_attribute());
  std::size_t refused = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    refused += read_sa(Bytes(whole.begin(), whole.begin() + static_cast<long>(size))).ok() ? 0 : 1;
  }
  // Every attribute may be the last one; the padding behind it belongs to nobody.
  EXPECT_GT(refused, whole.size() - 19 * 4 - 8);
}

TEST(Policy, IsReadWithAllItHas) {
  auto info = test::usual_policy();
  info.sel.proto = IPPROTO_TCP;
  info.sel.dport = htons(22);
  info.sel.dport_mask = 0xffff;
  info.sel.ifindex = 4;
  info.sel.user = 1000;
  info.sel.daddr = test::ipv4("10.2.255.255");
  info.flags = 3;
  info.share = XFRM_SHARE_UNIQUE;
  auto second = test::usual_template();
  second.optional = 1;
  second.mode = XFRM_MODE_TRANSPORT;
  second.aalgos = 4;
  second.id.spi = htonl(0x100);
  const xfrm_userpolicy_type sub{XFRM_POLICY_TYPE_SUB, 0, 0};
  const Policy policy =
      read_policy(fixed(info) + attribute(XFRMA_TMPL, raw(test::usual_template()) + raw(second)) +
                  attribute(XFRMA_POLICY_TYPE, raw(sub)) +
                  attribute(XFRMA_MARK, raw(xfrm_mark{1, 0xff})) +
                  attribute(XFRMA_IF_ID, raw(42U)) +
                  attribute(XFRMA_OFFLOAD_DEV, raw(xfrm_user_offload{3, 4})) +
                  attribute(XFRMA_SEC_CTX, context("ctx", 3)) + attribute(99, {1, 2}))
          .value();
  EXPECT_EQ(name_of(policy),
            "policy out 10.1.0.0/16 → 10.2.0.0/16 tcp port any → 22 interface 4 user 1000");
  EXPECT_EQ(policy.priority, 375423U);
  EXPECT_EQ(policy.index, 9U);
  EXPECT_EQ(policy.action, Action::allow);
  EXPECT_EQ(policy.type, PolicyType::sub);
  EXPECT_EQ(policy.flags, 3);
  EXPECT_EQ(policy.share, Share::unique);
  ASSERT_EQ(policy.templates.size(), 2U);
  EXPECT_FALSE(policy.templates[0].optional);
  EXPECT_EQ(policy.templates[0].mode, Mode::tunnel);
  EXPECT_EQ(policy.templates[0].source.text(), "192.0.2.1");
  EXPECT_EQ(policy.templates[0].reqid, 7U);
  EXPECT_TRUE(policy.templates[1].optional);
  EXPECT_EQ(policy.templates[1].mode, Mode::transport);
  EXPECT_EQ(policy.templates[1].authentications, 4U);
  EXPECT_EQ(policy.templates[1].spi, 0x100U);
  EXPECT_EQ(policy.mark, (Mark{1, 0xff}));
  EXPECT_EQ(policy.interface_id, 42U);
  EXPECT_EQ(policy.offload, (Offload{3, 4}));
  EXPECT_EQ(policy.security_context, "ctx");
  EXPECT_EQ(policy.unknown, (std::vector<Opaque>{{99, {1, 2}}}));
}

TEST(Policy, OfIpv6AndOfASocket) {
  auto info = test::usual_policy();
  info.sel = {};
  info.sel.family = AF_INET6;
  info.sel.saddr = test::ipv6("2001:db8::1");
  info.sel.prefixlen_s = 63;
  info.dir = 4;
  info.action = XFRM_POLICY_BLOCK;
  const Policy policy = read_policy(fixed(info)).value();
  EXPECT_EQ(name_of(policy), "policy socket out 2001:db8::/63 → ::/0");
  EXPECT_EQ(policy.action, Action::block);
  EXPECT_TRUE(policy.is_of_socket());
}

TEST(Policy, ThatLiesIsRefused) {
  const Bytes wanted = raw(test::usual_template());
  Bytes seven;
  for (int i = 0; i < 7; ++i) seven = seven + wanted;
  auto strange = test::usual_template();
  strange.family = 5;
  const std::vector<Lie> lies{
      {"templates in 63 bytes", attribute(XFRMA_TMPL, Bytes(wanted.begin(), wanted.end() - 1))},
      {"templates in 448 bytes", attribute(XFRMA_TMPL, seven)},
      {"family 5", attribute(XFRMA_TMPL, raw(strange))},
      {"policy type 2", attribute(XFRMA_POLICY_TYPE, Bytes{2, 0, 0, 0, 0, 0})},
      {"short of its structure", attribute(XFRMA_POLICY_TYPE, Bytes{0})},
  };
  for (const Lie& lie : lies) {
    const auto read = read_policy(policy_message(lie.attributes));
    ASSERT_FALSE(read.ok()) << lie.what;
    EXPECT_NE(read.error().message().find(lie.what), std::string::npos) << read.error().message();
  }
}

TEST(Policy, OfNumbersNobodyKnowsIsRefused) {
  using Change = std::function<void(xfrm_userpolicy_info&)>;
  const std::vector<std::pair<const char*, Change>> changes{
      {"direction 5", [](auto& info) { info.dir = 5; }},
      {"action 2", [](auto& info) { info.action = 2; }},
      {"share 4", [](auto& info) { info.share = 4; }},
      {"no family", [](auto& info) { info.sel.family = 0; }},
      {"prefix of 129", [](auto& info) { info.sel.family = AF_INET6, info.sel.prefixlen_d = 129; }},
  };
  for (const auto& [what, change] : changes) {
    auto info = test::usual_policy();
    change(info);
    const auto read = read_policy(fixed(info));
    ASSERT_FALSE(read.ok()) << what;
    EXPECT_NE(read.error().message().find(what), std::string::npos) << read.error().message();
  }
}

xfrm_usersa_id usual_id() {
  xfrm_usersa_id id{};
  id.daddr = test::ipv4("192.0.2.2");
  id.family = AF_INET;
  id.spi = htonl(0xc0ffee01);
  id.proto = IPPROTO_ESP;
  return id;
}

TEST(Event, OfAnSa) {
  const Event made = event(XFRM_MSG_NEWSA, sa_message(test::usual_aead()), 4711);
  EXPECT_EQ(made.kind, Event::Kind::sa_new);
  EXPECT_EQ(made.port, 4711U);
  EXPECT_EQ(made.sa->id.spi, 0xc0ffee01U);
  EXPECT_EQ(event(XFRM_MSG_UPDSA, sa_message({})).kind, Event::Kind::sa_update);

  const Event gone =
      event(XFRM_MSG_DELSA, fixed(usual_id()) + attribute(XFRMA_SA, raw(test::usual_sa())) +
                                attribute(XFRMA_MARK, raw(xfrm_mark{1, 3})));
  EXPECT_EQ(gone.kind, Event::Kind::sa_delete);
  EXPECT_EQ(gone.sa->source.text(), "192.0.2.1");
  EXPECT_EQ(gone.sa->id, (SaId{gone.sa->id.destination, 0xc0ffee01, IPPROTO_ESP, {1, 3}}));
  EXPECT_EQ(event(XFRM_MSG_DELSA, fixed(usual_id())).sa->id.spi, 0xc0ffee01U);

  xfrm_user_expire expired{};
  expired.state = test::usual_sa();
  EXPECT_FALSE(event(XFRM_MSG_EXPIRE, fixed(expired)).hard);
  expired.hard = 1;
  const Event ended = event(XFRM_MSG_EXPIRE, fixed(expired) + attribute(XFRMA_IF_ID, raw(42U)));
  EXPECT_EQ(ended.kind, Event::Kind::sa_expire);
  EXPECT_TRUE(ended.hard);
  EXPECT_EQ(ended.sa->interface_id, 42U);

  const Event flushed = event(XFRM_MSG_FLUSHSA, Bytes{IPPROTO_AH});
  EXPECT_EQ(flushed.kind, Event::Kind::sa_flush);
  EXPECT_EQ(flushed.flushed, IPPROTO_AH);

  xfrm_aevent_id counters{};
  counters.sa_id = usual_id();
  counters.saddr = test::ipv4("192.0.2.1");
  counters.reqid = 7;
  const Event counted =
      event(XFRM_MSG_NEWAE, fixed(counters) + attribute(XFRMA_MARK, raw(xfrm_mark{1, 3})));
  EXPECT_EQ(counted.kind, Event::Kind::sa_replay);
  EXPECT_EQ(counted.sa->id.mark, (Mark{1, 3}));
}

TEST(Event, OfAPolicy) {
  const Bytes templates = attribute(XFRMA_TMPL, raw(test::usual_template()));
  EXPECT_EQ(event(XFRM_MSG_NEWPOLICY, policy_message(templates)).policy->templates.size(), 1U);
  EXPECT_EQ(event(XFRM_MSG_UPDPOLICY, policy_message({})).kind, Event::Kind::policy_update);

  xfrm_userpolicy_id id{};
  id.index = 9;
  id.dir = XFRM_POLICY_OUT;
  id.sel = test::usual_policy().sel;
  const Event named = event(XFRM_MSG_DELPOLICY, fixed(id));
  EXPECT_EQ(named.kind, Event::Kind::policy_delete);
  EXPECT_EQ(named.policy->index, 9U);
  const Event gone =
      event(XFRM_MSG_DELPOLICY, fixed(xfrm_userpolicy_id{}) +
                                    attribute(XFRMA_POLICY, raw(test::usual_policy())) + templates);
  EXPECT_EQ(gone.policy->priority, 375423U);
  EXPECT_EQ(gone.policy->templates.size(), 1U);

  xfrm_user_polexpire expired{};
  expired.pol = test::usual_policy();
  expired.hard = 1;
  EXPECT_TRUE(event(XFRM_MSG_POLEXPIRE, fixed(expired)).hard);

  EXPECT_EQ(event(XFRM_MSG_FLUSHPOLICY, {}).flushed, XFRM_POLICY_TYPE_MAIN);
  EXPECT_EQ(
      event(XFRM_MSG_FLUSHPOLICY, attribute(XFRMA_POLICY_TYPE, raw(xfrm_userpolicy_type{1, 0, 0})))
          .flushed,
      XFRM_POLICY_TYPE_SUB);

  id.dir = XFRM_POLICY_FWD;
  const Event moved = event(XFRM_MSG_MIGRATE,
                            fixed(id) + attribute(XFRMA_MIGRATE, Bytes(sizeof(xfrm_user_migrate))));
  EXPECT_EQ(moved.kind, Event::Kind::migrate);
  EXPECT_EQ(moved.policy->direction, Direction::forward);
}

TEST(Event, OfWhatIsWantedOrMoves) {
  xfrm_user_acquire wanted{};
  wanted.id.daddr = test::ipv4("192.0.2.2");
  wanted.id.proto = IPPROTO_ESP;
  wanted.saddr = test::ipv4("192.0.2.1");
  wanted.sel = test::selector("10.1.0.1", 32, "10.2.0.1", 32);
  wanted.policy = test::usual_policy();
  const Event acquire =
      event(XFRM_MSG_ACQUIRE, fixed(wanted) + attribute(XFRMA_TMPL, raw(test::usual_template())));
  EXPECT_EQ(acquire.kind, Event::Kind::acquire);
  EXPECT_EQ(text(acquire.sa->selector), "10.1.0.1/32 → 10.2.0.1/32");
  EXPECT_EQ(acquire.policy->index, 9U);

  xfrm_user_mapping mapping{};
  mapping.id = usual_id();
  mapping.old_saddr = test::ipv4("192.0.2.1");
  mapping.new_saddr = test::ipv4("192.0.2.77");
  mapping.new_sport = htons(40001);
  const Event moved = event(XFRM_MSG_MAPPING, fixed(mapping));
  EXPECT_EQ(moved.kind, Event::Kind::mapping);
  EXPECT_EQ(moved.moved_to->text(), "192.0.2.77");
  EXPECT_EQ(moved.moved_to_port, 40001);

  const Event defaults = event(XFRM_MSG_GETDEFAULT, Bytes{1, 2, 0});
  EXPECT_EQ(defaults.kind, Event::Kind::defaults);
  EXPECT_EQ(defaults.defaults, (Defaults{Action::block, Action::allow, Action::allow}));
  EXPECT_FALSE(parse_defaults(Bytes{1, 3, 0}).ok());
  EXPECT_FALSE(parse_defaults(Bytes{1, 1}).ok());
}

TEST(Event, OfATypeNobodyKnowsIsTold) {
  const Event unknown = event(0x4f, Bytes(3));
  EXPECT_EQ(unknown.kind, Event::Kind::unknown);
  EXPECT_EQ(unknown.message, 0x4f);
  EXPECT_EQ(event(XFRM_MSG_REPORT, Bytes(3)).kind, Event::Kind::report);
}

TEST(Event, CutOffIsRefused) {
  for (const std::uint16_t type :
       {XFRM_MSG_NEWSA, XFRM_MSG_UPDSA, XFRM_MSG_DELSA, XFRM_MSG_FLUSHSA, XFRM_MSG_EXPIRE,
        XFRM_MSG_NEWAE, XFRM_MSG_NEWPOLICY, XFRM_MSG_UPDPOLICY, XFRM_MSG_DELPOLICY,
        XFRM_MSG_POLEXPIRE, XFRM_MSG_ACQUIRE, XFRM_MSG_MAPPING, XFRM_MSG_MIGRATE,
        XFRM_MSG_GETDEFAULT}) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    EXPECT_FALSE(parse_event({header, {}}).ok()) << type;
  }
}

TEST(Text, TellsWhatAPersonLooksFor) {
  auto wanted = test::usual_template();
  wanted.optional = 1;
  const Policy policy = read_policy(policy_message(attribute(XFRMA_TMPL, raw(wanted)))).value();
  EXPECT_EQ(describe(policy),
            "    allow, priority 375423, index 9\n"
            "    ESP tunnel 192.0.2.1 → 192.0.2.2 reqid 7, optional: in clear where there is no "
            "SA\n");
  const Sa sa = read_sa(sa_message(test::usual_aead() + attribute(99, {0xab}))).value();
  EXPECT_EQ(describe(sa),
            "    tunnel, reqid 7\n"
            "    AEAD rfc4106(gcm(aes)) 288 bit, ICV 128\n"
            "    replay window 32, sent 0, received 0\n"
            "    renewed, then ended, after 3300 then 3600 s\n"
            "    carried 0 packets, 0 bytes; made never, first used never\n"
            "    attribute 99, which this program does not know: ab\n");
}

}  // namespace
}  // namespace cs::xfrm
