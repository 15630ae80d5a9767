// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state/ike_sockets.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/unwrap.h"
#include "tests/unit/temporary_directory.h"

namespace cs::xfrm {
namespace {

using test::get;

constexpr const char* heading =
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops\n";

std::string line(const std::string& local, unsigned inode) {
  return "  12: " + local +
         " 00000000:0000 07 00000000:00000000 00:00000000 00000000     0"
         "        0 " +
         std::to_string(inode) + " 2 0000000000000000 0\n";
}

TEST(IkeSockets, TheTableIsReadAsTheKernelWritesIt) {
  const std::string table =
      heading + line("00000000:01F4", 11) + line("0100007F:0035", 12) + line("00000000:1194", 13);
  EXPECT_EQ(get(parse_udp_table(table)), (std::vector<UdpSocket>{{500, 11}, {4500, 13}}));
  EXPECT_TRUE(get(parse_udp_table(heading)).empty());
  EXPECT_TRUE(get(parse_udp_table("")).empty());
  for (const std::string wrong : {"nonsense\n", "12: 00000000:1F4 1 2 3\n", "\n"}) {
    EXPECT_FALSE(parse_udp_table(heading + wrong).ok()) << wrong;
  }
  EXPECT_FALSE(parse_udp_table(heading + line("00000000:FFFFF", 1)).ok());
  std::string many = heading;
  for (unsigned i = 0; i < 1025; ++i) many += line("00000000:01F4", i);
  EXPECT_EQ(parse_udp_table(many).error().kind(), ErrorKind::limit);
}

std::string tcp_line(const std::string& local, const std::string& state) {
  return "   0: " + local + " 0200A8C0:D431 " + state +
         " 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 20 4 30\n";
}

TEST(TcpSockets, AreCountedByTheirPort) {
  const std::string table = heading + tcp_line("00000000:1283", "0A") +
                            tcp_line("0100A8C0:1283", "01") + tcp_line("0100A8C0:1283", "08") +
                            tcp_line("0100A8C0:1283", "03") + tcp_line("0100A8C0:1283", "06") +
                            tcp_line("0100A8C0:0016", "01");
  const auto found = get(parse_tcp_table(table));
  EXPECT_EQ(found, (std::map<std::uint16_t, std::size_t>{{4739, 3}, {22, 1}}));
  EXPECT_FALSE(parse_tcp_table(heading + tcp_line("00000000:1283", "1FF")).ok());
  test::TemporaryDirectory tree;
  EXPECT_FALSE(count_tcp_sockets({4739}, tree.path()).ok());
  tree.write("proc/thread-self/net/tcp", table);
  EXPECT_EQ(get(count_tcp_sockets({4739, 23}, tree.path())), 3U) << "a kernel without IPv6";
  tree.write("proc/thread-self/net/tcp6", heading + tcp_line(std::string(32, '0') + ":1283", "0A"));
  EXPECT_EQ(get(count_tcp_sockets({4739, 22}, tree.path())), 5U);
}

TEST(IkeSockets, EachHasItsHolder) {
  test::TemporaryDirectory tree;
  EXPECT_FALSE(find_ike_sockets(tree.path()).ok());
  tree.write("proc/thread-self/net/udp", heading + line("00000000:01F4", 11));
  tree.write("proc/thread-self/net/udp6", heading + line(std::string(32, '0') + ":1194", 13));
  tree.write("proc/77/comm", "charon-systemd\n");
  tree.write("proc/77/fd/3", "");
  std::filesystem::create_symlink("socket:[11]", tree.path() + "/proc/77/fd/4");
  std::filesystem::create_symlink("socket:[99]", tree.path() + "/proc/77/fd/5");
  EXPECT_EQ(get(find_ike_sockets(tree.path())),
            (std::vector<IkeSocket>{{500, false, "charon-systemd", 77}, {4500, true, "", 0}}));
}

}  // namespace
}  // namespace cs::xfrm
