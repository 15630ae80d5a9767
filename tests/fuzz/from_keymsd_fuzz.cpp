// SPDX-License-Identifier: GPL-3.0-or-later
// What nfq-signer may be sent.
#include "tests/fuzz/signer_message.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  cs::fuzz::expect_one_form(bytes, cs::keyms::decode_from_keymsd(bytes));
  return 0;
}
