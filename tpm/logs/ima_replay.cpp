// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <utility>

#include "base/panic.h"
#include "tpm/logs/ima_log.h"

namespace cs::tpm {

namespace {

constexpr std::size_t place(ImaRule rule) noexcept {
  return static_cast<std::size_t>(rule);
}

// SHA-1's digest, and zeros up to the bank's size.
Digest padded(HashAlgorithm bank, ByteView sha1) {
  Digest digest(bank);
  std::ranges::copy(sha1, digest.bytes().begin());
  return digest;
}

}  // namespace

ImaReplay::Bank::Bank(HashAlgorithm algorithm)
    : hasher(algorithm),
      values{std::vector<Digest>(pcr_count, Digest(algorithm)),
             std::vector<Digest>(pcr_count, Digest(algorithm))} {}

ImaReplay::ImaReplay(HashAlgorithm listed, std::span<const HashAlgorithm> banks, PcrValues expected)
    : listed_(listed), expected_(std::move(expected)) {
  for (const HashAlgorithm algorithm : banks) banks_.emplace_back(algorithm);
}

bool ImaReplay::can_be_padded(const Bank& bank) const noexcept {
  return listed_ == HashAlgorithm::sha1 && bank.algorithm() != HashAlgorithm::sha1;
}

void ImaReplay::resume(std::uint64_t entries, const PcrValues& recomputed,
                       const PcrValues& padded) {
  entries_ = entries;
  for (Bank& bank : banks_) {
    for (const ImaRule rule : {ImaRule::recomputed, ImaRule::padded}) {
      const PcrValues& former = rule == ImaRule::recomputed ? recomputed : padded;
      for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
        const Digest* const value = former.find(bank.algorithm(), pcr);
        if (value == nullptr) continue;
        touched_ |= 1U << pcr;
        bank.values[place(rule)][pcr] = *value;
        compare(bank, pcr, rule);
      }
    }
  }
}

void ImaReplay::add(const ImaEntry& entry) {
  if (entry.pcr >= pcr_count || entry.template_hash.size() != digest_size(listed_)) {
    panic("an entry that no ImaLog of this kind has read");
  }
  ++entries_;
  touched_ |= 1U << entry.pcr;
  for (Bank& bank : banks_) extend(bank, entry);
}

void ImaReplay::extend(Bank& bank, const ImaEntry& entry) {
  const HashAlgorithm algorithm = bank.algorithm();
  Digest& value = bank.values[place(ImaRule::recomputed)][entry.pcr];
  if (entry.is_violation) {
    tpm::extend(bank.hasher, value, Digest(algorithm, 0xff));
  } else if (algorithm == listed_) {
    value = bank.hasher.hash({value.bytes(), entry.template_hash});
  } else {
    tpm::extend(bank.hasher, value, bank.hasher.hash({entry.hashed}));
  }
  compare(bank, entry.pcr, ImaRule::recomputed);
  if (!can_be_padded(bank)) return;
  const Digest ones(HashAlgorithm::sha1, 0xff);
  const Digest with = padded(algorithm, entry.is_violation ? ones.bytes() : entry.template_hash);
  tpm::extend(bank.hasher, bank.values[place(ImaRule::padded)][entry.pcr], with);
  compare(bank, entry.pcr, ImaRule::padded);
}

void ImaReplay::compare(Bank& bank, std::uint32_t pcr, ImaRule rule) const {
  const Digest* const expected = expected_.find(bank.algorithm(), pcr);
  if (expected == nullptr || *expected != bank.values[place(rule)][pcr]) return;
  bank.matches[pcr] = {entries_, rule};
}

PcrValues ImaReplay::values(ImaRule rule) const {
  PcrValues found;
  for (const Bank& bank : banks_) {
    if (rule == ImaRule::padded && !can_be_padded(bank)) continue;
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      if ((touched_ >> pcr & 1U) == 0) continue;
      if (!found.set(pcr, bank.values[place(rule)][pcr]).ok()) panic("a PCR beyond the last");
    }
  }
  return found;
}

std::optional<ImaVerdict::Match> ImaReplay::match(HashAlgorithm bank,
                                                  std::uint32_t pcr) const noexcept {
  const auto found = std::ranges::find(banks_, bank, &Bank::algorithm);
  return found == banks_.end() || pcr >= pcr_count ? std::nullopt : found->matches[pcr];
}

std::vector<ImaVerdict> ImaReplay::verdicts() const {
  std::vector<ImaVerdict> verdicts;
  for (const auto& [algorithm, registers] : expected_.banks()) {
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      if (!registers.at(pcr)) continue;
      verdicts.push_back({algorithm, pcr, match(algorithm, pcr)});
    }
  }
  return verdicts;
}

}  // namespace cs::tpm
