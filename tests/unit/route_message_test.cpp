// SPDX-License-Identifier: GPL-3.0-or-later
// Prefixes, netlink messages as they must not be, and the file of remembered routes. What the
// kernel makes of it: netns/routes_test.cpp.
#include "xfrm/route/route_message.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/unit/exact_buffer.h"
#include "tests/unit/temporary_directory.h"
#include "xfrm/address.h"
#include "xfrm/netlink/message.h"
#include "xfrm/route/route_memory.h"

namespace cs::rt {
namespace {

using netlink::append_attribute;
using netlink::Attributes;
using netlink::Message;
using netlink::Messages;
using netlink::number_of;
using netlink::parse_end;
using netlink::Request;

using Bytes = std::vector<std::uint8_t>;

template <class T>
ByteView bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof(value)};
}

Prefix prefix(const std::string& text) {
  return Prefix::parse(text).value();
}

TEST(Prefix, ReadsAndWritesBothFamilies) {
  for (const char* text :
       {"0.0.0.0/0", "192.168.2.0/24", "192.0.2.1/32", "::/0", "2001:db8::/63"}) {
    ASSERT_TRUE(Prefix::parse(text).ok()) << text;
    EXPECT_EQ(prefix(text).text(), text);
  }
  EXPECT_EQ(prefix("192.0.2.1").text(), "192.0.2.1/32");
  EXPECT_EQ(prefix("2001:db8::1").text(), "2001:db8::1/128");
}

TEST(Prefix, RefusesWhatIsNone) {
  for (const std::string text :
       {"", "/", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/ 24", "192.0.2.0/+24", "192.0.2.0/24x",
        "192.0.2.0/-1", "192.0.2.1/24", "192.0.2/24", "::/129", "2001:db8::1/64", "::/256", "x/8",
        "fe80::1%eth0/64", "0.0.0.0/1.0", "01.2.3.4"}) {
    EXPECT_FALSE(Prefix::parse(text).ok()) << text;
  }
  EXPECT_FALSE(Address::parse(std::string("192.0.2.1\0", 10)).ok());
  EXPECT_FALSE(Address::parse(std::string(100, '1')).ok());
}

TEST(Prefix, ContainsWhatLiesInIt) {
  EXPECT_TRUE(prefix("192.168.0.0/16").contains(prefix("192.168.2.0/24")));
  EXPECT_TRUE(prefix("192.168.2.0/24").contains(prefix("192.168.2.0/24")));
  EXPECT_TRUE(prefix("0.0.0.0/0").contains(prefix("10.0.0.1/32")));
  EXPECT_FALSE(prefix("192.168.2.0/24").contains(prefix("192.168.0.0/16")));
  EXPECT_FALSE(prefix("192.168.2.0/23").contains(prefix("192.168.4.0/24")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(prefix("::/0")));
  EXPECT_TRUE(prefix("2001:db8::/47").contains(prefix("2001:db8:1::/48")));
}

// A message with this length in its header and that many bytes really there.
test::ExactBuffer message(std::uint32_t said, std::size_t there) {
  Bytes bytes(there);
  if (there >= sizeof(said)) std::copy_n(bytes_of(said).begin(), sizeof(said), bytes.begin());
  return test::ExactBuffer(bytes);
}

TEST(Messages, StopsAtOneThatIsNotWholeAndSaysSo) {
  struct Case {
    std::uint32_t said;
    std::size_t there;
  };
  for (const Case& c :
       {Case{16, 15}, {15, 16}, {0, 16}, {17, 16}, {0x80000000, 16}, {0xffffffff, 32}}) {
    const auto buffer = message(c.said, c.there);
    Messages messages(buffer.view());
    EXPECT_FALSE(messages.next()) << c.said;
    EXPECT_TRUE(messages.is_malformed()) << c.said;
  }
}

TEST(Messages, TakesTheLastOneWithoutItsPadding) {
  const auto buffer = message(18, 18);
  Messages messages(buffer.view());
  const auto only = messages.next();
  ASSERT_TRUE(only);
  EXPECT_EQ(only->payload.size(), 2U);
  EXPECT_FALSE(messages.next());
  EXPECT_FALSE(messages.is_malformed());
}

TEST(Attributes, AreReadWithinTheirRow) {
  Bytes row;
  append_attribute(row, RTA_OIF, bytes_of(std::uint32_t{7}));
  append_attribute(row, RTA_METRICS | NLA_F_NESTED, Bytes{1, 2, 3});
  Attributes all(row);
  const auto first = all.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(number_of<std::uint32_t>(*first), 7U);
  EXPECT_FALSE(number_of<std::uint16_t>(*first));
  const auto second = all.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->type, RTA_METRICS);
  EXPECT_EQ(second->value.size(), 3U);
  EXPECT_FALSE(all.next());
  EXPECT_FALSE(all.is_malformed());

  for (const std::size_t cut : {1U, 2U, 3U, 5U, 7U, 14U}) {  // 15 misses the padding only
    const test::ExactBuffer less(ByteView(row).first(cut));
    Attributes shorter(less.view());
    while (shorter.next()) {
    }
    EXPECT_TRUE(shorter.is_malformed()) << cut;
  }
}

