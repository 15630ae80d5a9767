// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/ima_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "tests/unit/count_allocations.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/ima_lists.h"
#include "tests/unit/temporary_directory.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::test::Bytes;
using cs::test::bytes_of;
using cs::test::ExactBuffer;
using cs::test::full_ima_list;
using cs::test::get;
using cs::test::ima_digest_part;
using cs::test::ImaListMaker;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::ImaEntry;
using cs::tpm::ImaField;
using cs::tpm::ImaLog;
using cs::tpm::ImaReplay;
using cs::tpm::ImaRule;
using cs::tpm::Input;
using cs::tpm::PcrValues;

constexpr std::array banks{HashAlgorithm::sha1, HashAlgorithm::sha256};

cs::Result<ImaReplay> replay(Input input, const PcrValues& expected = {}) {
  CS_TRY(ImaLog log, ImaLog::open(std::move(input)));
  ImaReplay replayed(log.listed(), banks, expected);
  ImaEntry entry;
  while (true) {
    CS_TRY(const bool more, log.next(entry));
    if (!more) return replayed;
    replayed.add(entry);
  }
}

std::string values(ByteView list, ImaRule rule = ImaRule::recomputed) {
  return get(replay(Input(list))).values(rule).text();
}

std::string refusal(const Bytes& list) {
  const ExactBuffer exact(list);
  const auto replayed = replay(Input(exact.view()));
  return replayed.ok() ? "" : replayed.error().message();
}

std::vector<ImaEntry> entries_of(ByteView list) {
  auto log = get(ImaLog::open(Input(list)));
  std::vector<ImaEntry> entries;
  ImaEntry entry;
  while (get(log.next(entry))) entries.push_back(entry);
  return entries;
}

TEST(ImaLog, ReadsWhatTheKernelWrites) {
  // The best-known line there is: the first of a machine without a TPM.
  const auto list = bytes_of(
      "10 1d8d532d463c9f8c205d0df7787669a85f93e260 ima-ng "
      "sha1:0000000000000000000000000000000000000000 boot_aggregate\n");
  auto log = get(ImaLog::open(Input(list)));
  EXPECT_TRUE(log.is_text());
  EXPECT_EQ(log.listed(), HashAlgorithm::sha1);
  ImaEntry entry;
  ASSERT_TRUE(get(log.next(entry)));
  EXPECT_EQ(entry.pcr, 10U);
  EXPECT_EQ(entry.template_name, "ima-ng");
  EXPECT_EQ(entry.name(), "boot_aggregate");
  EXPECT_FALSE(entry.is_violation);
  EXPECT_FALSE(get(log.next(entry)));
}

TEST(ImaLog, ReplaysToWhatTheTpmHolds) {
  ImaListMaker list;
  list.file("/etc/passwd").add_old(Bytes(20, 9), "/sbin/init").violation("/var/log/wtmp");
  // The values are those of an independent program.
  EXPECT_EQ(values(list.binary),
            "sha1:10=bad666a962abe24a7c1f06f4d3eb145a4aa5451a\nsha256:10="
            "90b585caaf0d5bae47d48806c04b62170cfcd90f36d7f4b540f5f8529f883268\n");
  EXPECT_EQ(values(list.binary, ImaRule::padded),
            "sha256:10=0dccfc105fc856c0724645c5cbcc1bf10d79e2d6e862c5ef11cdd47a2f94f4e7\n");
}

TEST(ImaLog, BothFormsAreTheSameList) {
  for (const auto listed : {HashAlgorithm::sha1, HashAlgorithm::sha256, HashAlgorithm::sha384,
                            HashAlgorithm::sha512, HashAlgorithm::sm3_256}) {
    const auto list = full_ima_list(listed);
    EXPECT_EQ(get(ImaLog::open(Input(list.binary))).listed(), listed);
    EXPECT_EQ(get(ImaLog::open(Input(bytes_of(list.text)))).listed(), listed);
    EXPECT_EQ(values(list.binary), values(bytes_of(list.text)));
    EXPECT_EQ(values(list.binary), values(full_ima_list().binary));
    EXPECT_EQ(values(list.binary, ImaRule::padded).empty(), listed != HashAlgorithm::sha1);
  }
}

