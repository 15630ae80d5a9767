// SPDX-License-Identifier: GPL-3.0-or-later
// Two network workers with TLS between them, as processes of their own.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "keyms/carrier/worker.h"
#include "keyms/session/messages.h"
#include "tests/unit/carrier_gateway.h"
#include "tests/unit/service_messages.h"

namespace cs::keyms::carrier {
namespace {

using test::Gateway;
using test::get;
using Bytes = std::vector<std::uint8_t>;

class TwoWorkers : public testing::Test {
 protected:
  TwoWorkers() {
    a_.knows({b_.self.as_peer()});
    b_.knows({a_.self.as_peer()});
    EXPECT_TRUE(both([&] { return a_.worker().agreed() && b_.worker().agreed(); })) << a_.trouble;
  }
  bool both(const std::function<bool()>& done) { return test::work({&a_, &b_}, done); }
  template <class Message>
  Message next(Gateway& gateway) {
    EXPECT_TRUE(both([&] { return gateway.was_told(); })) << gateway.trouble;
    return gateway.next<Message>();
  }
  // A calls, and says hello.
  Connect called() {
    a_.call("hamburg-1", b_.port());
    auto ours = next<Connect>(a_);
    a_channel_ = ours.channel;
    get(a_.worker().send(
        Data{a_channel_, get(encode(a_.self.hello(Role::initiator, "hamburg-1")))}));
    return ours;
  }
  void open() {
    called();
    b_channel_ = next<Connect>(b_).channel;
    next<Data>(b_);
    get(b_.worker().send(
        Data{b_channel_, get(encode(b_.self.hello(Role::responder, "berlin-1")))}));
    next<Data>(a_);
  }
  Gateway a_{"berlin-1"};
  Gateway b_{"hamburg-1"};
  std::uint32_t a_channel_ = 0;
  std::uint32_t b_channel_ = 0;
};

TEST_F(TwoWorkers, AChannelHasOneSecretAndBothCertificates) {
  const Connect ours = called();
  EXPECT_FALSE(ours.opened_by_peer);
  const auto theirs = next<Connect>(b_);
  EXPECT_TRUE(theirs.opened_by_peer);
  EXPECT_EQ(theirs.peer, "berlin-1");
  EXPECT_TRUE(std::ranges::equal(ours.secret.bytes(), theirs.secret.bytes()));
  EXPECT_FALSE(std::ranges::equal(ours.secret.bytes(), Bytes(32)));
  EXPECT_EQ(ours.certificate, a_.self.endpoint.certificate);
  EXPECT_EQ(ours.peer_certificate, b_.self.endpoint.certificate);
  EXPECT_EQ(theirs.certificate, ours.peer_certificate);
  EXPECT_EQ(theirs.peer_certificate, ours.certificate);
  EXPECT_EQ(get(decode_hello(next<Data>(b_).bytes)).from, "berlin-1");
}

TEST_F(TwoWorkers, MessagesGoBothWaysUpToTheLimit) {
  open();
  for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, max_data}) {
    get(a_.worker().send(Data{a_channel_, test::filled(size, 1)}));
    EXPECT_EQ(next<Data>(b_).bytes, test::filled(size, 1));
    get(b_.worker().send(Data{b_channel_, test::filled(size, 2)}));
    EXPECT_EQ(next<Data>(a_).bytes, test::filled(size, 2));
  }
  for (std::uint8_t i = 0; i < 7; ++i) get(a_.worker().send(Data{a_channel_, Bytes(max_data, i)}));
  for (std::uint8_t i = 0; i < 7; ++i) EXPECT_EQ(next<Data>(b_).bytes.front(), i);
}

TEST_F(TwoWorkers, WhatWasSentBeforeACloseArrives) {
  open();
  get(a_.worker().send(Data{a_channel_, test::filled(max_data, 7)}));
  get(a_.worker().send(Close{a_channel_, test::reason()}));
  EXPECT_EQ(next<Data>(b_).bytes.size(), max_data);
  EXPECT_EQ(next<Close>(b_).reason.code, "peer_closed");
}

TEST_F(TwoWorkers, ADeniedChannelIsClosed) {
  open();
  get(b_.worker().send(Deny{b_channel_, test::reason()}));
  EXPECT_EQ(next<Close>(a_).reason.code, "peer_closed");
  open();
}

TEST_F(TwoWorkers, TheResponderIsHeldToItsHelloToo) {
  called();
  b_channel_ = next<Connect>(b_).channel;
  SessionHello lie = b_.self.hello(Role::responder, "berlin-1");
  lie.core_properties[0] ^= 1U;
  get(b_.worker().send(Data{b_channel_, get(encode(lie))}));
  const auto refused = next<Close>(a_);
  EXPECT_EQ(refused.reason.code, "core_properties");
  EXPECT_TRUE(both([&] { return a_.stats.counters.of(Refusal::core_properties) == 1; }));
}

