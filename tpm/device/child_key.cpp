// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/child_key.h"

#include <openssl/crypto.h>

#include <utility>

#include "tpm/device/authorization.h"
#include "tpm/device/marshal.h"

namespace cs::tpm {
namespace {

Result<Handle> load(Device& device, const KeyBlobs& blobs, VolatileObject& parent,
                    std::string_view what) {
  CS_TRY(const auto area, unmarshal<TPM2B_PUBLIC>(Tss2_MU_TPM2B_PUBLIC_Unmarshal, blobs.public_part,
                                                  "the public part"));
  CS_TRY(const auto secret, unmarshal<TPM2B_PRIVATE>(Tss2_MU_TPM2B_PRIVATE_Unmarshal,
                                                     blobs.private_part, "the private part"));
  CS_TRY(const EsysHandle above, parent.use(device));
  EsysHandle made = ESYS_TR_NONE;
  const std::string asked = "TPM2_Load of " + std::string(what);
  CS_CHECK(call_authorized(device, asked, above, {}, [&](ESYS_CONTEXT* esys) {
    return Esys_Load(esys, above, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &secret, &area,
                     &made);
  }));
  return device.adopt(made);
}

}  // namespace

VolatileObject child_key(const std::string& what, KeyBlobs blobs, VolatileObject parent) {
  // std::function wants to be copied; a VolatileObject holds a handle and is not.
  auto above = std::make_shared<VolatileObject>(std::move(parent));
  return {what, [=, blobs = std::move(blobs)](Device& device) {
            auto loaded = load(device, blobs, *above, what);
            above->unload();
            return loaded;
          }};
}

TPM2B_PUBLIC signing_template(KeyType type, TPMA_OBJECT attributes) {
  TPM2B_PUBLIC key{};
  TPMT_PUBLIC& area = key.publicArea;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = attributes;
  if (type == KeyType::rsa_2048) {
    area.type = TPM2_ALG_RSA;
    area.parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
    area.parameters.rsaDetail.scheme.scheme = TPM2_ALG_RSASSA;
    area.parameters.rsaDetail.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
    area.parameters.rsaDetail.keyBits = 2048;
    return key;
  }
  area.type = TPM2_ALG_ECC;
  area.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
  area.parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDSA;
  area.parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  area.parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
  area.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
  return key;
}

Result<KeyBlobs> create_child(Device& device, SaltedSession& session, VolatileObject parent,
                              const TPM2B_PUBLIC& shape, const Auth& auth, std::string_view what) {
  constexpr TPM2B_DATA outside{};
  constexpr TPML_PCR_SELECTION no_pcrs{};
  CS_TRY(const EsysHandle with, session.use(device, Encrypt::command));
  CS_TRY(const EsysHandle above, parent.use(device));
  TPM2B_SENSITIVE_CREATE sensitive{};
  CS_TRY(sensitive.sensitive.userAuth, sized<TPM2B_AUTH>(view(auth), "the auth value"));
  Out<TPM2B_PRIVATE> private_part;
  Out<TPM2B_PUBLIC> public_part;
  const std::string asked = "TPM2_Create of " + std::string(what);
  const auto made = call_authorized(device, asked, above, {}, [&](ESYS_CONTEXT* esys) {
    Out<TPM2B_CREATION_DATA> data;
    Out<TPM2B_DIGEST> hash;
    Out<TPMT_TK_CREATION> ticket;
    return Esys_Create(esys, above, with, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &shape, &outside,
                       &no_pcrs, private_part.out(), public_part.out(), data.out(), hash.out(),
                       ticket.out());
  });
  OPENSSL_cleanse(&sensitive, sizeof(sensitive));
  CS_CHECK(made);
  KeyBlobs blobs;
  CS_TRY(blobs.public_part,
         marshal<TPM2B_PUBLIC>(Tss2_MU_TPM2B_PUBLIC_Marshal, *public_part, "the public part"));
  CS_TRY(blobs.private_part,
         marshal<TPM2B_PRIVATE>(Tss2_MU_TPM2B_PRIVATE_Marshal, *private_part, "the private part"));
  return blobs;
}

}  // namespace cs::tpm
