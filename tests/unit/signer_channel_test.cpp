// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/signer_channel.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "tests/support/manual_clock.h"
#include "tests/unit/signer_messages.h"
#include "tests/unit/unix_sockets.h"

namespace cs::keyms {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::BareSocket;
using test::encoded;
using test::get;

const Hello our_hello{signer_protocol_version, 4, test::counted<16>(0x20)};

class ChannelTest : public testing::Test {
 protected:
  SignerListener listen() { return get(SignerListener::open(clock_, path_, getuid())); }
  KeymsdConnection client() {
    return get(KeymsdConnection::create(clock_, {path_, getuid(), our_hello}));
  }
  static SignerConnection accept(SignerListener& listener) {
    return get(listener.accept()).value();
  }
  static FromKeymsd next(KeymsdConnection& connection) { return get(connection.receive()).value(); }
  static FromSigner next(SignerConnection& connection) { return get(connection.receive()).value(); }
  // A bare client that keymsd has welcomed.
  static SignerConnection agree(SignerListener& listener, const BareSocket& bare) {
    SignerConnection connection = accept(listener);
    bare.send(encoded(our_hello));
    EXPECT_TRUE(std::holds_alternative<Hello>(next(connection)));
    EXPECT_EQ(bare.receive(), encoded(Welcome{}));
    return connection;
  }
  // What receive() says of one datagram.
  Error refusal_of(ByteView datagram, bool after_hello) {
    SignerListener listener = listen();
    const BareSocket bare = BareSocket::connect(path_);
    SignerConnection connection = after_hello ? agree(listener, bare) : accept(listener);
    bare.send(datagram);
    const auto received = connection.receive();
    EXPECT_FALSE(received.ok());
    EXPECT_EQ(connection.fd(), -1);
    EXPECT_FALSE(connection.deadline());
    EXPECT_EQ(connection.receive().error().kind(), ErrorKind::closed) << "it stays closed";
    return received.ok() ? Error(ErrorKind::internal, "nothing") : received.error();
  }

