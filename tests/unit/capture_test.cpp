// SPDX-License-Identifier: GPL-3.0-or-later
// Capture files: what is in them is told, what is wrong with them is told, nothing is made up.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <tuple>

#include "tests/support/unwrap.h"
#include "tests/unit/capture_samples.h"
#include "tests/unit/exact_buffer.h"
#include "tools/capture/reader.h"
#include "tools/capture/writer.h"

namespace cs::test {
namespace {

constexpr std::uint32_t micro = 0xa1b2c3d4;
constexpr std::uint32_t nano = 0xa1b23c4d;
const Bytes five{1, 2, 3, 4, 5};
const Bytes eight{8, 7, 6, 5, 4, 3, 2, 1};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Cut at every length, a file tells the frames that are whole and nothing else.
void expect_no_invention(const Bytes& file, const std::vector<std::size_t>& ends,
                         const std::vector<std::size_t>& clean_ends) {
  const Reading whole = read_all(file);
  ASSERT_EQ(whole.error, "");
  ASSERT_EQ(whole.frames.size(), ends.size());
  for (std::size_t size = 1; size < file.size(); ++size) {
    const ExactBuffer part(ByteView(file).first(size));
    const Reading read = read_all(part.view());
    const auto expected = static_cast<std::size_t>(
        std::count_if(ends.begin(), ends.end(), [&](std::size_t end) { return end <= size; }));
    ASSERT_EQ(read.frames.size(), expected) << size;
    ASSERT_TRUE(std::equal(read.frames.begin(), read.frames.end(), whole.frames.begin())) << size;
    const bool clean = std::find(clean_ends.begin(), clean_ends.end(), size) != clean_ends.end();
    ASSERT_EQ(read.error.empty(), clean) << size << ": " << read.error;
    if (clean) continue;
    EXPECT_EQ(read.kind, ErrorKind::truncated) << size << ": " << read.error;
    EXPECT_TRUE(contains(read.error, "at offset ")) << read.error;
  }
}

TEST(Pcap, IsReadInBothByteOrdersAndResolutions) {
  for (const bool big : {false, true}) {
    for (const std::uint32_t magic : {micro, nano}) {
      const Bytes file = Maker(big).file(magic, 101).frame(7, 999, five, 90).frame(8, 0, {}).take();
      const Reading read = read_all(file);
      EXPECT_EQ(read.error, "");
      const std::uint32_t fraction = magic == nano ? 999 : 999'000;
      const std::vector<Seen> expected{{7, fraction, 90, 101, five}, {8, 0, 0, 101, {}}};
      EXPECT_EQ(read.frames, expected);
      EXPECT_EQ(read.format.big_endian, big);
      EXPECT_EQ(read.format.nanoseconds, magic == nano);
      EXPECT_EQ(read.format.link, 101U);
      EXPECT_EQ(read.format.snaplen, 65535U);
    }
  }
}

TEST(Pcap, CutAnywhereTellsTheFramesThatAreWhole) {
  for (const bool big : {false, true}) {
    const Bytes file = Maker(big).file(micro).frame(1, 2, five).frame(3, 4, eight).take();
    expect_no_invention(file, {24 + 21, 24 + 21 + 24}, {24, 24 + 21});
  }
}

TEST(Pcap, LiesAreRefusedWithTheirOffset) {
  const auto second = [](std::uint32_t fraction, std::uint32_t size, std::uint32_t on_the_wire) {
    Maker file;
    file.file(micro).frame(1, 2, five).u32(1).u32(fraction).u32(size).u32(on_the_wire);
    return read_all(file.bytes(five).take());
  };
  for (const auto& [read, kind, told] : std::vector<std::tuple<Reading, ErrorKind, std::string>>{
           {second(1'000'000, 5, 5), ErrorKind::invalid, "a second or more"},
           {second(0, 5, 4), ErrorKind::invalid, "5 of 4"},
           {second(0, 262145, 300000), ErrorKind::limit, "at most 262144"},
           {second(0, 0xffffffff, 0xffffffff), ErrorKind::limit, "a frame of 4294967295 bytes"},
           {second(0, 6, 6), ErrorKind::truncated, "6 bytes are wanted, 5 are there"}}) {
    EXPECT_EQ(read.frames.size(), 1U);
    EXPECT_EQ(read.kind, kind) << read.error;
    EXPECT_TRUE(contains(read.error, told)) << read.error;
    EXPECT_TRUE(
        contains(read.error, kind == ErrorKind::truncated ? "at offset 61:" : "at offset 45:"))
        << read.error;
  }
}

TEST(Pcap, TheLargestFrameIsRead) {
  const Bytes large(capture::max_frame, 0x55);
  const Reading read = read_all(Maker().file(nano).frame(0, 0, large).take());
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.frames.size(), 1U);
  EXPECT_EQ(read.frames[0].bytes, large);
}

TEST(Captures, OfOtherKindsAreRefused) {
  EXPECT_TRUE(contains(read_all(Bytes(100, 'x')).error, "neither pcap nor pcapng"));
  EXPECT_TRUE(contains(read_all(Bytes{0x1f, 0x8b, 8, 0, 0}).error, "gunzip"));
  EXPECT_TRUE(contains(read_all(Maker().u32(0xa1b2cd34).bytes(Bytes(60)).take()).error, "neither"));
  EXPECT_TRUE(contains(read_all(Maker().u32(micro).u16(2).u16(3).bytes(Bytes(16)).take()).error,
                       "2.3; only 2.4"));
  const Reading reserved = read_all(Maker().file(micro, 0x00010001).take());
  EXPECT_TRUE(contains(reserved.error, "reserved bits"));
  EXPECT_EQ(read_all(Maker().file(micro, 0x14000001).frame(0, 0, five).take()).frames.at(0).link,
            1U)
      << "the size of an FCS is not part of the link type";
}

TEST(Pcapng, IsReadInBothByteOrders) {
  for (const bool big : {false, true}) {
    Maker maker(big);
    maker.section().interface(101).block(5, five).enhanced(0, 3'000'002, five, 90);
    const Reading read = read_all(maker.interface(1).enhanced(1, 0, eight).simple(5, five).take());
    EXPECT_EQ(read.error, "");
    const std::vector<Seen> expected{
        {3, 2000, 90, 101, five}, {0, 0, 8, 1, eight}, {0, 0, 5, 101, five}};
    EXPECT_EQ(read.frames, expected);
    EXPECT_EQ(read.format.link, 101U);
  }
}

TEST(Pcapng, CutAnywhereTellsTheFramesThatAreWhole) {
  for (const bool big : {false, true}) {
    Maker maker(big);
    const Bytes ticks = maker.same().option(9, Bytes{6}).option(0, {}).take();
    maker.section().interface(1, 0, ticks).block(0x99, five).enhanced(0, 1, five).simple(8, eight);
    // Section 28, interface 32, other 20, enhanced 40, simple 24.
    expect_no_invention(maker.take(), {120, 144}, {28, 60, 80, 120});
  }
}

TEST(Pcapng, ASectionHasItsOwnInterfacesAndByteOrder) {
  Maker file;
  file.section().interface(101).enhanced(0, 0, five);
  file.bytes(Maker(true).section().interface(1).enhanced(0, 0, eight).take());
  Reading read = read_all(file.take());
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.frames.size(), 2U);
  EXPECT_EQ(read.frames[1].link, 1U);
  EXPECT_EQ(read.frames[1].bytes, eight);
  file = Maker();
  read = read_all(file.section().interface().section().enhanced(0, 0, five).take());
  EXPECT_TRUE(contains(read.error, "at offset 76: a block of pcapng: there is no interface 0"))
      << read.error;
}

