// SPDX-License-Identifier: GPL-3.0-or-later
// The log firmware and boot loader leave of what they extended (TCG PC Client Platform Firmware
// Profile): crypto-agile, or in its old form with SHA-1 only. Hostile until it replays to PCRs that
// a TPM has signed; even then only the digests are vouched for, see binding().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/hash.h"
#include "tpm/logs/replay.h"
#include "tpm/pcr.h"

namespace cs::tpm {

inline constexpr std::size_t most_boot_log = std::size_t{16} * 1024 * 1024;
inline constexpr std::size_t most_boot_events = 65536;
inline constexpr std::size_t most_boot_event_data = std::size_t{1} * 1024 * 1024;
inline constexpr std::size_t most_boot_banks = 8;  // those we do not know among them

enum class BootEventType : std::uint32_t {
  preboot_cert = 0x00,
  post_code = 0x01,
  no_action = 0x03,
  separator = 0x04,
  action = 0x05,
  event_tag = 0x06,
  s_crtm_contents = 0x07,
  s_crtm_version = 0x08,
  cpu_microcode = 0x09,
  platform_config_flags = 0x0a,
  table_of_devices = 0x0b,
  compact_hash = 0x0c,
  ipl = 0x0d,
  ipl_partition_data = 0x0e,
  nonhost_code = 0x0f,
  nonhost_config = 0x10,
  nonhost_info = 0x11,
  omit_boot_device_events = 0x12,
  post_code2 = 0x13,
  efi_variable_driver_config = 0x80000001,
  efi_variable_boot = 0x80000002,
  efi_boot_services_application = 0x80000003,
  efi_boot_services_driver = 0x80000004,
  efi_runtime_services_driver = 0x80000005,
  efi_gpt_event = 0x80000006,
  efi_action = 0x80000007,
  efi_platform_firmware_blob = 0x80000008,
  efi_handoff_tables = 0x80000009,
  efi_platform_firmware_blob2 = 0x8000000a,
  efi_handoff_tables2 = 0x8000000b,
  efi_variable_boot2 = 0x8000000c,
  efi_gpt_event2 = 0x8000000d,
  efi_hcrtm_event = 0x80000010,
  efi_variable_authority = 0x800000e0,
  efi_spdm_firmware_blob = 0x800000e1,
  efi_spdm_firmware_config = 0x800000e2,
  efi_spdm_device_policy = 0x800000e3,
  efi_spdm_device_authority = 0x800000e4,
};
// As the profile writes it, "EV_SEPARATOR"; empty for a type it does not know.
[[nodiscard]] std::string_view name_of(BootEventType type) noexcept;

struct BootEvent {
  std::size_t number = 0;  // the first, which tells the algorithms, is 0
  std::size_t offset = 0;  // in the log
  std::uint32_t pcr = 0;   // below 24, unless the event extends nothing
  BootEventType type = BootEventType::no_action;
  // In the order of BootLog::banks(); empty where the event has none for that bank.
  std::array<ByteView, all_hash_algorithms.size()> digests;
  ByteView data;

  [[nodiscard]] bool extends() const noexcept { return type != BootEventType::no_action; }
  // The locality TPM2_Startup came from, if this event states it: PCR 0 starts from it.
  [[nodiscard]] std::optional<std::uint8_t> startup_locality() const noexcept;
};

// Event by event, without allocating. What it hands out lies in the log's bytes.
class BootLog {
 public:
  // `bytes` must outlive it. Refused: an empty log, one above the limit, a header that contradicts
  // itself, one whose algorithms we know none of. A log without a header has the old form.
  [[nodiscard]] static Result<BootLog> open(ByteView bytes);

  [[nodiscard]] bool is_agile() const noexcept { return agile_; }
  // Those we know. Digests of others are passed over by the size the header states.
  [[nodiscard]] std::span<const HashAlgorithm> banks() const noexcept {
    return std::span(banks_).first(known_);
  }

  // False at the end: of the bytes, or where only zeros follow, with which firmware fills its table
  // up. A log cut between two events, or within zeros a next one begins with, ends there: only the
  // PCRs tell that something is missing. After an error it is the same error again.
  [[nodiscard]] Result<bool> next(BootEvent& out);

 private:
  struct Algorithm {
    std::uint16_t number = 0;
    std::uint16_t size = 0;
  };

  explicit BootLog(ByteView bytes) noexcept : reader_(bytes) {}
  [[nodiscard]] Result<void> read_header(ByteView data, std::size_t offset);
  [[nodiscard]] Result<void> add_algorithm(std::uint16_t number, std::uint16_t size);
  [[nodiscard]] Result<bool> read_next(BootEvent& out);
  [[nodiscard]] Result<void> read_old_event(BootEvent& out);
  [[nodiscard]] Result<void> read_agile_event(BootEvent& out);
  [[nodiscard]] Result<void> read_digests(std::uint32_t count, BootEvent& out);
  [[nodiscard]] Error wrong(ErrorKind kind, std::string_view what) const;
  [[nodiscard]] Error cut() const;

  ByteReader reader_;
  std::array<Algorithm, most_boot_banks> algorithms_;
  std::size_t stated_ = 0;  // how many of them
  std::array<HashAlgorithm, all_hash_algorithms.size()> banks_{};
  std::size_t known_ = 0;
  bool agile_ = false;
  std::size_t number_ = 0;
  std::size_t offset_ = 0;  // where the event begins that is read
  std::size_t end_ = 0;     // from here on there are only zeros
  std::optional<Error> failed_;
};

struct BootReplay {
  std::size_t events = 0;
  bool agile = false;
  // Of the registers the log extends.
  PcrValues values;
  // Where PCR 0 started.
  std::uint8_t locality = 0;
  // Banks that an extending event has no digest of, and the first such event. They have no values.
  struct Gap {
    HashAlgorithm bank{};
    std::size_t event = 0;
  };
  std::vector<Gap> gaps;
};
// Refused, besides what BootLog refuses: a startup locality stated twice, too late or above 4.
[[nodiscard]] Result<BootReplay> replay_boot_log(ByteView bytes);

struct RegisterVerdict {
  HashAlgorithm bank{};
  std::uint32_t pcr = 0;
  std::optional<Divergence> divergence;  // none: it is what the log says
};
// Each register that `expected` states, held against the log. `replayed` is replay_boot_log()'s.
[[nodiscard]] Result<std::vector<RegisterVerdict>> compare(ByteView bytes,
                                                           const BootReplay& replayed,
                                                           const PcrValues& expected);

// Whether an event's data is what its digest was made of, so that who trusts the PCR may believe
// the data. Only for the types of which the profile says so; firmware differs.
enum class Binding : std::uint8_t {
  not_claimed,  // the digest is of something else: a file, a table in memory
  bound,        // in each bank
  unbound,      // the digest is not the data's: believe the digest, not the data
};
class BindingCheck {
 public:
  explicit BindingCheck(std::span<const HashAlgorithm> banks);
  [[nodiscard]] Binding operator()(const BootEvent& event);

 private:
  std::vector<Hasher> hashers_;
};

}  // namespace cs::tpm