  test::SocketDirectory directory_;
  std::string path_ = directory_.socket();
  test::ManualClock clock_;
};

// Both ends.

TEST_F(ChannelTest, AgreesThenCarriesMessagesBothWays) {
  SignerListener listener = listen();
  KeymsdConnection signer = client();
  get(signer.tick());
  EXPECT_FALSE(signer.deadline());
  SignerConnection keymsd = accept(listener);
  EXPECT_FALSE(keymsd.agreed());
  const auto hello = std::get<Hello>(next(keymsd));
  EXPECT_EQ(hello.instance, our_hello.instance);
  EXPECT_EQ(hello.workers, 4);
  EXPECT_TRUE(std::holds_alternative<Welcome>(next(signer)));
  EXPECT_TRUE(signer.agreed() && keymsd.agreed());

  get(keymsd.send(test::session_key()));
  const FromKeymsd received = next(signer);
  const auto& key = std::get<OutboundKey>(received);
  EXPECT_EQ(key.record.scope, test::key_scope());
  EXPECT_EQ(encoded(key), encoded(test::session_key()));

  get(signer.send(SignRequest{77, 1, {}}));
  EXPECT_EQ(std::get<SignRequest>(next(keymsd)).ticket, 77U);
  get(keymsd.send(SignReply{77, SignStatus::busy, {}}));
  EXPECT_EQ(std::get<SignReply>(next(signer)).status, SignStatus::busy);

  EXPECT_FALSE(get(signer.receive())) << "nothing more is there";
  EXPECT_FALSE(get(keymsd.receive()));
}

TEST_F(ChannelTest, NothingButHelloGoesBeforeTheAgreement) {
  SignerListener listener = listen();
  KeymsdConnection signer = client();
  EXPECT_EQ(signer.send(Status{}).error().kind(), ErrorKind::closed) << "not even connected";
  get(signer.tick());
  SignerConnection keymsd = accept(listener);
  EXPECT_EQ(signer.send(Status{}).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(keymsd.send(EndOfState{}).error().kind(), ErrorKind::invalid);
  static_cast<void>(next(keymsd));
  static_cast<void>(next(signer));
  get(signer.send(Status{}));
  get(keymsd.send(EndOfState{}));
}

TEST_F(ChannelTest, AMessageThatBreaksARuleIsNotSentAndEndsNothing) {
  SignerListener listener = listen();
  const BareSocket bare = BareSocket::connect(path_);
  SignerConnection keymsd = agree(listener, bare);
  EXPECT_EQ(keymsd.send(Peer{1, Mode::off, std::vector<Address>(17)}).error().kind(),
            ErrorKind::invalid);
  get(keymsd.send(EndOfState{}));
  EXPECT_EQ(bare.receive(), encoded(EndOfState{}));
}

// Who may connect.

TEST_F(ChannelTest, AnotherUserIsTurnedAway) {
  SignerListener listener = get(SignerListener::open(clock_, path_, getuid() + 1));
  KeymsdConnection signer = client();
  get(signer.tick());
  const auto refused = listener.accept();
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  EXPECT_EQ(refused.error().message(),
            "process " + std::to_string(getpid()) + " of user " + std::to_string(getuid()) +
                " connected to " + path_ + " and was turned away: only user " +
                std::to_string(getuid() + 1) + " may; if it is nfq-signer, run it as that user");
  EXPECT_NE(signer.receive().error().message().find("it turns away all users but one"),
            std::string::npos);
  EXPECT_FALSE(get(listener.accept())) << "listening goes on";
}

TEST_F(ChannelTest, AKeymsdOfAnotherUserIsNotTrusted) {
  SignerListener listener = listen();
  KeymsdConnection signer = get(KeymsdConnection::create(clock_, {path_, getuid() + 1, our_hello}));
  EXPECT_EQ(signer.tick().error().kind(), ErrorKind::denied);
  EXPECT_EQ(signer.fd(), -1);
  EXPECT_TRUE(signer.deadline());
  SignerConnection keymsd = accept(listener);
  EXPECT_EQ(keymsd.receive().error().kind(), ErrorKind::closed) << "not even a hello";
}

// Where it listens.

TEST_F(ChannelTest, RefusesPathsThatAreNone) {
  using namespace std::string_literals;
  for (const std::string& path : {""s, "\0abstract"s, "a\0b"s}) {
    EXPECT_EQ(SignerListener::open(clock_, path, 0).error().kind(), ErrorKind::invalid);
    EXPECT_EQ(KeymsdConnection::create(clock_, {path, 0, our_hello}).error().kind(),
              ErrorKind::invalid);
  }
  EXPECT_EQ(SignerListener::open(clock_, std::string(108, 'a'), 0).error().kind(),
            ErrorKind::limit);
}

// What keymsd refuses.

TEST_F(ChannelTest, AHelloMustBeWholeAndFirst) {
  auto partial = encoded(our_hello);
  partial.pop_back();
  EXPECT_EQ(refusal_of(partial, false).kind(), ErrorKind::truncated);
  EXPECT_EQ(refusal_of(encoded(Status{}), false).message(),
            "nfq-signer sends before it says hello");
  EXPECT_EQ(refusal_of(encoded(SignRequest{}), false).kind(), ErrorKind::invalid);
  EXPECT_EQ(refusal_of(encoded(our_hello), true).message(), "nfq-signer says hello a second time");
}

TEST_F(ChannelTest, AMessageMustBeOneAndNotTooLong) {
  const std::vector<std::uint8_t> longest(max_message, 0x01);
  EXPECT_EQ(refusal_of(longest, true).kind(), ErrorKind::invalid);
  for (const std::size_t size : {max_message + 1, std::size_t{60000}}) {
    const std::vector<std::uint8_t> longer(size, 0x01);
    EXPECT_EQ(refusal_of(longer, true).message(),
              "received a message of " + std::to_string(size) +
                  " bytes on the data plane's socket: at most 1024");
  }
  EXPECT_EQ(refusal_of({}, true).kind(), ErrorKind::closed);
  EXPECT_EQ(refusal_of(encoded(EndOfState{}), true).kind(), ErrorKind::invalid);
}

TEST_F(ChannelTest, AnotherVersionIsToldOurs) {
  SignerListener listener = listen();
  const BareSocket bare = BareSocket::connect(path_);
  SignerConnection keymsd = accept(listener);
  bare.send(encoded(Hello{9, 1, {}}));
  EXPECT_EQ(keymsd.receive().error().message(),
            "nfq-signer speaks version 9 of the data plane's protocol, this program version 1; "
            "install keymsd and nfq-signer of one release");
  EXPECT_EQ(keymsd.fd(), -1);
  EXPECT_EQ(bare.receive(), encoded(Welcome{}));
}

TEST_F(ChannelTest, FileDescriptorsThatAreSentAreNotKept) {
  SignerListener listener = listen();
  const BareSocket bare = BareSocket::connect(path_);
  SignerConnection keymsd = agree(listener, bare);
  auto status = encoded(Status{});
  const int passed = bare.fd();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(passed))> control{};
  iovec part{status.data(), status.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(passed));
  std::memcpy(CMSG_DATA(rights), &passed, sizeof(passed));
  ASSERT_GT(::sendmsg(bare.fd(), &header, 0), 0);
  const int before = ::dup(0);
  ::close(before);
  EXPECT_TRUE(std::holds_alternative<Status>(next(keymsd)));
  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(before, after) << "the lowest free descriptor is what it was";
}

TEST_F(ChannelTest, WhoSaysNoHelloIsDisconnected) {
  SignerListener listener = listen();
  const BareSocket bare = BareSocket::connect(path_);
  SignerConnection keymsd = accept(listener);
  ASSERT_TRUE(keymsd.deadline());
  clock_.advance(SignerConnection::hello_within - milliseconds(1));
  get(keymsd.tick());
  clock_.advance(milliseconds(1));
  EXPECT_EQ(keymsd.tick().error().kind(), ErrorKind::timed_out);
  EXPECT_EQ(keymsd.fd(), -1);
  get(keymsd.tick());
}

// A reader that is slow, or stands still.

class SlowReaderTest : public ChannelTest {
 protected:
  // Sends remove_peer messages until one has to wait.
  std::uint32_t fill_kernel() {
    std::uint32_t count = 0;
    while (keymsd_.room() == DatagramSocket::queue_length && count < 100000)
      get(keymsd_.send(RemovePeer{count++}));
    EXPECT_EQ(keymsd_.events(), POLLIN | POLLOUT);
    return count;
  }
  SignerListener listener_ = listen();
  BareSocket bare_ = BareSocket::connect(path_);
  SignerConnection keymsd_ = agree(listener_, bare_);
};

TEST_F(SlowReaderTest, LosesNothingWhileTheQueueHolds) {
  EXPECT_EQ(keymsd_.events(), POLLIN);
  std::uint32_t sent = fill_kernel();
  while (keymsd_.room() > 0) get(keymsd_.send(RemovePeer{sent++}));
  std::uint32_t read = 0;
  for (auto bytes = bare_.receive(); !bytes.empty(); bytes = bare_.receive()) {
    ASSERT_EQ(bytes, encoded(RemovePeer{read++}));
    get(keymsd_.flush());
  }
  EXPECT_EQ(read, sent);
  EXPECT_EQ(keymsd_.room(), DatagramSocket::queue_length);
  EXPECT_EQ(keymsd_.events(), POLLIN);
}

TEST_F(SlowReaderTest, IsDisconnectedWhenTheQueueIsFull) {
  std::uint32_t sent = fill_kernel();
  while (keymsd_.room() > 0) get(keymsd_.send(RemovePeer{sent++}));
  const auto refused = keymsd_.send(RemovePeer{sent});
  EXPECT_EQ(refused.error().message(),
            "the other side of the data plane's socket does not read: 64 messages wait; "
            "disconnected");
  EXPECT_EQ(refused.error().kind(), ErrorKind::limit);
  EXPECT_EQ(keymsd_.fd(), -1);
  EXPECT_EQ(keymsd_.send(RemovePeer{sent}).error().kind(), ErrorKind::closed);
  EXPECT_EQ(keymsd_.flush().error().kind(), ErrorKind::closed);
}

TEST_F(SlowReaderTest, IsDisconnectedAfterATimeWithoutReading) {
  EXPECT_FALSE(keymsd_.deadline());
  fill_kernel();
  ASSERT_TRUE(keymsd_.deadline());
  clock_.advance(SignerConnection::reads_within - seconds(1));
  get(keymsd_.send(RemovePeer{1}));
  get(keymsd_.tick());
  clock_.advance(seconds(1));
  EXPECT_EQ(keymsd_.tick().error().kind(), ErrorKind::timed_out);
  EXPECT_EQ(keymsd_.fd(), -1);
}

TEST_F(SlowReaderTest, KeepsTheConnectionByReadingSome) {
  fill_kernel();
  for (int i = 0; i < 3; ++i) get(keymsd_.send(RemovePeer{1}));
  clock_.advance(SignerConnection::reads_within - seconds(1));
  const std::size_t before = keymsd_.room();
  while (keymsd_.room() == before) {
    ASSERT_FALSE(bare_.receive().empty());
    get(keymsd_.flush());
  }
  clock_.advance(seconds(1));
  get(keymsd_.tick());
  EXPECT_GE(keymsd_.fd(), 0);
  while (!bare_.receive().empty()) get(keymsd_.flush());
  EXPECT_FALSE(keymsd_.deadline());
}

// Death and return.

TEST_F(ChannelTest, KeymsdNoticesTheDeathOfNfqSigner) {
  SignerListener listener = listen();
  BareSocket bare = BareSocket::connect(path_);
  SignerConnection keymsd = agree(listener, bare);
  bare.send(encoded(Status{}));
  bare.close();
  EXPECT_TRUE(std::holds_alternative<Status>(next(keymsd))) << "its last words are heard";
  EXPECT_EQ(keymsd.receive().error().kind(), ErrorKind::closed);
  EXPECT_EQ(keymsd.fd(), -1);
}

TEST_F(ChannelTest, SendingToTheDeadIsAnErrorAndNoSignal) {
  SignerListener listener = listen();
  BareSocket bare = BareSocket::connect(path_);
  SignerConnection keymsd = agree(listener, bare);
  bare.close();
  EXPECT_EQ(keymsd.send(EndOfState{}).error().kind(), ErrorKind::closed);
  EXPECT_EQ(keymsd.fd(), -1);
}

TEST_F(ChannelTest, TriesAgainLessAndLessOften) {
  KeymsdConnection signer = client();
  milliseconds expected = KeymsdConnection::first_delay;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(signer.tick().error().kind(), ErrorKind::not_found);
    EXPECT_EQ(signer.deadline(), clock_.boot() + expected);
    get(signer.tick());  // too early: does nothing
    clock_.advance(expected);
    expected = std::min(2 * expected, KeymsdConnection::last_delay);
  }
  EXPECT_EQ(expected, KeymsdConnection::last_delay);
}

