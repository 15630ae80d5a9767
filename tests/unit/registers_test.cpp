// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/registers.h"

#include "tests/unit/power_cut.h"
#include "tests/unit/sealing.h"
#include "tests/unit/temporary_directory.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::Result;
using cs::keyms::Hash;
using cs::keyms::InForce;
using cs::keyms::RegisterOptions;
using cs::keyms::Registers;
using cs::test::FailingDisk;
using cs::test::get;
using cs::test::PowerCut;
using cs::test::TemporaryDirectory;
using cs::tpm::CelRegister;
using cs::tpm::Digest;
using cs::xfrm::Code;
using cs::xfrm::Difference;

using Found = std::set<Difference>;
using Texts = std::vector<std::string>;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
Hash hash(std::uint8_t fill) {
  Hash made{};
  made.fill(fill);
  return made;
}
const Difference extra{Code::policy_extra, "lan", "a policy nobody agreed"};
const Difference clear{Code::disable_policy, "", "eth0"};
const std::string extra_text = "policy-extra lan: a policy nobody agreed";

class FullDisk final : public cs::tpm::Disk {
 public:
  Result<void> write(const cs::tpm::OpenFile& file, ByteView bytes) override {
    if (full) return cs::from_errno(ENOSPC, "writing " + file.path);
    return Disk::write(file, bytes);
  }
  bool full = false;
};

class RegistersTest : public cs::test::SealingTest {
 protected:
  // Registers that can be reset without a reboot.
  RegisterOptions options(cs::tpm::Disk& disk = cs::tpm::kernel_disk()) {
    return {.static_pcr = 16,
            .events = {CelRegister::Kind::pcr, 23},
            .resettable = true,
            .place = {.directory = directory->path(), .disk = &disk}};
  }
  Result<Registers> open() { return Registers::open(device, options(), wanted); }
  // What is in a log, a line for each record, once it is sure that it was extended.
  Texts lines(std::uint32_t number, const Result<cs::tpm::Bytes>& read) {
    const auto bytes = get(read);
    cs::tpm::OwnPcr own(number, device.capabilities().banks);
    const auto found = get(own.read(device));
    Texts lines;
    if (bytes.empty()) {
      EXPECT_EQ(found, std::vector<Digest>(own.banks().begin(), own.banks().end()));
      return lines;
    }
    EXPECT_EQ(get(cs::tpm::replay_cel(bytes)).values, found);
    auto log = get(cs::tpm::CelLog::open(bytes));
    cs::tpm::CelRecord record;
    while (get(log.next(record))) {
      lines.push_back(std::string(name_of(record.event)) + " " +
                      (has_text(record.event) ? cs::test::text_of(record.content)
                                              : std::to_string(record.content[0])));
    }
    return lines;
  }
  Texts in_static(const Registers& both) { return lines(options().static_pcr, both.static_log()); }
  Texts in_events(const Registers& both) {
    return lines(options().events.number, both.event_log());
  }
  void next_round() {
    directory.emplace();
    get(reset_pcr(device, 16));
    get(reset_pcr(device, 23));
  }
  // Everything that is ever told, in order, until something fails.
  Result<void> tell_all(cs::tpm::Disk& disk) {
    CS_TRY(auto both, Registers::open(device, options(disk), wanted));
    CS_CHECK(both.measured(device, hash(7)));
    if (!both.event_story().revoked().contains(hash(5))) {
      CS_CHECK(both.certificate_valid(device, hash(5)));
    }
    CS_CHECK(both.apply(device, hash(3), {hash(1)}));
    CS_CHECK(both.as_wanted());
    CS_CHECK(both.found(device, {extra}));
    return both.certificate_revoked(device, hash(5));
  }

  std::optional<TemporaryDirectory> directory{std::in_place};
  InForce wanted{.policies = {hash(2), hash(1)}, .configuration = hash(9)};
};

