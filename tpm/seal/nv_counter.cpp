// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/nv_counter.h"

#include <string>

#include "base/hex.h"
#include "tpm/device/authorization.h"
#include "tpm/device/capability.h"
#include "tpm/device/esys.h"
#include "tpm/evidence/name.h"

namespace cs::tpm {
namespace {

std::string text(std::uint32_t index) {
  ByteBuilder out(sizeof(index));
  out.u32be(index);
  return "the NV counter 0x" + hex_encode(finish(out));
}

// None, if the TPM has no such index.
Result<Handle> find(Device& device, std::uint32_t index) {
  CS_TRY(const auto handles, read_handles(device, index, index));
  if (handles.empty()) return Handle();
  EsysHandle made = ESYS_TR_NONE;
  CS_CHECK(device.call("TPM2_NV_ReadPublic of " + text(index), [&](ESYS_CONTEXT* esys) {
    return Esys_TR_FromTPMPublic(esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &made);
  }));
  return device.adopt(made);
}

// Its Name tells all of it.
Result<bool> is(Device& device, const Handle& counter, const NvPublic& area) {
  CS_TRY(const EsysHandle handle, device.resolve(counter));
  CS_TRY(const auto name, device.name_of("the Name of " + text(area.index), handle));
  return std::ranges::equal(name, name_of(area).bytes);
}

// One of ours that has counted.
Result<Handle> find_ours(Device& device, std::uint32_t index) {
  CS_CHECK(check_counter_index(index));
  CS_TRY(Handle found, find(device, index));
  if (!found) {
    return Error(ErrorKind::not_found, "the TPM has not got " + text(index))
        .with_hint("was the TPM cleared or replaced? then what it protected must be made anew");
  }
  CS_TRY(const bool ours, is(device, found, counter_area(index)));
  if (ours) return found;
  return Error(ErrorKind::unverified, text(index) + " is another index than ours, or never counted")
      .with_hint("see tpm2_nvreadpublic; remove it if nobody else uses it");
}

// Before it has counted.
NvPublic new_area(std::uint32_t index) {
  NvPublic area = counter_area(index);
  area.attributes &= ~TPMA_NV_WRITTEN;
  return area;
}

TPM2B_NV_PUBLIC to_tpm(const NvPublic& area) {
  TPM2B_NV_PUBLIC to{};
  to.nvPublic.nvIndex = area.index;
  to.nvPublic.nameAlg = static_cast<TPMI_ALG_HASH>(area.name_algorithm);
  to.nvPublic.attributes = area.attributes;
  to.nvPublic.dataSize = area.size;
  return to;
}

Result<void> increment(Device& device, const Handle& counter, std::uint32_t index,
                       const Auth& owner) {
  CS_TRY(const EsysHandle item, device.resolve(counter));
  CS_TRY(const HierarchySession session, HierarchySession::open(device, owner));
  CS_TRY(const EsysHandle opened, session.use(device));
  return call_authorized(device, "TPM2_NV_Increment of " + text(index), ESYS_TR_RH_OWNER,
                         view(owner), [&](ESYS_CONTEXT* esys) {
                           return Esys_NV_Increment(esys, ESYS_TR_RH_OWNER, item, opened,
                                                    ESYS_TR_NONE, ESYS_TR_NONE);
                         });
}

}  // namespace

Result<void> define_counter(Device& device, std::uint32_t index, const Auth& owner) {
  CS_CHECK(check_counter_index(index));
  CS_TRY(Handle counter, find(device, index));
  if (!counter) {
    const TPM2B_NV_PUBLIC area = to_tpm(new_area(index));
    const std::string asked = "TPM2_NV_DefineSpace of " + text(index);
    CS_TRY(const HierarchySession session, HierarchySession::open(device, owner));
    CS_TRY(const EsysHandle with, session.use(device));
    EsysHandle made = ESYS_TR_NONE;
    CS_CHECK(call_authorized(device, asked, ESYS_TR_RH_OWNER, view(owner), [&](ESYS_CONTEXT* esys) {
      constexpr TPM2B_AUTH no_auth{};
      return Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, with, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
                                 &area, &made);
    }));
    counter = device.adopt(made);
  }
  // Also where the machine went down after it was made.
  CS_TRY(const bool fresh, is(device, counter, new_area(index)));
  if (fresh) return increment(device, counter, index, owner);
  CS_TRY(const bool ours, is(device, counter, counter_area(index)));
  if (ours) return {};
  return Error(ErrorKind::exists, text(index) + " is there already, and is another index than ours")
      .with_hint("see tpm2_nvreadpublic; remove it if nobody else uses it");
}

Result<std::uint64_t> read_counter(Device& device, const Handle& salt_key, std::uint32_t index) {
  CS_TRY(const Handle counter, find_ours(device, index));
  CS_TRY(const EsysHandle item, device.resolve(counter));
  CS_TRY(const Session session, Session::hmac(device, salt_key));
  CS_TRY(const EsysHandle with, session.use(device));
  Out<TPM2B_MAX_NV_BUFFER> value;
  const std::string asked = "TPM2_NV_Read of " + text(index);
  CS_CHECK(device.call(asked, [&](ESYS_CONTEXT* esys) {
    return Esys_NV_Read(esys, item, item, with, ESYS_TR_NONE, ESYS_TR_NONE,
                        counter_area(index).size, 0, value.out());
  }));
  std::uint64_t count = 0;
  ByteReader in(view(*value));
  if (!in.u64be(count) || !in.expect_end()) return in.failure(asked);
  return count;
}

Result<void> count_on(Device& device, std::uint32_t index, const Auth& owner) {
  CS_TRY(const Handle counter, find_ours(device, index));
  return increment(device, counter, index, owner);
}

Result<void> policy_counter(Device& device, const Session& session, std::uint32_t index,
                            std::uint64_t at_most) {
  CS_TRY(const Handle counter, find_ours(device, index));
  CS_TRY(const EsysHandle handle, device.resolve(counter));
  CS_TRY(const EsysHandle policy, session.use(device));
  ByteBuilder bytes(sizeof(at_most));
  bytes.u64be(at_most);
  CS_TRY(const TPM2B_OPERAND operand, sized<TPM2B_OPERAND>(finish(bytes), "a counter"));
  TSS2_RC answer = TSS2_RC_SUCCESS;
  const std::string asked = "TPM2_PolicyNV of " + text(index);
  auto done = device.call(asked, [&](ESYS_CONTEXT* esys) {
    answer = Esys_PolicyNV(esys, handle, handle, policy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                           ESYS_TR_NONE, &operand, 0, TPM2_EO_UNSIGNED_LE);
    return answer;
  });
  if (answer != TPM2_RC_POLICY) return done;
  return Error(ErrorKind::denied, asked + ": it is above " + std::to_string(at_most));
}

}  // namespace cs::tpm
