// SPDX-License-Identifier: GPL-3.0-or-later
// A key that has passed the data plane's socket lies where its owners hold it, and nowhere else:
// this searches all memory of the process for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/unique_fd.h"
#include "keyms/signer_channel.h"
#include "tests/support/manual_clock.h"
#include "tests/unit/signer_messages.h"
#include "tests/unit/unix_sockets.h"

namespace cs::keyms {
namespace {

using test::get;

constexpr std::size_t size = private_key_size;

// Computed each time it is looked at, so that comparing makes no copy.
std::uint8_t byte_of_key(std::size_t index) {
  return static_cast<std::uint8_t>(0x9d ^ (index * 37));
}
bool is_key(const std::uint8_t* at) {
  for (std::size_t i = 0; i < size; ++i)
    if (at[i] != byte_of_key(i)) return false;
  return true;
}

OutboundKey key_to_look_for() {
  SecretBytes secret = get(SecretBytes::create(size));
  for (std::size_t i = 0; i < size; ++i) secret.bytes()[i] = byte_of_key(i);
  return {test::key_record(), SessionKey{std::move(secret)}};
}

// Counts the key in the memory of this process. Its own window is left out.
class Search {
 public:
  Search()
      : window_(static_cast<std::uint8_t*>(::mmap(nullptr, window_size, PROT_READ | PROT_WRITE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        memory_(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC)) {}
  ~Search() { ::munmap(window_, window_size); }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  int count() {
    int found = 0;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      std::istringstream words(line);
      std::uintptr_t begin = 0;
      std::uintptr_t end = 0;
      char dash = 0;
      std::string permissions;
      words >> std::hex >> begin >> dash >> end >> permissions;
      // What is larger is a sanitizer's shadow.
      if (permissions.starts_with("rw") && end - begin <= largest) found += count_in(begin, end);
    }
    return found;
  }

 private:
  static constexpr std::size_t window_size = 1U << 20U;
  static constexpr std::size_t largest = 1U << 28U;

  // NOLINTNEXTLINE(misc-no-recursion): once, around its own memory
  int count_in(std::uintptr_t begin, std::uintptr_t end) {
    const auto own = reinterpret_cast<std::uintptr_t>(window_);
    int found = 0;
    for (std::uintptr_t at = begin; at + size <= end; at += window_size - size + 1) {
      const std::size_t wanted = std::min<std::size_t>(window_size, end - at);
      if (at < own + window_size && own < at + wanted) {  // a mapping may have grown around it
        if (at < own) found += count_in(at, own);
        if (own + window_size < end) found += count_in(own + window_size, end);
        return found;
      }
      const auto got = ::pread(memory_.get(), window_, wanted, static_cast<off_t>(at));
      for (std::size_t i = 0; got > 0 && i + size <= static_cast<std::size_t>(got); ++i)
        found += is_key(window_ + i) ? 1 : 0;
    }
    explicit_bzero(window_, window_size);
    return found;
  }

  std::uint8_t* window_;
  UniqueFd memory_;
};

class SecretsTest : public testing::Test {
 protected:
  SecretsTest() {
    get(signer_.tick());
    keymsd_.emplace(get(listener_.accept()).value());
    EXPECT_TRUE(get(keymsd_->receive()));
    EXPECT_TRUE(get(signer_.receive()));
  }
  Search search_;
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