TEST(ImaLog, TellsTheFieldsOfEachTemplate) {
  const auto list = full_ima_list();
  const auto entries = entries_of(list.binary);
  ASSERT_EQ(entries.size(), list.borders.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].offset, list.borders[i]);
    EXPECT_EQ(entries[i].number, i);
    EXPECT_EQ(entries[i].is_violation, i == 3);
    EXPECT_EQ(entries[i].pcr, i == 11 ? 9U : 10U);
    EXPECT_NE(entries[i].template_name, "");
  }
  EXPECT_EQ(entries[4].name(), "/usr/bin/a_file");
  EXPECT_EQ(get(ImaLog::open(Input(list.binary))).is_text(), false);
  const auto field = [&](std::size_t i, ImaField wanted) {
    const auto found = entries[i].find(wanted);
    return found ? Bytes(found->begin(), found->end()) : bytes_of("none");
  };
  EXPECT_EQ(field(4, ImaField::sig), Bytes({3, 2, 4, 0xff}));
  EXPECT_EQ(field(5, ImaField::sig), Bytes());
  EXPECT_EQ(field(2, ImaField::sig), bytes_of("none"));
  EXPECT_EQ(field(8, ImaField::buf), bytes_of("ro quiet"));
  EXPECT_EQ(field(10, ImaField::igid), Bytes({0xe8, 3, 0, 0}));
  const auto digest = ima_digest(ImaField::d_ngv2, *entries[6].find(ImaField::d_ngv2));
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->type, "verity");
  EXPECT_EQ(digest->algorithm, "sha256");
  EXPECT_EQ(Bytes(digest->digest.begin(), digest->digest.end()), Bytes(32, 2));
  EXPECT_FALSE(ima_digest(ImaField::sig, *entries[4].find(ImaField::sig)));
  EXPECT_FALSE(ima_digest(ImaField::d_ng, bytes_of("sha256")));
}

TEST(ImaLog, FindsTheOldNameToo) {
  ImaListMaker list;
  list.add_old(Bytes(20, 9), "/sbin/init");
  auto log = get(ImaLog::open(Input(list.binary)));
  ImaEntry entry;
  ASSERT_TRUE(get(log.next(entry)));
  EXPECT_EQ(entry.name(), "/sbin/init");
  EXPECT_EQ(ima_digest(ImaField::d, *entry.find(ImaField::d))->algorithm, "sha1");
}

TEST(ImaLog, CutAnywhereItIsRefusedOrAPrefix) {
  const auto list = full_ima_list();
  for (std::size_t size = 0; size < list.binary.size(); ++size) {
    const ExactBuffer cut(ByteView(list.binary).first(size));
    const auto replayed = replay(Input(cut.view()));
    const auto border = std::ranges::find(list.borders, size);
    const bool whole = size > 0 && border != list.borders.end();
    ASSERT_EQ(replayed.ok(), whole) << size;
    if (!whole) {
      EXPECT_EQ(replayed.error().kind(), ErrorKind::truncated);
      continue;
    }
    EXPECT_EQ(replayed->entries(), static_cast<std::size_t>(border - list.borders.begin()));
  }
  const auto text = bytes_of(list.text);
  for (std::size_t size = 0; size < text.size(); ++size) {
    const ExactBuffer cut(ByteView(text).first(size));
    EXPECT_EQ(replay(Input(cut.view())).ok(), size > 0 && text[size - 1] == '\n') << size;
  }
}

TEST(ImaLog, EachBitMattersButOfAViolation) {
  const auto list = full_ima_list();
  const auto good = values(list.binary);
  for (std::size_t at = 0; at < list.binary.size(); ++at) {
    if (at >= list.borders[3] + 24 && at < list.borders[4]) continue;  // no hash covers its data
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto changed = list.binary;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ 1U << bit);
      const ExactBuffer exact(changed);
      const auto replayed = replay(Input(exact.view()));
      if (!replayed.ok()) continue;
      EXPECT_NE(replayed->values(ImaRule::recomputed).text(), good) << at;
    }
  }
}

TEST(ImaLog, AChangedEntryIsToldAsSuch) {
  auto list = full_ima_list();
  list.binary[list.borders[2] + 60] ^= 1;
  const auto replayed = replay(Input(list.binary));
  ASSERT_FALSE(replayed.ok());
  EXPECT_EQ(replayed.error().kind(), ErrorKind::unverified);
  EXPECT_NE(replayed.error().message().find("entry 2 at offset " + std::to_string(list.borders[2]) +
                                            ": its template hash"),
            std::string::npos)
      << replayed.error().message();
}

