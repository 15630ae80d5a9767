// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/rfc3339.h"
#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"

namespace cs {
namespace {

using test::get;

// A key file in parts, so that a test can change, drop or add one.
class Text {
 public:
  Text() {
    set("version", "1").set("key_id", "7").set("session", quoted(std::string(64, 'a')));
    set("direction", "1").set("suite", quoted("ed25519-32"));
    set("pcr_digest", quoted("01020304" + std::string(56, '0')));
    set("gate_secret", quoted(std::string(30, '0') + "fF")).set("lanes", "[3, 5]");
    set("not_after", quoted("2030-01-01T00:00:00Z")).set("lifetime_seconds", "60");
    set("private_key", quoted(std::string(64, '5')));
  }
  static std::string quoted(const std::string& text) { return '"' + text + '"'; }
  Text& set(const std::string& field, const std::string& value) {
    const auto at = std::find_if(fields_.begin(), fields_.end(),
                                 [&](const auto& known) { return known.first == field; });
    if (at == fields_.end()) {
      fields_.emplace_back(field, value);
    } else {
      at->second = value;
    }
    return *this;
  }
  Text& drop(const std::string& field) {
    std::erase_if(fields_, [&](const auto& known) { return known.first == field; });
    return *this;
  }
  Text& add(const std::string& field, const std::string& value) {
    fields_.emplace_back(field, value);
    return *this;
  }
  [[nodiscard]] std::string str() const {
    std::string text = "{";
    for (const auto& [field, value] : fields_) {
      text.append(text.size() > 1 ? ", " : "").append(quoted(field)).append(": ").append(value);
    }
    return text + "}";
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

std::string why_refused(const Text& text) {
  const auto parsed = parse_private_key_file(text.str());
  return parsed.ok() ? "accepted" : parsed.error().message();
}

TEST(KeyFile, SaysWhatTheRecordIs) {
  const auto file = get(parse_private_key_file(Text().str()));
  const KeyRecord& record = file.record;
  EXPECT_EQ(record.scope.key, 7U);
  EXPECT_EQ(hex_encode(record.scope.session), std::string(64, 'a'));
  EXPECT_EQ(record.scope.direction, 1);
  EXPECT_EQ(record.scope.suite, Suite::ed25519_node32);
  EXPECT_EQ(record.scope.pcr_tag(), 0x01020304U);
  EXPECT_EQ(record.lanes.first, 3);
  EXPECT_EQ(record.lanes.last, 5);
  EXPECT_EQ(format_rfc3339(record.not_after), "2030-01-01T00:00:00Z");
  EXPECT_EQ(record.lifetime, std::chrono::seconds(60));
  EXPECT_EQ(hex_encode(file.gate_secret.bytes()), std::string(30, '0') + "ff");
  EXPECT_EQ(hex_encode(file.private_key.bytes()), std::string(64, '5'));
}

TEST(KeyFile, EndsAtTheEarlierOfTheTwo) {
  const Now now = Now::read(test::ManualClock());
  auto record = get(parse_private_key_file(Text().str())).record;
  EXPECT_EQ(record.end(now).deadline, now.boot + std::chrono::seconds(60));
  EXPECT_EQ(record.end(now).not_after, record.not_after);
  record = get(parse_private_key_file(Text().drop("lifetime_seconds").str())).record;
  EXPECT_EQ(record.end(now).deadline, BootTime::max());
}

TEST(KeyFile, NamesTheFieldThatIsMissingTwiceOrUnknown) {
  for (const char* field : {"version", "key_id", "session", "direction", "suite", "pcr_digest",
                            "gate_secret", "lanes", "not_after", "private_key"}) {
    EXPECT_EQ(why_refused(Text().drop(field)),
              "field \"" + std::string(field) + "\": it is missing");
  }
  EXPECT_EQ(why_refused(Text().add("key_id", "7")), "field \"key_id\": it is there twice");
  EXPECT_EQ(why_refused(Text().add("comment", "1")), "field \"comment\": there is no such field");
  EXPECT_EQ(why_refused(Text().set("public_key", Text::quoted(std::string(64, '5')))),
            "field \"public_key\": here the private key is wanted, not the .pub file");
}

TEST(KeyFile, NamesTheFieldThatSaysWhatItMayNot) {
  const std::array<std::pair<const char*, std::vector<std::string>>, 10> wrong{{
      {"version", {"0", "2", "-1", "1.0", "\"1\"", "null", "true", "[1]", "{}"}},
      {"key_id", {"4294967296", "-1", "1e3", "99999999999999999999"}},
      {"session",
       {"\"\"", "\"aa\"", "7", '"' + std::string(66, 'a') + '"',
        '"' + std::string(63, 'a') + "g\""}},
      {"direction", {"2", "true"}},
      {"suite", {"\"p256\"", "\"\"", "1", "\"P256-16\""}},
      {"pcr_digest", {"\"01020304\"", "null"}},
      {"gate_secret",
       {"\"00\"", '"' + std::string(31, '0') + " \"", '"' + std::string(31, '0') + "\""}},
      {"lanes",
       {"[5, 3]", "[0, 65536]", "[1]", "[1, 2, 3]", "[[1, 2]]", "[1, \"2\"]", "[]", "3", "[-1, 2]",
        "{\"a\": 1}"}},
      {"not_after", {"\"tomorrow\"", "1"}},
      {"lifetime_seconds", {"0", "-5", "99999999999", "\"60\""}},
  }};
  for (const auto& [field, values] : wrong) {
    for (const auto& value : values) {
      const std::string why = why_refused(Text().set(field, value));
      EXPECT_TRUE(why.starts_with("field \"" + std::string(field) + "\": "))
          << value << ": " << why;
    }
  }
}

TEST(KeyFile, RefusesWhatIsNotOneJsonObject) {
  const std::string whole = Text().str();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_private_key_file(whole.substr(0, size)).ok()) << size;
  }
  for (const std::string& text :
       {std::string("null"), std::string("[]"), std::string("7"), "[" + whole + "]", whole + "{}",
        whole + " x", whole + '\0' + "x", std::string("\"text\""), std::string(60000, '['),
        "// comment\n" + whole}) {
    const auto parsed = parse_private_key_file(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(parsed.error().message().starts_with("it is not ")) << parsed.error().message();
  }
}

TEST(KeyFile, NeverQuotesASecret) {
  const std::string secret(63, '5');
  for (const std::string& value : {'"' + secret + "g\"", '"' + secret + "\\q\"", '"' + secret}) {
    EXPECT_EQ(why_refused(Text().set("private_key", value)).find("5555"), std::string::npos);
  }
}

// A folder of its own that goes with the test.
class KeyFiles : public ::testing::Test {
 public:
  ~KeyFiles() override { std::filesystem::remove_all(folder_); }

