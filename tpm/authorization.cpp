// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/authorization.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

#include "base/panic.h"
#include "tpm/esys.h"

namespace cs::tpm {

FailedAuthorizations::FailedAuthorizations() : salt_() {
  if (RAND_bytes(salt_.data(), static_cast<int>(salt_.size())) != 1) panic("RAND_bytes");
}

Digest FailedAuthorizations::digest(ByteView entity, ByteView auth) const {
  // Names differ in length, but every one begins with its algorithm or is a handle of four bytes.
  const std::array<std::uint8_t, 1> length{static_cast<std::uint8_t>(entity.size())};
  return Hasher(HashAlgorithm::sha256).hash({salt_, length, entity, auth});
}

Result<void> FailedAuthorizations::check(ByteView entity, ByteView auth, BootTime now) const {
  const Digest what = digest(entity, auth);
  for (const Failure& failure : failures_) {
    const auto since = now - failure.when;
    if (!(failure.what == what) || since >= wait) continue;
    const auto minutes = std::chrono::ceil<std::chrono::minutes>(wait - since).count();
    return Error(ErrorKind::denied, "this auth value has failed for the same object before")
        .with_retry(Retry::after_delay)
        .with_hint("correct it, or wait " + std::to_string(minutes) +
                   " min: the TPM locks after a few wrong ones");
  }
  return {};
}

void FailedAuthorizations::failed(ByteView entity, ByteView auth, BootTime now) {
  if (failures_.size() == most) failures_.erase(failures_.begin());
  failures_.push_back({digest(entity, auth), now});
}

Result<void> call_authorized(Device& device, std::string_view asked, EsysHandle entity,
                             ByteView auth, const Device::Command& command) {
  Out<TPM2B_NAME> name;
  CS_CHECK(device.call(
      asked, [&](ESYS_CONTEXT* esys) { return Esys_TR_GetName(esys, entity, name.out()); }));
  const ByteView who = view(*name);
  CS_CHECK(device.failed_authorizations().check(who, auth, device.clock().boot()).context(asked));
  constexpr TPM2B_AUTH nothing{};
  CS_TRY(TPM2B_AUTH value, sized<TPM2B_AUTH>(auth, "the auth value"));
  auto done = device.call(asked, [&](ESYS_CONTEXT* esys) {
    TSS2_RC rc = Esys_TR_SetAuth(esys, entity, &value);
    if (rc == TSS2_RC_SUCCESS) rc = command(esys);
    // Fails only for a handle that is gone, and then so is the value.
    static_cast<void>(Esys_TR_SetAuth(esys, entity, &nothing));
    return rc;
  });
  OPENSSL_cleanse(&value, sizeof(value));
  if (!done.ok() && device.last_trouble() == Trouble::authorisation) {
    device.failed_authorizations().failed(who, auth, device.clock().boot());
  }
  return done;
}

}  // namespace cs::tpm
