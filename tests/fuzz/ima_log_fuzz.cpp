// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as an IMA list: what is told of it lies where it says, a file of it is the same as the
// bytes in memory, and what it replays to is what it is found to match.
#include <sys/mman.h>
#include <unistd.h>

#include <numeric>
#include <string>

#include "base/unique_fd.h"
#include "tests/fuzz/fuzz.h"
#include "tpm/logs/ima_log.h"

namespace {

using cs::fuzz::expect;
using namespace cs::tpm;

constexpr std::array banks{HashAlgorithm::sha1, HashAlgorithm::sha256};

// Reads each byte that is handed out, for AddressSanitizer to see.
unsigned look_at(const ImaEntry& entry) {
  unsigned sum = static_cast<unsigned>(entry.name().size() + entry.template_name.size());
  for (const auto& value : std::span(entry.values).first(entry.value_count)) {
    sum = std::accumulate(value.bytes.begin(), value.bytes.end(), sum);
    if (const auto digest = ima_digest(value.field, value.bytes)) {
      sum = std::accumulate(digest->digest.begin(), digest->digest.end(), sum);
      expect(digest->algorithm.find(':') == std::string_view::npos || !digest->type.empty() ||
                 value.field != ImaField::d_ngv2,
             "a digest without its type");
    }
  }
  return std::accumulate(entry.hashed.begin(), entry.hashed.end(), sum);
}

// What it replays to, or what is wrong with it.
std::string read_all(Input input, PcrValues& replayed_to, const PcrValues& expected) {
  auto log = ImaLog::open(std::move(input));
  if (!log.ok()) return log.error().message();
  ImaReplay replayed(log->listed(), banks, expected);
  ImaEntry entry;
  while (true) {
    const auto more = log->next(entry);
    if (!more.ok()) {
      const auto again = log->next(entry);
      expect(!again.ok() && again.error().message() == more.error().message(),
             "went on after an error");
      return more.error().message();
    }
    if (!*more) break;
    expect(entry.number == replayed.entries() && entry.pcr < pcr_count, "an entry of no list");
    static_cast<void>(look_at(entry));
    replayed.add(entry);
  }
  replayed_to = replayed.values(ImaRule::recomputed);
  for (const auto& verdict : replayed.verdicts()) {
    expect(verdict.match.has_value(), "is not what it is");
  }
  return replayed_to.text() + replayed.values(ImaRule::padded).text();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  PcrValues values;
  const std::string result = read_all(Input(bytes), values, {});
  static const cs::UniqueFd file(::memfd_create("list", MFD_CLOEXEC));
  expect(::ftruncate(file.get(), 0) == 0 && ::lseek(file.get(), 0, SEEK_SET) == 0 &&
             ::write(file.get(), data, size) == static_cast<ssize_t>(size) &&
             ::lseek(file.get(), 0, SEEK_SET) == 0,
         "no file in memory");
  PcrValues of_the_file;
  expect(read_all(Input(file.get(), most_ima_entry), of_the_file, values) == result,
         "a file is not read as its bytes are");
  return 0;
}
