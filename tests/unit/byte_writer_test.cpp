// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/byte_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
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

// Not from a temporary's memory, and not from a limit mistaken for memory.
static_assert(!std::is_constructible_v<ByteWriter, Bytes> &&
              !std::is_constructible_v<ByteWriter, std::size_t>);
static_assert(!std::is_constructible_v<ByteBuilder, ByteSpan>);
static_assert(!std::is_convertible_v<std::size_t, ByteBuilder>);

const Bytes record{
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
    'i',  'j',  'k',                                 // bytes
    0x00, 0x00,                                      // zeros
};

template <class Writer>
void write_record(Writer& writer) {
  writer.u8(1).u16be(0x0102).u32be(0x01020304).u64be(0x8102030405060788);
  writer.u16le(0x0201).u32le(0x84030201).u64le(0x8807060504030201);
  writer.vec8(Bytes{'a', 'b', 'c'}).vec16be(Bytes{'d', 'e'});
  writer.vec32be(Bytes{'f'}).vec32le(Bytes{'g', 'h'});
  writer.bytes(Bytes{'i', 'j', 'k'}).zeros(2);
}

TEST(ByteWriter, WritesEveryFieldOfARecordAndNothingBeyondEverySize) {
  for (std::size_t size = 0; size <= record.size() + 1; ++size) {
    SCOPED_TRACE(size);
    ExactBuffer exact(size);
    ByteWriter writer(exact.bytes());
    write_record(writer);
    EXPECT_LE(writer.size(), size);
    const auto result = writer.finish("the record");
    ASSERT_EQ(result.ok(), size >= record.size());
    if (result.ok()) {
      EXPECT_EQ(Bytes(result->begin(), result->end()), record);
    } else {
      EXPECT_EQ(result.error().kind(), ErrorKind::limit);
    }
  }
}

TEST(ByteBuilder, GrowsToItsLimitAndNotBeyond) {
  for (std::size_t limit = 0; limit <= record.size() + 1; ++limit) {
    SCOPED_TRACE(limit);
    ByteBuilder builder(limit);
    write_record(builder);
    EXPECT_LE(builder.size(), limit);
    const auto result = builder.finish("the record");
    ASSERT_EQ(result.ok(), limit >= record.size());
    if (result.ok()) {
      EXPECT_EQ(result.value(), record);
    }
  }
}

TEST(ByteWriter, WritesNothingMoreOnceSomethingDidNotFit) {
  ExactBuffer exact(3);
  ByteWriter writer(exact.bytes());
  writer.u8(1);
  EXPECT_TRUE(writer.ok());
  writer.u32be(2).u8(3);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.size(), 1U);
  EXPECT_EQ(exact.bytes()[1], 0);
  EXPECT_EQ(writer.finish("the header").error().message(),
            "writing the header: at offset 1 4 bytes are wanted, there is room for 2");
}

TEST(ByteWriter, RefusesABodyItsLengthCannotTell) {
  const Bytes longest(255, 'x');
  const Bytes longer(256, 'x');
  EXPECT_TRUE(ByteBuilder(1000).vec8(longest).finish("it").ok());
  EXPECT_EQ(ByteBuilder(1000).vec8(longer).finish("it").error().message(),
            "writing it: at offset 0 256 bytes are wanted, there is room for 255");
  EXPECT_TRUE(ByteBuilder(70000).vec16be(Bytes(65535)).finish("it").ok());
  EXPECT_FALSE(ByteBuilder(70000).vec16be(Bytes(65536)).finish("it").ok());
}

TEST(ByteWriter, IsNotFooledByASizeThatWrapsAround) {
  ExactBuffer exact(8);
  ByteWriter writer(exact.bytes());
  writer.u32be(1).zeros(std::numeric_limits<std::size_t>::max() - 3);
  EXPECT_FALSE(writer.ok());
}

TEST(ByteWriter, WritesNothingIntoNothing) {
  ByteWriter writer({});
  EXPECT_TRUE(writer.bytes({}).zeros(0).ok());
  EXPECT_TRUE(writer.finish("nothing").value().empty());
}

TEST(ByteWriter, AllocatesNothingOnSuccess) {
  std::array<std::uint8_t, 64> memory{};
  const Bytes name{'n'};
  const std::size_t before = test::allocations();
  ByteWriter writer(memory);
  const auto result = writer.u8(1).u64be(2).vec8(name).zeros(3).finish("a packet's extension, say");
  EXPECT_EQ(test::allocations(), before);
  EXPECT_EQ(result->size(), 14U);
}

}  // namespace
}  // namespace cs
