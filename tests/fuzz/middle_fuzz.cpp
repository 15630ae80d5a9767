// SPDX-License-Identifier: GPL-3.0-or-later
// The hostile router's engine: whatever comes, each packet is decided exactly once, and what it
// puts instead of one is as long as that.
#include <map>

#include "tests/fuzz/fuzz.h"
#include "tests/lab/middle/engine.h"

namespace {

using cs::ByteReader;
using cs::ByteView;
using cs::fuzz::expect;
using namespace cs::middle;

bool read_plan(ByteReader& input, Plan& plan) {
  std::uint8_t action = 0;
  std::uint8_t every = 0;
  std::uint8_t limit = 0;
  std::uint8_t offset = 0;
  if (!input.u8(action) || !input.u8(every) || !input.u8(limit) || !input.u8(offset)) return false;
  plan.action = static_cast<Action>(action % 6);
  plan.every = 1U + every % 4U;
  plan.limit = limit;
  plan.offset = std::int64_t{offset} - 128;
  if (action >= 128) plan.family = action % 2 == 0 ? cs::test::Family::v4 : cs::test::Family::v6;
  return true;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader input(ByteView(data, size));
  Plan plan;
  if (!read_plan(input, plan)) return 0;
  std::map<std::uint32_t, int> decided;
  std::uint32_t id = 0;
  std::size_t current = 0;
  Engine engine(plan, {[&](std::uint32_t which, const cs::test::Verdict& verdict) {
                         ++decided[which];
                         expect(!verdict.replacement || verdict.replacement->size() == current,
                                "replaced by another size");
                       },
                       [](ByteView) { return true; }});
  Engine::Time now;
  std::uint8_t wait = 0;
  ByteView packet;
  while (input.u8(wait) && input.vec16be(0xffff, packet)) {
    now += std::chrono::milliseconds(wait);
    engine.tick(now);
    current = packet.size();
    engine.take({.id = ++id, .hook = 2, .mark = 0, .payload = packet}, now);
  }
  engine.finish();
  expect(decided.size() == id, "a packet without a verdict");
  for (const auto& [which, times] : decided) expect(times == 1, "a packet decided twice");
  return 0;
}
