// SPDX-License-Identifier: GPL-3.0-or-later
// What holds for every message of the attestation service's socket.
#pragma once

#include <algorithm>
#include <variant>
#include <vector>

#include "keyms/carrier/service_protocol.h"
#include "tests/fuzz/fuzz.h"

namespace cs::fuzz {

// What is accepted has one form: encoding it again gives the same bytes. What is refused has words.
template <class Variant>
void expect_one_form(ByteView bytes, const Result<Variant>& decoded) {
  if (!decoded.ok()) {
    expect(!decoded.error().message().empty(), "a refusal without words");
    return;
  }
  std::vector<std::uint8_t> memory(keyms::carrier::max_service_message);
  const auto again = std::visit(
      [&memory](const auto& message) { return keyms::carrier::encode(message, memory); }, *decoded);
  expect(again.ok(), "a message was accepted that may not be sent");
  expect(std::ranges::equal(*again, bytes), "a message was accepted that has another form");
}

}  // namespace cs::fuzz
