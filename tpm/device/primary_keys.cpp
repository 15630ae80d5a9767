// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/primary_keys.h"

#include <tss2/tss2_mu.h>

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "tpm/device/authorization.h"
#include "tpm/device/capability.h"
#include "tpm/device/esys.h"
#include "tpm/device/marshal.h"

namespace cs::tpm {
namespace {

constexpr TPM2_HANDLE srk_handle = 0x81000001;
constexpr TPM2_HANDLE first_ek_handle = 0x81010000;
constexpr TPM2_HANDLE last_ek_handle = 0x810100ff;

// PolicySecret(endorsement), SHA-256.
constexpr std::array<BYTE, 32> policy_a{
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};
// That, or PolicyAuthorizeNV; SHA-384.
constexpr std::array<BYTE, 48> policy_b{
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12};

constexpr TPMA_OBJECT storage = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_RESTRICTED |
                                TPMA_OBJECT_DECRYPT;

TPMT_SYM_DEF_OBJECT aes(TPMI_AES_KEY_BITS bits) {
  TPMT_SYM_DEF_OBJECT symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = bits;
  symmetric.mode.aes = TPM2_ALG_CFB;
  return symmetric;
}

// A storage key; `padding` zeros as its unique part.
TPM2B_PUBLIC rsa(TPMA_OBJECT attributes, UINT16 padding) {
  TPM2B_PUBLIC key{};
  key.publicArea.type = TPM2_ALG_RSA;
  key.publicArea.nameAlg = TPM2_ALG_SHA256;
  key.publicArea.objectAttributes = attributes;
  auto& parameters = key.publicArea.parameters.rsaDetail;
  parameters.symmetric = aes(128);
  parameters.scheme.scheme = TPM2_ALG_NULL;
  parameters.keyBits = 2048;
  key.publicArea.unique.rsa.size = padding;
  return key;
}

TPM2B_PUBLIC ecc(TPMA_OBJECT attributes, TPM2_ECC_CURVE curve, UINT16 padding) {
  const bool large = curve == TPM2_ECC_NIST_P384;
  TPM2B_PUBLIC key{};
  key.publicArea.type = TPM2_ALG_ECC;
  key.publicArea.nameAlg = large ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
  key.publicArea.objectAttributes = attributes;
  auto& parameters = key.publicArea.parameters.eccDetail;
  parameters.symmetric = aes(large ? 256 : 128);
  parameters.scheme.scheme = TPM2_ALG_NULL;
  parameters.curveID = curve;
  parameters.kdf.scheme = TPM2_ALG_NULL;
  key.publicArea.unique.ecc.x.size = padding;
  key.publicArea.unique.ecc.y.size = padding;
  return key;
}

void set_policy(TPM2B_PUBLIC& key, std::span<const BYTE> policy) {
  key.publicArea.authPolicy.size = static_cast<UINT16>(policy.size());
  std::ranges::copy(policy, &key.publicArea.authPolicy.buffer[0]);
}

TPM2B_PUBLIC ek_template(KeyType type) {
  if (type == KeyType::p384) {
    TPM2B_PUBLIC key = ecc(storage | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_ADMINWITHPOLICY,
                           TPM2_ECC_NIST_P384, 0);
    set_policy(key, policy_b);
    return key;
  }
  const TPMA_OBJECT attributes = storage | TPMA_OBJECT_ADMINWITHPOLICY;
  TPM2B_PUBLIC key =
      type == KeyType::p256 ? ecc(attributes, TPM2_ECC_NIST_P256, 32) : rsa(attributes, 256);
  set_policy(key, policy_a);
  return key;
}

// The owner may use it with its (empty) auth value, and failures do not count for lockout.
std::vector<TPM2B_PUBLIC> srk_templates() {
  const TPMA_OBJECT attributes = storage | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
  return {ecc(attributes, TPM2_ECC_NIST_P256, 0), rsa(attributes, 0)};
}

std::vector<BYTE> marshalled(const TPMT_PUBLIC& key) {
  std::vector<BYTE> bytes(sizeof(TPMT_PUBLIC));
  std::size_t size = 0;
  if (Tss2_MU_TPMT_PUBLIC_Marshal(&key, bytes.data(), bytes.size(), &size) != 0) size = 0;
  bytes.resize(size);
  return bytes;
}

// In all but the key itself.
bool fits(TPMT_PUBLIC key, const TPM2B_PUBLIC& shape) {
  key.unique = shape.publicArea.unique;
  const auto bytes = marshalled(key);
  return !bytes.empty() && bytes == marshalled(shape.publicArea);
}

// None, if nothing in the range has one of these shapes.
Result<Handle> find_persistent(Device& device, TPM2_HANDLE first, TPM2_HANDLE last,
                               std::span<const TPM2B_PUBLIC> shapes) {
  CS_TRY(const auto handles, read_handles(device, first, last));
  for (const TPM2_HANDLE number : handles) {
    EsysHandle made = ESYS_TR_NONE;
    CS_CHECK(device.call("TPM2_ReadPublic of a persistent key", [&](ESYS_CONTEXT* esys) {
      return Esys_TR_FromTPMPublic(esys, number, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &made);
    }));
    Handle key = device.adopt(made);
    CS_TRY(const TPM2B_PUBLIC area, read_public(device, made, "a persistent key"));
    for (const auto& shape : shapes) {
      if (fits(area.publicArea, shape)) return key;
    }
  }
  return Handle();
}

// The hierarchy's auth value is shown in `session`.
Result<Handle> create_primary(Device& device, std::string_view what, ESYS_TR hierarchy,
                              EsysHandle session, const Auth& auth, const TPM2B_PUBLIC& shape) {
  constexpr TPM2B_SENSITIVE_CREATE sensitive{};
  constexpr TPM2B_DATA outside{};
  constexpr TPML_PCR_SELECTION no_pcrs{};
  EsysHandle made = ESYS_TR_NONE;
  const std::string asked = "TPM2_CreatePrimary of " + std::string(what);
  CS_CHECK(call_authorized(device, asked, hierarchy, view(auth), [&](ESYS_CONTEXT* esys) {
    Out<TPM2B_PUBLIC> area;
    Out<TPM2B_CREATION_DATA> data;
    Out<TPM2B_DIGEST> hash;
    Out<TPMT_TK_CREATION> ticket;
    return Esys_CreatePrimary(esys, hierarchy, session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                              &shape, &outside, &no_pcrs, &made, area.out(), data.out(), hash.out(),
                              ticket.out());
  }));
  return device.adopt(made);
}

Result<Handle> create_primary(Device& device, std::string_view what, ESYS_TR hierarchy,
                              const Auth& auth, const TPM2B_PUBLIC& shape) {
  CS_TRY(const HierarchySession session, HierarchySession::open(device, auth));
  CS_TRY(const EsysHandle opened, session.use(device));
  return create_primary(device, what, hierarchy, opened, auth, shape);
}

}  // namespace

std::string_view to_string(KeyType type) noexcept {
  constexpr std::array<std::string_view, 3> names{"RSA-2048", "P-256", "P-384"};
  return names.at(static_cast<std::size_t>(type));
}

ByteView view(const Auth& auth) noexcept {
  return auth ? auth->bytes() : ByteView();
}

Result<HierarchySession> HierarchySession::open(Device& device, const Auth& auth) {
  HierarchySession opened;
  if (view(auth).empty()) return opened;
  CS_TRY(const Handle salt_key, create_primary(device, "a key to salt with", ESYS_TR_RH_NULL,
                                               ESYS_TR_PASSWORD, {}, srk_templates().front()));
  CS_TRY(opened.session_, Session::hmac(device, salt_key));
  return opened;
}

Result<EsysHandle> HierarchySession::use(Device& device) const {
  return session_ ? session_->use(device) : Result<EsysHandle>(ESYS_TR_PASSWORD);
}

Result<std::vector<std::uint8_t>> read_public_area(Device& device, VolatileObject& key) {
  CS_TRY(const EsysHandle handle, key.use(device));
  CS_TRY(const TPM2B_PUBLIC area, read_public(device, handle, "a key"));
  return marshal<TPMT_PUBLIC>(Tss2_MU_TPMT_PUBLIC_Marshal, area.publicArea, "a public area");
}

VolatileObject storage_root_key(Auth owner) {
  return {"the storage root key", [owner = std::move(owner)](Device& device) -> Result<Handle> {
            const auto shapes = srk_templates();
            CS_TRY(Handle found, find_persistent(device, srk_handle, srk_handle, shapes));
            if (found) return found;
            return create_primary(device, "the storage root key", ESYS_TR_RH_OWNER, owner,
                                  shapes.front());
          }};
}

VolatileObject attestation_parent(Auth endorsement) {
  return {"the attestation key's parent",
          [endorsement = std::move(endorsement)](Device& device) -> Result<Handle> {
            return create_primary(device, "the attestation key's parent", ESYS_TR_RH_ENDORSEMENT,
                                  endorsement, srk_templates().front());
          }};
}

VolatileObject endorsement_key(KeyType type, Auth endorsement) {
  std::string what = "the endorsement key " + std::string(to_string(type));
  return {what, [=, endorsement = std::move(endorsement)](Device& device) -> Result<Handle> {
            const std::array shapes{ek_template(type)};
            CS_TRY(Handle found, find_persistent(device, first_ek_handle, last_ek_handle, shapes));
            if (found) return found;
            return create_primary(device, what, ESYS_TR_RH_ENDORSEMENT, endorsement, shapes[0]);
          }};
}

}  // namespace cs::tpm
