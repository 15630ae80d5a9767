// SPDX-License-Identifier: GPL-3.0-or-later
// The list the kernel's IMA keeps of what it measured, ASCII or binary (little-endian), and what it
// makes of PCR 10. Entry by entry from a file, however long. Hostile until it replays to a PCR that
// a TPM has signed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/hash.h"
#include "tpm/logs/ima_template.h"
#include "tpm/logs/input.h"
#include "tpm/pcr.h"

namespace cs::tpm {

inline constexpr std::uint64_t most_ima_entries = std::uint64_t{1} << 24U;
// What an Input for a list must be able to show at once: an entry as text, two digits a byte.
inline constexpr std::size_t most_ima_entry = 2 * most_ima_data + 4096;

struct ImaEntry {
  std::uint64_t number = 0;  // from 0
  std::uint64_t offset = 0;  // in the file
  std::uint32_t pcr = 0;     // below 24
  ByteView template_hash;    // as listed; it is that of `hashed`, unless this is a violation
  // The kernel could not tell what was in the file, as somebody wrote to it: the hash listed is all
  // zeros, the PCR was extended with all ones. So nothing vouches for what else the entry says.
  bool is_violation = false;
  std::string_view template_name;
  ByteView hashed;  // what the template hash is made of
  struct Value {
    ImaField field{};
    ByteView bytes;  // the template ima pads its name to 256
  };
  std::array<Value, most_ima_fields> values;
  std::size_t value_count = 0;

  // Nothing if the template has no such field.
  [[nodiscard]] std::optional<ByteView> find(ImaField field) const noexcept;
  // The file's name or the event's, without its NUL.
  [[nodiscard]] std::string_view name() const noexcept;
};

class ImaLog {
 public:
  // Refused: an empty list. Which form it has, and which bank's template hashes it lists (newer
  // kernels have a list per bank), is found out from its first entry.
  [[nodiscard]] static Result<ImaLog> open(Input input);
  // The rest of a binary list, which may be nothing, behind `number` entries that were read before.
  [[nodiscard]] static ImaLog resume(Input input, HashAlgorithm listed, std::uint64_t number);

  [[nodiscard]] bool is_text() const noexcept { return text_; }
  [[nodiscard]] HashAlgorithm listed() const noexcept { return hasher_.algorithm(); }

  // False at the end. What it hands out stays until the next call. After an error it is the same
  // error again. Kind `unverified`: an entry's hash is not that of its data. A list cut between two
  // entries ends there: only the PCR tells that something is missing.
  [[nodiscard]] Result<bool> next(ImaEntry& out);
  // In the input: where the entry that was handed out last ends.
  [[nodiscard]] std::uint64_t good_until() const noexcept { return input_.offset() + size_; }

 private:
  ImaLog(Input input, bool text) : input_(std::move(input)), text_(text) {}
  [[nodiscard]] Result<bool> read_next(ImaEntry& out);
  [[nodiscard]] Result<void> read_entry(ImaEntry& out);
  [[nodiscard]] Result<void> read_binary(ImaEntry& out);
  [[nodiscard]] Result<ByteView> peek_whole(std::size_t size, std::string_view part);
  [[nodiscard]] Result<void> read_text(ImaEntry& out);
  [[nodiscard]] Result<std::string_view> peek_line();
  [[nodiscard]] Result<ImaTemplate> template_of(std::string_view name) const;
  [[nodiscard]] Result<void> split(const ImaTemplate& form, ImaEntry& out) const;
  [[nodiscard]] Result<void> check(ImaEntry& out);
  [[nodiscard]] Error wrong(ErrorKind kind, std::string_view what) const;

  Input input_;
  bool text_;
  Hasher hasher_{HashAlgorithm::sha1};
  std::uint64_t number_ = 0;
  std::size_t size_ = 0;               // of the entry shown last, still to be passed over
  std::vector<std::uint8_t> listed_;   // its template hash, where the file has it as text
  std::vector<std::uint8_t> scratch_;  // its data, where the file has it in another form
  std::optional<Error> failed_;
};

// What the kernel extends a bank with. Up to 5.7 it had SHA-1 only, and padded it with zeros.
enum class ImaRule : std::uint8_t { recomputed, padded };

struct ImaVerdict {
  HashAlgorithm bank{};
  std::uint32_t pcr = 0;
  // The last state of the list that is the register's value: after `entries` entries, of which at
  // least one extended it. The list may well be longer: it was read after the PCR.
  struct Match {
    std::uint64_t entries = 0;
    ImaRule rule = ImaRule::recomputed;
  };
  std::optional<Match> match;
};

// Replays by both rules at once. Allocates nothing per entry.
class ImaReplay {
 public:
  // `listed` is the list's; each state is held against the registers that `expected` states.
  ImaReplay(HashAlgorithm listed, std::span<const HashAlgorithm> banks, PcrValues expected = {});

  // Goes on where another one was, before the first add(): after so many entries, with its
  // values().
  void resume(std::uint64_t entries, const PcrValues& recomputed, const PcrValues& padded);

  void add(const ImaEntry& entry);
  [[nodiscard]] std::uint64_t entries() const noexcept { return entries_; }
  // Of the registers the list extends. By the padded rule: only banks it differs in.
  [[nodiscard]] PcrValues values(ImaRule rule) const;
  // Of one register of `expected`, so far.
  [[nodiscard]] std::optional<ImaVerdict::Match> match(HashAlgorithm bank,
                                                       std::uint32_t pcr) const noexcept;
  // One for each register of `expected`, whatever bank it is of.
  [[nodiscard]] std::vector<ImaVerdict> verdicts() const;

 private:
  struct Bank {
    explicit Bank(HashAlgorithm algorithm);
    [[nodiscard]] HashAlgorithm algorithm() const noexcept { return hasher.algorithm(); }
    Hasher hasher;
    std::array<std::vector<Digest>, 2> values;  // by rule
    std::array<std::optional<ImaVerdict::Match>, pcr_count> matches;
  };
  void extend(Bank& bank, const ImaEntry& entry);
  void compare(Bank& bank, std::uint32_t pcr, ImaRule rule) const;
  [[nodiscard]] bool can_be_padded(const Bank& bank) const noexcept;

  HashAlgorithm listed_;
  std::vector<Bank> banks_;
  PcrValues expected_;
  std::uint64_t entries_ = 0;
  std::uint32_t touched_ = 0;  // bit n: PCR n
};

}  // namespace cs::tpm
