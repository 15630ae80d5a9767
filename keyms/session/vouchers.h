// SPDX-License-Identifier: GPL-3.0-or-later
// Vouchers as hello and evidence carry them.
#pragma once

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/session/types.h"

namespace cs::keyms {

[[nodiscard]] Result<void> check_vouchers(const std::vector<Voucher>& vouchers);
void write_vouchers(CborWriter& out, const std::vector<Voucher>& vouchers);
// An empty array is refused: none is told by leaving the key out, so that a message has one form.
[[nodiscard]] Result<std::vector<Voucher>> read_vouchers(CborReader& in);

}  // namespace cs::keyms
