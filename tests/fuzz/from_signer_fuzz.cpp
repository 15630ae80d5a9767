// SPDX-License-Identifier: GPL-3.0-or-later
// What keymsd may be sent; and what it then signs, of a key whose session, PCR digest and id are
// zero, so that a fuzzer finds its way.
#include "keyms/statement_check.h"
#include "tests/fuzz/signer_message.h"

namespace {

using cs::fuzz::expect;

// A batch number is admitted once, and only in its lanes.
void expect_checked(const cs::keyms::SignRequest& request) {
  using cs::keyms::SignStatus;
  cs::keyms::StatementCheck check({}, {1, 2});
  if (check.admit(request.statement) != SignStatus::done) return;
  expect(check.admit(request.statement) == SignStatus::batch_repeated, "signed twice");
  constexpr std::size_t lane_at = 61;
  const int lane = request.statement[lane_at] << 8 | request.statement[lane_at + 1];
  expect(lane == 1 || lane == 2, "signed in a lane not given");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto decoded = cs::keyms::decode_from_signer(bytes);
  cs::fuzz::expect_one_form(bytes, decoded);
  if (!decoded.ok()) return 0;
  if (const auto* request = std::get_if<cs::keyms::SignRequest>(&*decoded))
    expect_checked(*request);
  return 0;
}
