// SPDX-License-Identifier: GPL-3.0-or-later
// What a stranger may try at the network worker's port: each attempt ends with the counter of its
// name, and keymsd hears of none.
#include <gtest/gtest.h>
#include <openssl/rsa.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "keyms/carrier/admission.h"
#include "tests/unit/carrier_client.h"
#include "tests/unit/carrier_gateway.h"

namespace cs::keyms::carrier {
namespace {

using test::client;
using test::Context;
using test::Gateway;
using test::get;
using test::Identity;
using Bytes = std::vector<std::uint8_t>;

// A blocking TCP connection with short patience.
UniqueFd connection_to(std::uint16_t port, const char* from = "127.0.0.1") {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{8, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, from, &address.sin_addr);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    throw std::runtime_error("cannot bind");
  ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  address.sin_port = htons(port);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    throw std::runtime_error("cannot connect");
  return fd;
}

Bytes framed(const Bytes& message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  Bytes frame{static_cast<std::uint8_t>(size >> 24U), static_cast<std::uint8_t>(size >> 16U),
              static_cast<std::uint8_t>(size >> 8U), static_cast<std::uint8_t>(size)};
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

// Shakes hands, says it, and waits for the worker to hang up.
void say(SSL_CTX* context, std::uint16_t port, const Bytes& words,
         const std::function<void(SSL*)>& prepare = {}) {
  const UniqueFd fd = connection_to(port);
  const Tls tls(SSL_new(context));
  SSL_set_fd(tls.get(), fd.get());
  if (prepare) prepare(tls.get());
  if (SSL_connect(tls.get()) != 1) return;
  if (!words.empty()) SSL_write(tls.get(), words.data(), static_cast<int>(words.size()));
  std::uint8_t byte = 0;
  while (SSL_read(tls.get(), &byte, 1) > 0) {
  }
}

class Strangers : public testing::Test {
 protected:
  Strangers() {
    gateway_.knows({peer_.as_peer()});
    EXPECT_TRUE(test::work({&gateway_}, [&] { return gateway_.worker().agreed(); }));
  }
  // Lets a stranger try, and waits for the counter.
  void expect(Refusal refusal, const std::function<void()>& attempt, std::uint64_t count = 1) {
    const std::uint64_t before = gateway_.stats.counters.of(refusal);
    std::thread stranger(attempt);
    EXPECT_TRUE(test::work({&gateway_},
                           [&] { return gateway_.stats.counters.of(refusal) >= before + count; }))
        << to_string(refusal) << [&] {
             std::string others;
             for (std::size_t i = 0; i < refusal_count; ++i) {
               if (gateway_.stats.counters.refused.at(i) > 0)
                 others += " " + std::string(to_string(static_cast<Refusal>(i)));
             }
             return others;
           }();
    stranger.join();
    EXPECT_FALSE(gateway_.was_told());
  }
  void expect_words(Refusal refusal, const Bytes& words) {
    expect(refusal, [&] { say(client(&peer_.endpoint).get(), gateway_.port(), words); });
  }
  void expect_lie(Refusal refusal, const std::function<void(SessionHello&)>& lie) {
    SessionHello hello = peer_.hello(Role::initiator, "hamburg-1");
    lie(hello);
    expect_words(refusal, framed(get(encode(hello))));
  }
  Identity peer_{"berlin-1"};
  Gateway gateway_{"hamburg-1"};
};

TEST_F(Strangers, WhatIsNoTls13OfThisKindIsRefused) {
  const std::uint16_t port = gateway_.port();
  expect(Refusal::plaintext, [&] {
    const UniqueFd fd = connection_to(port);
    ::send(fd.get(), "GET / HTTP/1.1\r\n\r\n", 18, 0);
    char byte = 0;
    EXPECT_LE(::recv(fd.get(), &byte, 1, 0), 0);
  });
  const Context old = client(&peer_.endpoint);
  SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION);
  expect(Refusal::tls_version, [&] { say(old.get(), port, {}); });
  const Context other_protocol = client(&peer_.endpoint);
  const unsigned char http[] = "\x02h2";
  SSL_CTX_set_alpn_protos(other_protocol.get(), http, sizeof(http) - 1);
  expect(Refusal::alpn, [&] { say(other_protocol.get(), port, {}); });
  SSL_CTX_set_alpn_protos(other_protocol.get(), nullptr, 0);
  expect(Refusal::alpn, [&] { say(other_protocol.get(), port, {}); });
  const Context other_group = client(&peer_.endpoint);
  SSL_CTX_set1_groups_list(other_group.get(), "P-384");
  expect(Refusal::tls, [&] { say(other_group.get(), port, {}); });
}

// A session that both could know, as a ticket or a key shared before would make it.
int shared_session(SSL* tls, const EVP_MD* /*unused*/, const unsigned char** id, std::size_t* size,
                   SSL_SESSION** session) {
  static const unsigned char name[] = "known before";
  const std::array<unsigned char, 32> key{};
  const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
  SSL_SESSION* made = SSL_SESSION_new();
  SSL_SESSION_set1_master_key(made, key.data(), key.size());
  SSL_SESSION_set_cipher(made, SSL_CIPHER_find(tls, aes_128_gcm_sha256));
  SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION);
  *id = name;
  *size = sizeof(name) - 1;
  *session = made;
  return 1;
}

TEST_F(Strangers, NothingIsResumed) {
  const Context context = client(&peer_.endpoint);
  SSL_CTX_set_psk_use_session_callback(context.get(), shared_session);
  expect(Refusal::resumption, [&] { say(context.get(), gateway_.port(), {}); });
}

TEST_F(Strangers, OneCertificateOfAKeyOnP256OrNone) {
  const std::uint16_t port = gateway_.port();
  expect(Refusal::certificate, [&] { say(client(nullptr).get(), port, {}); });
  const Context chain = client(&peer_.endpoint);
  LoadedEndpoint second = get(load_endpoint(peer_.endpoint));
  SSL_CTX_add_extra_chain_cert(chain.get(), second.certificate.release());
  expect(Refusal::certificate, [&] { say(chain.get(), port, {}); });
}

TEST_F(Strangers, TheFirstMessageIsAHello) {
  expect_words(Refusal::frame, {0, 0, 0, 0});
  expect_words(Refusal::frame, {0, 0, 0x80, 1});
  expect_words(Refusal::hello, framed({1, 2, 3}));
  Bytes longer = get(encode(peer_.hello(Role::initiator, "hamburg-1")));
  longer.push_back(0);
  expect_words(Refusal::hello, framed(longer));
}

TEST_F(Strangers, AHelloThatLiesIsRefusedByItsName) {
  const Identity other("berlin-1");
  expect_lie(Refusal::role, [](SessionHello& h) { h.role = Role::responder; });
  expect_lie(Refusal::receiver, [](SessionHello& h) { h.to = "munich-1"; });
  expect_lie(Refusal::sender, [](SessionHello& h) { h.from = "munich-1"; });
  expect_lie(Refusal::core_properties, [](SessionHello& h) { h.core_properties[0] ^= 1U; });
  expect_lie(Refusal::ak_public, [](SessionHello& h) { h.ak_public.pop_back(); });
  expect_lie(Refusal::ak_name, [&](SessionHello& h) {
    h.ak_public = other.key.area().encode();
    other.key.sign(h, peer_.statement());
  });
  expect_lie(Refusal::statement, [](SessionHello& h) { h.statement.pop_back(); });
  expect_lie(Refusal::statement_dates, [&](SessionHello& h) {
    EndpointStatement ended = peer_.statement();
    ended.not_after = ended.not_before + 1;
    peer_.key.sign(h, ended);
  });
  expect_lie(Refusal::statement_signature, [&](SessionHello& h) {
    SessionHello forged = h;
    other.key.sign(forged, peer_.statement());
    h.signature = forged.signature;
  });
}

// Somebody has recorded a true hello, and has a certificate of his own.
TEST_F(Strangers, AHelloIsOfNoUseOverAnotherConnection) {
  const Bytes recorded = get(encode(peer_.hello(Role::initiator, "hamburg-1")));
  const OwnEndpoint thief = test::fresh_endpoint("berlin-1");
  expect(Refusal::statement_certificate,
         [&] { say(client(&thief).get(), gateway_.port(), framed(recorded)); });
}

TEST_F(Strangers, WhoSaysNothingIsHungUpOn) {
  const std::uint16_t port = gateway_.port();
  const BootTime start = test::machine_clock.boot();
  std::thread silent([port] {
    const UniqueFd fd = connection_to(port);
    char byte = 0;
    EXPECT_EQ(::recv(fd.get(), &byte, 1, 0), 0);
  });
  expect(Refusal::hello_timeout, [&] { say(client(&peer_.endpoint).get(), port, {}); });
  EXPECT_TRUE(test::work({&gateway_},
                         [&] { return gateway_.stats.counters.of(Refusal::tls_timeout) == 1; }));
  silent.join();
  EXPECT_LT(test::machine_clock.boot() - start, std::chrono::seconds(6));
}

// The worker reads what they said when they have hung up: its answer has nowhere to go.
TEST_F(Strangers, WhoHangsUpMidwayEndsTheirConnectionOnly) {
  const pid_t worker = gateway_.worker().pid();
  const Bytes words = test::client_hello();
  expect(Refusal::peer_closed, [&] {
    ::kill(worker, SIGSTOP);
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(worker), &info, WSTOPPED), 0);
    {
      const UniqueFd fd = connection_to(gateway_.port());
      ::send(fd.get(), words.data(), words.size(), 0);
      ::shutdown(fd.get(), SHUT_WR);
      const linger reset{1, 0};
      ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    ::kill(worker, SIGCONT);
  });
  EXPECT_EQ(gateway_.worker().pid(), worker) << gateway_.trouble;
}

