// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a TPM's answer to TPM2_Sign: a signature that comes out of it is one a verifier may
// accept.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tpm/sign_command.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto signature = cs::tpm::read_sign_answer(cs::ByteView(data, size));
  if (!signature.ok()) return 0;
  const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
  const cs::ByteView r = cs::ByteView(*signature).first(32);
  const cs::ByteView s = cs::ByteView(*signature).last(32);
  cs::fuzz::expect(!std::ranges::all_of(r, is_zero), "r is zero");
  cs::fuzz::expect(!std::ranges::all_of(s, is_zero), "s is zero");
  cs::fuzz::expect(s[0] < 0x80, "s is above half of the order");
  return 0;
}
