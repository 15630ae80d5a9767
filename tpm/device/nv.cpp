// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/nv.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/hex.h"
#include "tpm/device/authorization.h"
#include "tpm/device/capability.h"
#include "tpm/device/esys.h"
#include "tpm/device/marshal.h"
#include "tpm/evidence/public_area.h"

namespace cs::tpm {
namespace {

constexpr std::uint32_t first_chain_index = 0x01c00100;
constexpr std::uint32_t last_chain_index = 0x01c001ff;
constexpr std::uint32_t most_in_chain = 32;

// Orderly and cleared at startup: it lives in RAM, so that extending it wears nothing.
constexpr TPMA_NV extend_attributes = (TPM2_NT_EXTEND << TPMA_NV_TPM2_NT_SHIFT) |
                                      TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD |
                                      TPMA_NV_NO_DA | TPMA_NV_ORDERLY | TPMA_NV_CLEAR_STCLEAR;
static_assert(extend_attributes == nv_attribute::own_register);  // what verifiers demand

std::string named(std::string_view command, std::uint32_t index) {
  const std::array<std::uint8_t, 4> number{
      static_cast<std::uint8_t>(index >> 24U), static_cast<std::uint8_t>(index >> 16U),
      static_cast<std::uint8_t>(index >> 8U), static_cast<std::uint8_t>(index)};
  return std::string(command) + " of index 0x" + hex_encode(number);
}

Result<TPMS_NV_PUBLIC> public_part(Device& device, EsysHandle handle, std::uint32_t index) {
  Out<TPM2B_NV_PUBLIC> area;
  CS_CHECK(device.call(named("TPM2_NV_ReadPublic", index), [&](ESYS_CONTEXT* esys) {
    Out<TPM2B_NAME> name;
    return Esys_NV_ReadPublic(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, area.out(),
                              name.out());
  }));
  return area->nvPublic;
}

Result<void> need_owner_auth(Device& device, std::uint32_t index) {
  CS_TRY(const Lockout state, read_lockout(device));
  if (state.owner_auth_set) return {};
  return Error(ErrorKind::denied, named("TPM2_NV_DefineSpace", index) +
                                      ": the owner hierarchy has no auth value, so anybody could "
                                      "remove the index and make it again, which resets it")
      .with_hint("set one (tpm2_changeauth -c owner), or use a PCR instead");
}

}  // namespace

Result<Handle> open_nv(Device& device, std::uint32_t index) {
  EsysHandle made = ESYS_TR_NONE;
  CS_TRY(const auto there, read_handles(device, index, index));
  if (there.empty()) {
    return Error(ErrorKind::not_found, named("TPM2_NV_ReadPublic", index) + ": there is none");
  }
  CS_CHECK(device.call(named("TPM2_NV_ReadPublic", index), [&](ESYS_CONTEXT* esys) {
    return Esys_TR_FromTPMPublic(esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &made);
  }));
  return device.adopt(made);
}

Result<std::vector<std::uint8_t>> read_nv(Device& device, std::uint32_t index) {
  CS_TRY(const Handle handle, open_nv(device, index));
  CS_TRY(const EsysHandle nv, device.resolve(handle));
  CS_TRY(const TPMS_NV_PUBLIC area, public_part(device, nv, index));
  // Who may read it: with its own (empty) auth value, or else as the owner.
  const bool by_itself = (area.attributes & TPMA_NV_AUTHREAD) != 0;
  const ESYS_TR reader = by_itself ? nv : ESYS_TR_RH_OWNER;
  std::vector<std::uint8_t> bytes;
  while (bytes.size() < area.dataSize) {
    const auto offset = static_cast<UINT16>(bytes.size());
    const auto size = static_cast<UINT16>(
        std::min<std::size_t>(area.dataSize - bytes.size(), device.capabilities().nv_buffer));
    Out<TPM2B_MAX_NV_BUFFER> part;
    CS_CHECK(
        call_authorized(device, named("TPM2_NV_Read", index), reader, {}, [&](ESYS_CONTEXT* esys) {
          return Esys_NV_Read(esys, reader, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, size,
                              offset, part.out());
        }));
    const ByteView got = view(*part);
    if (got.size() != size) {
      return Error(ErrorKind::truncated, named("TPM2_NV_Read", index) + ": " +
                                             std::to_string(size) + " bytes asked, " +
                                             std::to_string(got.size()) + " given");
    }
    bytes.insert(bytes.end(), got.begin(), got.end());
  }
  return bytes;
}

Result<std::vector<std::uint8_t>> read_nv_public(Device& device, std::uint32_t index) {
  CS_TRY(const Handle handle, open_nv(device, index));
  CS_TRY(const EsysHandle nv, device.resolve(handle));
  CS_TRY(const TPMS_NV_PUBLIC area, public_part(device, nv, index));
  return marshal<TPMS_NV_PUBLIC>(Tss2_MU_TPMS_NV_PUBLIC_Marshal, area,
                                 "the public area of an NV index");
}

Result<EndorsementBlobs> read_endorsement_blobs(Device& device) {
  EndorsementBlobs blobs;
  CS_TRY(const auto known,
         read_handles(device, endorsement_indices.front().index, endorsement_indices.back().index));
  for (const std::uint32_t index : known) {
    const auto* const at = std::ranges::find(endorsement_indices, index, &EndorsementIndex::index);
    if (at == endorsement_indices.end()) continue;
    CS_TRY(auto bytes, read_nv(device, index));
    blobs.certificates.push_back({index, std::move(bytes)});
  }
  CS_TRY(const auto chain, read_handles(device, first_chain_index, last_chain_index));
  for (const std::uint32_t index : chain) {
    if (blobs.chain.size() == most_in_chain) break;
    CS_TRY(auto bytes, read_nv(device, index));
    blobs.chain.push_back({index, std::move(bytes)});
  }
  return blobs;
}

Result<void> ExtendIndex::define(Device& device, SaltedSession& session, std::uint32_t index,
                                 const Auth& auth, const Auth& owner) {
  if (index < first || index > last) {
    return Error(ErrorKind::invalid, named("TPM2_NV_DefineSpace", index) +
                                         ": outside 0x01d10225 to 0x01d105ff, Linux' range");
  }
  CS_CHECK(need_owner_auth(device, index));
  TPM2B_NV_PUBLIC area{};
  area.nvPublic.nvIndex = index;
  area.nvPublic.nameAlg = TPM2_ALG_SHA256;
  area.nvPublic.attributes = extend_attributes;
  area.nvPublic.dataSize = TPM2_SHA256_DIGEST_SIZE;
  CS_TRY(const TPM2B_AUTH value, sized<TPM2B_AUTH>(view(auth), "the auth value"));
  CS_TRY(const EsysHandle with, session.use(device, Encrypt::command));
  return call_authorized(device, named("TPM2_NV_DefineSpace", index), ESYS_TR_RH_OWNER, view(owner),
                         [&](ESYS_CONTEXT* esys) {
                           ESYS_TR made = ESYS_TR_NONE;
                           const TSS2_RC rc =
                               Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, with, ESYS_TR_NONE,
                                                   ESYS_TR_NONE, &value, &area, &made);
                           if (rc == TSS2_RC_SUCCESS) Esys_TR_Close(esys, &made);
                           return rc;
                         });
}