 protected:
  KeyFiles() {
    std::string name = ::testing::TempDir() + "key-file-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) folder_ = name;
  }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] std::string write(const std::string& text, mode_t mode) const {
    std::string file = path("written");
    std::ofstream(file) << text;
    EXPECT_EQ(::chmod(file.c_str(), mode), 0);
    return file;
  }

 private:
  std::filesystem::path folder_;
};

KeyRecord record_for(Suite suite) {
  KeyRecord record = get(parse_private_key_file(Text().str())).record;
  record.scope.suite = suite;
  return record;
}

TEST_F(KeyFiles, WhatIsMadeCanBeReadAndBelongsTogether) {
  const Now now = Now::read(test::ManualClock());
  const std::array<std::uint8_t, 4> statement{1, 2, 3, 4};
  const Digest digest{1};
  const std::array<std::uint8_t, fixed_extension> extension{};
  for (const Suite suite :
       {Suite::p256_node16, Suite::p256_node32, Suite::ed25519_node16, Suite::ed25519_node32}) {
    const std::string name = path(std::string(suite_name(suite)));
    get(make_key_files(record_for(suite), name));
    auto ours = get(read_private_key_file(name));
    auto theirs = get(read_public_key_file(name + ".pub"));
    EXPECT_EQ(ours.record.scope.session, theirs.record.scope.session);
    EXPECT_EQ(ours.record.scope.suite, suite);
    EXPECT_EQ(theirs.record.scope.suite, suite);
    const SigningKey signing = get(SigningKey::load(suite, ours.private_key));
    const OutboundKey outbound = get(make_outbound_key(std::move(ours), 4, now));
    const InboundKey inbound = get(make_inbound_key(std::move(theirs), now));
    EXPECT_TRUE(inbound.verifying.verifies(statement, get(signing.sign(statement))));
    EXPECT_EQ(outbound.gate().tag(digest, extension), inbound.gate.tag(digest, extension));
    EXPECT_EQ(outbound.lane(), 4);
    EXPECT_EQ(inbound.lanes.last, 5);
  }
}

TEST_F(KeyFiles, EachKeyIsAnother) {
  get(make_key_files(record_for(Suite::p256_node16), path("a")));
  get(make_key_files(record_for(Suite::p256_node16), path("b")));
  const auto a = get(read_private_key_file(path("a")));
  const auto b = get(read_private_key_file(path("b")));
  EXPECT_NE(hex_encode(a.private_key.bytes()), hex_encode(b.private_key.bytes()));
  EXPECT_NE(hex_encode(a.gate_secret.bytes()), hex_encode(b.gate_secret.bytes()));
}

TEST_F(KeyFiles, AreMadeForTheirOwnerOnlyWhateverTheUmask) {
  const mode_t before = ::umask(0);
  get(make_key_files(record_for(Suite::ed25519_node16), path("key")));
  ::umask(before);
  for (const auto& name : {path("key"), path("key.pub")}) {
    struct stat about {};
    ASSERT_EQ(::stat(name.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777U, 0600U) << name;
  }
}

TEST_F(KeyFiles, AreNeverOverwritten) {
  std::ofstream(path("key.pub")) << "mine";
  auto made = make_key_files(record_for(Suite::ed25519_node16), path("key"));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().kind(), ErrorKind::exists);
  EXPECT_FALSE(std::filesystem::exists(path("key"))) << "half a pair was left";
  std::string text;
  std::getline(std::ifstream(path("key.pub")), text);
  EXPECT_EQ(text, "mine");
  std::ofstream(path("other")) << "mine";
  EXPECT_EQ(make_key_files(record_for(Suite::ed25519_node16), path("other")).error().kind(),
            ErrorKind::exists);
  EXPECT_FALSE(std::filesystem::exists(path("other.pub")));
}

TEST_F(KeyFiles, APrivateKeyThatOthersMayReadIsRefused) {
  for (const mode_t mode : {0644U, 0640U, 0604U, 0660U, 0620U, 0601U, 0700U}) {
    const auto read = read_private_key_file(write(Text().str(), mode));
    ASSERT_FALSE(read.ok()) << mode;
    EXPECT_EQ(read.error().kind(), ErrorKind::denied);
    EXPECT_TRUE(read.error().message().ends_with("; chmod 600 " + path("written")))
        << read.error().message();
  }
  EXPECT_TRUE(read_private_key_file(write(Text().str(), 0600)).ok());
  EXPECT_TRUE(read_private_key_file(write(Text().str(), 0400)).ok());
}

TEST_F(KeyFiles, APrivateKeyOfSomebodyElseIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const std::string file = write(Text().str(), 0600);
  ASSERT_EQ(::chown(file.c_str(), 12345, 12345), 0);
  const auto read = read_private_key_file(file);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().kind(), ErrorKind::denied);
}

TEST_F(KeyFiles, FilesThatAreNoneAreRefused) {
  const auto kind = [](const std::string& file) {
    const auto read = read_public_key_file(file);
    return read.ok() ? ErrorKind::internal : read.error().kind();
  };
  EXPECT_EQ(kind(path("nowhere")), ErrorKind::not_found);
  EXPECT_EQ(kind(path("")), ErrorKind::invalid) << "a folder";
  EXPECT_EQ(kind("/dev/zero"), ErrorKind::invalid);
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(kind(path("fifo")), ErrorKind::invalid) << "nor is its writer waited for";
  EXPECT_EQ(kind(write("", 0600)), ErrorKind::truncated);
  const std::string padded =
      Text().drop("private_key").set("public_key", Text::quoted(std::string(64, '5'))).str();
  const auto spaces = [&](std::size_t size) {
    return write(padded + std::string(size - padded.size(), ' '), 0600);
  };
  EXPECT_TRUE(read_public_key_file(spaces(max_key_file)).ok());
  EXPECT_EQ(kind(spaces(max_key_file + 1)), ErrorKind::limit);
}

TEST(KeyFile, RefusesALaneThatIsNotTheKeys) {
  const Now now = Now::read(test::ManualClock());
  for (const std::uint16_t lane : {std::uint16_t{2}, std::uint16_t{6}}) {
    const auto made = make_outbound_key(get(parse_private_key_file(Text().str())), lane, now);
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().kind(), ErrorKind::invalid);
  }
}

TEST(KeyFile, RefusesAPublicKeyThatIsNoPoint) {
  const Now now = Now::read(test::ManualClock());
  const std::array<std::pair<const char*, std::string>, 2> keys{
      {{"p256-16", "04" + std::string(128, '1')}, {"ed25519-16", std::string(64, 'f')}}};
  for (const auto& [suite, key] : keys) {
    auto file = get(parse_public_key_file(Text()
                                              .drop("private_key")
                                              .set("suite", Text::quoted(suite))
                                              .set("public_key", Text::quoted(key))
                                              .str()));
    EXPECT_FALSE(make_inbound_key(std::move(file), now).ok()) << suite;
  }
}

}  // namespace
}  // namespace cs
