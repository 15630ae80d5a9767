// SPDX-License-Identifier: GPL-3.0-or-later
// Moments as text, as files and operators write them: 2026-02-01T13:00:00Z.
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace cs {

namespace detail {

// Digits only, all of them: std::from_chars alone would take a sign and stop early.
inline bool decimal(std::string_view digits, int& out) noexcept {
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return false;
  }
  return std::from_chars(digits.data(), digits.data() + digits.size(), out).ec == std::errc();
}

inline bool is_rfc3339_shape(std::string_view text) noexcept {
  return text.size() == 20 && text[4] == '-' && text[7] == '-' && text[10] == 'T' &&
         text[13] == ':' && text[16] == ':' && text[19] == 'Z';
}

}  // namespace detail

// The one form of RFC 3339 we write: UTC, whole seconds, capital letters. A leap second is refused.
// What lies outside the years 1677 to 2262 becomes the first or last representable time.
[[nodiscard]] inline Result<WallTime> parse_rfc3339(std::string_view text) {
  namespace chrono = std::chrono;
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (detail::is_rfc3339_shape(text) && detail::decimal(text.substr(0, 4), year) &&
      detail::decimal(text.substr(5, 2), month) && detail::decimal(text.substr(8, 2), day) &&
      detail::decimal(text.substr(11, 2), hour) && detail::decimal(text.substr(14, 2), minute) &&
      detail::decimal(text.substr(17, 2), second)) {
    const chrono::year_month_day date{chrono::year(year),
                                      chrono::month(static_cast<unsigned>(month)),
                                      chrono::day(static_cast<unsigned>(day))};
    if (date.ok() && hour < 24 && minute < 60 && second < 60) {
      const chrono::seconds moment = chrono::sys_days(date).time_since_epoch() +
                                     chrono::hours(hour) + chrono::minutes(minute) +
                                     chrono::seconds(second);
      return from_time_t(moment.count());
    }
  }
  return Error(ErrorKind::invalid,
               "a time: '" + std::string(text.substr(0, 40)) + "' is not one of RFC 3339 in UTC")
      .with_hint("write it as 2026-02-01T13:00:00Z");
}

// Rounded down to whole seconds.
[[nodiscard]] inline std::string format_rfc3339(WallTime time) {
  namespace chrono = std::chrono;
  const auto seconds = chrono::floor<chrono::seconds>(time.time_since_epoch());
  const auto days = chrono::floor<chrono::days>(seconds);
  const chrono::year_month_day date{chrono::sys_days(days)};
  const chrono::hh_mm_ss clock{seconds - days};
  std::array<char, 32> text{};
  const int size = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace cs