Result<void> ExtendIndex::undefine(Device& device, SaltedSession& session, std::uint32_t index,
                                   const Auth& owner) {
  CS_TRY(Handle handle, open_nv(device, index));
  CS_TRY(const EsysHandle nv, device.resolve(handle));
  CS_TRY(const EsysHandle with, session.use(device));
  CS_CHECK(call_authorized(device, named("TPM2_NV_UndefineSpace", index), ESYS_TR_RH_OWNER,
                           view(owner), [&](ESYS_CONTEXT* esys) {
                             return Esys_NV_UndefineSpace(esys, ESYS_TR_RH_OWNER, nv, with,
                                                          ESYS_TR_NONE, ESYS_TR_NONE);
                           }));
  device.consumed(std::move(handle));
  return {};
}

Result<void> ExtendIndex::extend(Device& device, SaltedSession& session, const Digest& with) const {
  CS_TRY(const Handle handle, open_nv(device, index_));
  CS_TRY(const EsysHandle nv, device.resolve(handle));
  CS_TRY(const auto data, sized<TPM2B_MAX_NV_BUFFER>(with.bytes(), "what is extended"));
  CS_TRY(const EsysHandle using_session, session.use(device));
  return call_authorized(
      device, named("TPM2_NV_Extend", index_), nv, view(auth_), [&](ESYS_CONTEXT* esys) {
        return Esys_NV_Extend(esys, nv, nv, using_session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
      });
}

Result<Digest> ExtendIndex::read(Device& device, SaltedSession& session) const {
  CS_TRY(const Handle handle, open_nv(device, index_));
  CS_TRY(const EsysHandle nv, device.resolve(handle));
  CS_TRY(const TPMS_NV_PUBLIC area, public_part(device, nv, index_));
  if ((area.attributes & TPMA_NV_WRITTEN) == 0) return Digest(HashAlgorithm::sha256);
  CS_TRY(const EsysHandle with, session.use(device));
  Out<TPM2B_MAX_NV_BUFFER> value;
  CS_CHECK(call_authorized(device, named("TPM2_NV_Read", index_), nv, view(auth_),
                           [&](ESYS_CONTEXT* esys) {
                             return Esys_NV_Read(esys, nv, nv, with, ESYS_TR_NONE, ESYS_TR_NONE,
                                                 area.dataSize, 0, value.out());
                           }));
  return Digest::from(HashAlgorithm::sha256, view(*value));
}

}  // namespace cs::tpm
