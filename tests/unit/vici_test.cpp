// SPDX-License-Identifier: GPL-3.0-or-later
// VICI as charon speaks it, and as it does not.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <future>
#include <string>
#include <vector>

#include "base/unix_socket.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/vici_messages.h"
#include "xfrm/vici/client.h"

namespace cs::vici {
namespace {

using namespace std::string_literals;
using test::end;
using test::get;
using test::item;
using test::list;
using test::list_end;
using test::list_sa;
using test::section;
using test::value;

ByteView bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string text_of(const std::vector<std::uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

Result<std::vector<ChildSa>> parse(const std::string& message) {
  const test::ExactBuffer memory(bytes_of(message));
  std::vector<ChildSa> children;
  CS_CHECK(parse_list_sa(memory.view(), children));
  return children;
}

TEST(ViciPacket, IsMadeAsTheNormSays) {
  EXPECT_EQ(text_of(make_packet(PacketType::request, "version")), "\0\0\0\x09\0\x07version"s);
  EXPECT_EQ(text_of(make_packet(PacketType::register_event, "list-sa")),
            "\0\0\0\x09\x03\x07list-sa"s);
  EXPECT_EQ(make_packet(PacketType::request, std::string(300, 'a')).size(), 4U + 2 + 255);
}

TEST(ViciPacket, HasANameByItsType) {
  const std::string event = "\x07\x02okrest"s;
  EXPECT_EQ(get(parse_packet(bytes_of(event))).name, "ok");
  EXPECT_EQ(get(parse_packet(bytes_of(event))).message.size(), 4U);
  const std::string response = "\x01\x02ok"s;
  EXPECT_EQ(get(parse_packet(bytes_of(response))).name, "");
  EXPECT_EQ(get(parse_packet(bytes_of(response))).message.size(), 3U);
}

TEST(ViciPacket, IsRefused) {
  for (const std::string& bytes : {""s, "\x08"s, "\xff"s, "\x07"s, "\x07\x03ok"s}) {
    const test::ExactBuffer memory(bytes_of(bytes));
    EXPECT_FALSE(parse_packet(memory.view()).ok()) << bytes.size();
  }
}

TEST(ViciMessage, OfTheNormIsRead) {
  // The example of the norm: key1 = value1, section1 { sub-section { key2 = value2 }, list1 = [ … ]
  // }
  const std::string message =
      "\x03\x04key1\0\x06value1"
      "\x01\x08section1\x01\x0bsub-section\x03\x04key2\0\x06value2\x02"
      "\x04\x05list1\x05\0\x05item1\x05\0\x05item2\x06\x02"s;
  Elements elements(bytes_of(message));
  std::string said;
  while (const auto element = get(elements.next())) {
    said += std::to_string(static_cast<int>(element->type)) + std::string(element->name) + "=" +
            std::string(element->value) + " ";
  }
  EXPECT_EQ(said,
            "3key1=value1 1section1= 1sub-section= 3key2=value2 2= 4list1= 5=item1 5=item2 6= 2= ");
}

TEST(ViciMessage, IsRefused) {
  std::string deep;
  for (std::size_t i = 0; i <= max_depth; ++i) deep.insert(0, section("a")).append(end());
  for (const std::string& message : {
           "\0"s,                               // no such element
           "\x07"s,                             // likewise
           "\x03\x04key"s,                      // ends in a name
           "\x03\x03key\0\x06value"s,           // ends in a value
           "\x03\x03key\0"s,                    // ends in a length
           section("a"),                        // no end
           end(),                               // no beginning
           item("a"),                           // no list
           list_end(),                          // likewise
           list("a") + value("b", "c"),         // a value in a list
           list("a") + section("b"),            // a section in a list
           list("a") + list("b"),               // a list in a list
           list("a") + end(),                   // ended as a section
           section("a") + list_end(),           // ended as a list
           list("a") + list_end() + item("b"),  // after the list
           deep,
       }) {
    const test::ExactBuffer memory(bytes_of(message));
    Elements elements(memory.view());
    bool refused = false;
    for (std::size_t i = 0; i < 100 && !refused; ++i) {
      const auto next = elements.next();
      refused = !next.ok();
      if (next.ok() && !*next) break;
    }
    EXPECT_TRUE(refused) << testing::PrintToString(message);
  }
}

TEST(ViciListSa, TellsEachChild) {
  const std::string first =
      value("name", "net") + value("state", "INSTALLED") + value("mode", "TUNNEL") +
      value("protocol", "ESP") + value("encap", "yes") + value("spi-in", "c0ffee01") +
      value("spi-out", "0000abcd") + value("cpi-in", "1234") + value("mark-in", "00010000") +
      value("mark-mask-in", "00030000") + value("if-id-out", "0000002a") + list("local-ts") +
      item("10.1.0.0/16") + list_end();
  const std::string second = value("name", "ah") + value("state", "DELETING");
  const auto children = get(parse(list_sa("lab", "192.0.2.1", "198.51.100.1", {first, second})));
  ASSERT_EQ(children.size(), 2U);
  EXPECT_EQ(children[0].ike, "lab");
  EXPECT_EQ(children[0].name, "net");
  EXPECT_EQ(children[0].state, "INSTALLED");
  EXPECT_EQ(children[0].mode, "TUNNEL");
  EXPECT_EQ(children[0].protocol, IPPROTO_ESP);
  EXPECT_TRUE(children[0].encapsulated);
  EXPECT_EQ(children[0].spi_in, 0xc0ffee01U);
  EXPECT_EQ(children[0].spi_out, 0xabcdU);
  EXPECT_EQ(children[0].compression_in, 0x1234U);
  EXPECT_EQ(children[0].mark_in, (xfrm::Mark{0x10000, 0x30000}));
  EXPECT_EQ(children[0].interface_id_out, 42U);
  EXPECT_EQ(children[0].local->text(), "192.0.2.1");
  EXPECT_EQ(children[0].remote->text(), "198.51.100.1");
  EXPECT_EQ(children[1].ike, "lab");
  EXPECT_EQ(children[1].protocol, 0);
  EXPECT_EQ(children[1].spi_in, 0U);
  EXPECT_FALSE(get(parse(list_sa("lab", "%any", "2001:db8::1", {second})))[0].local);
}

TEST(ViciListSa, ReadsNothingElsewhere) {
  const std::string elsewhere = section("lab") + section("tasks") + section("net") +
                                value("spi-in", "c0ffee01") + end() + end() + end();
  EXPECT_TRUE(get(parse(elsewhere)).empty());
  EXPECT_TRUE(get(parse(value("spi-in", "c0ffee01"))).empty());
}

TEST(ViciListSa, IsRefusedWithANumberThatIsNone) {
  for (const char* spi : {"", "x", "c0ffee0g", "1c0ffee01", "-1", " 1", "0x1"}) {
    EXPECT_FALSE(parse(list_sa("lab", "", "", {value("spi-in", spi)})).ok()) << spi;
  }
  EXPECT_FALSE(parse(list_sa("lab", "", "", {value("protocol", "TCP")})).ok());
}

// An IKE daemon that says what it is told to, whatever it is asked.
class ViciClient : public testing::Test {
 protected:
  ViciClient()
      : scratch_(get(test::Scratch::create())),
        listening_(get(listen_at(scratch_.file("vici"), SOCK_STREAM, 1))) {}

  Client client() {
    auto made = get(Client::connect(scratch_.file("vici"), std::chrono::milliseconds(300)));
    connection_ = UniqueFd(::accept(listening_.get(), nullptr, nullptr));
    return made;
  }
  void says(const std::string& packet) {
    std::string framed = "\0\0"s + static_cast<char>(packet.size() >> 8U) +
                         static_cast<char>(packet.size() & 0xffU) + packet;
    says_bare(framed);
  }
  void says_bare(const std::string& bytes) {
    EXPECT_EQ(::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string heard() {
    std::string bytes(1000, '\0');
    const ssize_t size = ::recv(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return bytes;
  }
  void hang_up() { connection_.reset(); }

 private:
  test::Scratch scratch_;
  UniqueFd listening_;
  UniqueFd connection_;
};

TEST_F(ViciClient, ListsWhatComesBeforeTheAnswer) {
  Client asked = client();
  const std::string event = "\x07\x07list-sa"s;
  says("\x05"s);
  says(event + list_sa("a", "192.0.2.1", "192.0.2.2", {value("spi-in", "00000001")}));
  says(event + list_sa("b", "192.0.2.1", "192.0.2.3", {value("spi-in", "00000002")}));
  says("\x01"s);
  says(event + list_sa("c", "", "", {value("spi-in", "00000003")}));  // of somebody else's question
  says("\x05"s);
  const auto children = get(asked.list_sas());
  ASSERT_EQ(children.size(), 2U);
  EXPECT_EQ(children[1].spi_in, 2U);
  EXPECT_EQ(heard(), "\0\0\0\x09\x03\x07list-sa\0\0\0\x0a\0\x08list-sas\0\0\0\x09\x04\x07list-sa"s);
}

TEST_F(ViciClient, AsksForTheVersion) {
  Client asked = client();
  says("\x01"s + value("version", "5.9.8") + section("ikesas") + value("total", "3") + end());
  const auto answer = get(asked.ask("version"));
  EXPECT_EQ(answer.at("version"), "5.9.8");
  EXPECT_EQ(answer.at("ikesas.total"), "3");
}

TEST_F(ViciClient, ListsIkeSasWithoutChildrenToo) {
  Client asked = client();
  const std::string event = "\x07\x07list-sa"s;
  const auto ike = [](const std::string& id) {
    return section("lab") + value("uniqueid", id) + value("local-host", "192.0.2.1") +
           value("remote-host", "192.0.2.2") + section("child-sas") + section("net-1") +
           value("uniqueid", "9") + end() + end() + end();
  };
  says("\x05"s);
  says(event + ike("7"));
  says(event + section("lab") + value("uniqueid", "8") + value("state", "CONNECTING") + end());
  says("\x01"s);
  says("\x05"s);
  const auto all = get(asked.list_ike_sas());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "lab");
  EXPECT_EQ(all[0].id, 7U);
  EXPECT_EQ(all[0].remote->text(), "192.0.2.2");
  EXPECT_EQ(all[1].id, 8U);
  EXPECT_FALSE(all[1].remote);
  EXPECT_FALSE(all[0].connecting);
  EXPECT_TRUE(all[1].connecting);
  for (const char* id : {"", "x", "-1", "4294967296"}) {
    EXPECT_FALSE(parse_ike_sa(bytes_of(ike(id))).ok()) << id;
  }
}

TEST_F(ViciClient, EndsAnIkeSaWithoutWaiting) {
  Client asked = client();
  says("\x01"s + value("success", "yes"));
  get(asked.terminate(7));
  EXPECT_EQ(heard(),
            "\0\0\0\x2f\0\x09terminate\x03\x06ike-id\0\x01"
            "7\x03\x05"
            "force\0\x03yes\x03\x07timeout\0\x02-1"s);
  says("\x01"s + value("success", "no") + value("errmsg", "no matching SAs to terminate found"));
  const auto none = asked.terminate(8);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
  EXPECT_NE(none.error().message().find("no matching SAs"), std::string::npos);
}

TEST_F(ViciClient, DoesNotBelieveALength) {
  Client asked = client();
  says_bare("\0\x08\0\x01"s);
  EXPECT_EQ(asked.ask("version").error().kind(), ErrorKind::limit);
}

TEST_F(ViciClient, DoesNotWaitForEver) {
  Client asked = client();
  says_bare("\0\0"s);
  EXPECT_EQ(asked.ask("version").error().kind(), ErrorKind::timed_out);
}

TEST_F(ViciClient, TellsThatItIsOver) {
  Client asked = client();
  hang_up();
  EXPECT_EQ(asked.list_sas().error().kind(), ErrorKind::closed);
}

TEST_F(ViciClient, TellsWhatIsUnknown) {
  Client asked = client();
  says("\x02"s);
  EXPECT_EQ(asked.ask("versions").error().kind(), ErrorKind::unsupported);
  says("\x06"s);
  EXPECT_EQ(asked.list_sas().error().kind(), ErrorKind::unsupported);
}

TEST(ViciConnection, ToNobodyIsRefused) {
  const auto made = Client::connect("/nonexistent/vici");
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message().find("strongSwan"), std::string::npos);
}

}  // namespace
}  // namespace cs::vici
