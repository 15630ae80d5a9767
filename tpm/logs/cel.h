// SPDX-License-Identifier: GPL-3.0-or-later
// Our own event logs: TCG Canonical Event Log records, encoded as TLV. docs/LOGS.md is the norm.
//
// A log is of one register, from its reset value on. It only ever grows at its end, record by
// record, and a record that is not all there is seen to be torn.
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

namespace cs::tpm {

inline constexpr std::size_t most_cel_log = std::size_t{16} * 1024 * 1024;
inline constexpr std::size_t most_cel_content = 1024;
inline constexpr std::size_t most_cel_record = 2048;

// What a log's events extend: a PCR, or an NV index of the type extend.
struct CelRegister {
  enum class Kind : std::uint8_t { pcr = 1, nv_index = 2 };  // as the field's type says it
  Kind kind = Kind::pcr;
  std::uint32_t number = 0;
  friend bool operator==(const CelRegister&, const CelRegister&) = default;
};

// Of a digest: 32 bytes, SHA-256. Of a text: 1 to 1024 printable ASCII characters.
enum class CelEvent : std::uint8_t {
  core_properties = 1,      // digest of a core policy that is in force from here on
  configuration = 2,        // digest of the daemons' configuration
  certificate_valid = 3,    // digest of an endpoint's certificate
  certificate_revoked = 4,  // the same digest, which counts no longer
  drift = 5,                // text: what the kernel does that the policy does not say
  healing = 6,              // text: what was put right
  foreign = 7,   // text: why somebody else extended the register, with a digest of theirs
  measured = 8,  // digest of what the kernel's IPsec does, as agreed
};
[[nodiscard]] std::string_view name_of(CelEvent event) noexcept;
[[nodiscard]] bool has_text(CelEvent event) noexcept;

struct CelRecord {
  std::uint64_t number = 0;  // from 0
  std::size_t offset = 0;
  CelEvent event{};
  ByteView content;                                          // digest or text
  std::array<ByteView, all_hash_algorithms.size()> digests;  // in the order of CelLog::banks()
};

// What a bank's register is extended with for such an event: not for a foreign one.
[[nodiscard]] Digest cel_digest(HashAlgorithm bank, CelEvent event, ByteView content);

// What somebody else extends before we begin.
struct ForeignEvent {
  std::string reason;
  std::vector<Digest> digests;  // one per bank
  bool operator==(const ForeignEvent&) const = default;
};

// The record as it stands in a log. Its digests are made of the content, one per bank.
// Refused: what a reader would refuse, but for the number, which only the log's writer knows.
[[nodiscard]] Result<std::vector<std::uint8_t>> write_cel_record(
    std::uint64_t number, const CelRegister& of, std::span<const HashAlgorithm> banks,
    CelEvent event, ByteView content);
// Of an event somebody else has extended: with these digests, one per bank.
[[nodiscard]] Result<std::vector<std::uint8_t>> write_foreign_cel_record(
    std::uint64_t number, const CelRegister& of, std::span<const Digest> digests,
    std::string_view reason);

class CelLog {
 public:
  // `bytes` must outlive it. Refused: an empty log, one above the limit.
  [[nodiscard]] static Result<CelLog> open(ByteView bytes);

  // What the first record says, and each one after it must: known once that is read.
  [[nodiscard]] const CelRegister& of() const noexcept { return of_; }
  [[nodiscard]] std::span<const HashAlgorithm> banks() const noexcept {
    return std::span(banks_).first(bank_count_);
  }

  // False at the end. After an error it is the same error again. Kind `truncated`: the last record
  // is torn. Kind `unverified`: a record's digests are not those of its content.
  [[nodiscard]] Result<bool> next(CelRecord& out);
  // Where the last record that was read ends: who appends after a crash cuts the log here.
  [[nodiscard]] std::size_t good_until() const noexcept { return good_until_; }

 private:
  explicit CelLog(ByteView bytes) noexcept : bytes_(bytes), reader_(bytes) {}
  [[nodiscard]] Result<bool> read_next(CelRecord& out);
  [[nodiscard]] Result<void> read_number();
  [[nodiscard]] Result<void> read_register();
  [[nodiscard]] Result<void> read_digests(CelRecord& out);
  [[nodiscard]] Result<void> read_first_digests(ByteReader digests);
  [[nodiscard]] Result<void> read_content(CelRecord& out);
  [[nodiscard]] Result<void> check_digests(const CelRecord& record, ByteView field);
  [[nodiscard]] Result<ByteReader> read_field(ByteReader& from, std::uint8_t type,
                                              std::string_view what) const;
  [[nodiscard]] Error wrong(ErrorKind kind, std::string_view what) const;

  ByteView bytes_;
  ByteReader reader_;
  std::uint64_t number_ = 0;
  std::size_t good_until_ = 0;
  CelRegister of_;
  std::array<HashAlgorithm, all_hash_algorithms.size()> banks_{};
  std::size_t bank_count_ = 0;
  std::vector<Hasher> hashers_;
  std::optional<Error> failed_;
};

struct CelReplay {
  std::uint64_t records = 0;
  CelRegister of;
  std::vector<Digest> values;  // one per bank
};
[[nodiscard]] Result<CelReplay> replay_cel(ByteView bytes);

}  // namespace cs::tpm
