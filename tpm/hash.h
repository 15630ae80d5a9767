// SPDX-License-Identifier: GPL-3.0-or-later
// Hash algorithms by the numbers the TCG gives them, and digests that know which one made them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

struct evp_md_st;
struct evp_md_ctx_st;

namespace cs::tpm {

// TPM_ALG_ID.
enum class HashAlgorithm : std::uint16_t {
  sha1 = 0x0004,
  sha256 = 0x000b,
  sha384 = 0x000c,
  sha512 = 0x000d,
  sm3_256 = 0x0012,
};
inline constexpr std::array all_hash_algorithms{HashAlgorithm::sha1, HashAlgorithm::sha256,
                                                HashAlgorithm::sha384, HashAlgorithm::sha512,
                                                HashAlgorithm::sm3_256};

[[nodiscard]] std::size_t digest_size(HashAlgorithm algorithm) noexcept;
// As tpm2-tools and the kernel's sysfs write it: "sha256", "sm3_256".
[[nodiscard]] std::string_view to_string(HashAlgorithm algorithm) noexcept;
// Nothing for one we do not know: a log may carry banks of the future, and says how long they are.
[[nodiscard]] std::optional<HashAlgorithm> hash_algorithm(std::uint16_t number) noexcept;
[[nodiscard]] std::optional<HashAlgorithm> hash_algorithm(std::string_view name) noexcept;

// A value of its own, 66 bytes, no allocation.
class Digest {
 public:
  static constexpr std::size_t most = 64;

  // All bytes alike: 0x00 is what PCRs 0 to 16 start from, 0xff what 17 to 22 do.
  explicit Digest(HashAlgorithm algorithm, std::uint8_t fill = 0) noexcept;
  // Refused: another length than the algorithm's.
  [[nodiscard]] static Result<Digest> from(HashAlgorithm algorithm, ByteView bytes);

  [[nodiscard]] HashAlgorithm algorithm() const noexcept { return algorithm_; }
  [[nodiscard]] ByteView bytes() const noexcept { return std::span(bytes_).first(size_); }
  [[nodiscard]] ByteSpan bytes() noexcept { return std::span(bytes_).first(size_); }
  [[nodiscard]] std::string hex() const;

  friend bool operator==(const Digest& a, const Digest& b) noexcept {
    return a.algorithm_ == b.algorithm_ && std::ranges::equal(a.bytes(), b.bytes());
  }

 private:
  std::array<std::uint8_t, most> bytes_{};
  std::uint8_t size_;
  HashAlgorithm algorithm_;
};

// One algorithm, fetched once, used for many messages. Not for two threads at a time.
class Hasher {
 public:
  // Panics where OpenSSL is without the algorithm: Debian's has all of them.
  explicit Hasher(HashAlgorithm algorithm);

  [[nodiscard]] HashAlgorithm algorithm() const noexcept { return algorithm_; }

  // The whole message, in parts.
  [[nodiscard]] Digest hash(std::initializer_list<ByteView> parts);

  // A message that does not fit into memory.
  void start();
  void add(ByteView bytes);
  [[nodiscard]] Digest finish();

 private:
  struct Free {
    void operator()(evp_md_st* algorithm) const noexcept;
    void operator()(evp_md_ctx_st* state) const noexcept;
  };
  std::unique_ptr<evp_md_st, Free> md_;
  std::unique_ptr<evp_md_ctx_st, Free> state_;
  HashAlgorithm algorithm_;
};

}  // namespace cs::tpm
