// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/pcr.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/hex.h"
#include "base/panic.h"

namespace cs::tpm {

namespace {

constexpr std::size_t most_text = std::size_t{64} * 1024;
constexpr std::uint32_t all_registers = (std::uint32_t{1} << pcr_count) - 1;

std::string name_of(HashAlgorithm bank, std::uint32_t index) {
  return "PCR " + std::to_string(index) + " of the bank " + std::string(to_string(bank));
}

Result<HashAlgorithm> parse_bank(std::string_view name) {
  const auto algorithm = hash_algorithm(name);
  if (!algorithm) {
    return Error(ErrorKind::invalid, "'" + std::string(name.substr(0, 20)) + "' is no PCR bank")
        .with_hint("banks are sha1, sha256, sha384, sha512, sm3_256");
  }
  return *algorithm;
}

Result<std::uint32_t> parse_index(std::string_view text) {
  std::uint32_t index = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (failure != std::errc{} || end != text.data() + text.size() || index >= pcr_count) {
    return Error(ErrorKind::invalid, "'" + std::string(text.substr(0, 20)) + "' is no PCR")
        .with_hint("PCRs are numbered from 0 to " + std::to_string(pcr_count - 1));
  }
  return index;
}

// What stands before the next `separator`, which goes too.
std::string_view cut(std::string_view& text, char separator) {
  const auto end = text.find(separator);
  const auto part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

Result<PcrSelection::Bank> parse_selected_bank(std::string_view text) {
  CS_TRY(const HashAlgorithm algorithm, parse_bank(cut(text, ':')));
  PcrSelection::Bank bank{algorithm, 0};
  if (text == "all") {
    bank.registers = all_registers;
    return bank;
  }
  if (text.empty() || text.back() == ',') return parse_index("").error();
  while (!text.empty()) {
    CS_TRY(const std::uint32_t index, parse_index(cut(text, ',')));
    bank.registers |= std::uint32_t{1} << index;
  }
  return bank;
}

Result<void> parse_line(std::string_view line, PcrValues& values) {
  CS_TRY(const HashAlgorithm bank, parse_bank(cut(line, ':')));
  CS_TRY(const std::uint32_t index, parse_index(cut(line, '=')));
  CS_TRY(const auto bytes, hex_decode(line, Digest::most));
  CS_TRY(const Digest digest, Digest::from(bank, bytes));
  if (values.find(bank, index) != nullptr) {
    return Error(ErrorKind::invalid, name_of(bank, index) + " is stated twice");
  }
  return values.set(index, digest);
}

}  // namespace

Result<PcrSelection> PcrSelection::parse(std::string_view text) {
  PcrSelection selection;
  if (text.empty() || text.back() == '+') {
    return Error(ErrorKind::invalid, "a PCR selection: a bank is missing")
        .with_hint("write it like sha256:0,1,7");
  }
  while (!text.empty()) {
    CS_TRY(const Bank bank, parse_selected_bank(cut(text, '+')).context("a PCR selection"));
    if (std::ranges::find(selection.banks, bank.algorithm, &Bank::algorithm) !=
        selection.banks.end()) {
      return Error(ErrorKind::invalid, "a PCR selection: the bank " +
                                           std::string(to_string(bank.algorithm)) +
                                           " stands there twice");
    }
    selection.banks.push_back(bank);
  }
  return selection;
}

std::string PcrSelection::text() const {
  std::string text;
  for (const Bank& bank : banks) {
    if (!text.empty()) text += '+';
    text += to_string(bank.algorithm);
    char separator = ':';
    for (std::uint32_t index = 0; index < pcr_count; ++index) {
      if ((bank.registers >> index & 1U) == 0) continue;
      text += separator + std::to_string(index);
      separator = ',';
    }
  }
  return text;
}

const Digest* PcrValues::find(HashAlgorithm bank, std::uint32_t index) const noexcept {
  const auto row = banks_.find(bank);
  if (row == banks_.end() || index >= pcr_count || !row->second.at(index)) return nullptr;
  return &*row->second.at(index);
}

Result<void> PcrValues::set(std::uint32_t index, const Digest& value) {
  if (index >= pcr_count) {
    return Error(ErrorKind::invalid, "there is no PCR " + std::to_string(index));
  }
  banks_[value.algorithm()].at(index) = value;
  return {};
}

Result<Digest> PcrValues::composite(const PcrSelection& selection, HashAlgorithm hash) const {
  Hasher hasher(hash);
  hasher.start();
  bool any = false;
  for (const auto& bank : selection.banks) {
    for (std::uint32_t index = 0; index < pcr_count; ++index) {
      if ((bank.registers >> index & 1U) == 0) continue;
      const Digest* const value = find(bank.algorithm, index);
      if (value == nullptr) {
        return Error(ErrorKind::not_found,
                     "the value of " + name_of(bank.algorithm, index) + " is not known");
      }
      hasher.add(value->bytes());
      any = true;
    }
  }
  if (!any) return Error(ErrorKind::invalid, "a digest over no PCR says nothing");
  return hasher.finish();
}

Result<PcrValues> PcrValues::parse(std::string_view text) {
  if (text.size() > most_text) {
    return Error(ErrorKind::limit, "PCR values: " + std::to_string(text.size()) +
                                       " bytes, at most " + std::to_string(most_text));
  }
  PcrValues values;
  for (std::size_t number = 1; !text.empty(); ++number) {
    auto line = cut(text, '\n');
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    CS_CHECK(parse_line(line, values).context([&] {
      return "PCR values: line " + std::to_string(number);
    }));
  }
  return values;
}

std::string PcrValues::text() const {
  std::string text;
  for (const auto& [algorithm, bank] : banks_) {
    for (std::uint32_t index = 0; index < pcr_count; ++index) {
      if (!bank.at(index)) continue;
      text += std::string(to_string(algorithm)) + ":" + std::to_string(index) + "=" +
              bank.at(index)->hex() + "\n";
    }
  }
  return text;
}

void extend(Hasher& hasher, Digest& value, const Digest& with) {
  if (value.algorithm() != with.algorithm() || value.algorithm() != hasher.algorithm()) {
    panic("a PCR extended with a digest of another bank");
  }
  value = hasher.hash({value.bytes(), with.bytes()});
}

}  // namespace cs::tpm
