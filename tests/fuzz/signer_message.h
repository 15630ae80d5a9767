// SPDX-License-Identifier: GPL-3.0-or-later
// What holds for every message of the data plane's socket.
#pragma once

#include <algorithm>
#include <array>
#include <variant>

#include "keyms/signer_protocol.h"
#include "tests/fuzz/fuzz.h"

namespace cs::fuzz {

// What is accepted has one form: encoding it again gives the same bytes. What is refused has words.
template <class Variant>
void expect_one_form(ByteView bytes, const Result<Variant>& decoded) {
  if (!decoded.ok()) {
    expect(!decoded.error().message().empty(), "a refusal without words");
    return;
  }
  std::array<std::uint8_t, keyms::max_message> memory{};
  const auto again = std::visit(
      [&memory](const auto& message) { return keyms::encode(message, memory); }, *decoded);
  expect(again.ok(), "a message was accepted that may not be sent");
  expect(std::equal(again->begin(), again->end(), bytes.begin(), bytes.end()),
         "a message was accepted that has another form");
}

}  // namespace cs::fuzz