const Texts begun{"core properties 1", "core properties 2", "configuration 9"};
Texts begun_and(const Texts& more) {
  Texts all = begun;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST_F(RegistersTest, TheStartIsExtendedOnceABoot) {
  for (int start = 0; start < 3; ++start) {
    const Registers both = get(open());
    get(both.as_wanted());
    EXPECT_EQ(in_static(both), begun);
    EXPECT_TRUE(in_events(both).empty());
  }
}

TEST_F(RegistersTest, WhatIsToldAgainIsExtendedOnce) {
  for (int start = 0; start < 2; ++start) {
    Registers both = get(open());
    for (int again = 0; again < 2; ++again) {
      get(both.measured(device, hash(7)));
      get(both.certificate_valid(device, hash(6)));
      if (start + again == 0) get(both.certificate_valid(device, hash(5)));
      get(both.certificate_revoked(device, hash(5)));
    }
    EXPECT_EQ(in_events(both), (Texts{"measured 7", "certificate valid 6", "certificate valid 5",
                                      "certificate revoked 5"}));
  }
  Registers both = get(open());
  EXPECT_TRUE(contains(both.certificate_valid(device, hash(5)).error().message(),
                       "it was revoked, and is so for good"));
  EXPECT_TRUE(
      contains(both.certificate_revoked(device, hash(8)).error().message(), "it was not valid"));
  get(both.measured(device, hash(8)));
  EXPECT_EQ(in_events(both).back(), "measured 8");
}

TEST_F(RegistersTest, WhatIsAwaitedIsNoDriftUnlessItStandsOpen) {
  Registers both = get(open());
  get(both.found(device, {extra, clear}, {clear}));
  const Texts told{"drift " + extra_text};
  EXPECT_EQ(in_events(both), told);
  get(both.found(device, {extra, clear}, {extra, clear}));
  EXPECT_EQ(in_events(both), told) << "what was drift is not healed by waiting for it";
  get(both.found(device, {clear}, {clear}));
  EXPECT_EQ(in_events(both), (Texts{"drift " + extra_text, "healing " + extra_text}));
  EXPECT_EQ(in_static(both), begun_and(in_events(both)));
}

TEST_F(RegistersTest, DriftAndHealingAreInBothLogs) {
  {
    Registers both = get(open());
    get(both.found(device, {extra, clear}));
    get(both.found(device, {extra, clear}));
    EXPECT_EQ(in_static(both), begun_and({"drift disable-policy: eth0", "drift " + extra_text}));
  }
  // Still so after a restart; then one has gone.
  Registers both = get(open());
  get(both.found(device, {extra, clear}));
  get(both.found(device, {extra}));
  const Texts told{"drift disable-policy: eth0", "drift " + extra_text,
                   "healing disable-policy: eth0"};
  EXPECT_EQ(in_static(both), begun_and(told));
  EXPECT_EQ(in_events(both), told);
  get(both.found(device, {}));
  get(both.found(device, {extra}));
  EXPECT_EQ(in_static(both).size(), begun.size() + told.size() + 2);
  EXPECT_TRUE(both.static_story().drifts().contains(extra_text));
  EXPECT_TRUE(both.event_story().drifts().contains(extra_text));
  EXPECT_EQ(both.event_story().healed().size(), 2U);
}

// As the daemon crashed between the two logs.
TEST_F(RegistersTest, DriftInOneLogIsBroughtToTheOther) {
  { get(open()); }
  {
    cs::tpm::OwnPcr pcr(16, device.capabilities().banks);
    auto log = get(cs::tpm::OwnLog::open(device, pcr, options().place));
    get(log.append(device, cs::tpm::CelEvent::drift, cs::test::view_of(extra_text)));
  }
  Registers both = get(open());
  get(both.found(device, {extra}));
  EXPECT_EQ(in_static(both), begun_and({"drift " + extra_text}));
  EXPECT_EQ(in_events(both), Texts{"drift " + extra_text});
}

TEST_F(RegistersTest, APlanIsAppliedOnce) {
  {
    Registers both = get(open());
    get(both.apply(device, hash(3), {hash(1)}));
    get(both.apply(device, hash(3), {hash(1)}));
    get(both.as_wanted());
    get(both.reopen(device));
    get(both.as_wanted());
    EXPECT_EQ(in_static(both), begun_and({"core properties 3"}));
  }
  wanted = {.policies = {hash(2), hash(3)}, .retired = {hash(1)}, .configuration = hash(9)};
  const Registers both = get(open());
  get(both.as_wanted());
  EXPECT_EQ(in_static(both), begun_and({"core properties 3"}));
}

TEST_F(RegistersTest, WhereTheLogSaysSomethingElseItIsTold) {
  { get(open()); }
  const auto told = [this] {
    const Registers both = get(open());
    EXPECT_EQ(in_static(both), begun);
    const auto as_wanted = both.as_wanted();
    return as_wanted.ok() ? "" : as_wanted.error().message();
  };
  EXPECT_EQ(told(), "");
  wanted.configuration = hash(8);
  EXPECT_TRUE(contains(told(),
                       "the configuration was 0909090909090909... at this boot's start, and "
                       "is 0808080808080808... now; undo the change"))
      << told();
  wanted = {.policies = {hash(1), hash(3)}, .configuration = hash(9)};
  EXPECT_TRUE(contains(told(),
                       "policy 0202020202020202... came into force in this boot, record 1, "
                       "and is not in force now; policy 0303030303030303... is in force "
                       "and was not extended in this boot; apply a plan that replaces it, "
                       "apply it as a plan, or reboot"))
      << told();
  Registers both = get(open());
  get(both.apply(device, hash(3)));
  EXPECT_TRUE(contains(both.as_wanted().error().message(), "policy 0202"));
}

// Of a boot in which not even the start was extended, as other policies were in force then.
TEST_F(RegistersTest, AnUnfinishedStartOfOtherPoliciesIsTold) {
  {
    cs::tpm::OwnPcr pcr(16, device.capabilities().banks);
    auto log = get(cs::tpm::OwnLog::open(device, pcr, options().place));
    get(log.append(device, cs::tpm::CelEvent::core_properties, hash(2)));
  }
  const Registers both = get(open());
  EXPECT_EQ(in_static(both), Texts{"core properties 2"});
  EXPECT_TRUE(contains(both.as_wanted().error().message(),
                       "the configuration was not extended in this boot"));
}

// At every write and every command, before it and after it; then all is told again.
TEST_F(RegistersTest, WhereverItIsKilledNothingIsExtendedTwice) {
  bool all = false;
  std::size_t rounds = 0;
  for (std::size_t after = 0; !all; ++after, ++rounds) {
    bool at_command = false;
    for (const bool answered : {false, true}) {
      if (answered && !at_command) continue;
      next_round();
      PowerCut power(after);
      FailingDisk disk(power, 100);
      tap.decide(cut_at(power, answered));
      all = tell_all(disk).ok();
      at_command = power.at_command;
      tap.decide({});
      get(device.recover());
      // A store that has not noted the plan yet applies it again.
      get(tell_all(cs::tpm::kernel_disk()));
      const Registers both = get(open());
      ASSERT_EQ(in_static(both), begun_and({"core properties 3", "drift " + extra_text})) << after;
      ASSERT_EQ(in_events(both), (Texts{"measured 7", "certificate valid 5", "drift " + extra_text,
                                        "certificate revoked 5"}))
          << after;
    }
  }
  EXPECT_GT(rounds, 50U);
}

TEST_F(RegistersTest, ThereIsOneDaemon) {
  const Registers both = get(open());
  const auto second = open();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
}

TEST_F(RegistersTest, WhatOthersExtendMustBeExplained) {
  std::vector<Digest> phase;
  for (const auto bank : device.capabilities().banks) phase.emplace_back(bank, 7);
  std::ranges::sort(phase, {}, &Digest::algorithm);
  get(extend_pcr(device, 23, phase));
  const auto refused = open();
  EXPECT_TRUE(contains(refused.error().message(), "nothing explains what somebody extended"));
  auto given = options();
  given.explained_events = {{"systemd: sysinit", phase}};
  {
    Registers both = get(Registers::open(device, given, wanted));
    get(both.measured(device, hash(7)));
    EXPECT_EQ(in_events(both), (Texts{"foreign event systemd: sysinit", "measured 7"}));
  }
  EXPECT_FALSE(open().ok());
  get(Registers::open(device, given, wanted));
}

TEST_F(RegistersTest, DriftThatCannotBeLoggedIsAnError) {
  FullDisk disk;
  auto both = get(Registers::open(device, options(disk), wanted));
  get(both.certificate_valid(device, hash(5)));
  disk.full = true;
  const auto failed = both.found(device, {extra});
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().os_error(), ENOSPC);
  // Nor is anything else told before it is opened anew,
  EXPECT_EQ(both.certificate_valid(device, hash(6)).error().kind(), ErrorKind::closed);
  // not even that what was told before still is so.
  EXPECT_FALSE(both.certificate_valid(device, hash(5)).ok());
  EXPECT_FALSE(both.found(device, {}).ok());
  disk.full = false;
  get(both.reopen(device));
  get(both.found(device, {extra}));
  EXPECT_EQ(in_static(both), begun_and({"drift " + extra_text}));
  EXPECT_EQ(in_events(both), (Texts{"certificate valid 5", "drift " + extra_text}));
}

