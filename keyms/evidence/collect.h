// SPDX-License-Identifier: GPL-3.0-or-later
// What this gateway shows of itself, gathered from its TPM, its kernel and its logs. For the thread
// that owns the TPM.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keyms/evidence/evidence.h"
#include "keyms/session/hello.h"
#include "tpm/device/attestation_key.h"
#include "tpm/device/signing_key.h"
#include "tpm/seal/own_log.h"

namespace cs::keyms {

struct Signed {
  tpm::Bytes bytes;
  tpm::Bytes signature;
  [[nodiscard]] SignedBytes view() const noexcept { return {bytes, signature}; }
};

// The statement, encoded, and the attestation key's signature.
[[nodiscard]] Result<Signed> sign_endpoint(tpm::Device& device, tpm::AttestationKey& key,
                                           const EndpointStatement& statement);

// Where it is gathered from. All it refers to must outlive the call.
struct Sources {
  const Gateway& gateway;  // this one, as the policy has it
  tpm::AttestationKey& key;
  const tpm::OwnLog& static_log;
  const tpm::OwnLog& event_log;
  // Who may read the event register where it is an NV index.
  tpm::Auth event_index_auth = {};
  // The session key where it lives in the TPM, and its public part (KeyBlobs).
  tpm::SigningKey* session_key = nullptr;
  ByteView session_key_area = {};
  std::string boot_log = "/sys/kernel/security/tpm0/binary_bios_measurements";
};

// Owns what a quote and all that belongs to it consist of.
struct Collected {
  Signed quote;
  tpm::PcrValues values;
  struct Index {
    tpm::Bytes area;
    Signed certified;
    tpm::Bytes contents;
  };
  std::optional<Index> event_index;
  struct Resident {
    tpm::Bytes area;
    Signed certified;
  };
  std::optional<Resident> session_key;
  tpm::Bytes boot;
  tpm::Bytes static_log;
  tpm::Bytes event_log;

  // Into what is shown: views of this object, which must outlive them. The rest stays as it is.
  void fill(Evidence& shown) const;
};

// The quote comes first and the logs after it, so that they are never shorter than it. A boot log
// that is not there is empty: the verifier says whether it is wanted.
[[nodiscard]] Result<Collected> collect(tpm::Device& device, const Sources& sources,
                                        const Hash& qualifying);

inline constexpr const char* ima_list_path = "/sys/kernel/security/ima/binary_runtime_measurements";
// The kernel's list from an offset on, as it is now: to be read after the quote. Nothing, where
// there is no such list; refused (limit): more than one attestation may have.
[[nodiscard]] Result<tpm::Bytes> read_ima_list(const std::string& path, std::uint64_t offset);

// The endorsement key that has a certificate, and the certificates, in DER, one after the other.
// They do not change: read once is enough. Refused (not_found): none has, or none of those that can
// be read.
struct ShownEndorsement {
  tpm::KeyType type = tpm::KeyType::rsa_2048;
  tpm::Bytes key;  // TPMT_PUBLIC
  tpm::Bytes certificates;
};
[[nodiscard]] Result<ShownEndorsement> read_endorsement(tpm::Device& device,
                                                        const tpm::Auth& endorsement = {});

}  // namespace cs::keyms
