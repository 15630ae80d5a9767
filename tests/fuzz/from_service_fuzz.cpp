// SPDX-License-Identifier: GPL-3.0-or-later
// What a carrier may be sent, and keymsd's own.
#include "tests/fuzz/service_message.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  cs::fuzz::expect_one_form(bytes, cs::keyms::carrier::decode_from_service(bytes));
  cs::fuzz::expect_one_form(bytes, cs::keyms::carrier::decode_to_worker(bytes));
  return 0;
}
