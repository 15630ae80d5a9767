// SPDX-License-Identifier: GPL-3.0-or-later
// Files that former versions have written, and how they become the newest.
#include <filesystem>
#include <memory>

#include "keyms/store/schema.h"
#include "keyms/store/store.h"
#include "tests/unit/stores.h"

namespace {

using cs::keyms::Database;
using cs::keyms::migrate;
using cs::keyms::RowKind;
using cs::keyms::RowName;
using cs::keyms::Store;
using cs::test::contains;
using cs::test::digest_of;
using cs::test::get;

class StoreVersionTest : public ::testing::Test {
 protected:
  StoreVersionTest() {
    directory.write("store.db", "");
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    std::ifstream sql(CS_STORE_VERSION1);
    const std::string text(std::istreambuf_iterator<char>(sql), {});
    get(database()->run_all(text.c_str()));
  }
  [[nodiscard]] std::unique_ptr<Database> database() const { return get(Database::open(path)); }
  // With the key that the file says it has.
  static std::vector<std::uint8_t> row(Database& from, const RowName& name) {
    auto select = get(from.prepare("SELECT value FROM entry WHERE kind=? AND name=?"));
    select.bind(static_cast<std::int64_t>(name.kind)).bind(name.name);
    EXPECT_TRUE(get(select.step()));
    const auto plain = get(decrypt_row(cs::test::sample_private(0x11), name, select.bytes(0)));
    return {plain.bytes().begin(), plain.bytes().end()};
  }

  cs::test::TemporaryDirectory directory;
  const std::string path = directory.file("store.db");
  cs::test::ManualClock clock;
};

TEST_F(StoreVersionTest, AFileOfVersion1IsRead) {
  const Store store = get(Store::open({.path = path, .clock = &clock}));
  EXPECT_EQ(store.clear().ne_id, "amsterdam");
  EXPECT_EQ(store.clear().core_properties, std::vector{digest_of(3)});
  EXPECT_EQ(get(store.sealed_to()).size(), 1);
  EXPECT_TRUE(get(store.approvals()).empty());
}

TEST_F(StoreVersionTest, TheRowsOfAFileOfVersion1AreRead) {
  const auto from = database();
  auto select = get(from->prepare("SELECT value FROM part WHERE name='clear'"));
  ASSERT_TRUE(get(select.step()));
  const auto digest = cs::tpm::Hasher(cs::tpm::HashAlgorithm::sha256).hash({select.bytes(0)});
  const auto book = get(cs::keyms::Book::decode(row(*from, {RowKind::book, "book"}), digest));
  EXPECT_EQ(book.in_force("berlin")->version, 3);
  const auto key = get(cs::keyms::decode_key(row(*from, {RowKind::session_key, "7"})));
  EXPECT_EQ(key.certificate, cs::test::sample_certificate());
}

TEST_F(StoreVersionTest, BecomesALaterVersionAndKeepsWhatItHas) {
  const std::array later{cs::keyms::store_versions[0],
                         "ALTER TABLE entry ADD COLUMN changed INTEGER NOT NULL DEFAULT 0",
                         "CREATE TABLE more(name TEXT) STRICT"};
  const auto database = this->database();
  for (int again = 0; again < 2; ++again) {
    get(database->transaction([&] { return migrate(*database, later); }));
    EXPECT_EQ(get(database->number("PRAGMA user_version")), 3);
    EXPECT_EQ(get(database->number("SELECT count(*) FROM more")), 0);
    EXPECT_EQ(cs::test::text_of(row(*database, {RowKind::note, "n"})), "a note");
  }
  const auto former =
      database->transaction([&] { return migrate(*database, cs::keyms::store_versions); });
  EXPECT_TRUE(contains(former.error().message(), "version 3, known are 1 to 1"));
}

TEST_F(StoreVersionTest, StaysAsItIsWhereAStepFails) {
  const std::array later{cs::keyms::store_versions[0],
                         "CREATE TABLE more(name TEXT) STRICT; CREATE TABLE more(name TEXT)"};
  const auto database = this->database();
  EXPECT_FALSE(database->transaction([&] { return migrate(*database, later); }).ok());
  EXPECT_EQ(get(database->number("PRAGMA user_version")), 1);
  get(database->transaction([&] { return migrate(*database, cs::keyms::store_versions); }));
}

}  // namespace
