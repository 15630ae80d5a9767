// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign packet` and `countersign key`: signing and verifying what a capture file holds,
// offline and without privileges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/key_file.h"

namespace cs::packet {

// What the command ends with; 2 is an Error, or a wrong command line.
enum class Outcome : std::uint8_t { all_good = 0, some_refused = 1, failed = 2 };

struct SignOptions {
  std::string key;  // files
  std::string in;
  std::string out;
  std::size_t batch = 1;
  std::optional<std::uint16_t> lane;  // else the key's first
  std::vector<std::uint16_t> udp_ports;
  std::uint16_t translator_port = 0;  // 0: there is none
};

struct VerifyOptions {
  std::vector<std::string> keys;  // files
  std::string in;
  std::string out;  // empty: none
  bool json = false;
  std::optional<WallTime> at;  // else now
  std::vector<std::uint16_t> udp_ports;
  std::uint16_t translator_port = 0;  // 0: there is none
};

struct MakeKeyOptions {
  KeyRecord record;
  std::string out;
};

// A capture that breaks off is reported, and written, as far as it goes; then the error is on
// `errors` and the outcome `failed`. What cannot begin is an Error.
[[nodiscard]] Result<Outcome> sign(const SignOptions& options, const Clock& clock,
                                   std::ostream& report, std::ostream& errors);
[[nodiscard]] Result<Outcome> verify(const VerifyOptions& options, const Clock& clock,
                                     std::ostream& report, std::ostream& errors);

// A record with a random key id and session, no PCR digest, lanes 0 to 15, good for 30 days: where
// the command line begins.
[[nodiscard]] KeyRecord fresh_record(const Clock& clock);
// What is made of texts of the command line.
[[nodiscard]] Result<LaneRange> parse_lanes(const std::string& text);
[[nodiscard]] Result<Digest> parse_digest(const std::string& text);
[[nodiscard]] Result<void> make_key(const MakeKeyOptions& options, const Clock& clock,
                                    std::ostream& report);

}  // namespace cs::packet
