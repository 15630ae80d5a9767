// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/rfc3339.h"

#include <gtest/gtest.h>

namespace cs {
namespace {

TEST(Rfc3339, ReadsAndWritesTheOneForm) {
  EXPECT_EQ(to_time_t(parse_rfc3339("1970-01-01T00:00:00Z").value()), 0);
  EXPECT_EQ(to_time_t(parse_rfc3339("2026-02-01T13:00:05Z").value()), 1769950805);
  EXPECT_EQ(to_time_t(parse_rfc3339("1969-12-31T23:59:59Z").value()), -1);
  for (const char* text : {"1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "1901-03-04T05:06:07Z",
                           "2262-01-01T00:00:00Z"}) {
    EXPECT_EQ(format_rfc3339(parse_rfc3339(text).value()), text);
  }
}

TEST(Rfc3339, RoundsDown) {
  EXPECT_EQ(format_rfc3339(WallTime(std::chrono::nanoseconds(1'999'999'999))),
            "1970-01-01T00:00:01Z");
  EXPECT_EQ(format_rfc3339(WallTime(std::chrono::nanoseconds(-1))), "1969-12-31T23:59:59Z");
}

TEST(Rfc3339, TakesADistantEndForTheLastMoment) {
  EXPECT_EQ(parse_rfc3339("9999-12-31T23:59:59Z").value(), WallTime::max());
  EXPECT_EQ(parse_rfc3339("0001-01-01T00:00:00Z").value(), WallTime::min());
}

TEST(Rfc3339, RefusesEveryOtherForm) {
  for (const char* text :
       {"", "2026-02-01", "2026-02-01T13:00:00", "2026-02-01T13:00:00+00:00",
        "2026-02-01t13:00:00Z", "2026-02-01T13:00:00z", "2026-02-01 13:00:00Z",
        "2026-02-01T13:00:00.5Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-02-01T24:00:00Z",
        "2026-02-01T13:60:00Z", "2026-02-01T13:00:60Z", "+026-02-01T13:00:00Z",
        "2026-02-01T-1:00:00Z", "2026-02-01T 1:00:00Z", " 2026-02-01T13:00:00Z"}) {
    const auto refused = parse_rfc3339(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().kind(), ErrorKind::invalid);
  }
  EXPECT_EQ(parse_rfc3339("soon").error().message(),
            "a time: 'soon' is not one of RFC 3339 in UTC; write it as 2026-02-01T13:00:00Z");
}

}  // namespace
}  // namespace cs
