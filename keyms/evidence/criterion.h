// SPDX-License-Identifier: GPL-3.0-or-later
// By what a gateway is judged: every check of the verifier, in its order, each with a stable code,
// the reason when it is refused. docs/PROTOCOL.md, "The verifier", has the same table; a test holds
// them together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cs::keyms {

enum class Criterion : std::uint8_t {
  ne_id,
  ak_name,
  ak_attributes,
  tpm_vendor,
  tpm_activation,
  tpm_unproven,
  endpoint_statement,
  endpoint_signature,
  endpoint_validity,
  endpoint_certificate,
  registers,
  quote_form,
  quote_signature,
  quote_freshness,
  quote_selection,
  quote_values,
  quote_clock,
  tpm_firmware,
  event_index,
  event_index_certified,
  reset_count,
  restart_count,
  clock_skew,
  boot_log,
  static_log,
  static_log_continued,
  event_log,
  event_log_continued,
  logs_agree,
  core_properties,
  core_properties_others,
  configuration,
  configuration_changed,
  certificate_logged,
  certificate_revoked,
  drift_open,
  drift_unacknowledged,
  drift_until_reboot,
  spd_measured,
  boot_value,
  digest_list,
  ima_part,
  ima_log,
  ima_boot_aggregate,
  ima_violation,
  ima_file,
  session_key,
  session_key_lifetime,
  session_key_resident,
};
inline constexpr std::size_t criterion_count = 49;

enum class Severity : std::uint8_t {
  refuse,  // unless this check holds, the gateway is refused
  note,    // told, and no more
};

struct CriterionText {
  Criterion criterion;
  std::string_view code;  // stable: the journal, metrics and programs have it
  Severity severity;
  std::string_view wrong;  // a sentence for a person, on what a failure means
  // What to do: a command, or who mends it. PEER stands for the gateway's NeID.
  std::string_view hint;
};
// In the verifier's order.
[[nodiscard]] const std::array<CriterionText, criterion_count>& criteria() noexcept;
[[nodiscard]] const CriterionText& text_of(Criterion criterion) noexcept;

}  // namespace cs::keyms