TEST_F(TwoWorkers, WhyAHelloIsNotAnsweredIsTold) {
  // The longest code that a session has is none of a carrier's.
  for (const auto& [code, told] : {std::pair(std::string("too_often"), "too_often"),
                                   std::pair(std::string(most_code, 'x'), "refused")}) {
    called();
    b_channel_ = next<Connect>(b_).channel;
    const Refuse refusal{{code, "not within this minute"}};
    get(b_.worker().send(Data{b_channel_, get(encode_refuse(refusal))}));
    const auto reason = next<Close>(a_).reason;
    EXPECT_EQ(reason.code, told);
    EXPECT_TRUE(reason.sentence.ends_with(" refuses: not within this minute")) << reason.sentence;
    next<Data>(b_);
    next<Close>(b_);
  }
}

TEST_F(TwoWorkers, WhoDoesNotAnswerIsUnreachable) {
  a_.call("hamburg-1", 1);
  EXPECT_EQ(next<Unreachable>(a_).peer, "hamburg-1");
}

TEST_F(TwoWorkers, AWorkerThatDiesIsReplacedAndToldEverything) {
  open();
  const pid_t first = b_.worker().pid();
  ::kill(first, SIGKILL);
  EXPECT_TRUE(both([&] { return !b_.trouble.empty(); }));
  EXPECT_NE(b_.trouble.find("SIGKILL"), std::string::npos) << b_.trouble;
  EXPECT_EQ(next<Close>(a_).reason.code, "peer_closed");
  EXPECT_TRUE(both([&] { return b_.worker().agreed(); }));
  EXPECT_NE(b_.worker().pid(), first);
  open();
}

TEST_F(TwoWorkers, ASlowPeerEndsItsOwnChannelOnly) {
  open();
  const std::uint32_t slow = a_channel_;
  open();
  // Nobody takes what B's worker hands up, so that it takes nothing from the network.
  bool ended = false;
  for (int i = 0; i < 2000 && !ended; ++i) {
    get(a_.worker().send(Data{slow, Bytes(max_data)}));
    test::work({&a_}, [&] { return a_.worker().room() > 32 || a_.was_told(); });
    ended = a_.was_told();
  }
  ASSERT_TRUE(ended) << a_.trouble << a_.worker().room();
  const auto close = a_.next<Close>();
  EXPECT_EQ(close.channel, slow);
  EXPECT_EQ(close.reason.code, "peer_too_slow");
  get(a_.worker().send(Data{a_channel_, {9}}));
  EXPECT_TRUE(both([&] {
    while (b_.was_told()) {
      try {
        if (b_.next<Data>().bytes == Bytes{9}) return true;
      } catch (const std::exception&) {
        b_.next<Close>();
      }
    }
    return false;
  }));
}

TEST_F(TwoWorkers, AWorkerIsShutIn) {
  std::ifstream file("/proc/" + std::to_string(a_.worker().pid()) + "/status");
  const std::string status(std::istreambuf_iterator<char>(file), {});
  for (const char* line :
       {"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000",
        "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"}) {
    EXPECT_NE(status.find(line), std::string::npos) << line << " in\n" << status;
  }
  EXPECT_EQ(status.find("Uid:\t0"), std::string::npos);
}

TEST(Worker, WithoutSeccompItSaysSo) {
  testing::internal::CaptureStderr();
  Gateway gateway("berlin-1", {"--without-seccomp"});
  EXPECT_TRUE(test::work({&gateway}, [&] { return gateway.worker().agreed(); }));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("without seccomp"), std::string::npos);
}

TEST(Worker, AWorkerThatCannotStartIsTriedAgainLaterAndLater) {
  auto worker = get(CarrierWorker::create(test::machine_clock, {"/bin/false", {}}));
  std::vector<std::chrono::nanoseconds> delays;
  while (delays.size() < 3) {
    if (const auto ticked = worker.tick(); !ticked.ok()) ADD_FAILURE() << ticked.error().message();
    if (const auto got = worker.receive(); !got.ok()) {
      EXPECT_NE(got.error().message().find("exit code 1"), std::string::npos)
          << got.error().message();
      delays.push_back(*worker.deadline() - test::machine_clock.boot());
    }
    ::usleep(1000);
  }
  EXPECT_GT(delays[1], delays[0]);
  EXPECT_GT(delays[2], delays[1]);
  EXPECT_FALSE(CarrierWorker::create(test::machine_clock, {"/nowhere", {}}).ok());
}

}  // namespace
}  // namespace cs::keyms::carrier