// One frame of an interface with these options; its time in seconds and nanoseconds.
Reading with_options(const std::function<void(Maker&)>& add, std::uint64_t time) {
  Maker options;
  add(options);
  return read_all(Maker().section().interface(1, 0, options.take()).enhanced(0, time, five).take());
}

TEST(Pcapng, TimeIsCountedAsTheInterfaceSays) {
  struct Case {
    std::uint8_t resolution;
    std::uint64_t time;
    std::uint32_t seconds, nanoseconds;
  };
  for (const Case& c :
       {Case{6, 1'500'000, 1, 500'000'000}, Case{9, 1'000'000'001, 1, 1}, Case{0, 77, 77, 0},
        Case{3, 2'001, 2, 1'000'000}, Case{12, 1'999'999'999'999, 1, 999'999'999},
        Case{19, 18'446'744'073'709'551'615U, 1, 844'674'407}, Case{0x80, 5, 5, 0},
        Case{0x80 | 1, 3, 1, 500'000'000},
        Case{0x80 | 30, (std::uint64_t{3} << 30U) - 1, 2, 999'999'999},
        Case{0x80 | 63, ~std::uint64_t{0}, 1, 999'999'999}}) {
    const Reading read =
        with_options([&](Maker& to) { to.option(9, Bytes{c.resolution}); }, c.time);
    ASSERT_EQ(read.error, "") << int{c.resolution};
    EXPECT_EQ(read.frames.at(0).seconds, c.seconds) << int{c.resolution};
    EXPECT_EQ(read.frames.at(0).nanoseconds, c.nanoseconds) << int{c.resolution};
  }
}

TEST(Pcapng, TimeMayHaveAnOffset) {
  const auto offset = [](std::int64_t seconds, std::uint64_t time) {
    const Bytes value = Maker().u64(static_cast<std::uint64_t>(seconds)).take();
    return with_options([&](Maker& to) { to.option(14, value); }, time);
  };
  EXPECT_EQ(offset(1000, 5'000'000).frames.at(0).seconds, 1005U);
  EXPECT_EQ(offset(-4, 5'000'000).frames.at(0).seconds, 1U);
  for (const auto& [seconds, time] : std::vector<std::pair<std::int64_t, std::uint64_t>>{
           {-6, 5'000'000},
           {0xffffffff, 1'000'000},
           {0, ~std::uint64_t{0}},
           {std::numeric_limits<std::int64_t>::min(), 0},
           {std::numeric_limits<std::int64_t>::max(), 1}}) {
    const Reading read = offset(seconds, time);
    EXPECT_TRUE(contains(read.error, "between 1970 and 2106")) << seconds << ": " << read.error;
    EXPECT_TRUE(read.frames.empty());
  }
}

TEST(Pcapng, OptionsThatLieAreRefused) {
  const auto why = [](const std::function<void(Maker&)>& add) {
    return with_options(add, 0).error;
  };
  EXPECT_TRUE(contains(why([](Maker& to) { to.option(9, Bytes{20}); }), "finer than 64 bits"));
  EXPECT_TRUE(contains(why([](Maker& to) { to.option(9, Bytes{0xc0}); }), "finer than 64 bits"));
  EXPECT_TRUE(contains(why([](Maker& to) { to.option(9, Bytes{6, 6}); }), "if_tsresol"));
  EXPECT_TRUE(contains(why([](Maker& to) { to.option(9, {}); }), "if_tsresol"));
  EXPECT_TRUE(contains(why([](Maker& to) { to.option(14, five); }), "if_tsoffset"));
  EXPECT_TRUE(
      contains(why([](Maker& to) { to.u16(2).u16(5).u32(0); }), "too short for its options"));
  EXPECT_EQ(why([](Maker& to) { to.option(2, five).option(0, {}).u32(0xffffffff); }), "");
}

TEST(Pcapng, BlocksThatLieAreRefused) {
  const auto why = [](const Bytes& block) {
    return read_all(Maker().section().interface(1, 6).bytes(block).take()).error;
  };
  const auto lengths = [&](std::uint32_t front, std::uint32_t behind) {
    return why(Maker().u32(6).u32(front).bytes(Bytes(20)).u32(behind).take());
  };
  EXPECT_TRUE(contains(lengths(32, 36),
                       "at offset 48: a block of pcapng: its length is 32 in front "
                       "and 36 behind"));
  EXPECT_TRUE(contains(lengths(8, 8), "cannot be 8"));
  EXPECT_TRUE(contains(lengths(0, 0), "cannot be 0"));
  EXPECT_TRUE(contains(lengths(33, 33), "cannot be 33"));
  EXPECT_TRUE(contains(lengths(0xfffffffc, 0xfffffffc), "at most 524288"));
  EXPECT_TRUE(contains(why(Maker().u32(99).u32(0xfffffffc).take()), "at most 16777216"));
  EXPECT_TRUE(contains(why(Maker().u32(99).u32(16).u32(0).u32(20).take()), "16 in front and 20"));
  EXPECT_TRUE(contains(why(Maker().block(6, Bytes(16)).take()), "too short for a packet"));
  EXPECT_TRUE(contains(why(Maker().block(3, {}).take()), "too short for a packet"));
  EXPECT_TRUE(contains(why(Maker().block(1, Bytes(4)).take()), "too short for an interface"));
  EXPECT_TRUE(contains(why(Maker().enhanced(1, 0, five).take()), "there is no interface 1"));
  EXPECT_TRUE(contains(why(Maker().enhanced(0, 0, five, 4).take()), "5 of 4"));
  EXPECT_TRUE(
      contains(why(Maker().enhanced(0, 0, Bytes(capture::max_frame + 1)).take()), "262145"));
  const Bytes beyond = Maker().u32(0).u64(0).u32(9).u32(9).bytes(eight).take();
  EXPECT_TRUE(contains(why(Maker().block(6, beyond).take()), "too short for the packet it tells"));
  EXPECT_TRUE(contains(why(Maker().simple(6, Bytes(4)).take()), "too short for the packet"));
  EXPECT_TRUE(contains(why(Maker().simple(6, Bytes(12)).take()), "longer than the packet"));
  EXPECT_TRUE(contains(why(Maker().block(2, Bytes(40)).take()), "editcap"));
  EXPECT_EQ(why(Maker().simple(900, Bytes(6)).take()), "") << "the interface keeps 6 bytes";
}

TEST(Pcapng, SectionsThatLieAreRefused) {
  const auto why = [](const Bytes& body) {
    return read_all(Maker().block(0x0a0d0d0a, body).take()).error;
  };
  const auto section = [](std::uint32_t order, std::uint16_t major) {
    return Maker().u32(order).u16(major).u16(0).u64(0).take();
  };
  EXPECT_EQ(why(section(0x1a2b3c4d, 1)), "");
  EXPECT_TRUE(contains(why(section(0x1a2b3c4e, 1)), "byte order"));
  EXPECT_TRUE(contains(why(section(0x1a2b3c4d, 2)), "version 2; only 1"));
  EXPECT_TRUE(
      contains(why(Maker().u32(0x1a2b3c4d).u16(1).u16(0).take()), "too short for a section"));
}

TEST(Pcapng, InterfacesHaveALimit) {
  Maker file;
  file.section();
  for (int i = 0; i < 1024; ++i) file.interface();
  EXPECT_EQ(read_all(Maker(file).enhanced(1023, 0, five).take()).frames.size(), 1U);
  EXPECT_TRUE(contains(read_all(file.interface().take()).error, "more than 1024 interfaces"));
}

class Written : public ::testing::Test {
 public:
  ~Written() override { std::filesystem::remove(path_); }

 protected:
  Bytes copy(Bytes file) {
    auto reader =
        get(capture::Reader::open(capture::File(::fmemopen(file.data(), file.size(), "rb"))));
    capture::Frame frame;
    bool more = get(reader->next(frame));
    auto writer = get(capture::Writer::create(path_, reader->format()));
    for (; more; more = get(reader->next(frame))) get(writer.write(frame));
    get(writer.finish());
    std::ifstream in(path_, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return {text.begin(), text.end()};
  }
  std::string path_ = ::testing::TempDir() + "capture-written-" + std::to_string(::getpid());
};

TEST_F(Written, ACopyIsTheSameByteForByte) {
  for (const bool big : {false, true}) {
    for (const std::uint32_t magic : {micro, nano}) {
      const Bytes file = Maker(big)
                             .file(magic, 0x14000001, capture::max_frame)
                             .frame(1, 999'999, five)
                             .frame(2, 0, {}, 77)
                             .frame(0xffffffff, 1, eight, 0xffffffff)
                             .take();
      EXPECT_EQ(copy(file), file);
    }
  }
}

TEST_F(Written, TheSnaplenHasRoomForWhatGrows) {
  EXPECT_EQ(read_all(copy(Maker().file(micro, 1, 96).take())).format.snaplen, capture::max_frame);
  EXPECT_EQ(read_all(copy(Maker().file(micro, 1, 1U << 30U).take())).format.snaplen, 1U << 30U);
}

TEST_F(Written, OfPcapngItIsPcapWithNanoseconds) {
  const Bytes ticks = Maker().option(9, Bytes{9}).take();
  const Bytes file =
      Maker().section().interface(276, 0, ticks).enhanced(0, 5'000'000'007, five).take();
  const Bytes expected = Maker().file(nano, 276, capture::max_frame).frame(5, 7, five).take();
  EXPECT_EQ(copy(file), expected);
}

TEST_F(Written, AFileHasOneLinkTypeAndALimit) {
  auto writer = get(capture::Writer::create(path_, {.link = 101}));
  const auto refused = writer.write({.link = capture::Link::ethernet, .bytes = {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unsupported);
  const Bytes large(capture::max_frame + 1);
  EXPECT_EQ(writer.write({.link = capture::Link::raw, .bytes = large}).error().kind(),
            ErrorKind::limit);
}

TEST_F(Written, AFullDiskIsTold) {
  auto writer = get(capture::Writer::create("/dev/full", {}));
  EXPECT_EQ(writer.finish().error().os_error(), ENOSPC);
  EXPECT_EQ(capture::Writer::create(path_ + "/no/folder", {}).error().os_error(), ENOENT);
}

}  // namespace
}  // namespace cs::test
