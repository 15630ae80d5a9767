// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as an event log of ours: each record that is read is written as the very same bytes.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/logs/cel.h"

namespace {

using cs::fuzz::expect;
using namespace cs::tpm;

cs::Result<std::vector<std::uint8_t>> written(const CelLog& log, const CelRecord& record) {
  if (record.event != CelEvent::foreign) {
    return write_cel_record(record.number, log.of(), log.banks(), record.event, record.content);
  }
  std::vector<Digest> digests;
  for (std::size_t i = 0; i < log.banks().size(); ++i) {
    const auto digest = Digest::from(log.banks()[i], record.digests.at(i));
    expect(digest.ok(), "a digest of another length");
    digests.push_back(*digest);
  }
  const std::string reason(record.content.begin(), record.content.end());
  return write_foreign_cel_record(record.number, log.of(), digests, reason);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto replayed = replay_cel(bytes);
  auto log = CelLog::open(bytes);
  expect(log.ok() == (size > 0), "nothing is a log, or something is none");
  if (!log.ok()) return 0;
  CelRecord record;
  std::uint64_t count = 0;
  while (true) {
    const auto before = log->good_until();
    const auto more = log->next(record);
    expect(more.ok() || !replayed.ok(), "replayed what cannot be read");
    if (!more.ok() || !*more) break;
    const auto again = written(*log, record);
    expect(
        again.ok() && std::ranges::equal(*again, bytes.subspan(before, log->good_until() - before)),
        "not what was read");
    ++count;
  }
  expect(!replayed.ok() || replayed->records == count, "not all records were replayed");
  return 0;
}
