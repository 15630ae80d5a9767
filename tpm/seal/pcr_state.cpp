// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/pcr_state.h"

#include <functional>
#include <utility>

namespace cs::tpm {

namespace {

// Whatever it is told of each register, in the order of the selection, until it fails.
Result<void> for_each(
    const PcrSelection& selection,
    const std::function<Result<void>(HashAlgorithm bank, std::uint32_t pcr)>& look) {
  for (const auto& bank : selection.banks) {
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      if ((bank.registers >> pcr & 1U) != 0) CS_CHECK(look(bank.algorithm, pcr));
    }
  }
  return {};
}

Result<void> check(const PcrSelection& selection) {
  if (selection.banks.empty()) return Error(ErrorKind::invalid, "a PCR state of no PCR");
  for (const auto& bank : selection.banks) {
    if (bank.registers != 0) continue;
    return Error(ErrorKind::invalid,
                 "a PCR state with no PCR of the bank " + std::string(to_string(bank.algorithm)));
  }
  return {};
}

std::string short_hex(const Digest& digest) {
  constexpr std::size_t shown = 16;
  return digest.hex().substr(0, shown) + "…";
}

}  // namespace

Result<PcrState> PcrState::of(PcrSelection selection, const PcrValues& values) {
  CS_CHECK(check(selection));
  PcrValues taken;
  CS_CHECK(for_each(selection, [&](HashAlgorithm bank, std::uint32_t pcr) -> Result<void> {
    const Digest* const value = values.find(bank, pcr);
    if (value != nullptr) return taken.set(pcr, *value);
    return Error(ErrorKind::invalid, "a PCR state without a value for PCR " +
                                         std::string(to_string(bank)) + ":" + std::to_string(pcr));
  }));
  return PcrState(std::move(selection), std::move(taken));
}

Digest PcrState::composite() const {
  return values_.composite(selection_, HashAlgorithm::sha256).value();
}

std::string PcrState::Difference::text() const {
  return "PCR " + std::string(to_string(wanted.algorithm())) + ":" + std::to_string(pcr) + " is " +
         short_hex(found) + ", not " + short_hex(wanted);
}

std::vector<PcrState::Difference> PcrState::differences(const PcrValues& now) const {
  std::vector<Difference> differences;
  for (const auto& bank : selection_.banks) {
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      const Digest* const wanted = values_.find(bank.algorithm, pcr);
      const Digest* const found = now.find(bank.algorithm, pcr);
      if (wanted == nullptr || found == nullptr || *wanted == *found) continue;
      differences.push_back({pcr, *wanted, *found});
    }
  }
  return differences;
}

void PcrState::write(ByteBuilder& out) const {
  write_pcr_selection(out, selection_);
  for (const auto& bank : selection_.banks) {
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      const Digest* const value = values_.find(bank.algorithm, pcr);
      if (value != nullptr) out.bytes(value->bytes());
    }
  }
}

Result<PcrState> PcrState::read(ByteReader& in) {
  CS_TRY(PcrSelection selection, read_pcr_selection(in));
  CS_CHECK(check(selection).context("reading a PCR state"));
  PcrValues values;
  CS_CHECK(for_each(selection, [&](HashAlgorithm bank, std::uint32_t pcr) -> Result<void> {
    Digest value(bank);
    if (!in.copy_to(value.bytes())) return in.failure("a PCR state");
    return values.set(pcr, value);
  }));
  return PcrState(std::move(selection), std::move(values));
}

}  // namespace cs::tpm
