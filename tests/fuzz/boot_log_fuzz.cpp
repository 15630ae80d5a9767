// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a boot log: what is told of it lies in it, and what it replays to is what it is
// found to match.
#include "tests/fuzz/fuzz.h"
#include "tpm/logs/boot_log.h"

namespace {

using cs::fuzz::expect;
using namespace cs::tpm;

bool lies_in(cs::ByteView part, cs::ByteView whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// How many events it has; nothing if it is refused.
std::optional<std::size_t> read_all(cs::ByteView bytes) {
  auto log = BootLog::open(bytes);
  if (!log.ok()) return {};
  BindingCheck check(log->banks());
  BootEvent event;
  for (std::size_t count = 0;; ++count) {
    const auto more = log->next(event);
    if (!more.ok()) {
      const auto again = log->next(event);
      expect(!again.ok() && again.error().message() == more.error().message(),
             "went on after an error");
      return {};
    }
    if (!*more) return count;
    expect(event.number == count && event.offset < bytes.size(), "an event that is not there");
    expect(!event.extends() || event.pcr < pcr_count, "a PCR that no TPM has");
    expect(lies_in(event.data, bytes), "data from outside");
    for (const auto digest : event.digests) expect(lies_in(digest, bytes), "a digest from outside");
    static_cast<void>(check(event));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto count = read_all(bytes);
  const auto replayed = replay_boot_log(bytes);
  expect(count || !replayed.ok(), "replayed what cannot be read");
  if (!replayed.ok()) return 0;
  expect(replayed->events == *count, "not all events were replayed");
  const auto same = compare(bytes, *replayed, replayed->values);
  expect(same.ok(), "cannot be read again");
  for (const auto& verdict : *same) expect(!verdict.divergence, "is not what it is");
  PcrValues others;
  for (const auto& [algorithm, bank] : replayed->values.banks()) {
    expect(others.set(0, Digest(algorithm, 0x55)).ok(), "PCR 0 cannot be set");
  }
  const auto different = compare(bytes, *replayed, others);
  expect(different.ok(), "cannot be read again");
  for (const auto& verdict : *different) expect(verdict.divergence.has_value(), "matches nothing");
  return 0;
}