// Filling the disk hides nothing.
TEST_F(RegistersTest, DriftThatCouldNotBeLoggedIsToldWhenItCan) {
  FullDisk disk;
  auto both = get(Registers::open(device, options(disk), wanted));
  disk.full = true;
  EXPECT_FALSE(both.found(device, {extra}).ok());
  EXPECT_FALSE(both.found(device, {}).ok());
  disk.full = false;
  get(both.reopen(device));
  get(both.found(device, {}));
  const Texts told{"drift " + extra_text, "healing " + extra_text};
  EXPECT_EQ(in_static(both), begun_and(told));
  EXPECT_EQ(in_events(both), told);
  get(both.found(device, {}));
  EXPECT_EQ(in_events(both), told);
}

TEST_F(RegistersTest, AFullLogSaysSoLast) {
  auto given = options();
  given.place.most = 8192;
  Registers both = get(Registers::open(device, given, wanted));
  std::uint8_t next = 1;
  auto told = both.measured(device, hash(next));
  while (told.ok() && next < 200) told = both.measured(device, hash(++next));
  EXPECT_EQ(told.error().kind(), ErrorKind::limit);
  EXPECT_TRUE(contains(told.error().message(), "reboot needed"));
  const Texts lines = in_events(both);
  EXPECT_EQ(lines.back(), "drift log-full: no event is told any more, a reboot is needed");
  for (int again = 0; again < 2; ++again) {
    // The other log takes the drift, but nobody is told that all is well.
    EXPECT_EQ(both.found(device, {extra}).error().kind(), ErrorKind::limit);
    EXPECT_EQ(both.found(device, {}).error().kind(), ErrorKind::limit);
    EXPECT_EQ(in_events(both), lines);
    get(both.reopen(device));
  }
  EXPECT_TRUE(both.static_story().drifts().contains(extra_text));
}

