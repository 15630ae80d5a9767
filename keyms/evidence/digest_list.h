// SPDX-License-Identifier: GPL-3.0-or-later
// Lists of files that are accepted when a gateway's kernel has measured them, by their SHA-256.
// Text, signed by a key that the policy names. docs/DIGEST-LISTS.md is the norm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "keyms/policy/core_policy.h"

struct evp_pkey_st;

namespace cs::keyms {

inline constexpr std::size_t max_digest_list = std::size_t{64} * 1024 * 1024;
inline constexpr std::size_t max_digest_list_entries = std::size_t{1} << 18U;
inline constexpr std::size_t max_digest_list_name = 64;
inline constexpr std::size_t max_digest_list_path = 4096;

struct AcceptedFile {
  Hash digest{};
  std::string path;  // empty: wherever it lies
  bool operator==(const AcceptedFile&) const = default;
};

class DigestList {
 public:
  // Refused: all that format_digest_list() and sign_digest_list() would not have written; a
  // signature that does not hold (unverified).
  [[nodiscard]] static Result<DigestList> parse(std::string text);

  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] std::size_t entries() const noexcept { return entries_.size(); }
  // Who signed it: SHA-256 of the key's SubjectPublicKeyInfo. None: nobody has.
  [[nodiscard]] const std::optional<Hash>& key() const noexcept { return key_; }
  // SHA-256 of the whole text.
  [[nodiscard]] const Hash& hash() const noexcept { return hash_; }

  [[nodiscard]] bool accepts(ByteView digest, std::string_view path) const noexcept;

 private:
  struct Entry {
    Hash digest{};
    std::size_t path = 0;  // where it begins in the text
    std::size_t size = 0;
  };
  class Reader;

  std::string text_;
  std::string name_;
  std::uint64_t version_ = 0;
  std::vector<Entry> entries_;  // ascending, by digest and path
  std::optional<Hash> key_;
  Hash hash_{};
};

// The unsigned text. Refused: a name, a path or a number of entries beyond the limits, a path with
// a control character; the same entry twice is written once.
[[nodiscard]] Result<std::string> format_digest_list(std::string_view name, std::uint64_t version,
                                                     std::vector<AcceptedFile> files);
// The signed one, of an unsigned or a signed one, whose signature goes. `key`: Ed25519 or P-256.
[[nodiscard]] Result<std::string> sign_digest_list(std::string text, evp_pkey_st* key);

}  // namespace cs::keyms
