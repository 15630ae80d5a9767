// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/session.h"

#include "tpm/device/backoff.h"
#include "tpm/device/esys.h"

namespace cs::tpm {
namespace {

constexpr std::chrono::seconds rebuild_for{5};
// What extends does not do so less because we wait; and who has slept long is slow to wake, so that
// it comes between our two commands for certain.
constexpr std::chrono::milliseconds longest_pause{4};

}  // namespace

Result<Session> Session::start(Device& device, const Handle& salt_key, std::uint8_t type,
                               std::string_view asked) {
  TPMT_SYM_DEF symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = 128;
  symmetric.mode.aes = TPM2_ALG_CFB;
  EsysHandle salt = ESYS_TR_NONE;
  if (salt_key) {
    CS_TRY(salt, device.resolve(salt_key));
  }
  EsysHandle made = ESYS_TR_NONE;
  CS_CHECK(device.call(asked, [&](ESYS_CONTEXT* esys) {
    return Esys_StartAuthSession(esys, salt, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 nullptr, type, &symmetric, TPM2_ALG_SHA256, &made);
  }));
  return Session(device.adopt(made), static_cast<bool>(salt_key));
}

Result<Session> Session::hmac(Device& device, const Handle& salt_key) {
  if (!salt_key) return Error(ErrorKind::invalid, "an HMAC session without a key to salt it with");
  return start(device, salt_key, TPM2_SE_HMAC, "TPM2_StartAuthSession, HMAC");
}

Result<Session> Session::policy(Device& device, const Handle& salt_key) {
  return start(device, salt_key, TPM2_SE_POLICY, "TPM2_StartAuthSession, policy");
}

Result<Session> Session::trial(Device& device) {
  return start(device, {}, TPM2_SE_TRIAL, "TPM2_StartAuthSession, trial");
}

Result<EsysHandle> Session::use(Device& device, Encrypt encrypt) const {
  if (encrypt != Encrypt::nothing && !salted_) {
    return Error(ErrorKind::internal, "encrypting parameters in a session that is not salted");
  }
  CS_TRY(const EsysHandle session, device.resolve(handle_));
  const auto bits = static_cast<unsigned>(encrypt);
  unsigned attributes = TPMA_SESSION_CONTINUESESSION;
  if ((bits & static_cast<unsigned>(Encrypt::command)) != 0) attributes |= TPMA_SESSION_DECRYPT;
  if ((bits & static_cast<unsigned>(Encrypt::response)) != 0) attributes |= TPMA_SESSION_ENCRYPT;
  CS_CHECK(device.call("setting a session's attributes", [&](ESYS_CONTEXT* esys) {
    return Esys_TRSess_SetAttributes(esys, session, static_cast<TPMA_SESSION>(attributes), 0xff);
  }));
  return session;
}

Result<void> Session::restart(Device& device) const {
  CS_TRY(const EsysHandle session, device.resolve(handle_));
  return device.call("TPM2_PolicyRestart", [&](ESYS_CONTEXT* esys) {
    return Esys_PolicyRestart(esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
  });
}

Result<Digest> Session::policy_digest(Device& device) const {
  CS_TRY(const EsysHandle session, device.resolve(handle_));
  Out<TPM2B_DIGEST> digest;
  CS_CHECK(device.call("TPM2_PolicyGetDigest", [&](ESYS_CONTEXT* esys) {
    return Esys_PolicyGetDigest(esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                digest.out());
  }));
  return Digest::from(HashAlgorithm::sha256, view(*digest));
}

Result<Session> SaltedSession::another(Device& device) {
  CS_TRY(const Handle* const key, salt_key_.handle(device));
  auto session = Session::hmac(device, *key);
  salt_key_.unload();
  return session;
}

Result<EsysHandle> SaltedSession::use(Device& device, Encrypt encrypt) {
  if (!session_ || !session_->lives(device)) {
    CS_TRY(session_, another(device));
  }
  return session_->use(device, encrypt);
}

Result<void> policy_pcr(Device& device, const Session& session, const PcrSelection& selection,
                        const Digest& composite) {
  CS_TRY(const EsysHandle handle, session.use(device));
  CS_TRY(const TPML_PCR_SELECTION registers, to_tpm(selection));
  CS_TRY(const TPM2B_DIGEST digest, sized<TPM2B_DIGEST>(composite.bytes(), "a PCR composite"));
  TSS2_RC answer = TSS2_RC_SUCCESS;
  auto done = device.call("TPM2_PolicyPCR", [&](ESYS_CONTEXT* esys) {
    answer =
        Esys_PolicyPCR(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &registers);
    return answer;
  });
  if (answer != (TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_1)) return done;
  return Error(ErrorKind::denied, "TPM2_PolicyPCR: the PCRs " + selection.text() +
                                      " do not have the values the policy was made for")
      .with_hint("compare them with those it was made for, and the logs with both");
}

Result<void> with_policy(Device& device, const Session& session,
                         const std::function<Result<void>()>& build,
                         const std::function<Result<void>()>& use) {
  Backoff backoff(device.clock(), rebuild_for, longest_pause);
  for (;;) {
    auto done = build();
    if (done.ok()) done = use();
    if (done.ok() || device.lost()) return done;
    const bool moved = device.last_trouble() == Trouble::pcr_changed;
    // Also where it is final: the next user begins with a session that promises nothing.
    CS_CHECK(session.restart(device));
    if (!moved || !backoff.wait()) return done;
  }
}

}  // namespace cs::tpm
