// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/temporary_directory.h"
#include "tpm/device/authorization.h"

namespace cs::tpm {
namespace {

using test::get;

ByteView bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// A process begins with each FailedAuthorizations.
class Noted : public ::testing::Test {
 protected:
  FailedAuthorizations next() { return {note, clock}; }
  Result<void> fail(bool counted = true) {
    return next().failed(bytes("an object"), bytes("wrong"), clock, counted);
  }
  // Empty: it may be shown.
  std::string refusal(const FailedAuthorizations& failures, std::string_view auth = "right") {
    const auto checked = failures.check(bytes("another"), bytes(auth), clock.boot());
    if (checked.ok()) return "";
    EXPECT_EQ(checked.error().kind(), ErrorKind::denied);
    EXPECT_EQ(checked.error().retry(), Retry::after_delay);
    return checked.error().message();
  }
  std::string refusal() { return refusal(next()); }
  void write(std::string_view text) { std::ofstream(note, std::ios::trunc) << text; }

  test::ManualClock clock;
  test::TemporaryDirectory directory;
  std::string note = directory.file("failed");
};

TEST_F(Noted, KeepsTheNextProcessFromGuessing) {
  EXPECT_EQ(refusal(), "");
  get(fail());
  clock.advance(std::chrono::minutes(20));
  EXPECT_EQ(
      refusal(),
      "an auth value has failed before, and this one is not proved; make sure that it is "
      "right, and wait 40 min: the TPM locks after a few wrong ones; who knows it to be right: "
      "rm " +
          note + " and start again");
  EXPECT_EQ(refusal(next(), ""), "");  // no guess
  clock.advance(std::chrono::minutes(39));
  EXPECT_NE(refusal(), "");
  clock.advance(std::chrono::minutes(1));
  EXPECT_EQ(refusal(), "");
}

TEST_F(Noted, WhatHasHeldSinceIsShown) {
  get(fail());
  FailedAuthorizations failures = next();
  failures.held(bytes("another"), bytes("right"));
  EXPECT_EQ(refusal(failures), "");
  EXPECT_NE(refusal(failures, "a guess"), "");
}

TEST_F(Noted, RemovingItIsTheWayBack) {
  get(fail());
  std::filesystem::remove(note);
  EXPECT_EQ(refusal(), "");
}

TEST_F(Noted, WhatTheTpmDoesNotCountIsNot) {
  get(fail(false));
  EXPECT_FALSE(std::filesystem::exists(note));
}

TEST_F(Noted, OneThatNobodyCanReadIsOfNow) {
  for (const std::string_view text :
       {"", "\n", "soon\n", "-1\n", "1700000", "1699990000", "1699990000 \n", "1699990000\n\n",
        "99999999999999999999\n", "1700003601\n", "9223372036854775807\n"}) {
    write(text);
    EXPECT_NE(refusal().find("wait 60 min"), std::string::npos) << text;
  }
  write("1699990000\n");
  EXPECT_EQ(refusal(), "");
  write(std::string(1000, '1'));
  EXPECT_NE(refusal(), "");
  std::filesystem::remove(note);
  std::filesystem::create_directory(note);
  EXPECT_NE(refusal(), "");
}

// The clock was set back: nobody knows how long ago it was.
TEST_F(Noted, OneOfTheFutureIsOfNow) {
  get(fail());
  clock.set_wall(clock.wall() - std::chrono::hours(24));
  EXPECT_NE(refusal().find("wait 60 min"), std::string::npos);
}

TEST_F(Noted, ThatItCannotBeIsSaid) {
  note = directory.file("nowhere/failed");
  const auto noted = fail();
  ASSERT_FALSE(noted.ok());
  EXPECT_NE(noted.error().message().find("ENOENT"), std::string::npos) << noted.error().message();
}

TEST_F(Noted, WithoutAPathNothingIs) {
  note.clear();
  get(fail());
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace cs::tpm
