// SPDX-License-Identifier: GPL-3.0-or-later
// A key that has passed the data plane's socket lies where its owners hold it, and nowhere else:
// this searches all memory of the process for it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "keyms/signer_channel.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_search.h"
#include "tests/unit/signer_messages.h"
#include "tests/unit/unix_sockets.h"

namespace cs::keyms {
namespace {

using test::get;

constexpr std::size_t size = private_key_size;

OutboundKey key_to_look_for() {
  SecretBytes secret = get(SecretBytes::create(size));
  test::write_key(secret.bytes());
  return {test::key_record(), SessionKey{std::move(secret)}};
}

class SecretsTest : public testing::Test {
 protected:
  SecretsTest() {
    get(signer_.tick());
    keymsd_.emplace(get(listener_.accept()).value());
    EXPECT_TRUE(get(keymsd_->receive()));
    EXPECT_TRUE(get(signer_.receive()));
  }
  test::MemorySearch search_{size};
  test::ManualClock clock_;
  test::SocketDirectory directory_;
  SignerListener listener_ = get(SignerListener::open(clock_, directory_.socket(), getuid()));
  KeymsdConnection signer_ =
      get(KeymsdConnection::create(clock_, {directory_.socket(), getuid(), {}}));
  std::optional<SignerConnection> keymsd_;
};

TEST_F(SecretsTest, ASearchFindsWhatIsThere) {
  EXPECT_EQ(search_.count(), 0);
  const OutboundKey key = key_to_look_for();
  EXPECT_EQ(search_.count(), 1);
}

TEST_F(SecretsTest, OnlyTheOwnersHoldAKeyThatWasSent) {
  auto key = std::make_unique<OutboundKey>(key_to_look_for());
  get(keymsd_->send(*key));
  EXPECT_EQ(search_.count(), 1) << "the sender's, and none in its queue";
  auto received = std::make_unique<FromKeymsd>(get(signer_.receive()).value());
  EXPECT_EQ(search_.count(), 2) << "one each, and none in the receiver's buffer";
  key.reset();
  received.reset();
  EXPECT_EQ(search_.count(), 0);
}

TEST_F(SecretsTest, AKeyThatIsRefusedLeavesNothing) {
  {
    OutboundKey key = key_to_look_for();
    key.record.lanes = {1, 0};
    EXPECT_FALSE(keymsd_->send(key).ok());
    key.record.lanes = {0, 0};
    std::array<std::uint8_t, max_message> datagram{};
    const std::size_t length = get(encode(key, datagram)).size();
    const test::BareSocket bare(::dup(keymsd_->fd()));
    bare.send(ByteView(datagram).first(length - 1));
    explicit_bzero(datagram.data(), datagram.size());
  }
  EXPECT_EQ(signer_.receive().error().kind(), ErrorKind::truncated);
  EXPECT_EQ(search_.count(), 0);
}

TEST_F(SecretsTest, AKeyThatWaitsIsWipedWithTheConnection) {
  while (keymsd_->room() == DatagramSocket::queue_length) get(keymsd_->send(EndOfState{}));
  get(keymsd_->send(key_to_look_for()));
  EXPECT_EQ(search_.count(), 1) << "in the queue";
  clock_.advance(SignerConnection::reads_within);
  EXPECT_FALSE(keymsd_->tick().ok());
  EXPECT_EQ(search_.count(), 0);
}

}  // namespace
}  // namespace cs::keyms