// A route to 192.168.2.0/24 with these attributes behind.
Bytes route(const Bytes& attributes, rtmsg fixed = {}) {
  fixed.rtm_family = AF_INET;
  fixed.rtm_type = RTN_UNICAST;
  fixed.rtm_dst_len = 24;
  Bytes payload(bytes_of(fixed).begin(), bytes_of(fixed).end());
  append_attribute(payload, RTA_DST, Bytes{192, 168, 2, 0});
  payload.insert(payload.end(), attributes.begin(), attributes.end());
  return payload;
}

Bytes attribute(std::uint16_t type, const Bytes& value) {
  Bytes row;
  append_attribute(row, type, value);
  return row;
}

// Puts a replacement's attributes and fixed header back into what parse_route() reads.
Result<Route> read_back(const Route& from, std::uint32_t mtu) {
  Request request = replace_request(from, mtu);
  const auto* begin = reinterpret_cast<const std::uint8_t*>(request.header());
  Messages messages(ByteView(begin, request.header()->nlmsg_len));
  return parse_route(messages.next()->payload);
}

TEST(Route, IsReadAndRepeatedButForTheMtu) {
  Bytes metrics = attribute(RTAX_MTU, {0x78, 0x05, 0, 0});
  const Bytes window = attribute(RTAX_WINDOW, {1, 2, 0, 0});
  metrics.insert(metrics.end(), window.begin(), window.end());
  Bytes all = attribute(RTA_METRICS, metrics);
  for (const Bytes& more :
       {attribute(RTA_TABLE, {0xdc, 5, 0, 0}), attribute(RTA_PRIORITY, {9, 0, 0, 0}),
        attribute(RTA_OIF, {3, 0, 0, 0}), attribute(RTA_PREFSRC, {10, 0, 0, 1})}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  const auto read = parse_route(route(all));
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->key.text(), "192.168.2.0/24 in table 1500 metric 9");
  EXPECT_EQ(read->mtu, 1400U);
  EXPECT_EQ(read->interface, 3U);
  EXPECT_EQ(read->obstacle, "");
  EXPECT_EQ(read->metrics, window);
  for (const std::uint32_t mtu : {0U, 1310U}) {
    const auto again = read_back(*read, mtu);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->key, read->key);
    EXPECT_EQ(again->mtu, mtu);
    EXPECT_EQ(again->attributes, read->attributes);
    EXPECT_EQ(again->metrics, read->metrics);
  }
}

