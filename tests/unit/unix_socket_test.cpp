// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/unix_socket.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <fstream>

#include "tests/support/unwrap.h"
#include "tests/unit/unix_sockets.h"

namespace cs {
namespace {

using test::get;

class UnixSocket : public testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Result<UniqueFd> listen() const { return listen_at(path_, GetParam(), 1); }
  // Whether somebody can connect, and reaches `server`.
  [[nodiscard]] bool reaches(const UniqueFd& server) const {
    const UniqueFd client = get(unix_socket(GetParam()));
    const UnixAddress address = get(unix_address(path_));
    if (::connect(client.get(), address.get(), UnixAddress::size) != 0) return false;
    return UniqueFd(::accept4(server.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC))
               .get() >= 0;
  }

  const test::SocketDirectory directory_;
  const std::string path_ = directory_.socket();
};
INSTANTIATE_TEST_SUITE_P(Types, UnixSocket, testing::Values(SOCK_STREAM, SOCK_SEQPACKET));

TEST_P(UnixSocket, IsForOwnerAndGroupOnly) {
  const UniqueFd server = get(listen());
  struct stat found {};
  ASSERT_EQ(::stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode, S_IFSOCK | 0660U);
  EXPECT_TRUE(reaches(server));
}

TEST_P(UnixSocket, ReplacesThatOfADeadProcess) {
  get(listen()).reset();
  EXPECT_TRUE(reaches(get(listen())));
}

TEST_P(UnixSocket, LeavesALivingOneAlone) {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    std::filesystem::remove(path_);
    const UniqueFd first = get(listen_at(path_, type, 4));
    EXPECT_EQ(listen().error().kind(), ErrorKind::exists);
    EXPECT_TRUE(std::filesystem::is_socket(path_));
  }
}

TEST_P(UnixSocket, LeavesAFileAlone) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(listen().error().kind(), ErrorKind::exists);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_P(UnixSocket, SaysWhatItsDirectoryHasToBe) {
  const auto failed = listen_at(path_ + "/none/socket", GetParam(), 1);
  EXPECT_NE(failed.error().message().find("none/socket"), std::string::npos);
  EXPECT_NE(failed.error().message().find("its directory has to be there"), std::string::npos);
}

}  // namespace
}  // namespace cs
