// SPDX-License-Identifier: GPL-3.0-or-later
#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <ostream>

#include "base/hex.h"
#include "base/rfc3339.h"
#include "tools/packet/packet.h"

namespace cs::packet {

KeyRecord fresh_record(const Clock& clock) {
  KeyRecord record;
  record.scope.key = randombytes_random();
  randombytes_buf(record.scope.session.data(), record.scope.session.size());
  record.lanes = {0, 15};
  record.not_after = clock.wall() + std::chrono::days(30);
  return record;
}

Result<LaneRange> parse_lanes(const std::string& text) {
  LaneRange lanes;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, lanes.first);
  auto last = first;
  lanes.last = lanes.first;
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == '-')
    last = std::from_chars(first.ptr + 1, end, lanes.last);
  if (last.ec != std::errc() || last.ptr != end || lanes.first > lanes.last) {
    return Error(ErrorKind::invalid, "lanes '" + text + "' are no range of numbers up to 65535")
        .with_hint("write them as 0-15");
  }
  return lanes;
}

Result<Digest> parse_digest(const std::string& text) {
  CS_TRY(const auto bytes, hex_decode(text, sizeof(Digest)));
  Digest out{};
  if (bytes.size() != out.size())
    return Error(ErrorKind::invalid, "'" + text + "' has not 64 hex digits");
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

Result<void> make_key(const MakeKeyOptions& options, const Clock& clock, std::ostream& report) {
  if (options.record.not_after <= clock.wall()) {
    return Error(ErrorKind::invalid, "a key that ended at " +
                                         format_rfc3339(options.record.not_after) +
                                         " cannot sign any more");
  }
  CS_CHECK(make_key_files(options.record, options.out));
  report << "key " << options.record.scope.key << " (" << suite_name(options.record.scope.suite)
         << "), good until " << format_rfc3339(options.record.not_after) << ":\n"
         << "  " << options.out << "      signs: keep it secret\n"
         << "  " << options.out << ".pub  verifies: for the peer only, it holds the gate secret\n";
  return {};
}

}  // namespace cs::packet
