// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/bypass_counter.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/support/unwrap.h"

namespace cs::keyms {
namespace {

using test::get;
using xfrm::Policy;

// A kernel that is read again and again, and has another number of socket policies each time.
class ReadKernel final : public xfrm::Source {
 public:
  std::deque<std::size_t> bypasses;  // one a reading; the last for ever

  Result<void> each_policy(const std::function<Result<void>(Policy)>& take) override {
    const std::size_t now = bypasses.front();
    if (bypasses.size() > 1) bypasses.pop_front();
    for (std::size_t i = 0; i < now; ++i) {
      Policy policy;
      policy.direction = xfrm::Direction::socket_out;
      CS_CHECK(take(policy));
    }
    return take(Policy{});
  }
  Result<void> each_sa(const std::function<Result<void>(xfrm::Sa)>& /*take*/) override {
    return {};
  }
  Result<std::optional<xfrm::Defaults>> defaults() override {
    return std::optional<xfrm::Defaults>();
  }
  Result<std::vector<xfrm::InterfaceSwitches>> switches() override {
    return std::vector<xfrm::InterfaceSwitches>();
  }
  Result<std::optional<xfrm::Sa>> sa(const xfrm::SaId& /*id*/) override {
    return std::optional<xfrm::Sa>();
  }
  Result<bool> next(const std::function<Result<void>(xfrm::Event)>& /*take*/) override {
    return false;
  }
};

class BypassCounts : public testing::Test {
 protected:
  // How many the mirror gets.
  std::size_t read() {
    std::size_t got = 0;
    get(counter.each_policy([&](const Policy& policy) -> Result<void> {
      got += policy.is_of_socket() ? 1 : 0;
      return {};
    }));
    return got;
  }

  ReadKernel kernel;
  std::deque<Result<std::size_t>> counts;  // the last for ever
  std::vector<std::string> troubles;
  BypassCounter counter{kernel,
                        [this] {
                          auto now = counts.front();
                          if (counts.size() > 1) counts.pop_front();
                          return now;
                        },
                        [this](const Error& error) { troubles.push_back(error.message()); }};
};

TEST_F(BypassCounts, HoldForWhatWasRead) {
  kernel.bypasses = {8, 0};
  counts = {std::size_t{8}, std::size_t{8}, std::size_t{0}};
  EXPECT_EQ(read(), 8U);
  counter.settle();
  EXPECT_EQ(counter.known(), 8U);
  // The IKE daemon has been stopped; the mirror still has its policies until the audit ends.
  EXPECT_EQ(read(), 0U);
  EXPECT_EQ(counter.known(), 8U);
  counter.settle();
  EXPECT_EQ(counter.known(), 0U);
}

TEST_F(BypassCounts, WhatComesAndGoesMeanwhileIsNobodysBypass) {
  kernel.bypasses = {12, 12, 10, 2};
  counts = {std::size_t{2}, std::size_t{4}, std::size_t{10}, std::size_t{2}};
  const std::size_t got = read();
  EXPECT_LE(got, counter.known());
}

TEST_F(BypassCounts, WhatStaysIsTold) {
  kernel.bypasses = {4};
  counts = {std::size_t{2}};
  EXPECT_EQ(read(), 4U);
  counter.settle();
  EXPECT_EQ(counter.known(), 2U);
}

TEST_F(BypassCounts, WithoutACountTheLastOneHolds) {
  kernel.bypasses = {2};
  counts = {std::size_t{2}, std::size_t{2}, Error(ErrorKind::limit, "too long")};
  EXPECT_EQ(read(), 2U);
  EXPECT_TRUE(troubles.empty());
  EXPECT_EQ(read(), 2U);
  counter.settle();
  EXPECT_EQ(counter.known(), 2U);
  EXPECT_FALSE(troubles.empty());
}

}  // namespace
}  // namespace cs::keyms
