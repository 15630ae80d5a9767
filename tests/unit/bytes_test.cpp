// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/unit/count_allocations.h"
#include "tests/unit/exact_buffer.h"

namespace cs {
namespace {

using test::ExactBuffer;
using Bytes = std::vector<std::uint8_t>;

// No number is converted on its way out, and no signed one read.
static_assert(!std::is_invocable_v<decltype(&ByteReader::u16be), ByteReader, std::uint32_t&>);
static_assert(!std::is_invocable_v<decltype(&ByteReader::u32be), ByteReader, std::int32_t&>);
static_assert(!std::is_convertible_v<ByteView, ByteReader>);

constexpr std::size_t no_bound = std::numeric_limits<std::size_t>::max();

Bytes copy(ByteView view) {
  return {view.begin(), view.end()};
}

// One field of the record below: reads it and says whether that worked and gave the right value.
struct Field {
  std::string name;
  std::size_t size;
  // Returns what the read returned; on failure the out parameter must be as it was.
  std::function<bool(ByteReader&)> read;
};

template <class T>
Field number(std::string name, bool (ByteReader::*read)(T&) noexcept, T expected) {
  return {std::move(name), sizeof(T), [read, expected](ByteReader& reader) {
            const T untouched = static_cast<T>(~expected);
            T value = untouched;
            const bool done = (reader.*read)(value);
            EXPECT_EQ(value, done ? expected : untouched);
            return done;
          }};
}

using ReadVec = bool (ByteReader::*)(std::size_t, ByteView&) noexcept;

Field vec(std::string name, ReadVec read, std::size_t prefix, const Bytes& expected) {
  return {std::move(name), prefix + expected.size(), [read, expected](ByteReader& reader) {
            const std::array<std::uint8_t, 1> marker{0x5a};
            ByteView value(marker);
            const bool done = (reader.*read)(100, value);
            EXPECT_EQ(copy(value), done ? expected : copy(marker));
            return done;
          }};
}

// Every kind of read, and bytes written down by hand: an encoder's mistakes cannot hide here.
constexpr auto record = std::to_array<std::uint8_t>({
    0x01,                                            // u8
    0x01, 0x02,                                      // u16be
    0x01, 0x02, 0x03, 0x04,                          // u32be
    0x81, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88,  // u64be
    0x01, 0x02,                                      // u16le
    0x01, 0x02, 0x03, 0x84,                          // u32le
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88,  // u64le
    0x03, 'a',  'b',  'c',                           // vec8
    0x00, 0x02, 'd',  'e',                           // vec16be
    0x00, 0x00, 0x00, 0x01, 'f',                     // vec32be
    0x02, 0x00, 0x00, 0x00, 'g',  'h',               // vec32le
    'i',  'j',  'k',                                 // take(3)
    'l',  'm',                                       // copy_to(2)
    'n',  'o',                                       // nested(2)
    'p',                                             // skip(1)
});

std::vector<Field> fields() {
  return {
      number<std::uint8_t>("u8", &ByteReader::u8, 1),
      number<std::uint16_t>("u16be", &ByteReader::u16be, 0x0102),
      number<std::uint32_t>("u32be", &ByteReader::u32be, 0x01020304),
      number<std::uint64_t>("u64be", &ByteReader::u64be, 0x8102030405060788),
      number<std::uint16_t>("u16le", &ByteReader::u16le, 0x0201),
      number<std::uint32_t>("u32le", &ByteReader::u32le, 0x84030201),
      number<std::uint64_t>("u64le", &ByteReader::u64le, 0x8807060504030201),
      vec("vec8", &ByteReader::vec8, 1, {'a', 'b', 'c'}),
      vec("vec16be", &ByteReader::vec16be, 2, {'d', 'e'}),
      vec("vec32be", &ByteReader::vec32be, 4, {'f'}),
      vec("vec32le", &ByteReader::vec32le, 4, {'g', 'h'}),
      {"take", 3,
       [](ByteReader& reader) {
         ByteView value;
         const bool done = reader.take(3, value);
         EXPECT_EQ(copy(value), done ? (Bytes{'i', 'j', 'k'}) : Bytes{});
         return done;
       }},
      {"copy_to", 2,
       [](ByteReader& reader) {
         std::array<std::uint8_t, 2> value{};
         const bool done = reader.copy_to(value);
         EXPECT_EQ(copy(value), done ? (Bytes{'l', 'm'}) : (Bytes{0, 0}));
         return done;
       }},
      {"nested", 2,
       [](ByteReader& reader) {
         const std::size_t at = reader.position();
         ByteReader inner;
         const bool done = reader.nested(2, inner);
         EXPECT_EQ(inner.position(), done ? at : 0U);
         EXPECT_EQ(copy(inner.rest()), done ? (Bytes{'n', 'o'}) : Bytes{});
         return done;
       }},
      {"skip", 1, [](ByteReader& reader) { return reader.skip(1); }},
  };
}

// Reads fields until one fails or none is left; checks what each may and may not do.
void read_fields(ByteReader& reader, std::size_t available) {
  std::size_t at = 0;
  for (const Field& field : fields()) {
    SCOPED_TRACE(field.name);
    ASSERT_EQ(reader.position(), at);
    ASSERT_EQ(reader.remaining(), available - at);
    const bool enough = field.size <= available - at;
    ASSERT_EQ(field.read(reader), enough);
    if (!enough) {
      EXPECT_EQ(reader.position(), at) << "a failed read moved the position";
      EXPECT_EQ(reader.remaining(), available - at);
      EXPECT_EQ(reader.failure("it").kind(), ErrorKind::truncated);
      return;
    }
    at += field.size;
  }
  EXPECT_TRUE(reader.expect_end());
}

TEST(ByteReader, ReadsEveryFieldOfARecordAndFailsCleanlyTruncatedAtEveryLength) {
  for (std::size_t length = 0; length <= record.size(); ++length) {
    SCOPED_TRACE(length);
    const ExactBuffer exact(ByteView(record).first(length));
    ByteReader reader(exact.view());
    read_fields(reader, length);
  }
}

TEST(ByteReader, ReadsFromMemoryThatIsNotAligned) {
  ExactBuffer shifted(record.size() + 1);
  std::copy(record.begin(), record.end(), shifted.bytes().begin() + 1);
  ByteReader reader(shifted.view().subspan(1));
  read_fields(reader, record.size());
}

// offset + n > size would wrap around and let these through.
TEST(ByteReader, IsNotFooledByASizeThatWrapsAround) {
  const ExactBuffer exact{ByteView(record)};
  ByteReader reader(exact.view());
  ASSERT_TRUE(reader.skip(5));
  ByteView view;
  ByteReader inner;
  for (const std::size_t n : {no_bound, no_bound - 4, no_bound - 5, no_bound / 2 + 1}) {
    EXPECT_FALSE(reader.take(n, view));
    EXPECT_FALSE(reader.take_last(n, view));
    EXPECT_FALSE(reader.skip(n));
    EXPECT_FALSE(reader.nested(n, inner));
  }
  EXPECT_EQ(reader.position(), 5U);
}

TEST(ByteReader, BelievesNoLengthThatExceedsWhatRemains) {
  const ExactBuffer exact(Bytes{0xff, 0xff, 0xff, 0xff, 'a', 'b'});
  ByteView view;
  for (const ReadVec read :
       {&ByteReader::vec8, &ByteReader::vec16be, &ByteReader::vec32be, &ByteReader::vec32le}) {
    ByteReader reader(exact.view());
    EXPECT_FALSE((reader.*read)(no_bound, view));
    EXPECT_EQ(reader.position(), 0U);
    EXPECT_EQ(reader.failure("it").kind(), ErrorKind::truncated);
  }
}

TEST(ByteReader, RefusesALengthAboveItsBoundThoughTheBytesAreThere) {
  const ExactBuffer exact(Bytes{9, 3, 'a', 'b', 'c'});
  ByteReader reader(exact.view());
  ByteView view;
  ASSERT_TRUE(reader.skip(1));
  EXPECT_FALSE(reader.vec8(2, view));
  EXPECT_EQ(reader.position(), 1U);
  EXPECT_EQ(reader.failure("the name").kind(), ErrorKind::limit);
  EXPECT_EQ(reader.failure("the name").message(),
            "reading the name: at offset 1 a length of 3 is above the limit of 2");
  EXPECT_TRUE(reader.vec8(3, view));
}

TEST(ByteReader, TakesFromTheEnd) {
  const ExactBuffer exact(Bytes{1, 2, 3, 4, 5});
  ByteReader reader(exact.view());
  ByteView footer;
  ASSERT_TRUE(reader.take_last(2, footer));
  EXPECT_EQ(copy(footer), (Bytes{4, 5}));
  EXPECT_EQ(reader.position(), 0U);
  EXPECT_EQ(reader.remaining(), 3U);
  EXPECT_FALSE(reader.take_last(4, footer));
  EXPECT_EQ(reader.remaining(), 3U);
  EXPECT_EQ(copy(reader.rest()), (Bytes{1, 2, 3}));
  EXPECT_TRUE(reader.expect_end());
}

TEST(ByteReader, ReadsNothingFromNothing) {
  ByteReader reader;
  ByteView view;
  EXPECT_TRUE(reader.take(0, view));
  EXPECT_TRUE(reader.copy_to({}));
  EXPECT_TRUE(reader.rest().empty());
  EXPECT_TRUE(reader.expect_end());
  EXPECT_FALSE(reader.skip(1));
}

TEST(ByteReader, PeeksByACopy) {
  ByteReader reader{ByteView(record)};
  ByteReader ahead = reader;
  EXPECT_TRUE(ahead.skip(4));
  EXPECT_EQ(reader.position(), 0U);
}

TEST(ByteReader, SaysWhereAndWhatWasWanted) {
  const ExactBuffer exact(Bytes{1, 2, 3, 4, 5});
  ByteReader reader(exact.view());
  std::uint32_t value = 0;
  ASSERT_TRUE(reader.u32be(value));
  ASSERT_FALSE(reader.u32be(value));
  EXPECT_EQ(reader.failure("the quote header").message(),
            "reading the quote header: at offset 4 4 bytes are wanted, 1 remain");
  ASSERT_FALSE(reader.expect_end());
  EXPECT_EQ(reader.failure("the quote header").kind(), ErrorKind::invalid);
  EXPECT_EQ(reader.failure("the quote header").message(),
            "reading the quote header: at offset 4 it should end, but 1 bytes follow");
}

TEST(ByteReader, TellsANestedOffsetOfTheWhole) {
  ByteReader reader{ByteView(record)};
  ByteReader inner;
  ByteView view;
  ASSERT_TRUE(reader.skip(10) && reader.nested(3, inner) && inner.skip(2));
  ASSERT_FALSE(inner.take(2, view));
  EXPECT_EQ(inner.failure("it").message(), "reading it: at offset 12 2 bytes are wanted, 1 remain");
}

TEST(ByteReader, CallsAFailureWithoutOneOurOwnMistake) {
  EXPECT_EQ(ByteReader().failure("it").kind(), ErrorKind::internal);
}

TEST(ByteReader, AllocatesNeitherOnSuccessNorOnRefusal) {
  ByteReader reader{ByteView(record)};
  std::uint8_t small = 0;
  std::uint64_t large = 0;
  ByteView view;
  const std::size_t before = test::allocations();
  const bool read = reader.u8(small) && reader.u64be(large) && reader.take(3, view);
  const bool refused = reader.take(1000, view) || reader.vec8(0, view) || reader.expect_end();
  EXPECT_EQ(test::allocations(), before);
  EXPECT_TRUE(read);
  EXPECT_FALSE(refused);
  (void)reader.failure("something with a name long enough to need memory");
  EXPECT_GT(test::allocations(), before) << "the counter does not count";
}

}  // namespace
}  // namespace cs
