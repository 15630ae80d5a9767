// SPDX-License-Identifier: GPL-3.0-or-later
// What a register's log tells: who writes it and who verifies it read it with this. Needs no TPM.
// docs/LOGS.md is the norm.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "keyms/hash.h"
#include "tpm/logs/cel.h"

namespace cs::keyms {

enum class StoryOf : std::uint8_t {
  static_register,  // policies in force, configuration; sealed to
  event_register,   // certificates, what was measured
};                  // and in both: drift and healing

// All that has happened since the register's reset, as far as it was read. Refused (`invalid`, with
// the record's number) is each record that could not follow what is there already, so a story that
// was read whole makes sense; whether the register says so too is not looked at.
class RegisterStory {
 public:
  static constexpr std::size_t max_values = 4096;  // policies in one boot

  struct Logged {
    Hash hash{};
    std::uint64_t record = 0;
  };
  struct Healed {
    std::string text;  // "CODE TUNNEL: sentence", of both
    std::uint64_t drift = 0;
    std::uint64_t healing = 0;  // number of its record
  };

  explicit RegisterStory(StoryOf of) noexcept : of_(of) {}
  // The whole log; an empty one tells nothing. `known`: what others may have extended before us,
  // the digests of all banks; a foreign event that has another is refused (`unverified`).
  [[nodiscard]] static Result<RegisterStory> read(StoryOf of, ByteView log,
                                                  std::span<const tpm::Digest> known = {});

  // Whether this event may come next.
  [[nodiscard]] Result<void> check(tpm::CelEvent event, ByteView content) const;
  // The next event. Refused: as check(); nothing has changed then.
  [[nodiscard]] Result<void> add(tpm::CelEvent event, ByteView content);

  [[nodiscard]] StoryOf of() const noexcept { return of_; }
  [[nodiscard]] std::uint64_t records() const noexcept { return records_; }

  // Of the static register: core properties values as they came into force, each once. The first
  // ones, in ascending order, stand before the configuration; each later one is of an applied plan.
  [[nodiscard]] const std::vector<Logged>& core_properties() const noexcept { return values_; }
  [[nodiscard]] const std::optional<Logged>& configuration() const noexcept {
    return configuration_;
  }

  // Of the event register. Hash of an endpoint's certificate and number of the last record on it.
  using Certificates = std::map<Hash, std::uint64_t>;
  [[nodiscard]] const Certificates& valid() const noexcept { return valid_; }
  [[nodiscard]] const Certificates& revoked() const noexcept { return revoked_; }
  [[nodiscard]] const std::optional<Logged>& measured() const noexcept { return measured_; }

  // Of both. Drift that has not been healed, by its text, with its record's number; and what has.
  using Drifts = std::map<std::string, std::uint64_t, std::less<>>;
  [[nodiscard]] const Drifts& drifts() const noexcept { return drifts_; }
  [[nodiscard]] const std::vector<Healed>& healed() const noexcept { return healed_; }

 private:
  [[nodiscard]] Result<void> add_foreign(const tpm::CelLog& log, const tpm::CelRecord& record,
                                         std::span<const tpm::Digest> known);
  [[nodiscard]] std::string_view fault_of(tpm::CelEvent event, ByteView content) const;
  [[nodiscard]] std::string_view fault_of_value(const Hash& value) const;
  [[nodiscard]] std::string_view fault_of_certificate(tpm::CelEvent event, const Hash& hash) const;
  [[nodiscard]] std::string_view fault_of_text(tpm::CelEvent event, std::string_view text) const;
  [[nodiscard]] Error wrong(ErrorKind kind, std::string_view what) const;

  StoryOf of_;
  std::uint64_t records_ = 0;
  bool own_ = false;  // a record of ours was there
  std::vector<Logged> values_;
  std::optional<Logged> configuration_;
  Certificates valid_;
  Certificates revoked_;
  std::optional<Logged> measured_;
  Drifts drifts_;
  std::vector<Healed> healed_;
};

}  // namespace cs::keyms
