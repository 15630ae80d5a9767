// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/signing_key.h"

#include <algorithm>
#include <utility>

#include "tpm/device/child_key.h"
#include "tpm/device/marshal.h"

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

Result<std::array<std::uint8_t, 65>> SigningKey::public_key(const KeyBlobs& blobs) {
  CS_TRY(const auto area, unmarshal<TPM2B_PUBLIC>(Tss2_MU_TPM2B_PUBLIC_Unmarshal, blobs.public_part,
                                                  "the public part"));
  const TPMS_ECC_POINT& point = area.publicArea.unique.ecc;
  constexpr std::size_t size = 32;
  if (area.publicArea.type != TPM2_ALG_ECC || point.x.size > size || point.y.size > size) {
    return Error(ErrorKind::invalid, "reading the public part: it is not a P-256 key's");
  }
  std::array<std::uint8_t, 1 + 2 * size> bytes{4};
  std::ranges::copy(view(point.x), bytes.begin() + 1 + size - point.x.size);
  std::ranges::copy(view(point.y), bytes.end() - point.y.size);
  return bytes;
}

// In one generation only somebody else who uses this TPM without a resource manager takes key or
// session away.
Result<EcdsaSignature> SigningKey::sign(Device& device, const Digest& digest) {
  auto signature = try_to_sign(device, digest);
  if (signature.ok() || device.lost() || signature.error().kind() != ErrorKind::not_found) {
    return signature;
  }
  object_.unload();
  session_.reset();
  return try_to_sign(device, digest);
}

Result<EcdsaSignature> SigningKey::try_to_sign(Device& device, const Digest& digest) {
  if (digest.algorithm() != HashAlgorithm::sha256) {
    return Error(ErrorKind::invalid, "signing a digest that is not SHA-256");
  }
  CS_TRY(const Handle* const loaded, object_.handle(device));
  CS_TRY(const std::uint32_t key, device.tpm_handle(*loaded));
  if (!session_ || !session_->lives(device)) {
    CS_TRY(session_, Session::policy(device));
  }
  CS_TRY(const std::uint32_t session, session_->tpm_handle(device));
  const auto command = sign_command({key, session, digest.bytes().first<32>()});
  EcdsaSignature signature{};
  CS_CHECK(with_policy(
      device, *session_,
      [&] { return policy_pcr(device, *session_, policy_.selection, policy_.composite); },
      [&] {
        return device.transceive("TPM2_Sign with the signing key", command,
                                 [&](ByteView answer) -> Result<void> {
                                   CS_TRY(signature, read_sign_answer(answer));
                                   return {};
                                 });
      }));
  return signature;
}

}  // namespace cs::tpm
