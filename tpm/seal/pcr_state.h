// SPDX-License-Identifier: GPL-3.0-or-later
// Registers and the values they must have, all of them known: what data is sealed to.
#pragma once

#include <string>
#include <vector>

#include "tpm/evidence/structures.h"

namespace cs::tpm {

class PcrState {
 public:
  PcrState() = default;  // of no register
  // Takes of `values` what is selected. Refused: nothing selected, a bank without a register, a
  // register that is not known.
  [[nodiscard]] static Result<PcrState> of(PcrSelection selection, const PcrValues& values);

  [[nodiscard]] const PcrSelection& selection() const noexcept { return selection_; }
  [[nodiscard]] const PcrValues& values() const noexcept { return values_; }
  // What PolicyPCR binds to: of SHA-256.
  [[nodiscard]] Digest composite() const;

  struct Difference {
    std::uint32_t pcr = 0;
    Digest wanted;
    Digest found;
    // "PCR sha256:7 is 01ab…, not 23cd…"
    [[nodiscard]] std::string text() const;
  };
  // In the order of the selection. What `now` does not state is passed over.
  [[nodiscard]] std::vector<Difference> differences(const PcrValues& now) const;

  // TPML_PCR_SELECTION, then the values in its order.
  static constexpr std::size_t most_encoded = 4 + 16 * 6 + Digest::most * 24 * 5;
  void write(ByteBuilder& out) const;
  [[nodiscard]] static Result<PcrState> read(ByteReader& in);

 private:
  PcrState(PcrSelection selection, PcrValues values)
      : selection_(std::move(selection)), values_(std::move(values)) {}

  PcrSelection selection_;
  PcrValues values_;
};

}  // namespace cs::tpm
