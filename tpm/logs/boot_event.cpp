// SPDX-License-Identifier: GPL-3.0-or-later
// What single events are: their names, and whether their data is bound to their digest.
#include <algorithm>
#include <utility>

#include "tpm/logs/boot_log.h"

namespace cs::tpm {

namespace {

using Type = BootEventType;

constexpr std::array names{
    std::pair{Type::preboot_cert, "EV_PREBOOT_CERT"},
    std::pair{Type::post_code, "EV_POST_CODE"},
    std::pair{Type::no_action, "EV_NO_ACTION"},
    std::pair{Type::separator, "EV_SEPARATOR"},
    std::pair{Type::action, "EV_ACTION"},
    std::pair{Type::event_tag, "EV_EVENT_TAG"},
    std::pair{Type::s_crtm_contents, "EV_S_CRTM_CONTENTS"},
    std::pair{Type::s_crtm_version, "EV_S_CRTM_VERSION"},
    std::pair{Type::cpu_microcode, "EV_CPU_MICROCODE"},
    std::pair{Type::platform_config_flags, "EV_PLATFORM_CONFIG_FLAGS"},
    std::pair{Type::table_of_devices, "EV_TABLE_OF_DEVICES"},
    std::pair{Type::compact_hash, "EV_COMPACT_HASH"},
    std::pair{Type::ipl, "EV_IPL"},
    std::pair{Type::ipl_partition_data, "EV_IPL_PARTITION_DATA"},
    std::pair{Type::nonhost_code, "EV_NONHOST_CODE"},
    std::pair{Type::nonhost_config, "EV_NONHOST_CONFIG"},
    std::pair{Type::nonhost_info, "EV_NONHOST_INFO"},
    std::pair{Type::omit_boot_device_events, "EV_OMIT_BOOT_DEVICE_EVENTS"},
    std::pair{Type::post_code2, "EV_POST_CODE2"},
    std::pair{Type::efi_variable_driver_config, "EV_EFI_VARIABLE_DRIVER_CONFIG"},
    std::pair{Type::efi_variable_boot, "EV_EFI_VARIABLE_BOOT"},
    std::pair{Type::efi_boot_services_application, "EV_EFI_BOOT_SERVICES_APPLICATION"},
    std::pair{Type::efi_boot_services_driver, "EV_EFI_BOOT_SERVICES_DRIVER"},
    std::pair{Type::efi_runtime_services_driver, "EV_EFI_RUNTIME_SERVICES_DRIVER"},
    std::pair{Type::efi_gpt_event, "EV_EFI_GPT_EVENT"},
    std::pair{Type::efi_action, "EV_EFI_ACTION"},
    std::pair{Type::efi_platform_firmware_blob, "EV_EFI_PLATFORM_FIRMWARE_BLOB"},
    std::pair{Type::efi_handoff_tables, "EV_EFI_HANDOFF_TABLES"},
    std::pair{Type::efi_platform_firmware_blob2, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"},
    std::pair{Type::efi_handoff_tables2, "EV_EFI_HANDOFF_TABLES2"},
    std::pair{Type::efi_variable_boot2, "EV_EFI_VARIABLE_BOOT2"},
    std::pair{Type::efi_gpt_event2, "EV_EFI_GPT_EVENT2"},
    std::pair{Type::efi_hcrtm_event, "EV_EFI_HCRTM_EVENT"},
    std::pair{Type::efi_variable_authority, "EV_EFI_VARIABLE_AUTHORITY"},
    std::pair{Type::efi_spdm_firmware_blob, "EV_EFI_SPDM_FIRMWARE_BLOB"},
    std::pair{Type::efi_spdm_firmware_config, "EV_EFI_SPDM_FIRMWARE_CONFIG"},
    std::pair{Type::efi_spdm_device_policy, "EV_EFI_SPDM_DEVICE_POLICY"},
    std::pair{Type::efi_spdm_device_authority, "EV_EFI_SPDM_DEVICE_AUTHORITY"},
};

constexpr std::array hashed_whole{
    Type::separator,          Type::action,
    Type::event_tag,          Type::s_crtm_version,
    Type::efi_action,         Type::omit_boot_device_events,
    Type::efi_gpt_event,      Type::efi_variable_driver_config,
    Type::efi_gpt_event2,     Type::efi_variable_boot,
    Type::efi_variable_boot2, Type::efi_variable_authority,
};

// The variable's content in a UEFI_VARIABLE_DATA, if it is one.
std::optional<ByteView> variable_content(ByteView data) {
  ByteReader reader(data);
  std::uint64_t characters = 0;
  std::uint64_t size = 0;
  ByteView content;
  if (!reader.skip(16) || !reader.u64le(characters) || !reader.u64le(size) ||
      characters > data.size() || !reader.skip(2 * static_cast<std::size_t>(characters)) ||
      !reader.take(static_cast<std::size_t>(size), content) || !reader.expect_end()) {
    return {};
  }
  return content;
}

bool is_hash_of_its_data(const BootEvent& event, ByteView digest, Hasher& hasher) {
  const auto made_of = [&](ByteView data) {
    return std::ranges::equal(hasher.hash({data}).bytes(), digest);
  };
  if (made_of(event.data)) return true;
  // A separator that tells an error is the hash of the number 1; what went wrong is its data.
  constexpr std::array<std::uint8_t, 4> error{1, 0, 0, 0};
  if (event.type == Type::separator) return made_of(error);
  // Of boot variables, firmware up to now hashes the content only.
  if (event.type != Type::efi_variable_boot) return false;
  const auto content = variable_content(event.data);
  return content && made_of(*content);
}

}  // namespace

std::string_view name_of(BootEventType type) noexcept {
  const auto* const row =
      std::ranges::find(names, type, [](const auto& pair) { return pair.first; });
  return row == names.end() ? std::string_view() : row->second;
}

BindingCheck::BindingCheck(std::span<const HashAlgorithm> banks) {
  for (const HashAlgorithm bank : banks) hashers_.emplace_back(bank);
}

Binding BindingCheck::operator()(const BootEvent& event) {
  if (std::ranges::find(hashed_whole, event.type) == hashed_whole.end()) {
    return Binding::not_claimed;
  }
  for (std::size_t i = 0; i < hashers_.size(); ++i) {
    const ByteView digest = event.digests.at(i);
    if (!digest.empty() && !is_hash_of_its_data(event, digest, hashers_[i])) {
      return Binding::unbound;
    }
  }
  return Binding::bound;
}

}  // namespace cs::tpm
