// SPDX-License-Identifier: GPL-3.0-or-later
// A few byte strings as one value: the sealed forms of the store's key, the approvals.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/cbor_reader.h"
#include "base/cbor_writer.h"

namespace cs::keyms {

inline constexpr std::size_t most_listed = 16;
inline constexpr std::size_t most_of_one = 32768;  // above tpm::SealedBlob::most_header

[[nodiscard]] inline Result<std::vector<std::uint8_t>> encode_list(
    const std::vector<std::vector<std::uint8_t>>& list, std::string_view what) {
  if (list.size() > most_listed) {
    return Error(ErrorKind::limit, "keeping " + std::string(what) + ": at most 16 of them");
  }
  CborWriter out(most_listed * (most_of_one + 8));
  out.array(list.size());
  for (const auto& one : list) out.bytes(one);
  return out.finish(what);
}

[[nodiscard]] inline Result<std::vector<std::vector<std::uint8_t>>> decode_list(
    ByteView bytes, std::string_view what) {
  CborReader in(bytes, what);
  CS_TRY(const std::size_t count, in.array("the list", most_listed));
  std::vector<std::vector<std::uint8_t>> list;
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(const ByteView one, in.bytes("one of them", most_of_one));
    list.emplace_back(one.begin(), one.end());
  }
  CS_CHECK(in.end());
  return list;
}

}  // namespace cs::keyms
