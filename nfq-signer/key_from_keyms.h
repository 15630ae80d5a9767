// SPDX-License-Identifier: GPL-3.0-or-later
// What keymsd sends of a key, as the data plane's own types. The two folders keep their constants
// apart, because keyms may not use nfq-signer; that they agree is shown here.
#pragma once

#include <chrono>

#include "base/clock.h"
#include "keyms/signer_protocol.h"
#include "nfq-signer/batch.h"
#include "nfq-signer/extension.h"
#include "nfq-signer/gate.h"
#include "nfq-signer/key.h"
#include "nfq-signer/signature.h"

namespace cs {

static_assert(std::is_same_v<keyms::Statement, Statement>);
static_assert(std::is_same_v<keyms::Signature, Signature>);
static_assert(std::is_same_v<keyms::SessionId, SessionId>);
static_assert(std::is_same_v<keyms::PcrDigest, Digest>);
static_assert(keyms::gate_secret_size == Gate::secret_size);
static_assert(keyms::private_key_size == SigningKey::private_size);
static_assert(keyms::statement_version == wire_version);
static_assert(keyms::max_batch_count == max_batch);

[[nodiscard]] constexpr Suite suite_from(keyms::Suite suite) noexcept {
  return static_cast<Suite>(suite);
}
static_assert(suite_from(keyms::Suite::p256_node16) == Suite::p256_node16 &&
              suite_from(keyms::Suite::p256_node32) == Suite::p256_node32 &&
              suite_from(keyms::Suite::ed25519_node16) == Suite::ed25519_node16 &&
              suite_from(keyms::Suite::ed25519_node32) == Suite::ed25519_node32);

[[nodiscard]] inline KeyScope scope_from(const keyms::KeyScope& scope) noexcept {
  return {scope.session, scope.pcr_digest, scope.key, scope.direction, suite_from(scope.suite)};
}

[[nodiscard]] constexpr LaneRange lanes_from(const keyms::LaneRange& lanes) noexcept {
  return {lanes.first, lanes.last};
}

// Called when the key is received: the lifetime counts from now.
[[nodiscard]] inline KeyEnd end_from(const keyms::KeyEnd& end, const Clock& clock) noexcept {
  return {from_time_t(static_cast<std::time_t>(end.not_after)),
          clock.boot() + std::chrono::milliseconds(end.lifetime_ms)};
}

}  // namespace cs
