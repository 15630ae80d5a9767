// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/cel.h"

#include <gtest/gtest.h>

#include <string>

#include "base/hex.h"
#include "tests/support/unwrap.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/log_bytes.h"

namespace {

using cs::ErrorKind;
using cs::test::Bytes;
using cs::test::bytes_of;
using cs::test::ExactBuffer;
using cs::test::get;
using cs::tpm::CelEvent;
using cs::tpm::CelLog;
using cs::tpm::CelRecord;
using cs::tpm::CelRegister;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::replay_cel;

constexpr std::array banks{HashAlgorithm::sha1, HashAlgorithm::sha256};
constexpr CelRegister pcr_15{CelRegister::Kind::pcr, 15};

// Records of each kind, and where each begins.
struct Made {
  Bytes bytes;
  std::vector<std::size_t> borders;
  void put(const Bytes& record) {
    borders.push_back(bytes.size());
    bytes.insert(bytes.end(), record.begin(), record.end());
  }
};
Made log_of(const CelRegister& of = pcr_15, std::span<const HashAlgorithm> in = banks) {
  Made log;
  std::vector<Digest> foreign;
  for (const auto bank : in) foreign.emplace_back(bank, 0x77);
  const auto add = [&](CelEvent event, const Bytes& content) {
    log.put(get(write_cel_record(log.borders.size(), of, in, event, content)));
  };
  log.put(get(write_foreign_cel_record(0, of, foreign, "systemd-pcrphase: sysinit")));
  add(CelEvent::core_properties, Bytes(32, 1));
  add(CelEvent::configuration, Bytes(32, 2));
  add(CelEvent::certificate_valid, Bytes(32, 3));
  add(CelEvent::certificate_revoked, Bytes(32, 3));
  add(CelEvent::drift, bytes_of("eth0: disable_xfrm is 1"));
  add(CelEvent::healing, bytes_of("eth0: disable_xfrm is 0"));
  return log;
}

std::string refusal(const Bytes& bytes) {
  const auto replayed = replay_cel(ExactBuffer(bytes).view());
  return replayed.ok() ? "" : replayed.error().message();
}

TEST(Cel, ARecordIsWrittenByteForByte) {
  constexpr std::array one{HashAlgorithm::sha256};
  const auto record = get(write_cel_record(0x0102, pcr_15, one, CelEvent::drift, bytes_of("hi")));
  EXPECT_EQ(cs::hex_encode(record),
            "00"
            "00000008"
            "0000000000000102"
            "01"
            "00000001"
            "0f"
            "03"
            "00000025"
            "0b"
            "00000020"
            "bb97bb51b2916c98a54a9c0837a9a4c04238c4df7478527b07e2540a7473bd1d"
            "c5"
            "00000007"
            "05"
            "00000002"
            "6869");
  constexpr CelRegister nv{CelRegister::Kind::nv_index, 0x01d10240};
  const auto other = get(write_cel_record(0, nv, one, CelEvent::drift, bytes_of("hi")));
  EXPECT_EQ(cs::hex_encode(other).substr(26, 18),
            "02"
            "00000004"
            "01d10240");
}

TEST(Cel, ReplaysFromTheResetValueOn) {
  // The values are those of an independent program.
  const auto log = log_of();
  const auto replayed = get(replay_cel(log.bytes));
  EXPECT_EQ(replayed.records, 7U);
  EXPECT_EQ(replayed.of, pcr_15);
  ASSERT_EQ(replayed.values.size(), 2U);
  EXPECT_EQ(replayed.values[0].hex(), "692e62e88b24d1943bbc0a1e5deeeea381e6090d");
  EXPECT_EQ(replayed.values[1].hex(),
            "cf208e8ed4fe7f6ea4cb444cc8c7a8dadeee2dcdcafe37ecfad7b2c7478fda86");
}

TEST(Cel, TellsWhatWasWritten) {
  const auto made = log_of();
  auto log = get(CelLog::open(made.bytes));
  CelRecord record;
  for (std::size_t i = 0; i < 7; ++i) {
    ASSERT_TRUE(get(log.next(record)));
    EXPECT_EQ(record.number, i);
    EXPECT_EQ(record.offset, made.borders[i]);
    EXPECT_EQ(record.event, i == 0 ? CelEvent::foreign : static_cast<CelEvent>(i));
  }
  EXPECT_EQ(std::string(record.content.begin(), record.content.end()), "eth0: disable_xfrm is 0");
  EXPECT_FALSE(get(log.next(record)));
  EXPECT_EQ(log.good_until(), made.bytes.size());
  EXPECT_EQ(name_of(CelEvent::certificate_revoked), "certificate revoked");
}

TEST(Cel, ATornRecordIsSeenToBeTorn) {
  const auto made = log_of();
  for (std::size_t size = 1; size < made.bytes.size(); ++size) {
    const ExactBuffer cut(cs::ByteView(made.bytes).first(size));
    auto log = get(CelLog::open(cut.view()));
    CelRecord record;
    auto more = log.next(record);
    while (more.ok() && *more) more = log.next(record);
    const auto border = *(std::ranges::upper_bound(made.borders, size) - 1);
    EXPECT_EQ(log.good_until(), border);
    EXPECT_EQ(more.ok(), border == size) << size;
    if (more.ok()) continue;
    EXPECT_EQ(more.error().kind(), ErrorKind::truncated) << size;
    EXPECT_EQ(log.next(record).error().message(), more.error().message());
  }
  auto grown = made.bytes;
  grown.resize(grown.size() + 300);
  EXPECT_NE(refusal(grown).find("torn: only zeros"), std::string::npos);
}

std::size_t foreign_events(const Bytes& bytes) {
  auto log = get(CelLog::open(bytes));
  CelRecord record;
  std::size_t count = 0;
  while (get(log.next(record))) count += record.event == CelEvent::foreign ? 1 : 0;
  return count;
}

// But the text of a foreign event; and any record can be passed off as one.
TEST(Cel, NoByteCanChangeUnseen) {
  const auto made = log_of();
  const auto good = get(replay_cel(made.bytes)).values;
  for (std::size_t at = 0; at < made.bytes.size(); ++at) {
    const bool foreign_reason = at >= made.borders[1] - 25 && at < made.borders[1];
    if (foreign_reason) continue;
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto changed = made.bytes;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ 1U << bit);
      const auto replayed = replay_cel(ExactBuffer(changed).view());
      EXPECT_TRUE(!replayed.ok() || replayed->values != good || foreign_events(changed) == 2) << at;
    }
  }
}

