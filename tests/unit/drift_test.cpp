// SPDX-License-Identifier: GPL-3.0-or-later
// A kernel that kept to an agreement and is tampered with: the watcher says so, in the words of the
// comparison.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/unit/agreement_samples.h"
#include "tests/unit/fake_xfrm.h"
#include "xfrm/agreement/compare.h"
#include "xfrm/watch/watcher.h"

namespace cs::xfrm {
namespace {

using namespace std::chrono_literals;
using test::get;

class Drift : public testing::Test {
 protected:
  Drift() : agreed_(test::state_of(expected_)) {
    for (const Policy& policy : agreed_.policies) kernel_.put_policy(policy);
    for (const Sa& sa : agreed_.sas) kernel_.add_sa(sa);
    kernel_.set_defaults(*agreed_.defaults);
    kernel_.set_switches(agreed_.interfaces);
    WatchOptions options;
    options.judge = [this](const State& state) { return compare(expected_, state, {}); };
    options.on_drift = [this](const Difference& one, bool begun) {
      told_.push_back((begun ? "+" : "-") + std::string(meaning(one.code).name));
    };
    kernel_.forget_events();
    watcher_ = get(Watcher::open(kernel_, clock_, std::move(options)));
    get(watcher_->run());
  }
  // What is told within a tenth of a second.
  std::vector<std::string> told() {
    kernel_.deliver();
    get(watcher_->run());
    clock_.advance(100ms);
    get(watcher_->run());
    return std::exchange(told_, {});
  }
  using Codes = std::vector<std::string>;

  Expected expected_ = get(expect(test::sample_agreement(), End::left));
  State agreed_;
  test::FakeKernel kernel_;
  test::ManualClock clock_;
  std::vector<std::string> told_;
  std::unique_ptr<Watcher> watcher_;
};

TEST_F(Drift, IsNoneAsAgreed) {
  EXPECT_EQ(told(), Codes{});
}

TEST_F(Drift, ABypassBeginsItAndItsEndEndsIt) {
  Policy bypass = agreed_.policies[0];
  bypass.index = 8000;
  bypass.priority = 1;
  bypass.selector.source.length = 24;
  bypass.templates.clear();
  kernel_.put_policy(bypass);
  EXPECT_EQ(told(), Codes{"+policy-bypass"});
  kernel_.delete_policy(bypass.index);
  EXPECT_EQ(told(), Codes{"-policy-bypass"});
}

TEST_F(Drift, AWeakenedTemplateIsSome) {
  Policy weak = agreed_.policies[1];
  weak.templates[0].optional = true;
  kernel_.put_policy(weak);
  EXPECT_EQ(told(), Codes{"+template-optional"});
}

TEST_F(Drift, AnSaReplacedByAWeakerOneIsSome) {
  Sa weak = agreed_.sas[0];
  kernel_.delete_sa(weak.id);
  weak.aead = Algorithm{"rfc4106(gcm(aes))", 160, 128};
  kernel_.add_sa(weak);
  EXPECT_EQ(told().size(), 1U);
}

TEST_F(Drift, RekeyingIsNone) {
  Sa next = agreed_.sas[0];
  next.id.spi += 1000;
  kernel_.add_sa(next);
  kernel_.delete_sa(agreed_.sas[0].id);
  EXPECT_EQ(told(), Codes{});
}

}  // namespace
}  // namespace cs::xfrm
