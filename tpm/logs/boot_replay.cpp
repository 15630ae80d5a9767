// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <string>
#include <utility>

#include "tpm/logs/boot_log.h"

namespace cs::tpm {

namespace {

using Type = BootEventType;

// An H-CRTM event before TPM2_Startup starts PCR 0 as locality 4 does.
constexpr std::uint8_t hcrtm_locality = 4;

Error wrong(const BootEvent& event, std::string_view what) {
  return {ErrorKind::invalid, "boot log: event " + std::to_string(event.number) + " at offset " +
                                  std::to_string(event.offset) + ": " + std::string(what)};
}

// Where PCR 0 starts: known before its first extension, at the latest.
class Start {
 public:
  Result<void> see(const BootEvent& event) {
    if (const auto stated = event.startup_locality()) {
      if (stated_ || extended_) {
        return wrong(event, "the startup locality is told twice, or after PCR 0 was extended");
      }
      if (*stated > last_locality) {
        return wrong(event, "there is no locality " + std::to_string(*stated));
      }
      stated_ = stated;
    }
    if (!extended_ && event.extends() && event.pcr == 0) {
      extended_ = true;
      if (!stated_ && event.type == Type::efi_hcrtm_event) stated_ = hcrtm_locality;
    }
    return {};
  }
  [[nodiscard]] std::uint8_t locality() const noexcept { return stated_.value_or(0); }

 private:
  std::optional<std::uint8_t> stated_;
  bool extended_ = false;
};

struct Bank {
  explicit Bank(HashAlgorithm algorithm)
      : hasher(algorithm), values(pcr_count, Digest(algorithm)) {}
  Hasher hasher;
  std::vector<Digest> values;
  std::optional<std::size_t> gap;  // the first event that has no digest of this bank
};

void extend_all(std::span<Bank> banks, const BootEvent& event) {
  for (std::size_t i = 0; i < banks.size(); ++i) {
    Bank& bank = banks[i];
    const ByteView digest = event.digests.at(i);
    if (digest.empty() && !bank.gap) bank.gap = event.number;
    if (bank.gap) continue;
    Digest& value = bank.values[event.pcr];
    value = bank.hasher.hash({value.bytes(), digest});
  }
}

Digest start_of(HashAlgorithm bank, std::uint32_t pcr, std::uint8_t locality) {
  Digest start(bank);
  if (pcr == 0) start.bytes().back() = locality;
  return start;
}

// What a register that nothing extends holds: a late launch resets 17 to 22.
bool is_reset_value(std::uint32_t pcr, const Digest& value) {
  const bool late_launch = pcr >= 17 && pcr <= 22;
  return value == Digest(value.algorithm()) ||
         (late_launch && value == Digest(value.algorithm(), 0xff));
}

Result<std::vector<Extension>> extensions_of(ByteView bytes, HashAlgorithm bank,
                                             std::uint32_t pcr) {
  CS_TRY(BootLog log, BootLog::open(bytes));
  const auto at =
      static_cast<std::size_t>(std::ranges::find(log.banks(), bank) - log.banks().begin());
  std::vector<Extension> found;
  BootEvent event;
  while (true) {
    CS_TRY(const bool more, log.next(event));
    if (!more) return found;
    if (event.extends() && event.pcr == pcr) found.push_back({event.number, event.digests.at(at)});
  }
}

Result<RegisterVerdict> compare_one(ByteView bytes, const BootReplay& replayed, std::uint32_t pcr,
                                    const Digest& value) {
  const HashAlgorithm bank = value.algorithm();
  RegisterVerdict verdict{bank, pcr, {}};
  const Digest* const logged = replayed.values.find(bank, pcr);
  if (logged != nullptr) {
    if (*logged == value) return verdict;
    CS_TRY(const auto extensions, extensions_of(bytes, bank, pcr));
    verdict.divergence =
        explain(start_of(bank, pcr, replayed.locality), extensions, value, pcr == 0);
  } else if (!replayed.values.banks().contains(bank)) {
    verdict.divergence = Divergence{.kind = Divergence::Kind::no_bank};
  } else if (!is_reset_value(pcr, value)) {
    verdict.divergence = Divergence{.kind = Divergence::Kind::no_event};
  }
  return verdict;
}

}  // namespace

Result<BootReplay> replay_boot_log(ByteView bytes) {
  CS_TRY(BootLog log, BootLog::open(bytes));
  std::vector<Bank> banks;
  for (const HashAlgorithm algorithm : log.banks()) banks.emplace_back(algorithm);
  BootReplay replayed;
  replayed.agile = log.is_agile();
  Start start;
  std::uint32_t touched = 0;
  BootEvent event;
  while (true) {
    CS_TRY(const bool more, log.next(event));
    if (!more) break;
    ++replayed.events;
    CS_CHECK(start.see(event));
    if (!event.extends()) continue;
    if (event.pcr == 0 && (touched & 1U) == 0) {
      for (Bank& bank : banks) bank.values[0].bytes().back() = start.locality();
    }
    touched |= 1U << event.pcr;
    extend_all(banks, event);
  }
  replayed.locality = start.locality();
  for (const Bank& bank : banks) {
    if (bank.gap) {
      replayed.gaps.push_back({bank.hasher.algorithm(), *bank.gap});
      continue;
    }
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      if ((touched >> pcr & 1U) != 0) CS_CHECK(replayed.values.set(pcr, bank.values[pcr]));
    }
  }
  return replayed;
}

Result<std::vector<RegisterVerdict>> compare(ByteView bytes, const BootReplay& replayed,
                                             const PcrValues& expected) {
  std::vector<RegisterVerdict> verdicts;
  for (const auto& [algorithm, bank] : expected.banks()) {
    for (std::uint32_t pcr = 0; pcr < pcr_count; ++pcr) {
      if (!bank.at(pcr)) continue;
      CS_TRY(const RegisterVerdict verdict, compare_one(bytes, replayed, pcr, *bank.at(pcr)));
      verdicts.push_back(verdict);
    }
  }
  return verdicts;
}

}  // namespace cs::tpm
