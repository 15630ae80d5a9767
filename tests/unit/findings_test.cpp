// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/findings.h"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using cs::BootTime;
using cs::keyms::drift_text;
using cs::keyms::Findings;
using cs::xfrm::Code;
using cs::xfrm::Difference;

using Found = std::set<Difference>;
using Texts = std::set<std::string>;

constexpr BootTime start{5h};

// So many breaches, numbered from `first`.
Found breaches(std::size_t count, std::size_t first = 0) {
  Found found;
  for (std::size_t i = first; i < first + count; ++i) {
    found.insert({Code::policy_extra, "lan", "policy " + std::to_string(1000 + i)});
  }
  return found;
}

TEST(DriftText, IsPrintableAndCut) {
  EXPECT_EQ(drift_text({Code::policy_extra, "lan", "a policy"}), "policy-extra lan: a policy");
  EXPECT_EQ(drift_text({Code::disable_xfrm, "", "eth0"}), "disable-xfrm: eth0");
  EXPECT_EQ(drift_text({Code::sa_mark, "lan", "\n\xc3\xa4~"}), "sa-mark lan: \\x0a\\xc3\\xa4~");
  EXPECT_EQ(drift_text({Code::sa_mark, "lan", std::string(2000, 'x')}).size(), 1024U);
}

TEST(Findings, OnlyABreachIsDrift) {
  Findings findings;
  const Found found{{Code::policy_extra, "lan", "x"},       // breach
                    {Code::policy_blocks, "lan", "y"},      // fault
                    {Code::policy_duplicate, "lan", "z"}};  // note
  EXPECT_EQ(findings.due(found, {}, start), Texts{"policy-extra lan: x"});
}

TEST(Findings, WhatIsToldStaysAsLongAsItIsFound) {
  Findings findings;
  const Texts open = findings.due(breaches(2), {}, start);
  EXPECT_EQ(open.size(), 2U);
  EXPECT_EQ(findings.due(breaches(2), open, start), open);
  EXPECT_EQ(findings.due(breaches(1), open, start), Texts{"policy-extra lan: policy 1000"});
  EXPECT_EQ(findings.due({}, open, start), Texts{});
}

TEST(Findings, AFloodIsToldInOneTextThatCounts) {
  Findings findings;
  Texts open = findings.due(breaches(100), {}, start);
  EXPECT_EQ(open.size(), Findings::each_minute + 1);
  EXPECT_TRUE(open.contains("untold: 84 findings more than are told"));
  // Neither more nor fewer change that within the minute: it is told already that there are some.
  EXPECT_EQ(findings.due(breaches(900), open, start + 59s), open);
  const Texts few = findings.due(breaches(1), open, start + 59s);
  EXPECT_EQ(few,
            (Texts{"policy-extra lan: policy 1000", "untold: 84 findings more than are told"}));
  open = findings.due(breaches(100), open, start + 60s);
  EXPECT_EQ(open.size(), 2 * Findings::each_minute + 1);
  EXPECT_TRUE(open.contains("untold: 68 findings more than are told"));
  EXPECT_EQ(findings.due({}, open, start + 61s), Texts{"untold: 68 findings more than are told"});
  EXPECT_EQ(findings.due({}, open, start + 120s), Texts{});
}

// However findings come and go.
TEST(Findings, NoMoreThanThatIsWrittenInAMinute) {
  Findings findings;
  Texts open;
  std::size_t written = 0;
  for (std::size_t round = 0; round < 1000; ++round) {
    const Found found = round % 2 == 0 ? breaches(50, round * 50) : Found{};
    const Texts due = findings.due(found, open, start + round * 60ms);
    for (const auto& text : due) written += open.contains(text) ? 0U : 1U;
    open = due;
  }
  EXPECT_LE(written, Findings::each_minute + 1);
}

// One that has crashed in a flood has left its text; it is of nothing any more.
TEST(Findings, AfterARestartTheCountIsMadeAnew) {
  const Texts open{"untold: 84 findings more than are told", "policy-extra lan: policy 1000"};
  EXPECT_EQ(Findings().due(breaches(1), open, start), Texts{"policy-extra lan: policy 1000"});
  const Texts due = Findings().due(breaches(20), open, start);
  EXPECT_TRUE(due.contains("untold: 3 findings more than are told"));
  EXPECT_EQ(due.size(), 1 + Findings::each_minute + 1);
}

}  // namespace
