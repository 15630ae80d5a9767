// SPDX-License-Identifier: GPL-3.0-or-later
// The key that vouches for this machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "tpm/device/device.h"
#include "tpm/device/key_blobs.h"
#include "tpm/device/nv.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"
#include "tpm/pcr.h"

namespace cs::tpm {

// What a verifier gets: TPMS_ATTEST and TPMT_SIGNATURE as the TPM wrote them.
struct Attested {
  std::vector<std::uint8_t> attest;
  std::vector<std::uint8_t> signature;
};
struct Quoted {
  Attested evidence;
  PcrValues values;  // those the quote's digest is of
};

// A restricted key (ECDSA P-256 or RSASSA-2048, SHA-256): it signs what the TPM itself says, and
// documents that the TPM has hashed and found not to look like that. Its parent is a storage key
// derived in the *endorsement* hierarchy by the storage root key's template: in the owner's its
// quotes would show obfuscated counters, and below the EK each load would need a policy session.
class AttestationKey {
 public:
  struct Options {
    KeyType type = KeyType::p256;  // or rsa_2048
    Auth auth;                     // this key's
    Auth endorsement;              // the hierarchy's
  };
  // Its auth value goes encrypted; `session` is salted to a key that is known to be the TPM's.
  [[nodiscard]] static Result<KeyBlobs> create(Device& device, SaltedSession& session,
                                               const Options& options);
  // `session` must outlive it, and be of the same device.
  AttestationKey(KeyBlobs blobs, Options options, SaltedSession& session);

  // Quotes registers as they are at one moment; again, at most five seconds, when one of them moves
  // between reading and quoting. `qualifying`: at most 64 bytes, never empty, never the same twice.
  [[nodiscard]] Result<Quoted> quote(Device& device, const PcrSelection& selection,
                                     ByteView qualifying);
  // That a loaded key whose auth value is empty is in this TPM, with its Name.
  [[nodiscard]] Result<Attested> certify(Device& device, VolatileObject& subject,
                                         ByteView qualifying);
  // What an extend index holds now. Refused by the TPM before anything was extended.
  [[nodiscard]] Result<Attested> certify(Device& device, const ExtendIndex& index,
                                         const Auth& index_auth, ByteView qualifying);
  // SHA-256 of a document of any length, hashed by the TPM (and compared with ours):
  // TPMT_SIGNATURE. Refused: a document that begins like something the TPM says (0xff 'TCG').
  [[nodiscard]] Result<std::vector<std::uint8_t>> sign(Device& device, ByteView document);
  // Shows that this key and `endorsement_key` are in one TPM: the secret that MakeCredential put
  // into `id_object` and `encrypted` (TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET).
  [[nodiscard]] Result<SecretBytes> activate(Device& device, VolatileObject& endorsement_key,
                                             ByteView id_object, ByteView encrypted);

  [[nodiscard]] VolatileObject& object() noexcept { return object_; }

 private:
  Result<Attested> quote_once(Device& device, const PcrSelection& selection, ByteView qualifying);

  Options options_;
  SaltedSession& session_;
  VolatileObject object_;
};

}  // namespace cs::tpm
