// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/authorization.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

#include "base/panic.h"
#include "tpm/device/esys.h"

namespace cs::tpm {

namespace {

// AUTH_FAIL, of whichever session; BAD_AUTH is what objects answer that count nothing.
bool is_counted(TSS2_RC answer) {
  constexpr TSS2_RC which = 0xf00;  // the session's number
  return (answer & ~which) == TPM2_RC_AUTH_FAIL;
}

}  // namespace

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
  const bool is_guess = !auth.empty() && std::ranges::find(right_, what) == right_.end();
  for (const Failure& failure : failures_) {
    const auto since = now - failure.when;
    const bool is_same = failure.what == what;
    if (since >= wait || !(is_same || (is_guess && failure.counted))) continue;
    const auto minutes =
        std::to_string(std::chrono::ceil<std::chrono::minutes>(wait - since).count());
    constexpr auto locks = " min: the TPM locks after a few wrong ones";
    if (is_same) {
      return Error(ErrorKind::denied, "this auth value has failed for the same object before")
          .with_retry(Retry::after_delay)
          .with_hint("correct it, or wait " + minutes + locks);
    }
    return Error(ErrorKind::denied, "an auth value has failed before, and this one is not proved")
        .with_retry(Retry::after_delay)
        .with_hint("make sure that it is right, and wait " + minutes + locks);
  }
  return {};
}

void FailedAuthorizations::failed(ByteView entity, ByteView auth, BootTime now, bool counted) {
  const Digest what = digest(entity, auth);
  std::erase(right_, what);
  if (failures_.size() == most) failures_.erase(failures_.begin());
  failures_.push_back({what, now, counted});
}

void FailedAuthorizations::held(ByteView entity, ByteView auth) {
  const Digest what = digest(entity, auth);
  if (auth.empty() || std::ranges::find(right_, what) != right_.end()) return;
  if (right_.size() == most) right_.erase(right_.begin());
  right_.push_back(what);
}

Result<void> call_authorized(Device& device, std::string_view asked, EsysHandle entity,
                             ByteView auth, const Device::Command& command) {
  CS_TRY(const auto who, device.name_of(asked, entity));
  CS_CHECK(device.failed_authorizations().check(who, auth, device.clock().boot()).context(asked));
  constexpr TPM2B_AUTH nothing{};
  CS_TRY(TPM2B_AUTH value, sized<TPM2B_AUTH>(auth, "the auth value"));
  bool counted = false;
  auto done = device.call(asked, [&](ESYS_CONTEXT* esys) {
    TSS2_RC rc = Esys_TR_SetAuth(esys, entity, &value);
    if (rc == TSS2_RC_SUCCESS) rc = command(esys);
    // Fails only for a handle that is gone, and then so is the value.
    static_cast<void>(Esys_TR_SetAuth(esys, entity, &nothing));
    counted = is_counted(rc);
    return rc;
  });
  OPENSSL_cleanse(&value, sizeof(value));
  auto& failures = device.failed_authorizations();
  if (done.ok()) {
    failures.held(who, auth);
  } else if (device.last_trouble() == Trouble::authorisation) {
    failures.failed(who, auth, device.clock().boot(), counted);
  }
  return done;
}

}  // namespace cs::tpm
