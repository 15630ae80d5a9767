// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/status.h"

#include <algorithm>

#include "tpm/device/child_key.h"
#include "tpm/device/marshal.h"

namespace cs::tpm {
namespace {

Result<Handle> null_key(Device& device) {
  constexpr TPM2B_SENSITIVE_CREATE sensitive{};
  constexpr TPM2B_DATA outside{};
  constexpr TPML_PCR_SELECTION no_pcrs{};
  const TPM2B_PUBLIC shape = signing_template(
      KeyType::p256, TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                         TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                         TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA);
  EsysHandle made = ESYS_TR_NONE;
  CS_CHECK(device.call("TPM2_CreatePrimary of a key to measure with", [&](ESYS_CONTEXT* esys) {
    Out<TPM2B_PUBLIC> area;
    Out<TPM2B_CREATION_DATA> data;
    Out<TPM2B_DIGEST> hash;
    Out<TPMT_TK_CREATION> ticket;
    return Esys_CreatePrimary(esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                              &sensitive, &shape, &outside, &no_pcrs, &made, area.out(), data.out(),
                              hash.out(), ticket.out());
  }));
  return device.adopt(made);
}

}  // namespace

Result<Status> read_status(Device& device) {
  Status status;
  status.capabilities = device.capabilities();
  CS_TRY(status.clock, read_clock(device));
  CS_TRY(status.lockout, read_lockout(device));
  CS_TRY(status.loaded, read_loaded(device));
  CS_TRY(status.free, read_free_slots(device));
  CS_TRY(status.endorsement, read_endorsement_blobs(device));
  return status;
}

Result<std::vector<std::uint8_t>> read_endorsement_area(Device& device, std::uint32_t index) {
  const auto* const at = std::ranges::find(endorsement_indices, index, &EndorsementIndex::index);
  if (at == endorsement_indices.end()) {
    return Error(ErrorKind::invalid, "no endorsement key has its certificate at this NV index");
  }
  CS_TRY(const auto templates, read_handles(device, index + 1, at->last_of_template));
  if (!templates.empty()) {
    return Error(ErrorKind::unsupported,
                 "the TPM's maker has made its endorsement key by a template of its own");
  }
  VolatileObject object = endorsement_key(at->key);
  CS_TRY(const EsysHandle key, object.use(device));
  CS_TRY(const TPM2B_PUBLIC area, read_public(device, key, "the endorsement key"));
  return marshal<TPM2B_PUBLIC>(Tss2_MU_TPM2B_PUBLIC_Marshal, area, "a public area");
}

Result<double> measure_sign_rate(Device& device, std::chrono::milliseconds duration) {
  constexpr TPMT_SIG_SCHEME as_the_key_says{TPM2_ALG_NULL, {}};
  constexpr TPMT_TK_HASHCHECK no_ticket{TPM2_ST_HASHCHECK, TPM2_RH_NULL, {}};
  constexpr TPM2B_DIGEST digest{TPM2_SHA256_DIGEST_SIZE, {}};
  CS_TRY(const Handle handle, null_key(device));
  CS_TRY(const EsysHandle key, device.resolve(handle));
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::duration<double> passed{0};
  double signatures = 0;
  while (passed < duration || signatures == 0) {
    CS_CHECK(device.call("TPM2_Sign to measure", [&](ESYS_CONTEXT* esys) {
      Out<TPMT_SIGNATURE> signature;
      return Esys_Sign(esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                       &as_the_key_says, &no_ticket, signature.out());
    }));
    ++signatures;
    passed = std::chrono::steady_clock::now() - begin;
  }
  return signatures / passed.count();
}

}  // namespace cs::tpm
