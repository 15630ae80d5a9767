// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/vouchers.h"

namespace cs::keyms {

Result<void> check_vouchers(const std::vector<Voucher>& vouchers) {
  if (vouchers.size() > max_vouchers) return Error(ErrorKind::limit, "too many vouchers");
  for (const Voucher& voucher : vouchers) {
    if (!voucher.bytes.empty() && voucher.bytes.size() <= max_voucher) continue;
    return Error(ErrorKind::limit, "a voucher has " + std::to_string(voucher.bytes.size()) +
                                       " bytes, 1 to " + std::to_string(max_voucher) +
                                       " are allowed");
  }
  return {};
}

void write_vouchers(CborWriter& out, const std::vector<Voucher>& vouchers) {
  out.array(vouchers.size());
  for (const Voucher& voucher : vouchers)
    out.map(2).key(0).number(voucher.kind).key(1).bytes(voucher.bytes);
}

Result<std::vector<Voucher>> read_vouchers(CborReader& in) {
  CS_TRY(const std::size_t count, in.array("the vouchers", max_vouchers));
  if (count == 0) return in.wrong("the vouchers", "are an empty array");
  std::vector<Voucher> out;
  for (std::size_t i = 0; i < count; ++i) {
    Voucher voucher;
    CS_CHECK(in.begin_map("a voucher", 2));
    CS_CHECK(in.key(0, "a voucher's kind"));
    CS_TRY(voucher.kind, in.number("a voucher's kind"));
    CS_CHECK(in.key(1, "a voucher's bytes"));
    CS_TRY(const ByteView bytes, in.bytes("a voucher's bytes", max_voucher));
    if (bytes.empty()) return in.wrong("a voucher's bytes", "are none");
    voucher.bytes.assign(bytes.begin(), bytes.end());
    CS_CHECK(in.end_map("a voucher"));
    out.push_back(std::move(voucher));
  }
  return out;
}

}  // namespace cs::keyms
