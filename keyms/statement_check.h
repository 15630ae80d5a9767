// SPDX-License-Identifier: GPL-3.0-or-later
// What keymsd signs for nfq-signer, and nothing else: statements of docs/WIRE.md, section 4, that
// say of their key what keymsd knows of it. An nfq-signer that was taken over gets no other
// signature.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "keyms/signer_protocol.h"

namespace cs::keyms {

// Of one key, for as long as it signs; for one thread. It remembers which batches were signed, so a
// second one of the same key must have lanes that the first did not have.
class StatementCheck {
 public:
  // `lanes`: the ones that the nfq-signer now connected was given. Takes 16 bytes for each.
  StatementCheck(const KeyScope& scope, LaneRange lanes);

  // `done`: it may be signed, once. Its batch number and all below are then used up in its lane,
  // whether or not the signature succeeds. Any other status: it may not, and nothing has changed.
  [[nodiscard]] SignStatus admit(ByteView statement) noexcept;

 private:
  KeyScope scope_;
  LaneRange lanes_;
  std::vector<std::optional<std::uint64_t>> last_signed_;  // by lane, from lanes_.first on
};

}  // namespace cs::keyms
