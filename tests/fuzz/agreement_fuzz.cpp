// SPDX-License-Identifier: GPL-3.0-or-later
// Whatever a kernel has: it is held against an agreement and told in canonical form, within bounds,
// and the order of its SAs has no meaning.
#include <algorithm>
#include <random>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/random_state.h"
#include "xfrm/agreement/compare.h"
#include "xfrm/canonical/canonical.h"

namespace {

using cs::fuzz::expect;
using cs::xfrm::End;

// A byte of the input for each choice; 0 for all behind its end.
class Drawn {
 public:
  Drawn(const std::uint8_t* data, std::size_t size) : left_(data, size) {}
  unsigned operator()(unsigned n) {
    if (left_.empty()) return 0;
    const unsigned value = left_.front();
    left_ = left_.subspan(1);
    return value % n;
  }

 private:
  cs::ByteView left_;
};

cs::xfrm::Canonical canonical(const cs::xfrm::Tunnel& tunnel, End end,
                              const cs::xfrm::State& state) {
  auto told = cs::xfrm::canonicalise(tunnel, end, state, cs::xfrm::PolicyIndex(state.policies), 1);
  expect(told.ok(), "a small state has no canonical form");
  return std::move(told).value();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Drawn draw(data, size);
  std::mt19937 random(draw(256));
  const cs::xfrm::Agreement agreement = cs::test::random_agreement(random);
  const End end = draw(2) == 0 ? End::left : End::right;
  cs::xfrm::State state = cs::test::StateMaker(draw).state();
  const auto expected = cs::xfrm::expect(agreement, end);
  expect(expected.ok(), "an agreement that nobody can keep");

  for (const auto& one : cs::xfrm::compare(*expected, state, {draw(3)})) {
    expect(!one.sentence.empty(), "a difference without words");
  }
  const cs::xfrm::Tunnel& tunnel = agreement.tunnels.front();
  const auto before = canonical(tunnel, end, state);
  expect(!cs::xfrm::describe(before, state).empty(), "a form without words");
  std::reverse(state.sas.begin(), state.sas.end());
  std::reverse(state.interfaces.begin(), state.interfaces.end());
  expect(canonical(tunnel, end, state).whole_sha256 == before.whole_sha256, "order has a meaning");
  return 0;
}
