// SPDX-License-Identifier: GPL-3.0-or-later
// What an entry of the IMA list is made of: its template names the fields, and how they are
// written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::tpm {

inline constexpr std::size_t most_ima_fields = 15;                     // as in the kernel
inline constexpr std::size_t most_ima_template_name = 255;             // 15 names of fields
inline constexpr std::size_t most_ima_data = std::size_t{512} * 1024;  // of one entry
inline constexpr std::size_t ima_digest_size = 20;                     // the field `d`
inline constexpr std::size_t most_ima_event_name = 255;                // the field `n`

enum class ImaField : std::uint8_t {
  d,         // SHA-1, 20 bytes
  d_ng,      // "sha256:", NUL, digest
  d_ngv2,    // "verity:sha256:", NUL, digest
  d_modsig,  // as d_ng; the file's without its appended signature
  n,         // a name with its NUL
  n_ng,
  sig,
  modsig,
  buf,
  evmsig,
  xattrnames,
  xattrlengths,
  xattrvalues,
  iuid,
  igid,
  imode,
};

struct ImaTemplate {
  std::array<ImaField, most_ima_fields> fields{};
  std::size_t count = 0;
  // "ima", the oldest: its data has no lengths, and is hashed with the name padded to 256 bytes.
  bool is_old = false;
};
// By name, as "ima-ng", or by its own list of fields, as "d-ng|n-ng|sig". Nothing for one that
// holds a field we do not know.
[[nodiscard]] std::optional<ImaTemplate> ima_template(std::string_view name) noexcept;

// The binary form of the fields the ASCII list shows, appended to `out`: each behind its length,
// but for the old template, whose data is as it is hashed. False: `text` does not have these
// fields, each with what it may hold.
[[nodiscard]] bool ima_data_from_text(const ImaTemplate& form, std::string_view text,
                                      std::vector<std::uint8_t>& out);

// Two digits a byte, appended to `out`. False: there are others than digits, or an odd number.
[[nodiscard]] bool append_hex(std::string_view text, std::vector<std::uint8_t>& out);

// The digest in a field d, d_ng, d_ngv2 or d_modsig.
struct ImaDigest {
  std::string_view type;       // "ima" or "verity" with d_ngv2
  std::string_view algorithm;  // as the kernel names it, "sha256"
  ByteView digest;
};
[[nodiscard]] std::optional<ImaDigest> ima_digest(ImaField field, ByteView value) noexcept;

}  // namespace cs::tpm
