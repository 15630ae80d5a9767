// SPDX-License-Identifier: GPL-3.0-or-later
// What a stranger says first: read, and the statement in it, or refused in words; what is read has
// one form.
#include <algorithm>

#include "keyms/session/hello.h"
#include "tests/fuzz/fuzz.h"

namespace {

using cs::fuzz::expect;

template <class Message>
void expect_one_form(cs::ByteView bytes, const cs::Result<Message>& decoded) {
  if (!decoded.ok()) {
    expect(!decoded.error().message().empty(), "a refusal without words");
    return;
  }
  const auto again = encode(*decoded);
  expect(again.ok(), "what may not be sent was read");
  expect(std::ranges::equal(*again, bytes), "what has another form was read");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto hello = cs::keyms::decode_hello(bytes);
  expect_one_form(bytes, hello);
  const cs::ByteView statement = hello.ok() ? cs::ByteView(hello->statement) : bytes;
  expect_one_form(statement, cs::keyms::decode_endpoint_statement(statement));
  return 0;
}
