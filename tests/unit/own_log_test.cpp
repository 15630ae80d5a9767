// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/own_log.h"

#include "tests/unit/power_cut.h"
#include "tests/unit/sealing.h"
#include "tests/unit/temporary_directory.h"

namespace {

using cs::ErrorKind;
using cs::Result;
using cs::test::FailingDisk;
using cs::test::get;
using cs::test::PowerCut;
using cs::test::TemporaryDirectory;
using cs::test::view_of;
using cs::tpm::CelEvent;
using cs::tpm::Digest;
using cs::tpm::ExtendIndex;
using cs::tpm::ForeignEvent;
using cs::tpm::HashAlgorithm;
using cs::tpm::OwnIndex;
using cs::tpm::OwnLog;
using cs::tpm::OwnPcr;
using cs::tpm::OwnRegister;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class OwnLogTest : public cs::test::SealingTest {
 protected:
  // PCR 23, which can be reset without a reboot.
  Result<OwnLog> open(const std::vector<ForeignEvent>& explained = {}) {
    return OwnLog::open(device, own(), {.directory = directory->path()}, explained);
  }
  std::string refusal(const std::vector<ForeignEvent>& explained = {}) {
    const auto log = open(explained);
    return log.ok() ? "opened" : log.error().message();
  }
  Result<void> append(OwnLog& log, std::string_view text) {
    return log.append(device, CelEvent::healing, view_of(text));
  }
  // The texts of the log, once it is sure that they are what was extended.
  std::vector<std::string> logged(const OwnLog& log) {
    const auto bytes = get(log.read());
    std::vector<std::string> texts;
    if (bytes.empty()) {
      EXPECT_EQ(get(own().read(device)),
                std::vector<Digest>(own().banks().begin(), own().banks().end()));
      return texts;
    }
    EXPECT_EQ(get(cs::tpm::replay_cel(bytes)).values, get(own().read(device)));
    auto reader = get(cs::tpm::CelLog::open(bytes));
    cs::tpm::CelRecord record;
    while (get(reader.next(record))) texts.push_back(cs::test::text_of(record.content));
    return texts;
  }
  [[nodiscard]] std::string path() const {
    return directory->file("pcr-23." + std::to_string(device.generation().clock.reset_count) +
                           ".cel");
  }
  virtual OwnRegister& own() { return pcr; }
  virtual void reset_register() { get(reset_pcr(device, 23)); }
  void next_round() {
    directory.emplace();
    reset_register();
  }
  void kill_it_anywhere();

  std::optional<TemporaryDirectory> directory{std::in_place};
  OwnPcr pcr{23, {HashAlgorithm::sha256, HashAlgorithm::sha1}};
};

TEST_F(OwnLogTest, WhatIsAppendedIsInLogAndRegister) {
  {
    OwnLog log = get(open());
    EXPECT_TRUE(logged(log).empty());
    get(append(log, "one"));
    get(append(log, "two"));
    EXPECT_EQ(logged(log), (std::vector<std::string>{"one", "two"}));
  }
  OwnLog log = get(open());
  get(append(log, "three"));
  EXPECT_EQ(logged(log), (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(log.records(), 3U);
  EXPECT_EQ(log.values(), get(pcr.read(device)));
}

TEST_F(OwnLogTest, ThereIsOneWriter) {
  const OwnLog log = get(open());
  const auto second = open();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
}

// What is lost, and when: every byte, every command, before it and after it.
void OwnLogTest::kill_it_anywhere() {
  const std::vector<std::string> events{"one", "two"};
  bool all = false;
  std::size_t completed = 0;
  for (std::size_t after = 0; !all; ++after) {
    bool at_command = false;
    for (const bool answered : {false, true}) {
      if (answered && !at_command) continue;
      next_round();
      PowerCut power(after);
      FailingDisk disk(power, 1);
      tap.decide(cut_at(power, answered));
      std::size_t done = 0;
      {
        auto log = OwnLog::open(device, own(), {.directory = directory->path(), .disk = &disk});
        for (const auto& event : events) done += log.ok() && append(*log, event).ok() ? 1U : 0U;
      }
      all = !power.over();
      at_command = power.at_command;
      tap.decide({});
      get(device.recover());
      auto log = open();
      ASSERT_TRUE(log.ok()) << after << ": " << log.error().message();
      auto texts = logged(*log);
      ASSERT_TRUE(texts.size() >= done && texts.size() <= events.size()) << after;
      completed += texts.size() - done;
      ASSERT_TRUE(std::equal(texts.begin(), texts.end(), events.begin())) << after;
      get(append(*log, "after"));
      texts.emplace_back("after");
      ASSERT_EQ(logged(*log), texts) << after;
    }
  }
  EXPECT_GT(completed, 1U);
}

TEST_F(OwnLogTest, WhereverItIsKilledLogAndRegisterAgree) {
  kill_it_anywhere();
}

TEST_F(OwnLogTest, AnErrorClosesItUntilItIsOpenedAnew) {
  {
    OwnLog log = get(open());
    get(append(log, "one"));
    EXPECT_EQ(append(log, "\n").error().kind(), ErrorKind::invalid);
    get(append(log, "two"));
    tap.decide([](unsigned /*number*/, cs::ByteView /*command*/) {
      return cs::test::Fate{cs::test::Fate::Kind::break_before};
    });
    EXPECT_FALSE(append(log, "three").ok());
    tap.decide({});
    get(device.recover());
    EXPECT_EQ(append(log, "four").error().kind(), ErrorKind::closed);
  }
  EXPECT_EQ(logged(get(open())), (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(OwnLogTest, WhatOthersExtendIsRefusedWithBothValues) {
  OwnLog log = get(open());
  get(append(log, "one"));
  extend(23, 5);
  const auto refused = append(log, "two");
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(contains(refused.error().message(), "by its log it is sha1:"));
  EXPECT_TRUE(contains(refused.error().message(), "reboot needed"));
  { const OwnLog closed = std::move(log); }
  const std::string why = refusal();
  EXPECT_TRUE(contains(why, "PCR 23 is sha1:") && contains(why, "reboot needed")) << why;
}

TEST_F(OwnLogTest, WhatTheyExtendBeforeMustBeExplained) {
  const Digest sha1(HashAlgorithm::sha1, 1);
  const Digest sha256(HashAlgorithm::sha256, 1);
  get(extend_pcr(device, 23, {sha1, sha256}));
  EXPECT_TRUE(contains(refusal(), "nothing explains what somebody extended it with"));
  const ForeignEvent phase{"systemd: sysinit", {sha1, sha256}};
  EXPECT_TRUE(contains(refusal({{"another", {sha1, Digest(HashAlgorithm::sha256, 2)}}}), "reboot"));
  {
    // As far as it has happened: the second phase has not.
    OwnLog log = get(open({phase, phase}));
    get(append(log, "one"));
  }
  EXPECT_EQ(logged(get(open({phase, phase}))),
            (std::vector<std::string>{"systemd: sysinit", "one"}));
  EXPECT_TRUE(contains(refusal(), "a foreign event, record 0, that nobody has explained"));
}

TEST_F(OwnLogTest, ALogThatWasChangedIsRefused) {
  {
    OwnLog log = get(open());
    get(append(log, "one"));
    get(append(log, "two"));
    get(append(log, "three"));
  }
  std::ifstream file(path(), std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(file), {});
  const std::string name = path().substr(directory->path().size() + 1);
  // Of the last record nothing or all may be there; nothing else may be missing.
  for (std::size_t size = 0; size < whole.size(); ++size) {
    directory->write(name, whole.substr(0, size));
    ASSERT_NE(refusal(), "opened") << size;
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] ^= 1;
    directory->write(name, changed);
    ASSERT_NE(refusal(), "opened") << i;
  }
  // Torn after what is in the register: that was never extended.
  const auto next =
      get(write_cel_record(3, pcr.of(), pcr.banks(), CelEvent::healing, view_of("four")));
  for (const std::size_t size : {std::size_t{1}, std::size_t{50}, next.size() - 1}) {
    directory->write(name, whole + cs::test::text_of(cs::ByteView(next).first(size)));
    EXPECT_EQ(logged(get(open())), (std::vector<std::string>{"one", "two", "three"}));
  }
}

TEST_F(OwnLogTest, EachBootHasItsOwnAndFewOldOnesAreKept) {
  std::string oldest;
  for (int boot = 0; boot < 6; ++boot) {
    {
      OwnLog log = get(open());
      if (boot == 0) oldest = path();
      get(append(log, "boot " + std::to_string(boot)));
      swtpm->kill();
      EXPECT_FALSE(append(log, "never").ok());
    }
    get(swtpm->power_on());
    get(device.recover());
  }
  EXPECT_TRUE(logged(get(open())).empty());
  EXPECT_FALSE(std::filesystem::exists(oldest));
  std::size_t logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory->path())) {
    logs += entry.path().extension() == ".cel" ? 1U : 0U;
  }
  EXPECT_EQ(logs, 5U);
}

// In an extend index instead of a PCR.
class OwnIndexLogTest : public OwnLogTest {
 protected:
  static constexpr std::uint32_t number = ExtendIndex::first;
  static void SetUpTestSuite() {
    OwnLogTest::SetUpTestSuite();
    get(swtpm->tool({"tpm2_changeauth", "-c", "owner", "of the owner"}));
  }
  OwnIndexLogTest() { get(ExtendIndex::define(device, session, number, writer, owner)); }
  void TearDown() override {
    OwnLogTest::TearDown();
    get(ExtendIndex::undefine(device, session, number, owner));
  }
  OwnRegister& own() override { return index; }
  void reset_register() override {
    get(ExtendIndex::undefine(device, session, number, owner));
    get(ExtendIndex::define(device, session, number, writer, owner));
  }

  const cs::tpm::Auth owner = cs::test::auth_of("of the owner");
  const cs::tpm::Auth writer = cs::test::auth_of("of the writer");
  cs::tpm::SaltedSession session{cs::tpm::storage_root_key(owner)};
  OwnIndex index{ExtendIndex(number, writer), session};
};

TEST_F(OwnIndexLogTest, WhereverItIsKilledLogAndRegisterAgree) {
  kill_it_anywhere();
}

TEST_F(OwnIndexLogTest, WhatItsOwnersOtherProgramsExtendIsRefused) {
  OwnLog log = get(open());
  get(append(log, "one"));
  get(index.extend(device, {Digest(HashAlgorithm::sha256, 5)}));
  const auto refused = append(log, "two");
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(contains(refused.error().message(), "NV index 0x01d10225 is sha256:"));
  EXPECT_TRUE(contains(refused.error().message(), "reboot needed"));
}

TEST_F(OwnIndexLogTest, BeginsAnewWithEachBoot) {
  {
    OwnLog log = get(open());
    get(append(log, "before"));
    swtpm->kill();
    EXPECT_FALSE(append(log, "never").ok());
  }
  get(swtpm->power_on());
  get(device.recover());
  OwnLog log = get(open());
  EXPECT_TRUE(logged(log).empty());
  get(append(log, "after"));
  EXPECT_EQ(logged(log), std::vector<std::string>{"after"});
}

}  // namespace
