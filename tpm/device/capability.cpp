// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/capability.h"

#include <algorithm>
#include <map>
#include <ranges>

#include "tpm/device/device.h"
#include "tpm/device/esys.h"

namespace cs::tpm {
namespace {

using Properties = std::map<std::uint32_t, std::uint32_t>;

Result<Out<TPMS_CAPABILITY_DATA>> ask(Device& device, TPM2_CAP capability, std::uint32_t from,
                                      std::uint32_t count, bool* more = nullptr) {
  Out<TPMS_CAPABILITY_DATA> data;
  TPMI_YES_NO left = TPM2_NO;
  CS_CHECK(device.call("TPM2_GetCapability", [&](ESYS_CONTEXT* esys) {
    return Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, capability, from,
                              count, &left, data.out());
  }));
  if (data->capability != capability) {
    return Error(ErrorKind::invalid, "TPM2_GetCapability: the TPM answers another question");
  }
  if (more != nullptr) *more = left == TPM2_YES;
  return data;
}

// All of a group, fixed or variable. ESYS has bounded each list by its array.
Result<Properties> properties(Device& device, std::uint32_t group) {
  Properties found;
  std::uint32_t from = group;
  for (bool more = true; more;) {
    CS_TRY(const auto data,
           ask(device, TPM2_CAP_TPM_PROPERTIES, from, TPM2_MAX_TPM_PROPERTIES, &more));
    const auto& list = data->data.tpmProperties;
    if (list.count == 0) break;
    for (std::uint32_t i = 0; i < list.count; ++i) {
      const auto& property = list.tpmProperty[i];
      if (property.property < from) return found;  // it goes in circles
      found[property.property] = property.value;
      from = property.property + 1;
    }
    if (from >= group + 0x100) break;  // the next group
  }
  return found;
}

std::uint32_t value(const Properties& properties, std::uint32_t property,
                    std::uint32_t otherwise = 0) {
  const auto found = properties.find(property);
  return found != properties.end() ? found->second : otherwise;
}

// Four characters a property; what is not printable ends them.
std::string text(const Properties& properties, std::uint32_t first, std::uint32_t last) {
  std::string words;
  for (std::uint32_t property = first; property <= last; ++property) {
    const std::uint32_t four = value(properties, property);
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
      const auto letter = static_cast<char>((four >> shift) & 0xffU);
      if (letter >= ' ' && letter <= '~') words += letter;
    }
  }
  while (words.ends_with(' ')) words.pop_back();
  return words;
}

Result<std::vector<HashAlgorithm>> banks(Device& device) {
  CS_TRY(const auto data, ask(device, TPM2_CAP_PCRS, 0, 1));
  const PcrSelection selection = from_tpm(data->data.assignedPCR);
  std::vector<HashAlgorithm> allocated;
  for (const auto& bank : selection.banks) {
    if (bank.registers != 0) allocated.push_back(bank.algorithm);
  }
  return allocated;
}

}  // namespace

bool Capabilities::has_bank(HashAlgorithm bank) const noexcept {
  return std::ranges::find(banks, bank) != banks.end();
}

Result<Capabilities> read_capabilities(Device& device) {
  CS_TRY(const Properties fixed, properties(device, TPM2_PT_FIXED));
  Capabilities read;
  read.manufacturer = text(fixed, TPM2_PT_MANUFACTURER, TPM2_PT_MANUFACTURER);
  read.vendor = text(fixed, TPM2_PT_VENDOR_STRING_1, TPM2_PT_VENDOR_STRING_4);
  read.firmware = (std::uint64_t{value(fixed, TPM2_PT_FIRMWARE_VERSION_1)} << 32U) |
                  value(fixed, TPM2_PT_FIRMWARE_VERSION_2);
  // What it claims beyond our buffers is of no use to us.
  read.hash_buffer = std::min(value(fixed, TPM2_PT_INPUT_BUFFER, 1024U), 1024U);
  read.nv_buffer = std::min(value(fixed, TPM2_PT_NV_BUFFER_MAX, 512U), 2048U);
  read.object_slots = value(fixed, TPM2_PT_HR_TRANSIENT_MIN);
  read.session_slots = value(fixed, TPM2_PT_HR_LOADED_MIN);
  CS_TRY(read.banks, banks(device));
  CS_TRY(const auto curves, ask(device, TPM2_CAP_ECC_CURVES, 0, TPM2_MAX_ECC_CURVES));
  const auto& list = curves->data.eccCurves;
  read.curves.assign(&list.eccCurves[0], &list.eccCurves[0] + list.count);
  return read;
}

