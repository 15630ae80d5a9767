// SPDX-License-Identifier: GPL-3.0-or-later
// What the attestation service may be sent, by anybody's carrier and by its own.
#include "tests/fuzz/service_message.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  cs::fuzz::expect_one_form(bytes, cs::keyms::carrier::decode_from_carrier(bytes));
  cs::fuzz::expect_one_form(bytes, cs::keyms::carrier::decode_from_worker(bytes));
  return 0;
}