TEST(Route, OfTheMomentIsNotRepeated) {
  rtmsg fixed{};
  fixed.rtm_flags = RTNH_F_ONLINK | RTNH_F_LINKDOWN | RTNH_F_DEAD;
  rtnexthop hop{sizeof(rtnexthop), RTNH_F_ONLINK | RTNH_F_LINKDOWN, 4, 3};
  const Bytes hops = attribute(RTA_MULTIPATH, {bytes_of(hop).begin(), bytes_of(hop).end()});
  const auto read = read_back(parse_route(route(hops, fixed)).value(), 0);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->flags, std::uint32_t{RTNH_F_ONLINK});
  hop.rtnh_flags = RTNH_F_ONLINK;
  EXPECT_EQ(read->attributes,
            attribute(RTA_MULTIPATH, {bytes_of(hop).begin(), bytes_of(hop).end()}));
}

// The kernel sends the object's nexthop too, and refuses to get both back.
TEST(Route, OfANexthopObjectKeepsTheObjectOnly) {
  Bytes all = attribute(RTA_OIF, {3, 0, 0, 0});
  for (const Bytes& more :
       {attribute(RTA_GATEWAY, {192, 0, 2, 2}), attribute(RTA_NH_ID, {7, 0, 0, 0})}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  const auto read = parse_route(route(all));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->attributes, attribute(RTA_NH_ID, {7, 0, 0, 0}));
}

TEST(Route, ThatCannotBePutBackSaysWhy) {
  const auto obstacle = [](const Bytes& attributes, rtmsg fixed = {}) {
    return parse_route(route(attributes, fixed)).value().obstacle;
  };
  EXPECT_EQ(obstacle({}), "");
  EXPECT_NE(obstacle(attribute(RTA_NEWDST, {0, 0, 0, 1})).find("attribute 19"), std::string::npos);
  EXPECT_NE(obstacle(attribute(999, {})), "");
  rta_cacheinfo cache{};
  const auto of_cache = [&] { return Bytes(bytes_of(cache).begin(), bytes_of(cache).end()); };
  EXPECT_EQ(obstacle(attribute(RTA_CACHEINFO, of_cache())), "");
  cache.rta_expires = 1;
  EXPECT_NE(obstacle(attribute(RTA_CACHEINFO, of_cache())), "");
  rtmsg fixed{};
  fixed.rtm_src_len = 1;
  EXPECT_NE(obstacle({}, fixed), "");
  fixed = {};
  fixed.rtm_flags = RTM_F_CLONED;
  EXPECT_NE(obstacle({}, fixed), "");
  fixed = {};
  fixed.rtm_protocol = RTPROT_RA;
  EXPECT_NE(obstacle({}, fixed), "");
}

TEST(Route, ThatIsBrokenIsRefused) {
  const std::vector<Bytes> broken{
      attribute(RTA_DST, {1, 2, 3}),
      attribute(RTA_DST, {192, 168, 2, 1}),
      attribute(RTA_TABLE, {1, 0, 0}),
      attribute(RTA_OIF, {1, 0, 0, 0, 0}),
      attribute(RTA_PRIORITY, {}),
      attribute(RTA_METRICS, {5, 0, 2, 0}),
      attribute(RTA_METRICS, attribute(RTAX_MTU, {1, 2})),
      attribute(RTA_MULTIPATH, {7, 0, 0, 0, 1, 0, 0, 0}),
      attribute(RTA_MULTIPATH, {9, 0, 0, 0, 1, 0, 0, 0}),
      attribute(RTA_MULTIPATH, {12, 0, 0, 0, 1, 0, 0, 0, 3, 0, 5, 0}),
      attribute(RTA_CACHEINFO, {1}),
      Bytes{3, 0, 1, 0},
      Bytes{1},
  };
  for (const Bytes& attributes : broken) {
    const test::ExactBuffer payload(route(attributes));
    EXPECT_FALSE(parse_route(payload.view()).ok()) << testing::PrintToString(attributes);
  }
  EXPECT_FALSE(parse_route(Bytes(sizeof(rtmsg) - 1)).ok());
  EXPECT_FALSE(parse_route(Bytes(sizeof(rtmsg))).ok()) << "no family";
  Bytes without(sizeof(rtmsg));
  without[0] = AF_INET;
  EXPECT_TRUE(parse_route(without).ok());
  without[1] = 24;
  EXPECT_FALSE(parse_route(without).ok()) << "a length, but no destination";
  without[1] = 33;
  EXPECT_FALSE(parse_route(without).ok());
}