TEST_F(ChannelTest, ConnectsAnewAfterKeymsdsDeath) {
  KeymsdConnection signer = client();
  for (int life = 0; life < 3; ++life) {
    SignerListener listener = listen();
    get(signer.tick());
    {
      SignerConnection keymsd = accept(listener);
      static_cast<void>(next(keymsd));
      EXPECT_TRUE(std::holds_alternative<Welcome>(next(signer)));
      get(keymsd.send(EndOfState{}));
      EXPECT_TRUE(std::holds_alternative<EndOfState>(next(signer))) << "in each life anew";
    }
    EXPECT_EQ(signer.receive().error().kind(), ErrorKind::closed);
    EXPECT_FALSE(signer.agreed());
    EXPECT_EQ(signer.deadline(), clock_.boot() + KeymsdConnection::first_delay);
    clock_.advance(KeymsdConnection::first_delay);
  }
}

TEST_F(ChannelTest, AKeymsdThatNeverWelcomesIsNotHammered) {
  SignerListener listener = listen();
  KeymsdConnection signer = client();
  milliseconds expected = KeymsdConnection::first_delay;
  for (int i = 0; i < 8; ++i) {
    get(signer.tick());
    static_cast<void>(accept(listener));
    EXPECT_FALSE(signer.receive().ok());
    EXPECT_EQ(signer.deadline(), clock_.boot() + expected);
    clock_.advance(expected);
    expected = std::min(2 * expected, KeymsdConnection::last_delay);
  }
}

