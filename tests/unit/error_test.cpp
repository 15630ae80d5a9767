// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <optional>
#include <set>
#include <string>

namespace cs {
namespace {

TEST(Error, TellsWhatWasTriedWhyAndWhatToDoOutermostFirst) {
  const Error error = from_errno(EACCES, "opening /etc/countersign/policy.toml")
                          .with_hint("run as root")
                          .context("reading the policy")
                          .context("starting keymsd");
  EXPECT_EQ(error.message(),
            "starting keymsd: reading the policy: opening /etc/countersign/policy.toml: "
            "Permission denied (EACCES); run as root");
}

TEST(Error, LeavesOutWhatIsNotThere) {
  EXPECT_EQ(Error(ErrorKind::invalid, "a port of 70000").message(), "a port of 70000");
}

TEST(Error, IsOneLineWhateverAPeerPutsIntoIt) {
  const Error error(ErrorKind::invalid, std::string("name 'a\nb\x1b[2J\x7f\0c'", 15));
  EXPECT_EQ(error.message(), "name 'a\\x0ab\\x1b[2J\\x7f\\x00");
  EXPECT_EQ(Error(ErrorKind::invalid, "Zoë").message(), "Zoë");
}

TEST(Error, KnowsNoErrnoByNameThatDoesNotExist) {
  EXPECT_EQ(from_errno(99999, "asking").message(), "asking: errno 99999");
}

TEST(Error, DoesNotRetryUnlessToldTo) {
  EXPECT_EQ(Error(ErrorKind::busy, "x").retry(), Retry::no);
  EXPECT_EQ(Error(ErrorKind::busy, "x").with_retry(Retry::anew).retry(), Retry::anew);
}

TEST(Error, SurvivesACopy) {
  std::optional<Error> first = from_errno(EPIPE, "writing").context("telling the peer");
  const Error second = *first;
  EXPECT_EQ(first->message(), second.message());
  first.reset();
  EXPECT_EQ(second.os_error(), EPIPE);
  EXPECT_TRUE(second.message().starts_with("telling the peer")) << second.message();
}

struct Expected {
  int number;
  ErrorKind kind;
  Retry retry;
};

class FromErrno : public testing::TestWithParam<Expected> {};

TEST_P(FromErrno, TellsKindAndRetry) {
  const Error error = from_errno(GetParam().number, "trying");
  EXPECT_EQ(error.kind(), GetParam().kind);
  EXPECT_EQ(error.retry(), GetParam().retry);
  EXPECT_EQ(error.os_error(), GetParam().number);
}

INSTANTIATE_TEST_SUITE_P(Errno, FromErrno,
                         testing::Values(Expected{EINTR, ErrorKind::busy, Retry::at_once},
                                         Expected{EAGAIN, ErrorKind::busy, Retry::after_delay},
                                         Expected{EWOULDBLOCK, ErrorKind::busy, Retry::after_delay},
                                         Expected{ENOBUFS, ErrorKind::busy, Retry::after_delay},
                                         Expected{EBUSY, ErrorKind::busy, Retry::after_delay},
                                         Expected{ETIMEDOUT, ErrorKind::timed_out,
                                                  Retry::after_delay},
                                         Expected{ECONNRESET, ErrorKind::closed, Retry::anew},
                                         Expected{EPIPE, ErrorKind::closed, Retry::anew},
                                         Expected{EPERM, ErrorKind::denied, Retry::no},
                                         Expected{ENOENT, ErrorKind::not_found, Retry::no},
                                         Expected{EEXIST, ErrorKind::exists, Retry::no},
                                         Expected{EINVAL, ErrorKind::invalid, Retry::no},
                                         Expected{EOPNOTSUPP, ErrorKind::unsupported, Retry::no},
                                         Expected{EIO, ErrorKind::io, Retry::no}));

TEST(ErrorKind, HasANameOfItsOwnEach) {
  std::set<std::string_view> names;
  for (auto i = static_cast<unsigned>(ErrorKind::invalid);
       i <= static_cast<unsigned>(ErrorKind::internal); ++i) {
    names.insert(to_string(static_cast<ErrorKind>(i)));
  }
  EXPECT_EQ(names.size(), 13U);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(to_string(ErrorKind::unverified), "unverified");
  EXPECT_EQ(to_string(ErrorKind::internal), "internal");
  EXPECT_EQ(to_string(static_cast<ErrorKind>(200)), "unknown");
}

TEST(FromErrno, MeansOneThingByEachNumber) {
  std::set<int> seen;
  for (const auto& meaning : detail::errno_meanings) {
    EXPECT_TRUE(seen.insert(meaning.number).second) << meaning.number;
  }
}

}  // namespace
}  // namespace cs