TEST(Cel, AChangedContentIsToldAsSuch) {
  auto made = log_of();
  made.bytes.back() ^= 1;
  const auto replayed = replay_cel(made.bytes);
  ASSERT_FALSE(replayed.ok());
  EXPECT_EQ(replayed.error().kind(), ErrorKind::unverified);
  EXPECT_NE(replayed.error().message().find(
                "record 6 at offset " + std::to_string(made.borders[6]) + ": its digest of sha1"),
            std::string::npos);
}

TEST(Cel, RecordsFollowOneAnother) {
  const auto made = log_of();
  const auto without = [&](std::size_t record) {
    auto bytes = made.bytes;
    const auto at = [&](std::size_t i) {
      return bytes.begin() + static_cast<std::ptrdiff_t>(made.borders[i]);
    };
    bytes.erase(at(record), at(record + 1));
    return refusal(bytes);
  };
  EXPECT_NE(without(0).find("it has the number 1"), std::string::npos);
  EXPECT_NE(without(3).find("record 3 at offset"), std::string::npos);
  const auto followed_by = [&](const CelRegister& of, std::span<const HashAlgorithm> in) {
    auto bytes = made.bytes;
    const auto more = get(write_cel_record(7, of, in, CelEvent::drift, bytes_of("x")));
    bytes.insert(bytes.end(), more.begin(), more.end());
    return refusal(bytes);
  };
  EXPECT_EQ(followed_by(pcr_15, banks), "");
  EXPECT_NE(followed_by({CelRegister::Kind::pcr, 14}, banks).find("another register"),
            std::string::npos);
  EXPECT_NE(followed_by(pcr_15, std::span(banks).first(1)).find("no digest of sha256"),
            std::string::npos);
  EXPECT_NE(followed_by(pcr_15, std::span(banks).last(1)).find("no digest of sha1"),
            std::string::npos);
  constexpr std::array three{HashAlgorithm::sha1, HashAlgorithm::sha256, HashAlgorithm::sha384};
  EXPECT_NE(followed_by(pcr_15, three).find("more digests"), std::string::npos);
}