TEST_F(Strangers, AnAddressHasSomeOfTheSlotsOnly) {
  const std::uint16_t port = gateway_.port();
  std::vector<UniqueFd> all;
  expect(
      Refusal::source_limit,
      [&] {
        for (std::size_t i = 0; i < Admission::most_of_source + 2; ++i)
          all.push_back(connection_to(port));
      },
      2);
  EXPECT_EQ(gateway_.stats.unproven, Admission::most_of_source);
}

TEST_F(Strangers, AProvenPeerHasSomeOfTheChannelsOnly) {
  const Bytes hello = framed(get(encode(peer_.hello(Role::initiator, "hamburg-1"))));
  std::vector<std::thread> callers;
  for (int i = 0; i < 5; ++i) {
    callers.emplace_back([&] { say(client(&peer_.endpoint).get(), gateway_.port(), hello); });
  }
  EXPECT_TRUE(test::work({&gateway_}, [&] {
    const Counters& counters = gateway_.stats.counters;
    return counters.proven == 4 && counters.of(Refusal::too_many_channels) == 1;
  }));
  while (gateway_.was_told()) {
    const auto connect = gateway_.next<Connect>();
    get(gateway_.worker().send(Close{connect.channel, {"test", ""}}));
    gateway_.next<Data>();
  }
  test::work({&gateway_}, [&] { return gateway_.stats.channels == 0; });
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace cs::keyms::carrier