TEST_F(ChannelTest, SendingToADeadKeymsdArrangesForTheNext) {
  KeymsdConnection signer = client();
  {
    SignerListener listener = listen();
    get(signer.tick());
    SignerConnection keymsd = accept(listener);
    static_cast<void>(next(keymsd));
    static_cast<void>(next(signer));
  }
  EXPECT_EQ(signer.send(Status{}).error().kind(), ErrorKind::closed);
  EXPECT_TRUE(signer.deadline());
  EXPECT_EQ(signer.send(Status{}).error().message(), "not connected to keymsd");
  get(signer.flush());
}

// What nfq-signer refuses.

class ClumsyKeymsdTest : public ChannelTest {
 protected:
  ClumsyKeymsdTest() {
    get(signer_.tick());
    keymsd_ = listener_.accept();
    EXPECT_EQ(keymsd_.receive(), encoded(our_hello));
  }
  Error refusal_of(ByteView datagram) {
    keymsd_.send(datagram);
    const auto received = signer_.receive();
    EXPECT_FALSE(received.ok());
    EXPECT_EQ(signer_.fd(), -1);
    EXPECT_TRUE(signer_.deadline());
    return received.ok() ? Error(ErrorKind::internal, "nothing") : received.error();
  }
  void welcome() {
    keymsd_.send(encoded(Welcome{}));
    EXPECT_TRUE(std::holds_alternative<Welcome>(next(signer_)));
  }
  BareSocket listener_ = BareSocket::listen(path_);
  KeymsdConnection signer_ = client();
  BareSocket keymsd_;
};