TEST(ImaLog, RefusesWhatItCannotRead) {
  const auto behind = [](auto&& change) {
    ImaListMaker list;
    list.file("/etc/passwd");
    change(list);
    return refusal(list.binary);
  };
  const auto raw = [&](std::uint32_t pcr, std::string_view form, std::uint32_t size) {
    return behind([&](ImaListMaker& list) {
      cs::ByteBuilder entry(4096);
      entry.u32le(pcr).zeros(20).vec32le(bytes_of(form)).u32le(size).zeros(8);
      const Bytes made = get(entry.finish("an entry"));
      list.binary.insert(list.binary.end(), made.begin(), made.end());
    });
  };
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(refusal({}), "it is empty"));
  EXPECT_TRUE(has(raw(10, "", 8), "name of 0 bytes"));
  EXPECT_TRUE(has(raw(10, std::string(256, 'n'), 8), "name of 256 bytes"));
  EXPECT_TRUE(has(raw(10, "ima-new", 8), "'ima-new' has fields not known here"));
  EXPECT_TRUE(has(raw(10, "d-ng|n-ng|", 8), "not known here"));
  EXPECT_TRUE(has(raw(10, "ima-ng", 524289), "524289 bytes of data, at most 524288"));
  EXPECT_TRUE(has(raw(10, "ima-ng", 9), "ends within its data"));
  EXPECT_TRUE(has(raw(10, "ima-ng", 8), "a name does not end where its field does"));
  EXPECT_TRUE(has(raw(10, "sig", 8), "goes on after its fields"));
  EXPECT_TRUE(has(raw(10, "sig|sig|sig", 8), "ends before its fields"));
  EXPECT_TRUE(has(raw(24, "sig|sig", 8), "there is no PCR 24"));
  EXPECT_EQ(raw(23, "sig|sig", 8), "");
  EXPECT_TRUE(
      has(behind([](ImaListMaker& list) {
            list.add("ima-ng", {ima_digest_part("sha256:", Bytes(32)), {{'a', 0, 'b', 0}, ""}});
          }),
          "a name does not end where its field does"));
}

TEST(ImaLog, RefusesTextItCannotRead) {
  const std::string first = ImaListMaker().file("/etc/passwd").text;
  const auto behind = [&](const std::string& line) { return refusal(bytes_of(first + line)); };
  const std::string zeros(40, '0');
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_EQ(behind("10 " + zeros + " ima-ng sha1:00 /a\n"), "");  // a violation
  EXPECT_TRUE(has(behind("\n"), "does not begin with the number of a PCR"));
  EXPECT_TRUE(has(behind("1x " + zeros + " ima-ng sha1:00 /a\n"), "number of a PCR"));
  EXPECT_TRUE(has(behind("24 " + zeros + " ima-ng sha1:00 /a\n"), "there is no PCR 24"));
  EXPECT_TRUE(has(behind("10 " + zeros + "00 ima-ng sha1:00 /a\n"), "no template hash of sha1"));
  EXPECT_TRUE(has(behind("10 " + zeros + " ima-ng sha1:00 /a b\n"), "the fields of ima-ng"));
  EXPECT_TRUE(has(behind("10 " + zeros + " ima-ng sha1:00\n"), "the fields of ima-ng"));
  EXPECT_TRUE(has(behind("10 " + zeros + " ima-ng sha1:0 /a\n"), "the fields of ima-ng"));
  EXPECT_TRUE(has(behind("10 " + zeros + " ima-ng sha1-00 /a\n"), "the fields of ima-ng"));
  EXPECT_TRUE(has(behind("10 " + zeros + " ima 00 /a\n"), "the fields of ima"));
  EXPECT_TRUE(has(behind("10 " + zeros + " iuid 4294967296\n"), "the fields of iuid"));
  EXPECT_TRUE(has(behind(std::string(2 << 20, '1')), "a line of more than"));
  EXPECT_TRUE(has(behind("10 " + zeros + " sig " + std::string((2 << 19) + 2, '0') + "\n"),
                  "at most 524288"));
}

