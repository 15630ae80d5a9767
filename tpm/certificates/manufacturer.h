// SPDX-License-Identifier: GPL-3.0-or-later
// Who made a TPM, in words.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace cs::tpm {

// TPM_PT_MANUFACTURER, by the TCG's registry of vendor ids. Nothing for one that is not listed
// here.
[[nodiscard]] std::optional<std::string_view> manufacturer_name(std::uint32_t id) noexcept;
// As certificates write it, "id:494E5443".
[[nodiscard]] std::optional<std::string_view> manufacturer_name(std::string_view text) noexcept;

}  // namespace cs::tpm
