// SPDX-License-Identifier: GPL-3.0-or-later
// Equal for what means the same, different for whatever does not. Each field of the model has its
// row in the table below: a new field has to be placed in it before this test passes.
#include "xfrm/canonical/canonical.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>

#include "base/hex.h"
#include "tests/unit/agreement_samples.h"

namespace cs::xfrm {
namespace {

using test::address;
using test::get;
using test::network;

Canonical form(const State& state, const Tunnel& tunnel = test::sample_agreement().tunnels[0],
               std::size_t bypasses = 0) {
  return get(canonicalise(tunnel, End::left, state, PolicyIndex(state.policies), bypasses));
}

// Every optional thing is there, so that each part of it can be changed.
State full_state() {
  State state = test::state_of(get(expect(test::sample_agreement(), End::left)));
  for (Policy& one : state.policies) {
    one.selector.protocol = 6;
    one.selector.source_ports = {0x1000, 0xf000};
    one.offload = Offload{2, 1};
    one.unknown = {{100, {1, 2}}};
  }
  for (Sa& one : state.sas) {
    one.selector = state.policies[1].selector;
    one.encryption = Algorithm{"cbc(aes)", 128, 0};
    one.authentication = Algorithm{"hmac(sha256)", 256, 128};
    one.compression = Algorithm{"deflate", 0, 0};
    one.encapsulation = Encapsulation{2, 4500, 4500};
    one.offload = Offload{2, 1};
    one.unknown = {{100, {1, 2}}};
  }
  Policy socket = state.policies[0];
  socket.direction = Direction::socket_in;
  state.policies.push_back(socket);
  state.interfaces = {{"eth0", true, true, true}};
  return state;
}

// What a field is for: of the policies' digest and the whole's, of the whole's alone, of neither.
enum class Matters : std::uint8_t { policies, sas, no };

struct Row {
  std::string field;  // "Struct::field"
  Matters matters;
  std::function<void(State&)> change;
};
using Rows = std::vector<Row>;

template <class Change>
auto in_policy(Change change) {
  return [change](State& s) { change(s.policies[1]); };
}
template <class Change>
auto in_sa(Change change) {
  return [change](State& s) { change(s.sas[0]); };
}

Rows policy_rows() {
  const auto p = Matters::policies;
  const auto no = Matters::no;
  const auto& f = [](auto change) { return in_policy(change); };
  return {
      {"Policy::direction", p, f([](auto& x) { x.direction = Direction::forward; })},
      {"Policy::type", p, f([](auto& x) { x.type = PolicyType::sub; })},
      {"Policy::index", no, f([](auto& x) { x.index = 1234; })},
      {"Policy::selector", p, f([](auto& x) { x.selector = {}; })},
      {"Policy::priority", no, f([](auto& x) { x.priority += 1; })},  // but see the order, below
      {"Policy::action", p, f([](auto& x) { x.action = Action::block; })},
      {"Policy::flags", p, f([](auto& x) { x.flags ^= Policy::flag_icmp; })},
      {"Policy::share", p, f([](auto& x) { x.share = Share::unique; })},
      {"Policy::templates", p, f([](auto& x) { x.templates.clear(); })},
      {"Policy::mark", p, f([](auto& x) {
         x.mark = {1, 1};
       })},
      {"Policy::interface_id", p, f([](auto& x) { x.interface_id = 9; })},
      {"Policy::lifetime", p, f([](auto& x) { x.lifetime.hard_seconds = 5; })},
      {"Policy::usage", no, f([](auto& x) {
         x.usage = {1, 2, 3, 4};
       })},
      {"Policy::offload", p, f([](auto& x) { x.offload.reset(); })},
      {"Policy::security_context", p, f([](auto& x) { x.security_context = "c"; })},
      {"Policy::unknown", p, f([](auto& x) { x.unknown.clear(); })},
      {"Mark::value", p, f([](auto& x) { x.mark.value = 1; })},
      {"Mark::mask", p, f([](auto& x) { x.mark.mask = 1; })},
      {"Ports::port", p, f([](auto& x) { x.selector.source_ports.port = 0x2000; })},
      {"Ports::mask", p, f([](auto& x) { x.selector.source_ports.mask = 0xff00; })},
      {"Selector::any_family", p, f([](auto& x) { x.selector.any_family = true; })},
      {"Selector::source", p, f([](auto& x) { x.selector.source.length = 8; })},
      {"Selector::destination", p, f([](auto& x) { x.selector.destination.length = 17; })},
      {"Selector::protocol", p, f([](auto& x) { x.selector.protocol = 17; })},
      {"Selector::source_ports", p, f([](auto& x) { x.selector.source_ports = {}; })},
      {"Selector::destination_ports", p, f([](auto& x) {
         x.selector.destination_ports = {80, 0xffff};
       })},
      {"Selector::interface", p, f([](auto& x) { x.selector.interface = 2; })},
      {"Selector::user", p, f([](auto& x) { x.selector.user = 2; })},
      {"Opaque::type", p, f([](auto& x) { x.unknown[0].type = 101; })},
      {"Opaque::value", p, f([](auto& x) { x.unknown[0].value = {1}; })},
      {"Offload::interface", no, f([](auto& x) { x.offload->interface = 3; })},
      {"Offload::flags", p, f([](auto& x) { x.offload->flags = 4; })},
      {"Template::protocol", p, f([](auto& x) { x.templates[0].protocol = 51; })},
      {"Template::mode", p, f([](auto& x) { x.templates[0].mode = Mode::beet; })},
      {"Template::optional", p, f([](auto& x) { x.templates[0].optional = true; })},
      {"Template::share", p, f([](auto& x) { x.templates[0].share = Share::user; })},
      {"Template::source", p, f([](auto& x) { x.templates[0].source = address("192.0.2.9"); })},
      {"Template::destination", p,
       f([](auto& x) { x.templates[0].destination = address("2001:db8::1"); })},
      {"Template::spi", no, f([](auto& x) { x.templates[0].spi = 77; })},
      {"Template::reqid", no, f([](auto& x) { x.templates[0].reqid = 77; })},
      {"Template::authentications", p, f([](auto& x) { x.templates[0].authentications = 1; })},
      {"Template::encryptions", p, f([](auto& x) { x.templates[0].encryptions = 1; })},
      {"Template::compressions", p, f([](auto& x) { x.templates[0].compressions = 1; })},
      {"Usage::bytes", no, f([](auto& x) { x.usage.bytes = 1; })},
      {"Usage::packets", no, f([](auto& x) { x.usage.packets = 1; })},
      {"Usage::added", no, f([](auto& x) { x.usage.added = 1; })},
      {"Usage::first_used", no, f([](auto& x) { x.usage.first_used = 1; })},
  };
}

Rows sa_rows() {
  const auto sa = Matters::sas;
  const auto no = Matters::no;
  const auto& f = [](auto change) { return in_sa(change); };
  return {
      {"SaId::destination", sa, f([](auto& x) { x.id.destination = address("192.0.2.9"); })},
      {"SaId::spi", no, f([](auto& x) { x.id.spi = 1; })},
      {"SaId::protocol", sa, f([](auto& x) { x.id.protocol = 51; })},
      {"SaId::mark", sa, f([](auto& x) { x.id.mark = {}; })},
      {"Sa::id", no, f([](auto& x) { x.id.spi = 2; })},  // part by part above
      {"Sa::source", sa, f([](auto& x) { x.source = address("192.0.2.9"); })},
      {"Sa::mode", sa, f([](auto& x) { x.mode = Mode::transport; })},
      {"Sa::reqid", no, f([](auto& x) { x.reqid = 99; })},
      {"Sa::selector", sa, f([](auto& x) { x.selector.any_family = true; })},
      {"Sa::flags", sa, f([](auto& x) { x.flags ^= Sa::flag_wild_receive; })},
      {"Sa::extra_flags", sa, f([](auto& x) { x.extra_flags = Sa::extra_may_wrap; })},
      {"Sa::replay", sa, f([](auto& x) { x.replay = {}; })},
      {"Sa::aead", sa, f([](auto& x) { x.aead.reset(); })},
      {"Sa::encryption", sa, f([](auto& x) { x.encryption.reset(); })},
      {"Sa::authentication", sa, f([](auto& x) { x.authentication.reset(); })},
      {"Sa::compression", sa, f([](auto& x) { x.compression.reset(); })},
      {"Sa::encapsulation", sa, f([](auto& x) { x.encapsulation.reset(); })},
      {"Sa::output_mark", sa, f([](auto& x) {
         x.output_mark = {1, 1};
       })},
      {"Sa::interface_id", sa, f([](auto& x) { x.interface_id = 5; })},
      {"Sa::tfc_pad", sa, f([](auto& x) { x.tfc_pad = 500; })},
      {"Sa::offload", sa, f([](auto& x) { x.offload.reset(); })},
      {"Sa::direction", no, f([](auto& x) { x.direction = SaDirection::in; })},
      {"Sa::lifetime", sa, f([](auto& x) { x.lifetime.hard_bytes = 1; })},
      {"Sa::usage", no, f([](auto& x) {
         x.usage = {1, 2, 3, 4};
       })},
      {"Sa::last_used", no, f([](auto& x) { x.last_used = 1; })},
      {"Sa::replay_failures", no, f([](auto& x) { x.replay_failures = 1; })},
      {"Sa::integrity_failures", no, f([](auto& x) { x.integrity_failures = 1; })},
      {"Sa::window_failures", no, f([](auto& x) { x.window_failures = 1; })},
      {"Sa::security_context", sa, f([](auto& x) { x.security_context = "c"; })},
      {"Sa::unknown", sa, f([](auto& x) { x.unknown.clear(); })},
      {"Replay::window", sa, f([](auto& x) { x.replay.window = 64; })},
      {"Replay::extended", sa, f([](auto& x) { x.replay.extended = true; })},
      {"Replay::sent", no, f([](auto& x) { x.replay.sent = 1; })},
      {"Replay::received", no, f([](auto& x) { x.replay.received = 1; })},
      {"Algorithm::name", sa, f([](auto& x) { x.aead->name = "other"; })},
      {"Algorithm::key_bits", sa, f([](auto& x) { x.encryption->key_bits = 256; })},
      {"Algorithm::icv_bits", sa, f([](auto& x) { x.authentication->icv_bits = 96; })},
      {"Encapsulation::type", sa, f([](auto& x) { x.encapsulation->type = 7; })},
      {"Encapsulation::source_port", no, f([](auto& x) { x.encapsulation->source_port = 1; })},
      {"Encapsulation::destination_port", no,
       f([](auto& x) { x.encapsulation->destination_port = 1; })},
      {"Lifetime::soft_bytes", no, f([](auto& x) { x.lifetime.soft_bytes = 1; })},
      {"Lifetime::hard_bytes", sa, f([](auto& x) { x.lifetime.hard_bytes = 1; })},
      {"Lifetime::soft_packets", no, f([](auto& x) { x.lifetime.soft_packets = 1; })},
      {"Lifetime::hard_packets", sa, f([](auto& x) { x.lifetime.hard_packets = 1; })},
      {"Lifetime::soft_seconds", no, f([](auto& x) { x.lifetime.soft_seconds = 1; })},
      {"Lifetime::hard_seconds", sa, f([](auto& x) { x.lifetime.hard_seconds = 1; })},
      {"Lifetime::soft_use_seconds", no, f([](auto& x) { x.lifetime.soft_use_seconds = 1; })},
      {"Lifetime::hard_use_seconds", sa, f([](auto& x) { x.lifetime.hard_use_seconds = 1; })},
  };
}

Rows other_rows() {
  const auto p = Matters::policies;
  return {
      {"State::policies", p, [](State& s) { s.policies.pop_back(); }},
      {"State::sas", Matters::sas, [](State& s) { s.sas.pop_back(); }},
      {"State::defaults", p,
       [](State& s) {
         s.defaults = Defaults{Action::block, {}, {}};
       }},
      {"State::interfaces", p, [](State& s) { s.interfaces.clear(); }},
      {"Defaults::in", p, [](State& s) { s.defaults->in = Action::block; }},
      {"Defaults::forward", p, [](State& s) { s.defaults->forward = Action::block; }},
      {"Defaults::out", p, [](State& s) { s.defaults->out = Action::block; }},
      {"InterfaceSwitches::name", p, [](State& s) { s.interfaces[0].name = "eth1"; }},
      {"InterfaceSwitches::disable_xfrm", p,
       [](State& s) { s.interfaces[0].disable_xfrm = false; }},
      {"InterfaceSwitches::disable_policy", p,
       [](State& s) { s.interfaces[0].disable_policy = false; }},
      {"InterfaceSwitches::disable_policy_ipv6", p,
       [](State& s) { s.interfaces[0].disable_policy_ipv6 = false; }},
  };
}

Rows all_rows() {
  Rows rows = policy_rows();
  for (const Rows& more : {sa_rows(), other_rows()}) {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

TEST(Canonical, EachFieldMattersWhereItShould) {
  const Canonical before = form(full_state());
  for (const Row& row : all_rows()) {
    State state = full_state();
    row.change(state);
    const Canonical after = form(state);
    EXPECT_EQ(before.policies_sha256 != after.policies_sha256, row.matters == Matters::policies)
        << row.field;
    EXPECT_EQ(before.sas != after.sas, row.matters == Matters::sas) << row.field;
    EXPECT_EQ(before.whole_sha256 != after.whole_sha256, row.matters != Matters::no) << row.field;
  }
}

// How many members an aggregate has: as many as it can be given.
struct Anything {
  template <class T>
  operator T() const {  // NOLINT(google-explicit-constructor): it stands for whatever is wanted
    return T{};
  }
};
template <class T, class... Given>
constexpr std::size_t count_fields() {
  if constexpr (requires { T{Given{}..., Anything{}}; }) {
    return count_fields<T, Given..., Anything>();
  } else {
    return sizeof...(Given);
  }
}

TEST(Canonical, EachFieldOfTheModelIsPlaced) {
  std::map<std::string, std::size_t> placed;
  std::set<std::string> fields;
  for (const Row& row : all_rows()) {
    EXPECT_TRUE(fields.insert(row.field).second) << row.field;
    ++placed[row.field.substr(0, row.field.find(':'))];
  }
  const std::map<std::string, std::size_t> there{
      {"Policy", count_fields<Policy>()},
      {"Mark", count_fields<Mark>()},
      {"Ports", count_fields<Ports>()},
      {"Selector", count_fields<Selector>()},
      {"Opaque", count_fields<Opaque>()},
      {"Offload", count_fields<Offload>()},
      {"Template", count_fields<Template>()},
      {"Usage", count_fields<Usage>()},
      {"SaId", count_fields<SaId>()},
      {"Sa", count_fields<Sa>()},
      {"Replay", count_fields<Replay>()},
      {"Algorithm", count_fields<Algorithm>()},
      {"Encapsulation", count_fields<Encapsulation>()},
      {"Lifetime", count_fields<Lifetime>()},
      {"State", count_fields<State>()},
      {"Defaults", count_fields<Defaults>()},
      {"InterfaceSwitches", count_fields<InterfaceSwitches>()},
  };
  EXPECT_EQ(placed, there) << "a field of the model has no row, or two";
}

TEST(Canonical, WhatMeansTheSameIsTheSame) {
  const Canonical before = form(full_state());
  const auto same = [&](const char* what, auto change) {
    State state = full_state();
    change(state);
    const Canonical after = form(state);
    EXPECT_EQ(before.whole_sha256, after.whole_sha256) << what;
  };
  same("a rekeyed SA beside the old one", [](State& s) {
    s.sas.push_back(s.sas[0]);
    s.sas.back().id.spi = 99;
  });
  same("an SA that is being negotiated", [](State& s) {
    Sa larval;
    larval.source = s.sas[0].source;
    larval.id = s.sas[0].id;
    s.sas.push_back(larval);
  });
  same("other hosts' SAs and policies", [](State& s) {
    s.sas.push_back(s.sas[0]);
    s.sas.back().source = address("203.0.113.1");
    s.policies.push_back(s.policies[0]);
    s.policies.back().selector.destination = network("172.16.0.0/12").network;
    s.policies.back().templates.clear();
  });
  same("a kernel without a default policy", [](State& s) { s.defaults.reset(); });
  same("loopback's switches", [](State& s) { s.interfaces.push_back({"lo", true, true, true}); });
  same("switches that are off", [](State& s) { s.interfaces.push_back({"eth7", {}, {}, {}}); });
  same("an outbound window, which nobody looks at", [](State& s) { s.sas[1].replay.window = 128; });
  same("the flag beside the selector's family", [](State& s) { s.sas[0].flags |= 32; });
}

TEST(Canonical, AFlagOfExtendedNumbersIsTheFieldOfThem) {
  State flag = full_state();
  State field = full_state();
  flag.sas[0].flags |= Sa::flag_extended;
  field.sas[0].replay.extended = true;
  EXPECT_EQ(form(flag).sas, form(field).sas);
}

TEST(Canonical, AnIcvOfTheUsualLengthIsToldAsOneNotSaid) {
  State said = full_state();
  State silent = full_state();
  said.sas[0].authentication->icv_bits = 96;
  silent.sas[0].authentication->icv_bits = 0;
  EXPECT_EQ(form(said).sas, form(silent).sas);
}

TEST(Canonical, SasComeAndGoUnderTheSamePolicies) {
  State state = full_state();
  const Canonical before = form(state);
  state.sas.clear();
  const Canonical after = form(state);
  EXPECT_EQ(before.policies_sha256, after.policies_sha256);
  EXPECT_NE(before.whole_sha256, after.whole_sha256);
}

TEST(Canonical, WherePoliciesOverlapTheirOrderMatters) {
  State state = full_state();
  Policy bypass = state.policies[0];
  bypass.templates.clear();
  bypass.priority += 10;
  state.policies.push_back(bypass);
  const Canonical beneath = form(state);
  state.policies.back().priority -= 5;
  EXPECT_EQ(form(state).policies, beneath.policies) << "the number alone";
  state.policies.back().priority -= 10;
  EXPECT_NE(form(state).policies, beneath.policies) << "it goes before now";
  state.policies.back().priority = state.policies[0].priority;
  const Canonical equals = form(state);
  EXPECT_NE(equals.policies, beneath.policies);
  std::swap(state.policies.front(), state.policies.back());
  EXPECT_EQ(form(state).policies, equals.policies) << "of equals nobody knows";
}

TEST(Canonical, APolicyThatLeadsIntoTheTunnelIsTold) {
  State state = full_state();
  const Canonical before = form(state);
  state.policies.push_back(state.policies[0]);
  state.policies.back().selector.destination = network("172.16.0.0/12").network;
  EXPECT_NE(form(state).policies, before.policies);
  EXPECT_EQ(form(state).policies_told.size(), before.policies_told.size() + 1);
}

TEST(Canonical, ASurplusOfBypassesIsTold) {
  State state = full_state();
  Policy bypass;
  bypass.direction = Direction::socket_out;
  state.policies.push_back(bypass);
  const Tunnel tunnel = test::sample_agreement().tunnels[0];
  EXPECT_NE(form(state, tunnel, 0).policies, form(full_state()).policies);
  EXPECT_EQ(form(state, tunnel, 1).policies, form(full_state()).policies);
  EXPECT_EQ(form(state, tunnel, 5).policies, form(full_state()).policies);
}

TEST(Canonical, AnAddressThatIsNotAgreedIsNotTold) {
  Agreement agreement = test::sample_agreement();
  agreement.tunnels[0].ends[1].address.reset();
  const Tunnel& tunnel = agreement.tunnels[0];
  State state = test::state_of(get(expect(agreement, End::left)));
  State moved = state;
  for (Policy& one : moved.policies) {
    Template& used = one.templates[0];
    (one.direction == Direction::out ? used.destination : used.source) = address("203.0.113.5");
  }
  EXPECT_NE(form(state, tunnel).whole_sha256, form(moved, tunnel).whole_sha256)
      << "SAs are others'";
  moved.sas[0].source = address("203.0.113.5");
  moved.sas[1].id.destination = address("203.0.113.5");
  EXPECT_EQ(form(state, tunnel).whole_sha256, form(moved, tunnel).whole_sha256);
  EXPECT_EQ(form(moved, tunnel).sas_told.size(), 2U);
}

// Random states of random agreements, shuffled where order has no meaning.
TEST(Canonical, OrderHasNoMeaningWhereNothingOverlaps) {
  constexpr unsigned seed = 3;
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    const Agreement agreement = test::random_agreement(random);
    State state = test::state_of(get(expect(agreement, End::left)));
    for (const Tunnel& tunnel : agreement.tunnels) {
      const Canonical before = form(state, tunnel);
      State other = state;
      std::shuffle(other.policies.begin(), other.policies.end(), random);
      std::shuffle(other.sas.begin(), other.sas.end(), random);
      std::shuffle(other.interfaces.begin(), other.interfaces.end(), random);
      EXPECT_EQ(before.whole_sha256, form(other, tunnel).whole_sha256) << round;
      EXPECT_FALSE(before.policies_told.empty());
    }
  }
}

TEST(Canonical, ManyAreToldSoonAndTooManyAreRefused) {
  State state = full_state();
  for (unsigned i = 0; i < 10'000; ++i) {
    state.policies.push_back(state.policies[i % 3]);
    Selector& s = state.policies.back().selector;
    const auto a = static_cast<std::uint8_t>(i >> 8U);
    const auto b = static_cast<std::uint8_t>(i);
    (i % 3 == 0 ? s.source : s.destination) =
        network("10.1." + std::to_string(a) + "." + std::to_string(b) + "/32").network;
    state.sas.push_back(state.sas[i % 2]);
    state.sas.back().id.spi = i;
  }
  const auto begin = std::chrono::steady_clock::now();
  const Canonical told = form(state);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_GE(told.policies_told.size(), 10'000U);
  for (Policy& one : state.policies) one.selector = state.policies[0].selector;
  for (Policy& one : state.policies) one.direction = Direction::out;
  const auto refused = canonicalise(test::sample_agreement().tunnels[0], End::left, state,
                                    PolicyIndex(state.policies), 0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::limit);
}

TEST(Canonical, IsToldToAPerson) {
  const State state = full_state();
  const Canonical told = form(state);
  const std::string words = describe(told, state);
  EXPECT_NE(words.find(hex_encode(told.whole_sha256)), std::string::npos);
  EXPECT_NE(words.find("policy out"), std::string::npos);
}

}  // namespace
}  // namespace cs::xfrm
