// SPDX-License-Identifier: GPL-3.0-or-later
// Whoever can write the file, and knows SQL.
#include <array>
#include <filesystem>

#include "keyms/store/schema.h"
#include "keyms/store/store.h"
#include "tests/unit/stores.h"

namespace {

using cs::keyms::Database;
using cs::keyms::decrypt_row;
using cs::keyms::encrypt_row;
using cs::keyms::RowKind;
using cs::keyms::RowName;
using cs::keyms::Store;
using cs::keyms::Unlocked;
using cs::test::contains;
using cs::test::get;
using cs::test::sample_certificate;
using cs::test::sample_private;
using cs::test::StoreTest;
using cs::test::view_of;

class StoreTamperingTest : public StoreTest {
 protected:
  StoreTamperingTest() {
    Store store = create();
    Unlocked unlocked = unlock(store);
    get(unlocked.keep_key(sample_certificate(7), sample_private(7)));
    get(unlocked.keep_key(sample_certificate(8), sample_private(8)));
    get(unlocked.keep({RowKind::note, "7"}, view_of("a note")));
    get(unlocked.keep({RowKind::peer_memory, "berlin"}, view_of("memory")));
  }
  void write_anew() {
    Store store = open();
    Unlocked unlocked = unlock(store);
    get(unlocked.write(device, srk, contents(2)));
  }
  // Of one value of the file.
  std::vector<std::uint8_t> value(const std::string& where) {
    const auto database = get(Database::open(path));
    auto select = get(database->prepare("SELECT value FROM " + where));
    EXPECT_TRUE(get(select.step()));
    const auto bytes = select.bytes(0);
    return {bytes.begin(), bytes.end()};
  }
  void set(const std::string& where, cs::ByteView value) {
    const auto database = get(Database::open(path));
    const auto space = where.find(' ');
    auto update = get(database->prepare("UPDATE " + where.substr(0, space) + " SET value=?" +
                                        where.substr(space)));
    get(update.bind(value).run());
  }
  // All that keymsd reads; empty if any of it was refused.
  std::string all() {
    auto store = Store::open(place());
    if (!store.ok()) return refused(store.error());
    auto unlocked = try_unlock(*store);
    if (!unlocked.ok()) return refused(unlocked.error());
    if (const auto keys = unlocked->certificates(); !keys.ok()) return refused(keys.error());
    for (const RowName& name :
         {RowName{RowKind::note, "7"}, RowName{RowKind::peer_memory, "berlin"}}) {
      if (const auto row = unlocked->get(name); !row.ok()) return refused(row.error());
    }
    return "accepted";
  }
  std::string refused(const cs::Error& error) {
    why = error.message();
    return "";
  }

  std::string why;
};

TEST_F(StoreTamperingTest, AByteChangedAnywhereIsRefused) {
  ASSERT_EQ(all(), "accepted") << why;
  const std::uint64_t before = count();
  constexpr std::array wheres{"part WHERE name='clear'", "part WHERE name='keys'",
                              "entry WHERE kind=1",      "entry WHERE kind=2 AND name='7'",
                              "entry WHERE kind=3",      "entry WHERE kind=5"};
  for (const char* where : wheres) {
    const auto good = value(where);
    // The TPM takes its time. Every bit of a row: StoreRow, below.
    const std::size_t step = where[0] == 'p' ? 3 : 17;
    for (std::size_t at = 0; at < good.size(); at += step) {
      auto bytes = good;
      bytes[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
      set(where, bytes);
      ASSERT_EQ(all(), "") << where << " byte " << at;
    }
    set(where, good);
  }
  EXPECT_EQ(all(), "accepted") << why;
  EXPECT_EQ(count(), before);
}

TEST(StoreRow, AChangedBitAnywhereIsRefused) {
  const cs::SecretBytes key = sample_private(1);
  const auto plain = get(encode_key(sample_certificate(), sample_private()));
  const RowName name{RowKind::session_key, "7"};
  const auto row = get(encrypt_row(key, name, plain.bytes()));
  EXPECT_TRUE(std::ranges::equal(get(decrypt_row(key, name, row)).bytes(), plain.bytes()));
  for (std::size_t bit = 0; bit < 8 * row.size(); ++bit) {
    auto changed = row;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(decrypt_row(key, name, changed).ok());
  }
  for (std::size_t size = 0; size < row.size(); ++size) {
    EXPECT_FALSE(decrypt_row(key, name, cs::ByteView(row).first(size)).ok());
  }
  EXPECT_FALSE(decrypt_row(key, {RowKind::session_key, "8"}, row).ok());
  EXPECT_FALSE(decrypt_row(key, {RowKind::note, "7"}, row).ok());
  EXPECT_FALSE(decrypt_row(sample_private(2), name, row).ok());
  EXPECT_NE(get(encrypt_row(key, name, plain.bytes())), row) << "the nonce is drawn anew";
}

TEST_F(StoreTamperingTest, NoRowStandsInForAnother) {
  const auto seven = value("entry WHERE kind=2 AND name='7'");
  set("entry WHERE kind=2 AND name='8'", seven);
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "row '8' of kind 2: the data were changed")) << why;
  set("entry WHERE kind=5 AND name='7'", seven);
  run_sql("DELETE FROM entry WHERE kind=2");
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "row '7' of kind 5")) << why;
}

