// SPDX-License-Identifier: GPL-3.0-or-later
// The logs of a run on their way: what we pull of the peer's, what it may pull of ours, and how
// much of either. docs/PROTOCOL.md, "The attestation session".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "keyms/session/messages.h"

namespace cs::keyms {

// A piece of one of the peer's logs.
struct Wanted {
  Log log{};
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool operator==(const Wanted&) const = default;
};

// In one run, of all logs together.
inline constexpr std::uint64_t most_pulled = std::uint64_t{64} * 1024 * 1024;

// Piece by piece, one get at a time.
class LogPull {
 public:
  // Each log at most once. Refused: more than most_pulled.
  [[nodiscard]] Result<void> want(std::vector<Wanted> wanted);
  // What to ask for now; none: all of it is there.
  [[nodiscard]] std::optional<Get> next();
  // Refused: what was not asked for, and parts that are smaller than they should be: the peer must
  // not make many of few. True: what was asked for is there.
  [[nodiscard]] Result<bool> take(const Part& part);

  // What of each log there is (size 0: nothing), and its bytes.
  [[nodiscard]] const std::array<Wanted, log_count>& pieces() const noexcept { return pieces_; }
  [[nodiscard]] const std::array<Bytes, log_count>& logs() const noexcept { return logs_; }
  void forget();

 private:
  std::vector<Wanted> wanted_;
  std::size_t current_ = 0;  // which of them
  std::uint64_t asked_ = 0;  // up to where in its log
  std::array<Wanted, log_count> pieces_{};
  std::array<Bytes, log_count> logs_;
};

// What a peer may have of our logs in one run: every byte twice, and a little more.
class LogAllowance {
 public:
  // A get counts as a part at least, so that many small ones are not cheaper than few.
  static constexpr std::uint64_t least_of_a_get = most_part;
  static constexpr std::uint64_t slack = 4 * log_count * least_of_a_get;

  explicit LogAllowance(const std::array<std::uint64_t, log_count>& sizes);
  // Refused: what lies beyond the size told, and what is above the allowance.
  [[nodiscard]] Result<void> take(const Get& get);

 private:
  std::array<std::uint64_t, log_count> sizes_;
  std::uint64_t left_ = slack;
};

}  // namespace cs::keyms