TEST_F(RegistersTest, AFloodOfFindingsIsCounted) {
  Registers both = get(open());
  Found flood;
  for (int i = 0; i < 100; ++i) {
    flood.insert({Code::policy_extra, "lan", "policy " + std::to_string(i)});
  }
  get(both.found(device, flood));
  get(both.found(device, flood));
  EXPECT_EQ(in_events(both).size(), cs::keyms::Findings::each_minute + 1);
  clock.advance(std::chrono::minutes(1));
  get(both.found(device, {}));
  EXPECT_TRUE(both.event_story().drifts().empty());
  EXPECT_TRUE(both.static_story().drifts().empty());
}

TEST_F(RegistersTest, WhoseRegistersTheyMayBe) {
  const auto refusal = [](std::uint32_t fixed, CelRegister events, bool resettable = false) {
    const auto checked = cs::keyms::check_registers(
        {.static_pcr = fixed, .events = events, .resettable = resettable, .place = {}});
    return checked.ok() ? "" : checked.error().message();
  };
  const auto pcr = [](std::uint32_t number) { return CelRegister{CelRegister::Kind::pcr, number}; };
  EXPECT_EQ(refusal(15, pcr(13)), "");
  EXPECT_EQ(refusal(8, pcr(9)), "");
  EXPECT_EQ(refusal(16, pcr(23), true), "");
  for (const std::uint32_t number : {0U, 7U, 10U, 16U, 17U, 22U, 23U, 24U}) {
    const bool may = number == 16 || number == 23;
    EXPECT_NE(refusal(number, pcr(13)), "") << number;
    EXPECT_NE(refusal(15, pcr(number)), "") << number;
    EXPECT_EQ(refusal(number, pcr(13), true).empty(), may) << number;
    EXPECT_EQ(refusal(15, pcr(number), true).empty(), may) << number;
  }
  EXPECT_TRUE(contains(refusal(10, pcr(13)), "PCR 10 as the static register: it is IMA's"));
  EXPECT_TRUE(contains(refusal(15, pcr(16)), "root can reset it"));
  EXPECT_TRUE(contains(refusal(15, pcr(15)), "it is the static register already"));
  EXPECT_TRUE(contains(refusal(15, {CelRegister::Kind::nv_index, 0x01c00002}), "none of ours"));
}

