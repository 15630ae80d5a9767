// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/boot_log.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/boot_logs.h"
#include "tests/unit/count_allocations.h"
#include "tests/unit/exact_buffer.h"

namespace {

using cs::test::BootLogMaker;
using cs::test::Bytes;
using cs::test::bytes_of;
using cs::test::ExactBuffer;
using cs::test::get;
using cs::test::small_boot_log;
using cs::tpm::BootEvent;
using cs::tpm::BootLog;
using cs::tpm::BootReplay;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::PcrValues;
using cs::tpm::replay_boot_log;
using Kind = cs::tpm::Divergence::Kind;
using Type = cs::tpm::BootEventType;

std::string pcr(const BootReplay& replayed, std::uint32_t index,
                HashAlgorithm bank = HashAlgorithm::sha256) {
  const auto* const value = replayed.values.find(bank, index);
  return value == nullptr ? "" : value->hex();
}

std::string refusal(const Bytes& log) {
  const auto replayed = replay_boot_log(ExactBuffer(log).view());
  return replayed.ok() ? "" : replayed.error().message();
}

// The one verdict on a register that should be `value`.
std::optional<cs::tpm::Divergence> judge(const Bytes& log, std::uint32_t index,
                                         const Digest& value) {
  PcrValues expected;
  get(expected.set(index, value));
  const auto verdicts = get(compare(log, get(replay_boot_log(log)), expected));
  EXPECT_EQ(verdicts.size(), 1U);
  return verdicts.front().divergence;
}

Digest replayed_value(const Bytes& log, std::uint32_t index) {
  return *get(replay_boot_log(log)).values.find(HashAlgorithm::sha256, index);
}

TEST(BootLog, ReplaysToWhatTheTpmHolds) {
  // The values are those of an independent program: h(h(h(0 ‖ H("one")) ‖ H(0000)) ‖ H("blob")).
  const auto replayed = get(replay_boot_log(small_boot_log().bytes));
  EXPECT_TRUE(replayed.agile);
  EXPECT_EQ(replayed.events, 6U);
  EXPECT_EQ(pcr(replayed, 0), "dbc77531cae2fd00fb06926ba95f6f8416092e5ef3aa95e381ef582c4899d77b");
  EXPECT_EQ(pcr(replayed, 0, HashAlgorithm::sha1), "8dfba505abdf36fdb79acccbcea1aa9287423f3b");
  EXPECT_EQ(pcr(replayed, 7), "5aa36f6569b172fdfdc14af609eb2b1da3edde74d354bb92a89ef07ea868ed8e");
  EXPECT_EQ(pcr(replayed, 1), "");
}

TEST(BootLog, HasItsOldForm) {
  auto log = BootLogMaker::old_form();
  log.add(0, Type::s_crtm_version, "one").add(0, Type::separator, {"\0\0\0\0", 4});
  log.add(0, Type::efi_platform_firmware_blob, "blob");
  const auto replayed = get(replay_boot_log(log.bytes));
  EXPECT_FALSE(replayed.agile);
  EXPECT_EQ(replayed.events, 3U);
  EXPECT_EQ(pcr(replayed, 0, HashAlgorithm::sha1), "8dfba505abdf36fdb79acccbcea1aa9287423f3b");
  EXPECT_EQ(pcr(replayed, 0), "");
}

TEST(BootLog, PassesOverAlgorithmsItDoesNotKnow) {
  auto log = BootLogMaker::agile({{0x0027, 32}, {0x000b, 32}, {0x7777, 5}});
  log.add(0, Type::s_crtm_version, "one").add(0, Type::separator, {"\0\0\0\0", 4});
  log.add(0, Type::efi_platform_firmware_blob, "blob");
  const auto replayed = get(replay_boot_log(log.bytes));
  EXPECT_EQ(pcr(replayed, 0), "dbc77531cae2fd00fb06926ba95f6f8416092e5ef3aa95e381ef582c4899d77b");
  EXPECT_EQ(replayed.values.banks().size(), 1U);
}

TEST(BootLog, TellsEventsWithoutAllocating) {
  const auto made = small_boot_log();
  auto log = get(BootLog::open(made.bytes));
  const auto before = cs::test::allocations();
  BootEvent event;
  std::size_t count = 0;
  while (get(log.next(event))) {
    ASSERT_LT(count, made.borders.size());
    ASSERT_EQ(event.number, count);
    ASSERT_EQ(event.offset, made.borders[count]);
    ++count;
  }
  EXPECT_EQ(cs::test::allocations(), before);
  EXPECT_EQ(count, made.borders.size());
  EXPECT_EQ(event.type, Type::efi_platform_firmware_blob);
  EXPECT_EQ(Bytes(event.data.begin(), event.data.end()), bytes_of("blob"));
}

TEST(BootLog, StartsPcr0WhereTheLogSays) {
  const auto at = [](char locality) {
    auto log = BootLogMaker::agile({{0x000b, 32}});
    log.add(0, Type::no_action, std::string("StartupLocality") + '\0' + locality);
    log.add(0, Type::separator, {"\0\0\0\0", 4}).add(1, Type::separator, {"\0\0\0\0", 4});
    return log.bytes;
  };
  auto plain = BootLogMaker::agile({{0x000b, 32}});
  plain.add(0, Type::separator, {"\0\0\0\0", 4}).add(1, Type::separator, {"\0\0\0\0", 4});
  const auto none = get(replay_boot_log(plain.bytes));
  EXPECT_EQ(pcr(get(replay_boot_log(at(0))), 0), pcr(none, 0));
  const auto three = get(replay_boot_log(at(3)));
  EXPECT_EQ(pcr(three, 0), "50bd7d88f0414b40608f8ffc56fd4f3201b5ed0644e36b8128d33624ebe0f053");
  EXPECT_EQ(pcr(three, 1), pcr(none, 1));
  EXPECT_NE(refusal(at(5)).find("event 1 at offset"), std::string::npos) << refusal(at(5));

  auto late = small_boot_log();
  late.add(0, Type::no_action, std::string("StartupLocality") + '\0' + '\3');
  EXPECT_NE(refusal(late.bytes).find("after PCR 0 was extended"), std::string::npos);
}

TEST(BootLog, AnHcrtmStartsPcr0AtLocality4) {
  const auto log = [](bool told) {
    auto made = BootLogMaker::agile();
    if (told) made.add(0, Type::no_action, std::string("StartupLocality") + '\0' + '\4');
    return made.add(0, Type::efi_hcrtm_event, "HCRTM").bytes;
  };
  EXPECT_EQ(pcr(get(replay_boot_log(log(false))), 0), pcr(get(replay_boot_log(log(true))), 0));
  EXPECT_EQ(get(replay_boot_log(log(false))).locality, 4);
}

TEST(BootLog, NoActionExtendsNothing) {
  auto log = small_boot_log();
  log.add(0, Type::no_action, "a reference").add(0xffffffff, Type::no_action, "NV");
  EXPECT_EQ(pcr(get(replay_boot_log(log.bytes)), 0),
            "dbc77531cae2fd00fb06926ba95f6f8416092e5ef3aa95e381ef582c4899d77b");
}

TEST(BootLog, ZerosMayFollowAndNothingElse) {
  auto padded = small_boot_log().bytes;
  padded.resize(padded.size() + 4096);
  EXPECT_EQ(get(replay_boot_log(padded)).events, 6U);
  padded.back() = 1;
  EXPECT_NE(refusal(padded), "");
  auto filled = small_boot_log().bytes;
  filled.resize(filled.size() + 64, 0xff);
  EXPECT_NE(refusal(filled), "");
}

TEST(BootLog, CutAnywhereItIsRefusedOrAPrefix) {
  const auto made = small_boot_log();
  for (std::size_t size = 0; size < made.bytes.size(); ++size) {
    const Bytes cut(made.bytes.begin(), made.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const auto replayed = replay_boot_log(ExactBuffer(cut).view());
    if (!replayed.ok()) {
      EXPECT_NE(replayed.error().message().find("boot log"), std::string::npos);
      continue;
    }
    // As many events as lie in it whole, and behind them nothing but zeros.
    const auto whole = std::upper_bound(made.borders.begin(), made.borders.end(), size) - 1;
    EXPECT_EQ(replayed->events, static_cast<std::size_t>(whole - made.borders.begin())) << size;
    for (std::size_t i = *whole; i < size; ++i) EXPECT_EQ(cut[i], 0);
  }
}

TEST(BootLog, EachBitOfADigestMatters) {
  const auto made = small_boot_log();
  const auto good = get(replay_boot_log(made.bytes)).values.text();
  for (std::size_t event = 1; event < made.borders.size(); ++event) {
    const auto sha1 = made.borders[event] + 4 + 4 + 4 + 2;
    for (const std::size_t at : {sha1, sha1 + 19, sha1 + 20 + 2, sha1 + 20 + 2 + 31}) {
      for (int bit = 0; bit < 8; ++bit) {
        auto changed = made.bytes;
        changed[at] = static_cast<std::uint8_t>(changed[at] ^ 1U << bit);
        EXPECT_NE(get(replay_boot_log(changed)).values.text(), good) << at;
      }
    }
  }
}

TEST(BootLog, RefusesWhatContradictsItself) {
  const auto with = [](BootLogMaker::Algorithms algorithms) {
    return refusal(BootLogMaker::agile(std::move(algorithms)).bytes);
  };
  EXPECT_NE(with({}).find("0 hash algorithms"), std::string::npos);
  EXPECT_NE(with(BootLogMaker::Algorithms(9, {0x000b, 32})).find("9 hash"), std::string::npos);
  EXPECT_NE(with({{0x000b, 32}, {0x000b, 32}}).find("stated twice"), std::string::npos);
  EXPECT_NE(with({{0x000b, 20}}).find("sha256 with digests of 20 bytes"), std::string::npos);
  EXPECT_NE(with({{0x0027, 65}}).find("digests of 65 bytes"), std::string::npos);
  EXPECT_NE(with({{0x0027, 32}}).find("is known here"), std::string::npos);
  EXPECT_NE(refusal({}).find("empty"), std::string::npos);
  auto header = BootLogMaker::agile().bytes;
  header[28] = static_cast<std::uint8_t>(header[28] + 1);  // the size of its data
  header.push_back(1);
  EXPECT_NE(refusal(header).find("should end, but 1 bytes follow"), std::string::npos);
  EXPECT_NE(refusal(Bytes(100)).find("empty"), std::string::npos);

  const auto event = [](std::initializer_list<std::uint16_t> algorithms, std::uint32_t count,
                        std::uint32_t size, std::uint32_t index = 0) {
    cs::ByteBuilder raw(1024);
    raw.u32le(index).u32le(4).u32le(count);
    for (const auto number : algorithms) raw.u16le(number).zeros(number == 0x0004 ? 20 : 32);
    auto log = small_boot_log();
    return refusal(log.put(get(raw.u32le(size).zeros(4).finish("an event"))).bytes);
  };
  EXPECT_EQ(event({4, 11}, 2, 4), "");
  EXPECT_NE(event({4, 11}, 3, 4).find("3 digests"), std::string::npos);
  EXPECT_NE(event({11, 11}, 2, 4).find("two digests of hash algorithm 11"), std::string::npos);
  EXPECT_NE(event({12, 11}, 2, 4).find("12 is not one the log's header states"), std::string::npos);
  EXPECT_NE(event({4, 11}, 2, 5).find("5 bytes are wanted, 4 remain"), std::string::npos);
  EXPECT_NE(event({4, 11}, 2, 0x7fffffff).find("above the limit"), std::string::npos);
  EXPECT_NE(event({4, 11}, 2, 4, 24).find("there is no PCR 24"), std::string::npos);
}

TEST(BootLog, RefusesTooManyEventsInTime) {
  auto log = BootLogMaker::agile();
  Bytes empty_event(16);
  empty_event[4] = 3;  // EV_NO_ACTION, no digest, no data
  for (std::size_t i = 0; i < cs::tpm::most_boot_events; ++i) log.put(empty_event);
  EXPECT_NE(refusal(log.bytes).find("more than 65536 events"), std::string::npos);
  // Zeros at each border, and something at the very end: must not be looked through each time.
  auto zeros = BootLogMaker::agile().bytes;
  zeros.resize(cs::tpm::most_boot_log);
  zeros.back() = 1;
  EXPECT_NE(refusal(zeros).find("more than 65536 events"), std::string::npos);
  zeros.push_back(0);
  EXPECT_NE(refusal(zeros).find("at most 16777216"), std::string::npos);
}

TEST(BootLog, ABankThatIsNotInEachEventHasNoValues) {
  auto log = small_boot_log();
  cs::ByteBuilder raw(1024);
  raw.u32le(7).u32le(4).u32le(1).u16le(11).zeros(32).u32le(0);
  log.put(get(raw.finish("an event")));
  const auto replayed = get(replay_boot_log(log.bytes));
  ASSERT_EQ(replayed.gaps.size(), 1U);
  EXPECT_EQ(replayed.gaps[0].bank, HashAlgorithm::sha1);
  EXPECT_EQ(replayed.gaps[0].event, 6U);
  EXPECT_EQ(pcr(replayed, 0, HashAlgorithm::sha1), "");
  EXPECT_EQ(pcr(replayed, 0), "dbc77531cae2fd00fb06926ba95f6f8416092e5ef3aa95e381ef582c4899d77b");
  EXPECT_EQ(judge(log.bytes, 0, Digest(HashAlgorithm::sha1))->kind, Kind::no_bank);
}

TEST(BootLog, SaysFromWhichEventOnARegisterDiffers) {
  const auto full = small_boot_log();
  const auto cut_at = [&](std::size_t event) {
    const auto end = full.bytes.begin() + static_cast<std::ptrdiff_t>(full.borders[event]);
    return Bytes(full.bytes.begin(), end);
  };
  EXPECT_FALSE(judge(full.bytes, 0, replayed_value(full.bytes, 0)));

  const auto longer = judge(full.bytes, 0, replayed_value(cut_at(5), 0));
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->kind, Kind::log_goes_on);
  EXPECT_EQ(longer->event, 5U);
  EXPECT_EQ(judge(full.bytes, 0, Digest(HashAlgorithm::sha256))->event, 1U);

  auto twice = cut_at(5);
  twice.insert(twice.end(), full.bytes.begin() + static_cast<std::ptrdiff_t>(full.borders[4]),
               full.bytes.end());
  const auto doubled = judge(full.bytes, 0, replayed_value(twice, 0));
  EXPECT_EQ(doubled->kind, Kind::doubled);
  EXPECT_EQ(doubled->event, 4U);
  const auto left_out = judge(twice, 0, replayed_value(full.bytes, 0));
  EXPECT_EQ(left_out->kind, Kind::left_out);
  EXPECT_EQ(left_out->event, 4U);

  const auto unknown = judge(full.bytes, 0, Digest(HashAlgorithm::sha256, 0x55));
  EXPECT_EQ(unknown->kind, Kind::unexplained);
  EXPECT_EQ(unknown->event, 1U);
  EXPECT_NE(unknown->text().find("event 1"), std::string::npos);
  EXPECT_EQ(judge(full.bytes, 10, Digest(HashAlgorithm::sha256, 0x55))->kind, Kind::no_event);
  EXPECT_FALSE(judge(full.bytes, 10, Digest(HashAlgorithm::sha256)));
  EXPECT_FALSE(judge(full.bytes, 17, Digest(HashAlgorithm::sha256, 0xff)));
  EXPECT_EQ(judge(full.bytes, 0, Digest(HashAlgorithm::sha384))->kind, Kind::no_bank);

  auto moved = BootLogMaker::agile();
  moved.add(0, Type::no_action, std::string("StartupLocality") + '\0' + '\3');
  moved.add(0, Type::s_crtm_version, "one").add(0, Type::separator, {"\0\0\0\0", 4});
  moved.add(0, Type::efi_platform_firmware_blob, "blob");
  const auto other = judge(full.bytes, 0, replayed_value(moved.bytes, 0));
  EXPECT_EQ(other->kind, Kind::other_start);
  EXPECT_EQ(other->locality, 3);
}

TEST(BootLog, SaysWhetherDataIsBoundToItsDigest) {
  cs::ByteBuilder variable(1024);
  variable.zeros(16).u64le(4).u64le(3).bytes(bytes_of({"B\0o\0o\0t\0", 8})).bytes(bytes_of("opt"));
  const Bytes boot = get(variable.finish("a variable"));
  auto log = BootLogMaker::agile();
  log.add(0, Type::separator, {"\0\0\0\0", 4});                                       // 1
  log.add(0, Type::separator, bytes_of("what failed"), {1, 0, 0, 0});                 // 2
  log.add(0, Type::efi_action, bytes_of("not this"), bytes_of("but this"));           // 3
  log.add(1, Type::efi_variable_boot, boot, boot);                                    // 4
  log.add(1, Type::efi_variable_boot, boot, bytes_of("opt"));                         // 5
  log.add(1, Type::efi_variable_boot, boot, bytes_of("other"));                       // 6
  log.add(1, Type::efi_variable_driver_config, boot, bytes_of("opt"));                // 7
  log.add(4, Type::efi_boot_services_application, bytes_of("path"), bytes_of("PE"));  // 8
  using cs::tpm::Binding;
  log.add(1, Type::efi_variable_boot, bytes_of("no variable"), {});  // 9
  const std::vector<Binding> wanted{Binding::not_claimed, Binding::bound,   Binding::bound,
                                    Binding::unbound,     Binding::bound,   Binding::bound,
                                    Binding::unbound,     Binding::unbound, Binding::not_claimed,
                                    Binding::unbound};
  auto reader = get(BootLog::open(log.bytes));
  cs::tpm::BindingCheck check(reader.banks());
  BootEvent event;
  for (std::size_t i = 0; get(reader.next(event)); ++i) EXPECT_EQ(check(event), wanted.at(i)) << i;
}

TEST(BootLog, KnowsTheNamesOfEvents) {
  EXPECT_EQ(name_of(Type::efi_variable_authority), "EV_EFI_VARIABLE_AUTHORITY");
  EXPECT_EQ(name_of(Type::separator), "EV_SEPARATOR");
  EXPECT_EQ(name_of(static_cast<Type>(0x12345678)), "");
}

}  // namespace