Message end_message(std::uint16_t type, std::uint16_t flags, const Bytes& payload) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  return {header, payload};
}

TEST(End, IsReadWithTheKernelsWords) {
  Bytes words;
  append_attribute(words, NLMSGERR_ATTR_MSG, Bytes{'n', 'o', 0});
  const int number = -EINVAL;
  Bytes done(bytes_of(number).begin(), bytes_of(number).end());
  Bytes failed = done;
  failed.resize(sizeof(nlmsgerr));
  done.insert(done.end(), words.begin(), words.end());
  failed.insert(failed.end(), words.begin(), words.end());
  for (const Message& message : {end_message(NLMSG_DONE, NLM_F_ACK_TLVS, done),
                                 end_message(NLMSG_ERROR, NLM_F_ACK_TLVS | NLM_F_CAPPED, failed)}) {
    const auto end = parse_end(message);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->error, EINVAL);
    EXPECT_EQ(end->words, "no");
  }
  EXPECT_EQ(parse_end(end_message(NLMSG_ERROR, NLM_F_CAPPED, failed))->words, "");
}

TEST(End, ThatIsNoneIsRefused) {
  EXPECT_FALSE(parse_end(end_message(NLMSG_DONE, 0, {0, 0, 0})));
  EXPECT_FALSE(parse_end(end_message(NLMSG_ERROR, 0, {0, 0, 0, 0})));
  EXPECT_FALSE(parse_end(end_message(NLMSG_ERROR, 0, Bytes(sizeof(nlmsgerr), 0x7f))));
  EXPECT_FALSE(parse_end(end_message(NLMSG_ERROR, 0, Bytes(sizeof(nlmsgerr), 0x80))));
  EXPECT_FALSE(parse_end(end_message(RTM_NEWROUTE, 0, Bytes(sizeof(nlmsgerr)))));
}

TEST(Request, ThatDoesNotFitSaysSoForGood) {
  Request request(RTM_NEWROUTE, 0);
  request.fixed<rtmsg>();
  EXPECT_TRUE(request.put(RTA_METRICS, Bytes(1000)).ok());
  EXPECT_FALSE(request.put(RTA_METRICS, Bytes(70000)).ok());
  EXPECT_FALSE(request.put_u32(RTA_OIF, 1).ok());
}

TEST(Request, FillsUpToItsLastByteAndNoFurther) {
  const std::size_t room = (std::size_t{16} * 1024) - sizeof(nlmsghdr) - sizeof(nlattr);
  for (const std::size_t head : {std::size_t{0}, std::size_t{68}, room}) {
    Request fits(RTM_NEWROUTE, 0);
    EXPECT_TRUE(fits.put(RTA_METRICS, Bytes(head), Bytes(room - head)).ok()) << head;
    Request above(RTM_NEWROUTE, 0);
    EXPECT_FALSE(above.put(RTA_METRICS, Bytes(head), Bytes(room - head + 1)).ok()) << head;
    EXPECT_EQ(above.header()->nlmsg_len, sizeof(nlmsghdr));
  }
}

TEST(Request, PutsTwoPiecesAsOneValue) {
  Request request(RTM_NEWROUTE, 0);
  request.put(RTA_METRICS, Bytes{1, 2, 3}, Bytes{4, 5}).put_u32(RTA_OIF, 7);
  const auto* begin = reinterpret_cast<const std::uint8_t*>(request.header());
  const ByteView sent(begin, request.header()->nlmsg_len);
  const Bytes expected{9, 0, RTA_METRICS, 0, 1, 2, 3, 4, 5, 0, 0, 0, 8, 0, RTA_OIF, 0, 7, 0, 0, 0};
  const ByteView row = sent.subspan(sizeof(nlmsghdr));
  EXPECT_EQ(Bytes(row.begin(), row.end()), expected);
}

