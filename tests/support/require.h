// SPDX-License-Identifier: GPL-3.0-or-later
// What a test says when this machine cannot run it. The same words in Python: require.py;
// test_require.py holds the two together.
#pragma once

#include <initializer_list>
#include <string_view>

namespace cs::test::require {

// Ends the program: `SKIP: <why> (<what to do>)` and exit code 77, which ctest counts as skipped.
// With CI=true in the environment `MISSING TIER: …` and exit code 1: there it is a failure.
// To be called before a thread was started.
[[noreturn]] void missing(std::string_view why, std::string_view what_to_do);

// Returns only if all these programs are in PATH (and in sbin, which PATH often lacks).
void programs(std::initializer_list<std::string_view> names);

}  // namespace cs::test::require
