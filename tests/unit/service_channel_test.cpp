// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/service_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "tests/support/manual_clock.h"
#include "tests/unit/service_messages.h"
#include "tests/unit/unix_sockets.h"

namespace cs::keyms::carrier {
namespace {

using test::get;

std::pair<UniqueFd, UniqueFd> socket_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0)
    throw std::runtime_error("no socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

const Hello hello{1, false, "a test"};

class ServiceChannel : public testing::TestWithParam<Other> {
 protected:
  ServiceChannel() {
    auto [ours, theirs] = socket_pair();
    service_.emplace(get(ServiceConnection::create(clock_, std::move(ours), GetParam())));
    carrier_.emplace(get(CarrierConnection::create(std::move(theirs), hello, GetParam())));
  }
  void agree() {
    ASSERT_TRUE(std::holds_alternative<Hello>(get(service_->receive()).value()));
    ASSERT_TRUE(std::holds_alternative<Welcome>(get(carrier_->receive()).value()));
  }
  void connect(std::uint32_t channel) {
    get(carrier_->send(test::connect_message(channel)));
    EXPECT_EQ(at_service<Connect>().channel, channel);
  }
  template <class Message>
  Message at_service() {
    return std::get<Message>(get(service_->receive()).value());
  }
  template <class Message>
  Message at_carrier() {
    return std::get<Message>(get(carrier_->receive()).value());
  }
  void expect_silence() {
    EXPECT_FALSE(get(service_->receive()));
    EXPECT_FALSE(get(carrier_->receive()));
  }
  test::ManualClock clock_;
  std::optional<ServiceConnection> service_;
  std::optional<CarrierConnection> carrier_;
};

TEST_P(ServiceChannel, AMessageGoesEachWayOnItsChannel) {
  agree();
  connect(1);
  connect(2);
  get(carrier_->send(Data{2, {5}}));
  EXPECT_EQ(at_service<Data>().bytes, std::vector<std::uint8_t>{5});
  get(service_->send(Data{1, test::filled(max_data, 6)}));
  EXPECT_EQ(at_carrier<Data>().bytes.size(), max_data);
  get(service_->send(Grant{1}));
  EXPECT_EQ(at_carrier<Grant>().channel, 1U);
  get(service_->send(Open{"hamburg-1", {test::endpoint()}}));
  EXPECT_EQ(at_carrier<Open>().peer, "hamburg-1");
  get(carrier_->send(Unreachable{"hamburg-1", "no answer"}));
  EXPECT_EQ(at_service<Unreachable>().peer, "hamburg-1");
  expect_silence();
}

TEST_P(ServiceChannel, NothingIsSentBeforeAVersionIsAgreedOn) {
  EXPECT_EQ(service_->send(Open{"b", {test::endpoint()}}).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(carrier_->send(test::connect_message()).error().kind(), ErrorKind::invalid);
  EXPECT_GE(service_->fd(), 0);
  EXPECT_GE(carrier_->fd(), 0);
}

TEST_P(ServiceChannel, ACloseIsAnsweredAndTheNumberIsFreeAgain) {
  agree();
  for (const bool by_carrier : {true, false}) {
    connect(1);
    if (by_carrier) {
      get(carrier_->send(Close{1, test::reason()}));
      EXPECT_EQ(at_service<Close>().reason, test::reason());
    } else {
      get(service_->send(Close{1, test::reason()}));
      EXPECT_EQ(at_carrier<Close>().reason, test::reason());
    }
    expect_silence();
  }
  connect(1);
}

TEST_P(ServiceChannel, WhatCrossesACloseIsSwallowed) {
  agree();
  connect(1);
  get(carrier_->send(Data{1, {1}}));
  get(service_->send(Close{1, test::reason()}));
  get(service_->receive());
  EXPECT_FALSE(service_->send(Data{1, {1}}).ok());
  EXPECT_EQ(at_carrier<Close>().channel, 1U);
  EXPECT_FALSE(get(service_->receive())) << "the answer to our own close";
  connect(1);
  get(carrier_->send(Close{1, test::reason()}));
  get(service_->send(Close{1, test::reason()}));
  expect_silence();
  connect(1);
}

TEST_P(ServiceChannel, ADenyIsAnsweredOnceTheCarrierHasRevoked) {
  agree();
  connect(1);
  get(carrier_->send(Data{1, {1}}));
  get(service_->send(Deny{1, test::reason()}));
  EXPECT_FALSE(get(service_->receive())) << "what crossed the deny";
  EXPECT_EQ(at_carrier<Deny>().reason, test::reason());
  EXPECT_FALSE(carrier_->send(Data{1, {1}}).ok());
  EXPECT_FALSE(carrier_->send(test::connect_message(1)).ok()) << "it is not revoked yet";
  get(carrier_->send(Close{1, test::reason()}));
  expect_silence();
  EXPECT_FALSE(carrier_->send(Close{1, test::reason()}).ok());
  connect(1);
}

TEST_P(ServiceChannel, TooManyChannelsAreRefused) {
  agree();
  for (std::uint32_t channel = 0; channel < Channels::most; ++channel) connect(channel);
  EXPECT_EQ(carrier_->send(test::connect_message(5000)).error().kind(), ErrorKind::limit);
}

TEST_P(ServiceChannel, WhoSaysNoHelloOrDoesNotReadIsDisconnected) {
  clock_.advance(ServiceConnection::hello_within);
  EXPECT_EQ(service_->tick().error().kind(), ErrorKind::timed_out);
  EXPECT_EQ(service_->fd(), -1);
}

TEST_P(ServiceChannel, AReaderThatStopsIsDisconnectedInTime) {
  agree();
  connect(1);
  while (service_->room() == DatagramSocket::queue_length)
    get(service_->send(Data{1, test::filled(max_data, 1)}));
  EXPECT_EQ(*service_->deadline(), clock_.boot() + ServiceConnection::reads_within);
  while (service_->room() > 0) get(service_->send(Data{1, {1}}));
  clock_.advance(ServiceConnection::reads_within);
  EXPECT_EQ(service_->tick().error().kind(), ErrorKind::timed_out);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ServiceChannel, testing::Values(Other::carrier, Other::worker),
                         [](const auto& test) {
                           return test.param == Other::carrier ? "carrier" : "worker";
                         });

// What a carrier of another make may send wrongly: each ends the connection.
TEST(ServiceBreaches, EndTheConnection) {
  using Bytes = std::vector<std::uint8_t>;
  const Bytes greeting = test::encoded_for_service(hello);
  const Bytes connected = test::encoded_for_service(test::connect_message(1));
  const Bytes closing = test::encoded_for_service(Close{1, test::reason()});
  const std::vector<std::pair<std::string, std::vector<Bytes>>> breaches{
      {"before it says hello", {connected}},
      {"hello a second time", {greeting, greeting}},
      {"version 2", {test::encoded_for_service(Hello{2, false, "new"})}},
      {"is there already", {greeting, connected, connected}},
      {"is not open", {greeting, test::encoded_for_service(Data{1, {1}})}},
      {"is not open", {greeting, connected, closing, closing}},
      {"its own worker only", {greeting, test::encoded_for_service(Stats{})}},
      {"at most 32773", {greeting, Bytes(max_service_message + 1)}},
  };
  for (const auto& [why, messages] : breaches) {
    const test::ManualClock clock;
    auto [ours, theirs] = socket_pair();
    auto service = get(ServiceConnection::create(clock, std::move(ours), Other::carrier));
    std::string said;
    for (const Bytes& message : messages) {
      ASSERT_GT(::send(theirs.get(), message.data(), message.size(), 0), 0);
      const auto got = service.receive();
      if (!got.ok()) said = got.error().message();
    }
    EXPECT_NE(said.find(why), std::string::npos) << said;
    EXPECT_EQ(service.fd(), -1) << why;
  }
}

TEST(ServiceDescriptors, ASocketGoesToTheWorkerAndNowhereElse) {
  const test::ManualClock clock;
  for (const Other other : {Other::worker, Other::carrier}) {
    auto [ours, theirs] = socket_pair();
    auto service = get(ServiceConnection::create(clock, std::move(ours), other));
    auto worker = get(CarrierConnection::create(std::move(theirs), hello, other));
    get(service.receive());
    get(worker.receive());
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd reading(ends[0]);
    get(service.send(Dial{"hamburg-1", test::endpoint()}, UniqueFd(ends[1])));
    if (other == Other::carrier) {
      EXPECT_FALSE(worker.receive().ok());
    } else {
      EXPECT_TRUE(get(worker.receive()));
      const UniqueFd writing = worker.take_descriptor();
      ASSERT_TRUE(writing);
      EXPECT_EQ(::write(writing.get(), "x", 1), 1);
      EXPECT_FALSE(worker.take_descriptor());
    }
    std::uint8_t byte = 0;
    if (other == Other::worker) {
      EXPECT_EQ(::read(reading.get(), &byte, 1), 1);
    }
    EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "a copy of the descriptor is left";
  }
}

TEST(ServiceListener, TakesTheOneUserThatIsAllowed) {
  const test::ManualClock clock;
  const test::SocketDirectory directory;
  for (const uid_t allowed : {::getuid(), ::getuid() + 1}) {
    auto listener = get(ServiceListener::open(clock, directory.socket(), allowed));
    EXPECT_FALSE(get(listener.accept()));
    const UniqueFd client = get(unix_socket(SOCK_SEQPACKET));
    const UnixAddress address = get(unix_address(directory.socket()));
    ASSERT_EQ(::connect(client.get(), address.get(), UnixAddress::size), 0);
    const auto accepted = listener.accept();
    EXPECT_EQ(accepted.ok(), allowed == ::getuid());
    if (!accepted.ok()) {
      EXPECT_EQ(accepted.error().kind(), ErrorKind::denied);
    }
  }
}

}  // namespace
}  // namespace cs::keyms::carrier
