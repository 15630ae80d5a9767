// SPDX-License-Identifier: GPL-3.0-or-later
// NV indices: what the manufacturer put there, and registers of our own that only grow.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "tpm/device/device.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"
#include "tpm/hash.h"

namespace cs::tpm {

// An index as the TPM has it now, for the commands on it. Refused: there is none (not_found).
[[nodiscard]] Result<Handle> open_nv(Device& device, std::uint32_t index);

// All of an index that anybody may read, in pieces, at most 64 KiB.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_nv(Device& device, std::uint32_t index);

// What the TPM shows of an index: TPMS_NV_PUBLIC.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_nv_public(Device& device, std::uint32_t index);

// Where the certificates of endorsement keys lie, and behind each what the maker may have made the
// key with in place of the template (TCG EK Credential Profile): a nonce, a template.
struct EndorsementIndex {
  std::uint32_t index;
  std::uint32_t last_of_template;
  KeyType key;
};
inline constexpr std::array endorsement_indices{
    EndorsementIndex{0x01c00002, 0x01c00004, KeyType::rsa_2048},
    EndorsementIndex{0x01c0000a, 0x01c0000c, KeyType::p256},
    EndorsementIndex{0x01c00016, 0x01c00017, KeyType::p384}};

// What the manufacturer left: bytes as they lie there, be they DER, padded, prefixed or nonsense.
struct EndorsementBlob {
  std::uint32_t index = 0;
  std::vector<std::uint8_t> bytes;
};
struct EndorsementBlobs {
  std::vector<EndorsementBlob> certificates;  // at endorsement_indices
  std::vector<EndorsementBlob> chain;         // 0x01C00100 to 0x01C001ff
};
[[nodiscard]] Result<EndorsementBlobs> read_endorsement_blobs(Device& device);

// An extend-type index (SHA-256): a PCR of our own, only its owner extends it, and it begins anew
// with each TPM reset. Only where the owner hierarchy has an auth value: without one anybody could
// remove and make it again, which resets it (denied).
class ExtendIndex {
 public:
  // Linux' range without systemd's: 0x01D10225 to 0x01D105FF. `auth` is who may extend it.
  static constexpr std::uint32_t first = 0x01d10225;
  static constexpr std::uint32_t last = 0x01d105ff;
  [[nodiscard]] static Result<void> define(Device& device, SaltedSession& session,
                                           std::uint32_t index, const Auth& auth,
                                           const Auth& owner);
  [[nodiscard]] static Result<void> undefine(Device& device, SaltedSession& session,
                                             std::uint32_t index, const Auth& owner);

  ExtendIndex(std::uint32_t index, Auth auth) : index_(index), auth_(std::move(auth)) {}
  // New value: H(old value ‖ with). As with a PCR: after Retry::anew read before trying again.
  [[nodiscard]] Result<void> extend(Device& device, SaltedSession& session,
                                    const Digest& with) const;
  // All zeros as long as nothing was extended since the reset.
  [[nodiscard]] Result<Digest> read(Device& device, SaltedSession& session) const;
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }

 private:
  std::uint32_t index_;
  Auth auth_;
};

}  // namespace cs::tpm