TEST(RouteMemory, ComesBackAsItWasWritten) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("routes");
  EXPECT_TRUE(read_memory(path).value().empty()) << "no file is no routes";
  const std::vector<Remembered> routes{
      {{prefix("192.168.2.0/24"), 220, 0, 0}, 0, {1310, 1300}},
      {{prefix("2001:db8:2::/64"), 4000000000, 1024, 255}, 1400, {1310, 1310}}};
  ASSERT_TRUE(write_memory(path, routes).ok());
  const auto read = read_memory(path);
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(*read, routes);
  struct stat there {};
  ASSERT_EQ(stat(path.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777U, 0600U);
  ASSERT_TRUE(write_memory(path, {}).ok());
  EXPECT_NE(stat(path.c_str(), &there), 0) << "none left, no file";
  EXPECT_TRUE(write_memory(path, {}).ok());
}

TEST(RouteMemory, WritesPastWhatAKilledProcessLeft) {
  const test::TemporaryDirectory directory;
  directory.write("victim", "untouched");
  ASSERT_EQ(symlink(directory.file("victim").c_str(), directory.file("routes.new").c_str()), 0);
  const std::vector<Remembered> routes{{{prefix("10.0.0.0/8"), 220, 0, 0}, 0, {1310, 1310}}};
  ASSERT_TRUE(write_memory(directory.file("routes"), routes).ok());
  EXPECT_EQ(directory.read("routes"),
            "countersign inner routes 1\n10.0.0.0/8 220 0 0 0 1310 1310\n");
  EXPECT_EQ(directory.read("victim"), "untouched");
  ASSERT_EQ(symlink(directory.file("routes").c_str(), directory.file("link").c_str()), 0);
  EXPECT_FALSE(read_memory(directory.file("link")).ok()) << "a symbolic link is not followed";
}

TEST(RouteMemory, KeepsTheOldFileWhereItCannotWrite) {
  const test::TemporaryDirectory directory;
  EXPECT_FALSE(write_memory(directory.file("missing/routes"), {Remembered{}}).ok());
  EXPECT_FALSE(
      write_memory(directory.file("routes"), std::vector<Remembered>(max_remembered + 1)).ok());
  EXPECT_EQ(directory.read("routes"), "");
}

TEST(RouteMemory, RefusesAFileThatIsNotWhole) {
  const std::string first = "countersign inner routes 1\n";
  const std::string line = "10.0.0.0/8 220 0 0 0 1310 1310\n";
  EXPECT_EQ(parse_memory(first + line).value().size(), 1U);
  const std::string whole = first + line;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == first.size()) continue;
    EXPECT_FALSE(parse_memory(whole.substr(0, size)).ok()) << size;
  }
  for (const char* broken :
       {"\n", "10.0.0.0/8 220 0 0 0 1310\n", "10.0.0.0/8 220 0 0 0 1310 1310 1\n",
        "10.0.0.0/8  220 0 0 0 1310 1310\n", "10.0.0.1/8 220 0 0 0 1310 1310\n",
        "10.0.0.0/8 4294967296 0 0 0 1310 1310\n", "10.0.0.0/8 220 0 256 0 1310 1310\n",
        "10.0.0.0/8 220 -1 0 0 1310 1310\n", "10.0.0.0/8 220 0 0 0 1310 1310 \n"}) {
    EXPECT_FALSE(parse_memory(first + broken).ok()) << broken;
  }
  EXPECT_FALSE(parse_memory("countersign inner routes 2\n").ok());
  std::string many = first;
  for (std::size_t i = 0; i < max_remembered; ++i) many += line;
  EXPECT_TRUE(parse_memory(many).ok());
  EXPECT_FALSE(parse_memory(many + line).ok());
}

}  // namespace
}  // namespace cs::rt
