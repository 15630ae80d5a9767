// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as an approval request: what is accepted is what we would have written, and says what
// to sign.
#include <algorithm>

#include "keyms/measure/approval_request.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using cs::fuzz::expect;
  const cs::ByteView bytes(data, size);
  const auto request = cs::keyms::ApprovalRequest::parse(bytes);
  if (!request.ok()) return 0;
  const auto again = request->encode();
  expect(again.ok() && std::ranges::equal(*again, bytes), "is written otherwise");
  const auto terms = request->terms();
  expect(terms.ok(), "nothing to sign");
  expect(terms->state.selection() != request->boot.selection(), "without the static register");
  const auto text = request->text();
  expect(!text.ok() || text->find(request->gateway) != std::string::npos, "of another gateway");
  return 0;
}