TEST(Cel, RefusesWhatNobodyMayWrite) {
  const auto refused = [](const CelRegister& of, std::span<const HashAlgorithm> in, CelEvent event,
                          const Bytes& content) {
    const auto written = write_cel_record(0, of, in, event, content);
    return written.ok() ? "" : written.error().message();
  };
  const auto pcr = [&](std::uint32_t number) {
    return refused({CelRegister::Kind::pcr, number}, banks, CelEvent::drift, bytes_of("x"));
  };
  for (const std::uint32_t good : {0U, 8U, 16U, 23U}) EXPECT_EQ(pcr(good), "");
  for (const std::uint32_t bad : {17U, 22U, 24U, 256U + 15U}) EXPECT_NE(pcr(bad), "") << bad;
  const CelRegister nv{CelRegister::Kind::nv_index, 0x01d10240};
  EXPECT_NE(refused(nv, banks, CelEvent::drift, bytes_of("x")), "");
  EXPECT_EQ(refused(nv, std::span(banks).last(1), CelEvent::drift, bytes_of("x")), "");
  EXPECT_NE(
      refused({nv.kind, 0x02000000}, std::span(banks).last(1), CelEvent::drift, bytes_of("x")), "");
  const auto content = [&](CelEvent event, const Bytes& bytes) {
    return refused(pcr_15, banks, event, bytes);
  };
  EXPECT_NE(content(CelEvent::drift, {}), "");
  EXPECT_EQ(content(CelEvent::drift, Bytes(1024, 'x')), "");
  EXPECT_NE(content(CelEvent::drift, Bytes(1025, 'x')), "");
  EXPECT_NE(content(CelEvent::drift, bytes_of("two\nlines")), "");
  EXPECT_NE(content(CelEvent::certificate_valid, Bytes(31)), "");
  EXPECT_EQ(content(CelEvent::measured, Bytes(32)), "");
  EXPECT_NE(content(CelEvent::measured, bytes_of("text")), "");
  EXPECT_NE(content(static_cast<CelEvent>(9), Bytes(32)), "");
  EXPECT_NE(content(CelEvent::foreign, bytes_of("x")), "");
  EXPECT_NE(refused(pcr_15, {}, CelEvent::drift, bytes_of("x")), "");
  constexpr std::array reversed{HashAlgorithm::sha256, HashAlgorithm::sha1};
  EXPECT_NE(refused(pcr_15, reversed, CelEvent::drift, bytes_of("x")), "");
}

// What the reader refuses by itself: the same records, a byte of the first changed.
TEST(Cel, RefusesWhatNobodyMayHaveWritten) {
  constexpr std::array one{HashAlgorithm::sha256};
  const auto good = get(write_cel_record(0, pcr_15, one, CelEvent::drift, bytes_of("hi")));
  const auto with = [&](std::size_t at, std::uint8_t byte) {
    auto changed = good;
    changed[at] = byte;
    return refusal(changed);
  };
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_EQ(with(0, 0), "");
  EXPECT_TRUE(has(with(0, 4), "a field of type 4 where the record's number, type 0, belongs"));
  EXPECT_TRUE(has(with(4, 7), "its number has not 8 bytes"));
  EXPECT_TRUE(has(with(3, 9), "of 2312 bytes, at most 2048"));
  EXPECT_TRUE(has(with(12, 1), "it has the number 1"));
  EXPECT_TRUE(has(with(18, 17), "a log is of PCR 0 to 16 or 23"));
  EXPECT_TRUE(has(with(24, 0x27), "hash algorithm 39 is not known here"));
  EXPECT_TRUE(has(with(24, 0x0c), "no digest of sha384"));
  EXPECT_TRUE(has(with(28, 0x21), "a digest goes beyond its field"));
  EXPECT_TRUE(has(with(61, 4), "a field of type 4 where the content, type 197, belongs"));
  EXPECT_TRUE(has(with(66, 9), "an event of no known type"));
  EXPECT_TRUE(has(with(66, 1), "the digest has not 32 bytes"));
  EXPECT_TRUE(has(with(70, 1), "its content is not one event"));
  EXPECT_TRUE(has(with(71, '\n'), "printable ASCII"));
  EXPECT_TRUE(has(refusal({}), "it is empty"));
}

}  // namespace
