// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/signing_key.h"

#include <utility>

#include "tpm/child_key.h"
#include "tpm/marshal.h"

namespace cs::tpm {

Result<KeyBlobs> SigningKey::create(Device& device, SaltedSession& session, const Policy& policy,
                                    const Auth& owner) {
  TPM2B_PUBLIC shape =
      signing_template(KeyType::p256, TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                          TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                          TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA);
  {
    CS_TRY(const Session trial, Session::trial(device));
    CS_CHECK(policy_pcr(device, trial, policy.selection, policy.composite));
    CS_TRY(const Digest digest, trial.policy_digest(device));
    CS_TRY(shape.publicArea.authPolicy, sized<TPM2B_DIGEST>(digest.bytes(), "the policy"));
  }
  return create_child(device, session, storage_root_key(owner), shape, {}, "the signing key");
}

SigningKey::SigningKey(KeyBlobs blobs, Policy policy, Auth owner)
    : policy_(std::move(policy)),
      object_(child_key("the signing key", std::move(blobs), storage_root_key(std::move(owner)))) {}

Result<std::vector<std::uint8_t>> SigningKey::sign(Device& device, const Digest& digest) {
  constexpr TPMT_SIG_SCHEME as_the_key_says{TPM2_ALG_NULL, {}};
  constexpr TPMT_TK_HASHCHECK no_ticket{TPM2_ST_HASHCHECK, TPM2_RH_NULL, {}};
  CS_TRY(const EsysHandle key, object_.use(device));
  CS_TRY(const auto value, sized<TPM2B_DIGEST>(digest.bytes(), "the digest"));
  if (!session_ || !session_->lives(device)) {
    CS_TRY(session_, Session::policy(device));
  }
  Out<TPMT_SIGNATURE> signature;
  CS_CHECK(with_policy(
      device, *session_,
      [&] { return policy_pcr(device, *session_, policy_.selection, policy_.composite); },
      [&]() -> Result<void> {
        CS_TRY(const EsysHandle with, session_->use(device));
        return device.call("TPM2_Sign with the signing key", [&](ESYS_CONTEXT* esys) {
          return Esys_Sign(esys, key, with, ESYS_TR_NONE, ESYS_TR_NONE, &value, &as_the_key_says,
                           &no_ticket, signature.out());
        });
      }));
  return marshal<TPMT_SIGNATURE>(Tss2_MU_TPMT_SIGNATURE_Marshal, *signature, "the signature");
}

}  // namespace cs::tpm
