// SPDX-License-Identifier: GPL-3.0-or-later
// Keys that a TPM derives from its seeds: the same template always gives the same key.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "tpm/device/device.h"
#include "tpm/device/session.h"
#include "tpm/device/volatile_object.h"

namespace cs::tpm {

enum class KeyType : std::uint8_t { rsa_2048, p256, p384 };
[[nodiscard]] std::string_view to_string(KeyType type) noexcept;

// An auth value, shared by all that show it. Null: the empty one.
using Auth = std::shared_ptr<const SecretBytes>;
[[nodiscard]] ByteView view(const Auth& auth) noexcept;

// For a hierarchy's auth value where there is no key yet that a session could be salted to: salted
// to one of the null hierarchy, which asks for no auth value. The value itself never crosses the
// bus; who answers in the TPM's stead can only try which it is.
class HierarchySession {
 public:
  // An empty value needs none.
  [[nodiscard]] static Result<HierarchySession> open(Device& device, const Auth& auth);
  [[nodiscard]] Result<EsysHandle> use(Device& device) const;

 private:
  std::optional<Session> session_;
};

// The storage root key: what is at 0x81000001 if that is an ECC P-256 or RSA-2048 storage key, else
// one made from the TCG's template (P-256) in the owner hierarchy, whose auth value is `owner`.
[[nodiscard]] VolatileObject storage_root_key(Auth owner = {});

// A storage key by the same template in the endorsement hierarchy: the attestation key's parent.
[[nodiscard]] VolatileObject attestation_parent(Auth endorsement = {});

// What the TPM shows of a key: TPMT_PUBLIC.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_public_area(Device& device,
                                                                 VolatileObject& key);

// The endorsement key by the templates of the TCG's EK Credential Profile: L-1 (RSA-2048), L-2
// (P-256), H-3 (P-384). A persistent one (0x81010000 to 0x810100ff) is used if it has exactly the
// template's properties, else it is made; `endorsement` is that hierarchy's auth value. Whether it
// is the certified one its certificate tells: compare the keys.
[[nodiscard]] VolatileObject endorsement_key(KeyType type, Auth endorsement = {});

}  // namespace cs::tpm
