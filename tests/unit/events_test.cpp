// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/events.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/manual_clock.h"

namespace cs::keyms {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

struct Line {
  Event event;
  EventText text;
  std::string line;
};

class EventsTest : public ::testing::Test {
 protected:
  test::ManualClock clock;
  std::vector<Line> journal;
  Events events{clock, [this](const Event& event, const EventText& text, const std::string& line) {
                  journal.push_back({event, text, line});
                }};
};

// The journal's catalogue and people's filters go by them.
TEST(EventTexts, EachKindHasAnIdOfItsOwn) {
  std::set<std::string_view> ids;
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < event_kind_count; ++i) {
    const auto kind = static_cast<EventKind>(i);
    const EventText& text = text_of(kind);
    EXPECT_EQ(text.kind, kind);
    EXPECT_EQ(text.message_id.size(), 32U);
    EXPECT_EQ(text.message_id.find_first_not_of("0123456789abcdef"), std::string_view::npos);
    ids.insert(text.message_id);
    names.insert(text.name);
  }
  EXPECT_EQ(ids.size(), event_kind_count);
  EXPECT_EQ(names.size(), event_kind_count);
  EXPECT_EQ(text_of(EventKind::granted).message_id, "c52ad9e4bbea4e6c88e5f4ab5fc4309c");
  EXPECT_EQ(text_of(EventKind::drift).message_id, "6a33d841cc4044f48804d7e6938825f7");
}

TEST_F(EventsTest, TheJournalGetsAllFields) {
  events.tell({EventKind::denied, "hamburg", "pcr_value", "PCR 4 is not as agreed"});
  events.tell({EventKind::trouble, "", "", "the TPM does not answer"});
  ASSERT_EQ(journal.size(), 2U);
  EXPECT_EQ(journal[0].event.peer, "hamburg");
  EXPECT_EQ(journal[0].event.reason, "pcr_value");
  EXPECT_EQ(journal[0].text.name, "denied");
  EXPECT_EQ(journal[0].text.priority, 3);
  EXPECT_EQ(journal[0].line, "hamburg: pcr_value: PCR 4 is not as agreed");
  EXPECT_EQ(journal[1].line, "the TPM does not answer");
}

TEST_F(EventsTest, TheSameIsToldOnceInAWhileAndCounted) {
  const Event event{EventKind::attempt, "hamburg", "timed_out", "no answer"};
  for (int i = 0; i < 5; ++i) events.tell(event);
  EXPECT_EQ(journal.size(), 1U);
  ASSERT_EQ(events.lately().size(), 1U);
  EXPECT_EQ(events.lately()[0]["count"], 5);
  events.tell({EventKind::attempt, "bremen", "timed_out", "no answer"});
  EXPECT_EQ(journal.size(), 2U) << "that is another peer's";
  clock.advance(Events::quiet_for - 1ns);
  events.tell(event);
  EXPECT_EQ(journal.size(), 2U);
  clock.advance(1ns);
  events.tell(event);
  ASSERT_EQ(journal.size(), 3U);
  EXPECT_EQ(journal[2].line, "hamburg: timed_out: no answer (and 5 times before)");
  EXPECT_EQ(events.lately().back()["count"], 1);
}

TEST_F(EventsTest, FollowersGetEachLineThatIsTold) {
  std::vector<json> followed;
  events.tell({EventKind::started, "", "", "here"});
  events.follow([&](const json& one) { followed.push_back(one); });
  for (int i = 0; i < 2; ++i) events.tell({EventKind::key, "hamburg", "", "key 7 begins"});
  ASSERT_EQ(followed.size(), 1U);
  EXPECT_EQ(followed[0], (json{{"schema_version", 1},
                               {"number", 2},
                               {"time", "2023-11-14T22:13:20Z"},
                               {"event", "key"},
                               {"message_id", "6695acdcc7424de284ae3746b72c71e8"},
                               {"peer", "hamburg"},
                               {"reason", ""},
                               {"text", "key 7 begins"},
                               {"count", 1}}));
}

TEST_F(EventsTest, OnlyTheLastOnesAreKept) {
  for (std::size_t i = 0; i < Events::most_kept + 3; ++i) {
    events.tell({EventKind::notice, "", "", std::to_string(i)});
  }
  const json kept = events.lately();
  ASSERT_EQ(kept.size(), Events::most_kept);
  EXPECT_EQ(kept.front()["text"], "3");
  EXPECT_EQ(kept.back()["number"], Events::most_kept + 3);
}

}  // namespace
}  // namespace cs::keyms
