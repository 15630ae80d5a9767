// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions with a TPM: salted ones that encrypt, policy sessions, and policies that PCRs break.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "base/result.h"
#include "tpm/device/device.h"
#include "tpm/device/volatile_object.h"
#include "tpm/hash.h"
#include "tpm/pcr.h"

namespace cs::tpm {

// Which way the first parameter is encrypted (AES-128-CFB). For everything secret; a command
// without such a parameter refuses it.
enum class Encrypt : std::uint8_t { nothing = 0, command = 1, response = 2, both = 3 };

// Of one generation of a Device; stays until it goes. All use SHA-256.
class Session {
 public:
  // `salt_key`: the SRK or the certified EK, loaded. Nobody on the bus learns what is encrypted
  // then, provided the key is the real one: check it against its certificate or pin its Name
  // (VolatileObject does).
  [[nodiscard]] static Result<Session> hmac(Device& device, const Handle& salt_key);
  // Salted too if there is a key; without one nothing may be encrypted.
  [[nodiscard]] static Result<Session> policy(Device& device, const Handle& salt_key = {});
  // Computes a policy's digest and authorises nothing.
  [[nodiscard]] static Result<Session> trial(Device& device);

  // For the next command.
  [[nodiscard]] Result<EsysHandle> use(Device& device, Encrypt encrypt = Encrypt::nothing) const;
  // Whether the generation it was made in is still on.
  [[nodiscard]] bool lives(const Device& device) const { return device.resolve(handle_).ok(); }
  // The TPM's own number, for commands marshalled by hand. ESYS does not see what they do to the
  // session: it may only restart it then.
  [[nodiscard]] Result<std::uint32_t> tpm_handle(const Device& device) const {
    return device.tpm_handle(handle_);
  }
  // A policy session begins again, with the same salt.
  [[nodiscard]] Result<void> restart(Device& device) const;
  [[nodiscard]] Result<Digest> policy_digest(Device& device) const;

 private:
  Session(Handle handle, bool salted) : handle_(std::move(handle)), salted_(salted) {}
  static Result<Session> start(Device& device, const Handle& salt_key, std::uint8_t type,
                               std::string_view asked);
  Handle handle_;
  bool salted_;
};

// An HMAC session that is there when it is needed: made when first used and anew in every
// generation. Its salt key is loaded only while that takes.
class SaltedSession {
 public:
  explicit SaltedSession(VolatileObject salt_key) : salt_key_(std::move(salt_key)) {}
  [[nodiscard]] Result<EsysHandle> use(Device& device, Encrypt encrypt = Encrypt::nothing);
  // For a command that takes two auth values: one besides, salted to the same key.
  [[nodiscard]] Result<Session> another(Device& device);

 private:
  VolatileObject salt_key_;
  std::optional<Session> session_;
};

// TPM2_PolicyPCR: goes on only if the registers have these values. Refused (denied): they do not.
[[nodiscard]] Result<void> policy_pcr(Device& device, const Session& session,
                                      const PcrSelection& selection, const Digest& composite);

// Runs `build` (the policy's commands) and then `use` on a fresh or restarted session. When a PCR
// was extended in between, however unrelated, the TPM forgets the policy: then both are run again,
// with back-off, at most five seconds. Every other refusal is final, that of policy_pcr too: then
// it was one of *its* registers.
[[nodiscard]] Result<void> with_policy(Device& device, const Session& session,
                                       const std::function<Result<void>()>& build,
                                       const std::function<Result<void>()>& use);

}  // namespace cs::tpm
