// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/attestation_key.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tpm/device/authorization.h"
#include "tpm/device/backoff.h"
#include "tpm/device/child_key.h"
#include "tpm/device/marshal.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/ticketed_hash.h"

namespace cs::tpm {
namespace {

constexpr std::chrono::seconds quote_for{5};
constexpr TPMT_SIG_SCHEME as_the_key_says{TPM2_ALG_NULL, {}};

Result<TPM2B_DATA> qualifying_data(ByteView bytes) {
  if (bytes.empty()) {
    return Error(ErrorKind::invalid, "empty qualifying data: any earlier quote could be replayed");
  }
  return sized<TPM2B_DATA>(bytes, "the qualifying data");
}

Result<Attested> attested(const TPM2B_ATTEST& attest, const TPMT_SIGNATURE& signature) {
  const ByteView bytes(&attest.attestationData[0],
                       std::min<std::size_t>(attest.size, sizeof(attest.attestationData)));
  Attested both{{bytes.begin(), bytes.end()}, {}};
  CS_TRY(both.signature,
         marshal<TPMT_SIGNATURE>(Tss2_MU_TPMT_SIGNATURE_Marshal, signature, "the signature"));
  return both;
}

// Whether the quote is of these values. What else it says is for who verifies it.
Result<bool> is_of(const Attested& quote, const Digest& composite) {
  CS_TRY(const auto attest, unmarshal<TPMS_ATTEST>(Tss2_MU_TPMS_ATTEST_Unmarshal, quote.attest,
                                                   "TPM2_Quote: TPMS_ATTEST"));
  if (attest.type != TPM2_ST_ATTEST_QUOTE) {
    return Error(ErrorKind::invalid, "TPM2_Quote: the TPM attests something else");
  }
  return std::ranges::equal(view(attest.attested.quote.pcrDigest), composite.bytes());
}

// The policy of the low-range EK templates. The others take their auth value, which is empty.
Result<Session> endorsement_session(Device& device, SaltedSession& salted,
                                    const Auth& endorsement) {
  CS_TRY(Session policy, Session::policy(device));
  CS_TRY(const EsysHandle session, policy.use(device));
  CS_TRY(const EsysHandle with, salted.use(device));
  CS_CHECK(call_authorized(device, "TPM2_PolicySecret of the endorsement hierarchy",
                           ESYS_TR_RH_ENDORSEMENT, view(endorsement), [&](ESYS_CONTEXT* esys) {
                             Out<TPM2B_TIMEOUT> timeout;
                             Out<TPMT_TK_AUTH> ticket;
                             return Esys_PolicySecret(esys, ESYS_TR_RH_ENDORSEMENT, session, with,
                                                      ESYS_TR_NONE, ESYS_TR_NONE, nullptr, nullptr,
                                                      nullptr, 0, timeout.out(), ticket.out());
                           }));
  return policy;
}

Result<bool> takes_auth_value(Device& device, EsysHandle key) {
  CS_TRY(const TPM2B_PUBLIC area, read_public(device, key, "the endorsement key"));
  return (area.publicArea.objectAttributes & TPMA_OBJECT_USERWITHAUTH) != 0;
}

}  // namespace

Result<KeyBlobs> AttestationKey::create(Device& device, SaltedSession& session,
                                        const Options& options) {
  if (options.type == KeyType::p384) {
    return Error(ErrorKind::unsupported, "an attestation key is P-256 or RSA-2048, not P-384");
  }
  const TPM2B_PUBLIC shape = signing_template(
      options.type, TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                        TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                        TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA);
  return create_child(device, session, attestation_parent(options.endorsement), shape, options.auth,
                      "the attestation key");
}

AttestationKey::AttestationKey(KeyBlobs blobs, Options options, SaltedSession& session)
    : options_(std::move(options)),
      session_(session),
      object_(child_key("the attestation key", std::move(blobs),
                        attestation_parent(options_.endorsement))) {}

Result<Attested> AttestationKey::quote_once(Device& device, const PcrSelection& selection,
                                            ByteView qualifying) {
  CS_TRY(const TPML_PCR_SELECTION registers, to_tpm(selection));
  CS_TRY(const TPM2B_DATA nonce, qualifying_data(qualifying));
  CS_TRY(const EsysHandle with, session_.use(device));
  CS_TRY(const EsysHandle key, object_.use(device));
  Out<TPM2B_ATTEST> attest;
  Out<TPMT_SIGNATURE> signature;
  CS_CHECK(call_authorized(device, "TPM2_Quote", key, view(options_.auth), [&](ESYS_CONTEXT* esys) {
    return Esys_Quote(esys, key, with, ESYS_TR_NONE, ESYS_TR_NONE, &nonce, &as_the_key_says,
                      &registers, attest.out(), signature.out());
  }));
  return attested(*attest, *signature);
}

Result<Quoted> AttestationKey::quote(Device& device, const PcrSelection& selection,
                                     ByteView qualifying) {
  Backoff backoff(device.clock(), quote_for);
  for (;;) {
    CS_TRY(PcrValues values, read_pcrs(device, selection));
    CS_TRY(Attested evidence, quote_once(device, selection, qualifying));
    CS_TRY(const Digest composite, values.composite(selection, HashAlgorithm::sha256));
    CS_TRY(const bool agree, is_of(evidence, composite));
    if (agree) return Quoted{std::move(evidence), std::move(values)};
    if (backoff.wait()) continue;
    return Error(ErrorKind::busy,
                 "quoting the PCRs " + selection.text() + ": they are extended all the time")
        .with_retry(Retry::after_delay);
  }
}

Result<Attested> AttestationKey::certify(Device& device, VolatileObject& subject,
                                         ByteView qualifying) {
  CS_TRY(const TPM2B_DATA nonce, qualifying_data(qualifying));
  CS_TRY(const EsysHandle with, session_.use(device));
  CS_TRY(const EsysHandle key, object_.use(device));
  CS_TRY(const EsysHandle about, subject.use(device));
  Out<TPM2B_ATTEST> attest;
  Out<TPMT_SIGNATURE> signature;
  CS_CHECK(
      call_authorized(device, "TPM2_Certify", key, view(options_.auth), [&](ESYS_CONTEXT* esys) {
        return Esys_Certify(esys, about, key, ESYS_TR_PASSWORD, with, ESYS_TR_NONE, &nonce,
                            &as_the_key_says, attest.out(), signature.out());
      }));
  return attested(*attest, *signature);
}

Result<Attested> AttestationKey::certify(Device& device, const ExtendIndex& index,
                                         const Auth& index_auth, ByteView qualifying) {
  CS_TRY(const TPM2B_DATA nonce, qualifying_data(qualifying));
  CS_TRY(const Handle handle, open_nv(device, index.index()));
  CS_TRY(const EsysHandle nv, device.resolve(handle));
  CS_TRY(const TPM2B_AUTH value, sized<TPM2B_AUTH>(view(index_auth), "the auth value"));
  CS_TRY(const EsysHandle with, session_.use(device));
  CS_TRY(const Session for_index, session_.another(device));
  CS_TRY(const EsysHandle with_index, for_index.use(device));
  CS_TRY(const EsysHandle key, object_.use(device));
  Out<TPM2B_ATTEST> attest;
  Out<TPMT_SIGNATURE> signature;
  CS_CHECK(
      call_authorized(device, "TPM2_NV_Certify", key, view(options_.auth), [&](ESYS_CONTEXT* esys) {
        TSS2_RC rc = Esys_TR_SetAuth(esys, nv, &value);
        if (rc != TSS2_RC_SUCCESS) return rc;
        return Esys_NV_Certify(esys, key, nv, nv, with, with_index, ESYS_TR_NONE, &nonce,
                               &as_the_key_says, TPM2_SHA256_DIGEST_SIZE, 0, attest.out(),
                               signature.out());
      }));
  return attested(*attest, *signature);
}

Result<std::vector<std::uint8_t>> AttestationKey::sign(Device& device, ByteView document) {
  CS_TRY(const TicketedDigest hashed, hash_with_ticket(device, session_, document));
  CS_TRY(const EsysHandle with, session_.use(device));
  CS_TRY(const EsysHandle key, object_.use(device));
  Out<TPMT_SIGNATURE> signature;
  CS_CHECK(call_authorized(device, "TPM2_Sign with the attestation key", key, view(options_.auth),
                           [&](ESYS_CONTEXT* esys) {
                             return Esys_Sign(esys, key, with, ESYS_TR_NONE, ESYS_TR_NONE,
                                              &hashed.digest, &as_the_key_says, &hashed.ticket,
                                              signature.out());
                           }));
  return marshal<TPMT_SIGNATURE>(Tss2_MU_TPMT_SIGNATURE_Marshal, *signature, "the signature");
}

Result<SecretBytes> AttestationKey::activate(Device& device, VolatileObject& endorsement_key,
                                             ByteView id_object, ByteView encrypted) {
  CS_TRY(const auto blob, unmarshal<TPM2B_ID_OBJECT>(Tss2_MU_TPM2B_ID_OBJECT_Unmarshal, id_object,
                                                     "TPM2B_ID_OBJECT"));
  CS_TRY(const auto secret,
         unmarshal<TPM2B_ENCRYPTED_SECRET>(Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal, encrypted,
                                           "TPM2B_ENCRYPTED_SECRET"));
  CS_TRY(const EsysHandle attesting, object_.use(device));
  CS_TRY(const EsysHandle above, endorsement_key.use(device));
  CS_TRY(const bool by_auth, takes_auth_value(device, above));
  std::optional<Session> policy;
  EsysHandle for_ek = ESYS_TR_PASSWORD;
  if (!by_auth) {
    CS_TRY(policy, endorsement_session(device, session_, options_.endorsement));
    CS_TRY(for_ek, policy->use(device));
  }
  CS_TRY(const EsysHandle with, session_.use(device, Encrypt::response));
  Out<TPM2B_DIGEST> found;
  CS_CHECK(call_authorized(
      device, "TPM2_ActivateCredential", attesting, view(options_.auth), [&](ESYS_CONTEXT* esys) {
        return Esys_ActivateCredential(esys, attesting, above, with, for_ek, ESYS_TR_NONE, &blob,
                                       &secret, found.out());
      }));
  auto result = SecretBytes::copy_of(view(*found));
  OPENSSL_cleanse(found.kept(), sizeof(TPM2B_DIGEST));
  return result;
}

}  // namespace cs::tpm