TEST_F(StoreTamperingTest, ARowOfAFormerGenerationIsRefused) {
  const auto old = value("entry WHERE kind=5");
  write_anew();
  EXPECT_EQ(all(), "accepted") << why;
  set("entry WHERE kind=5", old);
  EXPECT_EQ(all(), "");
}

TEST_F(StoreTamperingTest, AnOldBookOrKeyWithinTheNewFileIsRefused) {
  const auto clear = value("part WHERE name='clear'");
  const auto keys = value("part WHERE name='keys'");
  const auto book = value("entry WHERE kind=1");
  write_anew();
  const auto new_book = value("entry WHERE kind=1");
  set("entry WHERE kind=1", book);
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "row 'book' of kind 1")) << why;
  set("part WHERE name='keys'", keys);
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "was rolled back")) << why;
  set("entry WHERE kind=1", new_book);
  EXPECT_EQ(all(), "");
}

// Another counter of ours, one below the old file's generation: it must neither pass nor count on.
TEST_F(StoreTamperingTest, AnotherCounterDoesNotBringAnOldFileBack) {
  const std::uint32_t other = counter + 1;
  get(define_counter(device, other));
  const auto at = [&] { return get(read_counter(device, *get(srk.handle(device)), other)); };
  while (at() < count()) get(count_on(device, other));
  const std::uint64_t before = at();
  while (count() < before + 1) write_anew();
  const std::string old = directory.read("store.db");
  write_anew();
  directory.write("store.db", old);
  cs::keyms::Clear clear = get(cs::keyms::Clear::decode(value("part WHERE name='clear'")));
  clear.counter = other;
  set("part WHERE name='clear'", get(clear.encode()));
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "clear part is not the one that was written")) << why;
  EXPECT_EQ(at(), before);
}

TEST_F(StoreTamperingTest, ClearPartsAreHeldAgainstTheBook) {
  cs::keyms::Clear clear = get(cs::keyms::Clear::decode(value("part WHERE name='clear'")));
  clear.configuration = cs::test::digest_of(0xee);
  set("part WHERE name='clear'", get(clear.encode()));
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "clear part is not the one that was written")) << why;
}

TEST_F(StoreTamperingTest, MissingPartsAndRowsAreSaid) {
  run_sql("DELETE FROM entry WHERE kind=1");
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "there is no row 'book'")) << why;
  run_sql("DELETE FROM part WHERE name='keys'");
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "the part 'keys' is missing")) << why;
}

TEST_F(StoreTamperingTest, SqlOfTheFilesOwnIsRefused) {
  run_sql("CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE kind=1; END");
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "other tables than a store of its version")) << why;
}

// The header's read and write version 2: a write-ahead log, which the file brings along.
TEST_F(StoreTamperingTest, AnotherJournalIsNotTakenOver) {
  std::string file = directory.read("store.db");
  file[18] = file[19] = 2;
  directory.write("store.db", file);
  directory.write("store.db-wal", std::string(1000, 'x'));
  Store store = open();
  get(unlock(store).keep({RowKind::note, "7"}, view_of("a note")));
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  EXPECT_EQ(directory.read("store.db").substr(18, 2), "\1\1");
}

TEST_F(StoreTamperingTest, AFileOfALaterVersionOrOfSomethingElseIsRefused) {
  run_sql("PRAGMA user_version=2");
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "is of version 2, known are 1 to 1; a newer keymsd")) << why;
  run_sql("PRAGMA user_version=0");
  EXPECT_EQ(all(), "");
  EXPECT_TRUE(contains(why, "it is no store of keymsd")) << why;
  run_sql("PRAGMA user_version=1");
  EXPECT_EQ(all(), "accepted") << why;
  run_sql("PRAGMA application_id=1");
  EXPECT_EQ(all(), "");
}

}  // namespace