// PCRs that only a reset of the TPM sets back.
class RebootTest : public RegistersTest {
 protected:
  RegisterOptions options() { return {.place = {.directory = directory->path()}}; }
  Registers start() { return get(Registers::open(device, options(), wanted)); }
  void SetUp() override { reboot(); }
  void reboot() {
    swtpm->kill();
    EXPECT_FALSE(read_pcrs(device, registers).ok());
    get(swtpm->power_on());
    get(device.recover());
  }
  Texts in_static(const Registers& both) { return lines(15, both.static_log()); }
  Texts in_events(const Registers& both) { return lines(13, both.event_log()); }
};

TEST_F(RebootTest, EachBootTellsItsOwnStory) {
  std::uint32_t before = 0;
  {
    Registers both = start();
    before = both.reset_count();
    get(both.apply(device, hash(3), {hash(1)}));
    get(both.found(device, {extra}));
  }
  reboot();
  wanted = {.policies = {hash(2), hash(3)}, .configuration = hash(9)};
  const Registers both = start();
  EXPECT_NE(both.reset_count(), before);
  get(both.as_wanted());
  EXPECT_EQ(in_static(both), (Texts{"core properties 2", "core properties 3", "configuration 9"}));
  EXPECT_TRUE(in_events(both).empty());
}

TEST_F(RebootTest, AResetUnderTheDaemonBeginsAllAnew) {
  Registers both = start();
  get(both.apply(device, hash(3), {hash(1)}));
  get(both.certificate_valid(device, hash(5)));
  const std::uint32_t before = both.reset_count();
  reboot();
  const auto refused = both.certificate_valid(device, hash(6));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry(), cs::Retry::anew);
  EXPECT_TRUE(contains(refused.error().message(), "the TPM was reset"));
  EXPECT_FALSE(both.certificate_valid(device, hash(5)).ok());
  EXPECT_FALSE(both.found(device, {}).ok());
  EXPECT_FALSE(both.apply(device, hash(3)).ok());
  get(both.reopen(device));
  EXPECT_NE(both.reset_count(), before);
  EXPECT_EQ(in_static(both), (Texts{"core properties 2", "core properties 3", "configuration 9"}));
  EXPECT_TRUE(both.event_story().valid().empty());
  get(both.certificate_valid(device, hash(5)));
  EXPECT_EQ(in_events(both), Texts{"certificate valid 5"});
}

// The log of a former boot, given to this one.
TEST_F(RebootTest, AFormerLogIsRefused) {
  const auto path = [this] {
    return directory->file("pcr-15." + std::to_string(device.generation().clock.reset_count) +
                           ".cel");
  };
  { start(); }
  const std::string former = path();
  reboot();
  std::filesystem::copy_file(former, path());
  // Its last record may be one that was written and not extended; not all of them.
  const auto refused = Registers::open(device, options(), wanted);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unverified);
  EXPECT_TRUE(contains(refused.error().message(), "reboot needed"));
}

// Events in an NV index.
TEST_F(RebootTest, EventsCanStandInAnIndex) {
  const auto owner = cs::test::auth_of("of the owner");
  get(swtpm->tool({"tpm2_changeauth", "-c", "owner", "of the owner"}));
  cs::tpm::SaltedSession session{cs::tpm::storage_root_key(owner)};
  const auto auth = cs::test::auth_of("of the writer");
  constexpr std::uint32_t number = cs::tpm::ExtendIndex::first;
  get(cs::tpm::ExtendIndex::define(device, session, number, auth, owner));
  auto given = options();
  given.events = {CelRegister::Kind::nv_index, number};
  EXPECT_FALSE(Registers::open(device, given, wanted).ok());
  given.index_auth = auth;
  given.session = &session;
  Registers both = get(Registers::open(device, given, wanted));
  get(both.measured(device, hash(7)));
  get(both.reopen(device));
  get(both.found(device, {extra}));
  const auto bytes = get(both.event_log());
  cs::tpm::OwnIndex own(cs::tpm::ExtendIndex(number, auth), session);
  EXPECT_EQ(get(cs::tpm::replay_cel(bytes)).values, get(own.read(device)));
  EXPECT_TRUE(both.event_story().drifts().contains(extra_text));
}

}  // namespace