TEST(ImaLog, FindsTheStateTheRegisterIsIn) {
  const auto list = full_ima_list();
  const ByteView half = ByteView(list.binary).first(list.borders[5]);
  const auto replayed_half = get(replay(Input(half)));
  PcrValues expected = replayed_half.values(ImaRule::recomputed);
  const auto padded = replayed_half.values(ImaRule::padded);
  get(expected.set(10, *padded.find(HashAlgorithm::sha256, 10)));  // an old kernel's
  get(expected.set(9, Digest(HashAlgorithm::sha1)));
  get(expected.set(10, Digest(HashAlgorithm::sha384)));
  const auto verdicts = get(replay(Input(list.binary), expected)).verdicts();
  ASSERT_EQ(verdicts.size(), 4U);
  EXPECT_FALSE(verdicts[0].match) << "PCR 9 was extended, and is said to be as after a reset";
  ASSERT_TRUE(verdicts[1].match);
  EXPECT_EQ(verdicts[1].match->entries, 5U);
  EXPECT_EQ(verdicts[1].match->rule, ImaRule::recomputed);
  ASSERT_TRUE(verdicts[2].match);
  EXPECT_EQ(verdicts[2].bank, HashAlgorithm::sha256);
  EXPECT_EQ(verdicts[2].match->entries, 5U);
  EXPECT_EQ(verdicts[2].match->rule, ImaRule::padded);
  EXPECT_FALSE(verdicts[3].match) << "a bank that was not replayed";
}

// As a verifier does, who keeps what a list has come to and asks for the rest only.
TEST(ImaLog, GoesOnFromWhereItWas) {
  for (const auto listed : {HashAlgorithm::sha1, HashAlgorithm::sha256}) {
    const auto list = full_ima_list(listed);
    const auto whole = get(replay(Input(list.binary)));
    for (std::size_t part = 1; part <= list.borders.size(); ++part) {
      const std::size_t border =
          part < list.borders.size() ? list.borders[part] : list.binary.size();
      auto first = get(ImaLog::open(Input(ByteView(list.binary).first(border))));
      ImaReplay before(listed, banks);
      ImaEntry entry;
      while (get(first.next(entry))) before.add(entry);
      EXPECT_EQ(first.good_until(), border);

      auto rest =
          ImaLog::resume(Input(ByteView(list.binary).subspan(border)), listed, before.entries());
      ImaReplay after(listed, banks, whole.values(ImaRule::recomputed));
      after.resume(before.entries(), before.values(ImaRule::recomputed),
                   before.values(ImaRule::padded));
      while (get(rest.next(entry))) after.add(entry);
      EXPECT_EQ(after.entries(), list.borders.size());
      for (const auto rule : {ImaRule::recomputed, ImaRule::padded}) {
        EXPECT_EQ(after.values(rule).text(), whole.values(rule).text()) << part;
      }
      const auto match = after.match(HashAlgorithm::sha256, 10);
      ASSERT_TRUE(match) << part;
      EXPECT_EQ(match->entries, list.borders.size() - (part < list.borders.size() ? 1U : 0U));
    }
  }
}

TEST(ImaLog, StreamsAFileWithoutAllocating) {
  ImaListMaker list;
  for (int i = 0; i < 3000; ++i) list.file("/usr/lib/a_rather_long_name_" + std::to_string(i));
  const cs::test::TemporaryDirectory directory;
  const std::array<std::pair<std::string, std::string>, 2> forms{
      {{"binary", std::string(list.binary.begin(), list.binary.end())}, {"text", list.text}}};
  for (const auto& [name, content] : forms) {
    directory.write(name, content);
    const cs::UniqueFd fd(::open(directory.file(name).c_str(), O_RDONLY | O_CLOEXEC));
    auto log = get(ImaLog::open(Input(fd.get(), cs::tpm::most_ima_entry)));
    ImaReplay replayed(log.listed(), banks);
    ImaEntry entry;
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(get(log.next(entry)));
      replayed.add(entry);
    }
    const auto before = cs::test::allocations();
    while (get(log.next(entry))) replayed.add(entry);
    EXPECT_EQ(cs::test::allocations(), before);
    EXPECT_EQ(replayed.entries(), 3000U);
    EXPECT_EQ(replayed.values(ImaRule::recomputed).text(), values(list.binary));
  }
}

TEST(ImaLog, AFileThatCannotBeReadIsAnError) {
  const cs::test::TemporaryDirectory directory;
  const cs::UniqueFd fd(::open(directory.path().c_str(), O_RDONLY | O_CLOEXEC));
  const auto log = ImaLog::open(Input(fd.get(), cs::tpm::most_ima_entry));
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().os_error(), EISDIR);
}

}  // namespace
