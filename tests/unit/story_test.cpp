// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/story.h"

#include <gtest/gtest.h>

#include "tests/support/unwrap.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/log_bytes.h"

namespace {

using cs::ErrorKind;
using cs::keyms::Hash;
using cs::keyms::RegisterStory;
using cs::keyms::StoryOf;
using cs::test::Bytes;
using cs::test::bytes_of;
using cs::test::get;
using cs::tpm::CelEvent;
using cs::tpm::CelRegister;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;

constexpr std::array banks{HashAlgorithm::sha1, HashAlgorithm::sha256};
constexpr CelRegister pcr_15{CelRegister::Kind::pcr, 15};

Hash hash(std::uint8_t fill) {
  Hash made{};
  made.fill(fill);
  return made;
}

struct Event {
  CelEvent event;
  Bytes content;
};
Event of(CelEvent event, std::uint8_t fill) {
  return {event, Bytes(32, fill)};
}
Event of(CelEvent event, std::string_view text) {
  return {event, bytes_of(text)};
}
Event value(std::uint8_t fill) {
  return of(CelEvent::core_properties, fill);
}
Event drift(std::string_view text) {
  return of(CelEvent::drift, text);
}
Event healing(std::string_view text) {
  return of(CelEvent::healing, text);
}
const Event configuration = of(CelEvent::configuration, 9);

const std::vector<Digest> phase{Digest(HashAlgorithm::sha1, 7), Digest(HashAlgorithm::sha256, 7)};

Bytes log_of(const std::vector<Event>& events) {
  Bytes log;
  for (std::uint64_t number = 0; number < events.size(); ++number) {
    const auto& [event, content] = events[number];
    const Bytes record =
        event == CelEvent::foreign
            ? get(write_foreign_cel_record(number, pcr_15, phase, "systemd: sysinit"))
            : get(write_cel_record(number, pcr_15, banks, event, content));
    log.insert(log.end(), record.begin(), record.end());
  }
  return log;
}

RegisterStory told(StoryOf where, const std::vector<Event>& events,
                   const std::vector<Digest>& known = {}) {
  return get(RegisterStory::read(where, cs::test::ExactBuffer(log_of(events)).view(), known));
}
// Empty if it is a story.
std::string refusal(StoryOf where, const std::vector<Event>& events,
                    const std::vector<Digest>& known = {}) {
  const auto story = RegisterStory::read(where, log_of(events), known);
  return story.ok() ? "" : story.error().message();
}
std::string in_static(const std::vector<Event>& events) {
  return refusal(StoryOf::static_register, events);
}
std::string in_events(const std::vector<Event>& events) {
  return refusal(StoryOf::event_register, events);
}
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(RegisterStory, OfABootFromItsPoliciesToItsHealing) {
  const auto story = told(StoryOf::static_register,
                          {value(1), value(3), configuration, value(2), drift("a lan: x"),
                           drift("b: y"), healing("a lan: x"), drift("a lan: x")});
  EXPECT_EQ(story.records(), 8U);
  ASSERT_EQ(story.core_properties().size(), 3U);
  EXPECT_EQ(story.core_properties()[2].hash, hash(2));
  EXPECT_EQ(story.core_properties()[2].record, 3U);
  EXPECT_EQ(story.configuration().value().hash, hash(9));
  EXPECT_EQ(story.configuration().value().record, 2U);
  EXPECT_EQ(story.drifts(), (RegisterStory::Drifts{{"a lan: x", 7}, {"b: y", 5}}));
  ASSERT_EQ(story.healed().size(), 1U);
  EXPECT_EQ(story.healed()[0].text, "a lan: x");
  EXPECT_EQ(story.healed()[0].drift, 4U);
  EXPECT_EQ(story.healed()[0].healing, 6U);
}

TEST(RegisterStory, OfCertificatesAndWhatWasMeasured) {
  const auto story =
      told(StoryOf::event_register,
           {of(CelEvent::measured, 1), of(CelEvent::certificate_valid, 5),
            of(CelEvent::certificate_valid, 6), of(CelEvent::certificate_revoked, 5),
            of(CelEvent::measured, 2), of(CelEvent::measured, 1), drift("c: z"), healing("c: z")});
  EXPECT_EQ(story.valid(), (RegisterStory::Certificates{{hash(6), 2}}));
  EXPECT_EQ(story.revoked(), (RegisterStory::Certificates{{hash(5), 3}}));
  EXPECT_EQ(story.measured().value().hash, hash(1));
  EXPECT_EQ(story.measured().value().record, 5U);
  EXPECT_TRUE(story.drifts().empty());
}

TEST(RegisterStory, NothingIsToldByAnEmptyLog) {
  const auto story = told(StoryOf::static_register, {});
  EXPECT_EQ(story.records(), 0U);
  EXPECT_FALSE(story.configuration());
}

TEST(RegisterStory, EachEventHasItsRegister) {
  for (const auto& event : {value(1), configuration}) {
    EXPECT_TRUE(has(in_events({event}), "record 0")) << in_events({event});
    EXPECT_TRUE(has(in_events({event}), "does not belong into this register"));
    EXPECT_EQ(in_static({event}), "");
  }
  for (const auto event : {CelEvent::certificate_valid, CelEvent::measured}) {
    EXPECT_TRUE(has(in_static({of(event, 1)}), "does not belong into this register"));
    EXPECT_EQ(in_events({of(event, 1)}), "");
  }
  EXPECT_TRUE(has(in_static({of(CelEvent::certificate_revoked, 1)}), "does not belong"));
}

TEST(RegisterStory, WhatCannotFollowIsRefused) {
  EXPECT_TRUE(has(in_static({value(2), value(1)}), "in ascending order"));
  EXPECT_TRUE(has(in_static({value(1), value(1)}), "came into force before"));
  EXPECT_TRUE(has(in_static({value(2), configuration, value(1), value(2)}),
                  "record 3: core properties: that policy came into force before"));
  EXPECT_TRUE(has(in_static({configuration, configuration}), "there is one already"));
  const auto valid = of(CelEvent::certificate_valid, 1);
  const auto revoked = of(CelEvent::certificate_revoked, 1);
  EXPECT_TRUE(has(in_events({revoked}), "it was not valid"));
  EXPECT_TRUE(has(in_events({valid, of(CelEvent::certificate_revoked, 2)}), "it was not valid"));
  EXPECT_TRUE(has(in_events({valid, valid}), "it is valid already"));
  EXPECT_TRUE(has(in_events({valid, revoked, revoked}), "it was not valid"));
  EXPECT_TRUE(has(in_events({valid, revoked, valid}), "is so for good"));
  const auto measured = of(CelEvent::measured, 1);
  EXPECT_TRUE(has(in_events({measured, measured}), "the same as was measured last"));
}

TEST(RegisterStory, HealingNeedsADriftThatIsOpen) {
  for (const auto where : {StoryOf::static_register, StoryOf::event_register}) {
    const auto refused = [&](const std::vector<Event>& events) { return refusal(where, events); };
    EXPECT_TRUE(has(refused({healing("a: x")}), "no such drift to heal"));
    EXPECT_TRUE(has(refused({drift("a: x"), healing("a: y")}), "no such drift to heal"));
    EXPECT_TRUE(has(refused({drift("a: x"), healing("a: x"), healing("a: x")}), "no such drift"));
    EXPECT_TRUE(has(refused({drift("a: x"), drift("a: x")}), "not healed since"));
  }
}

TEST(RegisterStory, AForeignEventMustBeKnownAndComesFirst) {
  const Event foreign{CelEvent::foreign, {}};
  const auto refused = [&](const std::vector<Event>& events, const std::vector<Digest>& known) {
    return refusal(StoryOf::static_register, events, known);
  };
  EXPECT_EQ(refused({foreign, foreign, value(1)}, phase), "");
  EXPECT_EQ(told(StoryOf::static_register, {foreign, value(1)}, phase).records(), 2U);
  EXPECT_TRUE(has(refused({foreign}, {}), "that nothing explains, sha1:0707"));
  // Known in one bank only.
  EXPECT_TRUE(has(refused({foreign}, {phase[0]}), "that nothing explains, sha256:0707"));
  EXPECT_TRUE(has(refused({foreign, value(1), foreign}, phase), "record 2: a foreign event after"));
  const auto unknown = RegisterStory::read(StoryOf::static_register, log_of({foreign}));
  EXPECT_EQ(unknown.error().kind(), ErrorKind::unverified);
}

TEST(RegisterStory, PoliciesOfOneBootAreLimited) {
  RegisterStory story(StoryOf::static_register);
  get(story.add(CelEvent::configuration, Bytes(32, 9)));
  Bytes next(32);
  for (std::size_t i = 0; i < RegisterStory::max_values; ++i) {
    next[0] = static_cast<std::uint8_t>(i);
    next[1] = static_cast<std::uint8_t>(i >> 8U);
    get(story.add(CelEvent::core_properties, next));
  }
  next[2] = 1;
  EXPECT_TRUE(has(story.add(CelEvent::core_properties, next).error().message(), "more than 4096"));
  EXPECT_EQ(story.core_properties().size(), RegisterStory::max_values);
}

TEST(RegisterStory, ABrokenLogTellsNothing) {
  auto log = log_of({value(1), configuration});
  log.back() ^= 1;
  EXPECT_EQ(RegisterStory::read(StoryOf::static_register, log).error().kind(),
            ErrorKind::unverified);
  log.pop_back();
  EXPECT_EQ(RegisterStory::read(StoryOf::static_register, log).error().kind(),
            ErrorKind::truncated);
}

}  // namespace
