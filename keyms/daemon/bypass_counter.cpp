// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/bypass_counter.h"

#include <algorithm>
#include <utility>

#include "xfrm/agreement/sockets.h"

namespace cs::keyms {
namespace {

// Connections come and go while the kernel is read, and strangers can make them do so. Whoever has
// a bypass that is not ours has it each time.
constexpr int attempts = 8;

std::size_t bypasses_in(const std::vector<xfrm::Policy>& policies) {
  return static_cast<std::size_t>(std::ranges::count_if(policies, [](const xfrm::Policy& policy) {
    return policy.is_of_socket() && xfrm::socket_class(policy) == xfrm::SocketPolicy::bypass;
  }));
}

}  // namespace

std::size_t BypassCounter::known() const noexcept {
  return counted_.empty() ? 0 : std::ranges::max(counted_);
}

void BypassCounter::settle() noexcept {
  if (!counted_.empty()) counted_.erase(counted_.begin(), counted_.end() - 1);
}

void BypassCounter::count(std::size_t& most) {
  const auto now = count_();
  if (now.ok()) {
    most = std::max(most, *now);
  } else {
    trouble_(now.error());
    most = std::max(most, known());
  }
}

Result<void> BypassCounter::each_policy(const std::function<Result<void>(xfrm::Policy)>& take) {
  std::vector<xfrm::Policy> policies;
  std::size_t most = 0;
  count(most);
  for (int attempt = 0; attempt < attempts; ++attempt) {
    policies.clear();
    CS_CHECK(source_->each_policy([&](xfrm::Policy policy) -> Result<void> {
      policies.push_back(std::move(policy));
      return {};
    }));
    count(most);
    if (bypasses_in(policies) <= most) break;
  }
  counted_.push_back(most);
  for (xfrm::Policy& policy : policies) CS_CHECK(take(std::move(policy)));
  return {};
}

}  // namespace cs::keyms
