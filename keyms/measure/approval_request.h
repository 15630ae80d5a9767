// SPDX-License-Identifier: GPL-3.0-or-later
// What a gateway asks its approver to sign: a state of the machine, and how it came to be in it.
// Needs no TPM. docs/SEALING.md is the norm.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "keyms/measure/predict.h"
#include "tpm/seal/approval.h"

namespace cs::keyms {

// The static register's value is not in it: it follows from the log. So whoever leaves out of the
// log what has happened asks for a state that the machine is not in.
struct ApprovalRequest {
  std::string gateway;  // with `purpose`, what the approval's reference is made of
  std::string purpose;
  std::uint32_t counter_index = 0;
  std::uint64_t counter_at_most = 0;
  tpm::PcrState boot;  // all registers but the static one
  std::uint32_t static_pcr = 15;
  tpm::Bytes static_log;  // as it is, or as it will be (predict.h)

  static constexpr std::size_t most = tpm::most_cel_log + 65536;
  [[nodiscard]] Result<tpm::Bytes> encode() const;
  // The whole of `bytes`; refused where terms() would be.
  [[nodiscard]] static Result<ApprovalRequest> parse(ByteView bytes);

  // What to sign.
  [[nodiscard]] Result<tpm::ApprovalTerms> terms() const;
  // For the person who does, a line for each thing to look at. `known`: as of RegisterStory::read.
  [[nodiscard]] Result<std::string> text(std::span<const tpm::Digest> known = {}) const;
};

// An approval as it comes back. Refused (unverified): not signed by the approver, or not what was
// asked for.
[[nodiscard]] Result<tpm::Approval> take_approval(ByteView bytes, const ApprovalRequest& asked,
                                                  const tpm::PublicArea& approver);

}  // namespace cs::keyms
