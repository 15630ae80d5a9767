// SPDX-License-Identifier: GPL-3.0-or-later
// One end of a session, in each role, against a malicious peer that does as the input says: some of
// its messages are sealed with the right keys, some are not. Never granted without a quote of the
// TPM that the policy names for exactly this run (tests/unit/session_attacker.h).
#include "tests/fuzz/fuzz.h"
#include "tests/unit/session_play.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  cs::test::Play play([&](std::uint32_t below) {
    std::uint32_t value = 0;
    for (std::uint64_t reach = 1; reach < below; reach <<= 8U)
      value = value << 8U | (at < size ? data[at++] : 0U);
    return value % below;
  });
  constexpr std::uint32_t most_deviations = 8;
  play.play(most_deviations);
  cs::fuzz::expect(play.broken().empty(), play.broken().c_str());
  using Tpm = cs::test::Play::Tpm;
  const bool may = play.tpm() == Tpm::good || play.tpm() == Tpm::not_proved;
  cs::fuzz::expect(may || play.grants() == 0,
                   "granted to a TPM that is not the one the policy names, or not in its state");
  return 0;
}
