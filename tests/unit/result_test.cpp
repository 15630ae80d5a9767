// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/result.h"

#include <gtest/gtest.h>

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>

namespace cs {
namespace {

using Owner = std::unique_ptr<int>;

// What must not compile.
static_assert(!std::is_convertible_v<Result<int>, bool> &&
                  !std::is_constructible_v<bool, Result<bool>>,
              "a Result<bool> must not pass for its value");
static_assert(!std::is_copy_constructible_v<Result<Owner>> &&
              std::is_move_constructible_v<Result<Owner>>);
static_assert(!std::is_default_constructible_v<Result<int>>);
static_assert(!std::is_convertible_v<Result<int>, Result<long>>);
static_assert(!std::is_constructible_v<Result<void>, int>);
// A Result that dies hands its value out by value, so nothing refers into it.
static_assert(std::same_as<decltype(std::declval<Result<Owner>>().value()), Owner>);
static_assert(std::same_as<decltype(*std::declval<Result<Owner>>()), Owner>);
static_assert(std::same_as<decltype(std::declval<Result<Owner>&>().value()), Owner&>);
static_assert(std::same_as<decltype(std::declval<const Result<Owner>&>().value()), const Owner&>);
static_assert(std::same_as<decltype(std::declval<Result<int>>().error()), Error>);

Error broken() {
  return {ErrorKind::io, "turning the key"};
}

TEST(Result, HoldsAValue) {
  const Result<std::string> result("text");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.value(), "text");
  EXPECT_EQ(*result, "text");
  EXPECT_EQ(result->size(), 4U);
}

TEST(Result, HoldsAnError) {
  const Result<std::string> result = broken();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind(), ErrorKind::io);
}

TEST(Result, MovesAMoveOnlyValueInAndOut) {
  Result<Owner> result = std::make_unique<int>(7);
  Result<Owner> moved = std::move(result);
  const Owner owner = std::move(moved).value();
  EXPECT_EQ(*owner, 7);
}

TEST(Result, TakesWhatConvertsToItsValue) {
  struct Base {
    Base() = default;
    Base(const Base&) = delete;
    Base& operator=(const Base&) = delete;
    virtual ~Base() = default;
  };
  struct Derived final : Base {};
  const auto make = []() -> Result<std::unique_ptr<Base>> { return std::make_unique<Derived>(); };
  EXPECT_TRUE(make().ok());
}

TEST(Result, OfBoolKeepsFalseApartFromFailure) {
  const Result<bool> no = false;
  ASSERT_TRUE(no.ok());
  EXPECT_FALSE(no.value());
}

TEST(Result, OfVoidSucceedsOrFails) {
  EXPECT_TRUE(Result<void>().ok());
  Result<void> result = broken();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(std::move(result).error().message(), "turning the key");
}

TEST(Result, AddsContextOnlyToAFailure) {
  const auto never = []() -> std::string { throw std::logic_error("computed in vain"); };
  EXPECT_EQ(Result<int>(5).context("starting").context(never).value(), 5);
  EXPECT_TRUE(Result<void>().context("starting").context(never).ok());

  const auto late = [] { return std::string("opening the store"); };
  EXPECT_EQ(Result<int>(broken()).context(late).context("starting").error().message(),
            "starting: opening the store: turning the key");
  EXPECT_EQ(Result<void>(broken()).context(late).context("starting").error().message(),
            "starting: opening the store: turning the key");
}

Result<int> number(bool good) {
  if (!good) return broken();
  return 20;
}
Result<Owner> owner(bool good) {
  CS_TRY(const int value, number(good).context("counting"));
  return std::make_unique<int>(value);
}
Result<void> check(bool good) {
  CS_CHECK(good ? Result<void>() : Result<void>(broken()));
  return {};
}
Result<int> all(bool first, bool second, bool third) {
  CS_TRY(Owner counted, owner(first));
  int extra = 0;
  CS_TRY(extra, number(second));
  // NOLINTBEGIN(readability-braces-around-statements): that CS_CHECK needs none is what is tested.
  if (third)
    CS_CHECK(check(true));
  else
    CS_CHECK(check(false));
  // NOLINTEND(readability-braces-around-statements)
  return *counted + extra;
}

TEST(Try, GivesTheValueOrReturnsTheError) {
  EXPECT_EQ(all(true, true, true).value(), 40);
  EXPECT_EQ(all(false, true, true).error().message(), "counting: turning the key");
  EXPECT_EQ(all(true, false, true).error().message(), "turning the key");
  EXPECT_EQ(all(true, true, false).error().message(), "turning the key");
}

TEST(Try, TakesExpressionsWithCommas) {
  const auto first = [](std::pair<int, int> pair) -> Result<int> { return pair.first; };
  const auto sum = [&]() -> Result<int> {
    CS_TRY(const int one, first(std::pair<int, int>{1, 2}));
    return one;
  };
  EXPECT_EQ(sum().value(), 1);
}

TEST(ResultDeathTest, EndsTheProcessWhenTheWrongSideIsAsked) {
  const Result<int> failed = broken();
  const Result<int> fine = 1;
  const Result<void> nothing;
  EXPECT_DEATH((void)failed.value(), "broken contract: value of a failed Result");
  EXPECT_DEATH((void)fine.error(), "broken contract: error of a successful Result");
  EXPECT_DEATH((void)nothing.error(), "broken contract: error of a successful Result");
}

}  // namespace
}  // namespace cs
