// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a register's log: a story that is told holds together. The first byte says of
// which register.
#include "keyms/measure/story.h"
#include "tests/fuzz/fuzz.h"

namespace {

using cs::fuzz::expect;
using cs::keyms::RegisterStory;
using cs::keyms::StoryOf;
using namespace cs::tpm;

void expect_sense(const RegisterStory& story) {
  std::uint64_t told = story.core_properties().size() + (story.configuration() ? 1U : 0U) +
                       story.valid().size() + 2 * story.revoked().size() + story.drifts().size() +
                       2 * story.healed().size() + (story.measured() ? 1U : 0U);
  expect(told <= story.records(), "more was told than there are records");
  for (const auto& [hash, record] : story.revoked()) {
    expect(!story.valid().contains(hash) && record > 0, "valid and revoked");
  }
  for (const auto& healed : story.healed()) {
    expect(healed.drift < healed.healing && healed.healing < story.records(), "healed before");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto of = (data[0] & 1U) != 0 ? StoryOf::event_register : StoryOf::static_register;
  const cs::ByteView log(data + 1, size - 1);
  const std::vector<Digest> known{Digest(HashAlgorithm::sha1, 0x77),
                                  Digest(HashAlgorithm::sha256, 0x77)};
  const auto story = RegisterStory::read(of, log, known);
  if (!story.ok()) return 0;
  expect(log.empty() || replay_cel(log).ok(), "a story of what is no log");
  expect_sense(*story);
  return 0;
}
