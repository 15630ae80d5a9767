// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tools/doctor/check.h"

namespace cs::test {

// Whether a finding has this verdict, and each text in its place.
inline testing::AssertionResult is(const doctor::Finding& found, doctor::Verdict verdict,
                                   std::string_view reason = {}, std::string_view command = {},
                                   std::string_view advice = {}) {
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  if (found.verdict == verdict && has(found.reason, reason) && has(found.command, command) &&
      has(found.advice, advice)) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure()
         << to_string(found.verdict) << ": " << found.reason << "\nmend: " << found.command << "\n"
         << found.advice;
}

}  // namespace cs::test