Result<Lockout> read_lockout(Device& device) {
  CS_TRY(const Properties now, properties(device, TPM2_PT_VAR));
  Lockout lockout;
  lockout.failures = value(now, TPM2_PT_LOCKOUT_COUNTER);
  lockout.most = value(now, TPM2_PT_MAX_AUTH_FAIL);
  lockout.forgets_one_in = std::chrono::seconds(value(now, TPM2_PT_LOCKOUT_INTERVAL));
  lockout.lockout_auth_waits = std::chrono::seconds(value(now, TPM2_PT_LOCKOUT_RECOVERY));
  const std::uint32_t permanent = value(now, TPM2_PT_PERMANENT);
  lockout.locked = (permanent & TPMA_PERMANENT_INLOCKOUT) != 0;
  lockout.owner_auth_set = (permanent & TPMA_PERMANENT_OWNERAUTHSET) != 0;
  lockout.endorsement_auth_set = (permanent & TPMA_PERMANENT_ENDORSEMENTAUTHSET) != 0;
  lockout.lockout_auth_set = (permanent & TPMA_PERMANENT_LOCKOUTAUTHSET) != 0;
  return lockout;
}

Result<FreeSlots> read_free_slots(Device& device) {
  CS_TRY(const Properties now, properties(device, TPM2_PT_VAR));
  return FreeSlots{value(now, TPM2_PT_HR_TRANSIENT_AVAIL), value(now, TPM2_PT_HR_LOADED_AVAIL)};
}

std::string Lockout::text() const {
  std::string words = locked ? "locked: " : "";
  words += std::to_string(failures) + " of " + std::to_string(most) +
           " failed authorisations; one is forgotten every " +
           std::to_string(forgets_one_in.count()) + " s";
  if (locked) {
    words +=
        "; wait that long, or reset it with the lockout authorisation: tpm2_dictionarylockout -c";
  }
  return words;
}

Result<std::vector<std::uint32_t>> read_handles(Device& device, std::uint32_t first,
                                                std::uint32_t last) {
  std::vector<std::uint32_t> handles;
  for (bool more = true; more;) {
    CS_TRY(const auto data, ask(device, TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &more));
    const auto& list = data->data.handles;
    for (std::uint32_t i = 0; i < list.count; ++i) {
      // Upwards only, so that it ends whatever the TPM says.
      if (list.handle[i] < first || list.handle[i] > last) return handles;
      handles.push_back(list.handle[i]);
      if (list.handle[i] == last) return handles;
      first = list.handle[i] + 1;
    }
    if (list.count == 0) break;
  }
  return handles;
}

Result<Loaded> read_loaded(Device& device) {
  CS_TRY(const auto objects, read_handles(device, TPM2_TRANSIENT_FIRST, TPM2_TRANSIENT_LAST));
  // Sessions answer with their own numbers (0x02…, 0x03…) to these questions.
  Loaded loaded;
  loaded.objects = static_cast<std::uint32_t>(objects.size());
  for (const std::uint32_t range : {TPM2_LOADED_SESSION_FIRST, TPM2_ACTIVE_SESSION_FIRST}) {
    CS_TRY(const auto data, ask(device, TPM2_CAP_HANDLES, range, TPM2_MAX_CAP_HANDLES));
    loaded.sessions += data->data.handles.count;
  }
  return loaded;
}

Result<TpmClock> read_clock(Device& device) {
  Out<TPMS_TIME_INFO> now;
  CS_CHECK(device.call("TPM2_ReadClock", [&](ESYS_CONTEXT* esys) {
    return Esys_ReadClock(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, now.out());
  }));
  const TPMS_CLOCK_INFO& info = now->clockInfo;
  return TpmClock{info.clock, info.resetCount, info.restartCount, info.safe == TPM2_YES};
}

}  // namespace cs::tpm