TEST_F(ClumsyKeymsdTest, MustWelcomeFirst) {
  EXPECT_EQ(refusal_of(encoded(test::session_key())).message(), "keymsd sends before it welcomes");
}

TEST_F(ClumsyKeymsdTest, MustSpeakOurVersion) {
  EXPECT_EQ(refusal_of(encoded(Welcome{2})).kind(), ErrorKind::unsupported);
  EXPECT_FALSE(signer_.agreed());
}

TEST_F(ClumsyKeymsdTest, WelcomesOnce) {
  welcome();
  EXPECT_EQ(refusal_of(encoded(Welcome{})).message(), "keymsd welcomes a second time");
}

TEST_F(ClumsyKeymsdTest, EndsItsStateOnce) {
  welcome();
  keymsd_.send(encoded(EndOfState{}));
  EXPECT_TRUE(std::holds_alternative<EndOfState>(next(signer_)));
  EXPECT_EQ(refusal_of(encoded(EndOfState{})).message(), "keymsd ends its state a second time");
}

TEST_F(ClumsyKeymsdTest, MustNotSendTooMuch) {
  welcome();
  EXPECT_EQ(refusal_of(std::vector<std::uint8_t>(1025, 0x87)).kind(), ErrorKind::limit);
}

}  // namespace
}  // namespace cs::keyms
