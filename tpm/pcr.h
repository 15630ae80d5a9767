// SPDX-License-Identifier: GPL-3.0-or-later
// PCR values as a log, a quote or a person states them: banks of 24 registers, any of them unknown.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tpm/hash.h"

namespace cs::tpm {

inline constexpr std::uint32_t pcr_count = 24;  // what PC Client TPMs have

// Which registers of which bank. The banks keep their order: a quote's digest depends on it.
struct PcrSelection {
  struct Bank {
    HashAlgorithm algorithm;
    std::uint32_t registers = 0;  // bit n is PCR n
    friend bool operator==(const Bank&, const Bank&) = default;
  };
  std::vector<Bank> banks;

  // "sha256:0,1,2,7+sha1:0", as tpm2-tools take it; "all" in place of the numbers.
  [[nodiscard]] static Result<PcrSelection> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  friend bool operator==(const PcrSelection&, const PcrSelection&) = default;
};

class PcrValues {
 public:
  using Bank = std::array<std::optional<Digest>, pcr_count>;

  // Null for a register nobody has stated.
  [[nodiscard]] const Digest* find(HashAlgorithm bank, std::uint32_t index) const noexcept;
  // Refused: an index no TPM of this kind has.
  [[nodiscard]] Result<void> set(std::uint32_t index, const Digest& value);
  [[nodiscard]] const std::map<HashAlgorithm, Bank>& banks() const noexcept { return banks_; }

  // H(the selected values, one after the other): what a quote attests, what PolicyPCR binds to.
  // Refused: an empty selection, and one of a register that is not known here.
  [[nodiscard]] Result<Digest> composite(const PcrSelection& selection, HashAlgorithm hash) const;

  // Lines "sha256:0=hex"; empty ones and those that begin with # are passed over. Refused: anything
  // else, a register stated twice, more than 64 KiB.
  [[nodiscard]] static Result<PcrValues> parse(std::string_view text);
  [[nodiscard]] std::string text() const;

 private:
  std::map<HashAlgorithm, Bank> banks_;
};

// TPM2_PCR_Extend: the new value of a register that had `value`. All three of one algorithm.
void extend(Hasher& hasher, Digest& value, const Digest& with);

}  // namespace cs::tpm
