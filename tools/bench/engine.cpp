// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/engine.h"

#include <poll.h>

#include <algorithm>

namespace cs::bench {

Result<std::unique_ptr<Engine>> make_engine(EngineKind kind, const EngineSetting& setting,
                                            const Options& options, const Keys& keys,
                                            const Clock& clock) {
  switch (kind) {
    case EngineKind::example:
      return make_example_engine(setting, options);
    case EngineKind::sign:
    case EngineKind::sign_remote:
    case EngineKind::sign_tpm:
    case EngineKind::verify:
      return make_worker_engine(kind, setting, options, keys, clock);
    default:
      return make_plain_engine(kind, setting, options, keys);
  }
}

std::size_t receive_buffer(const EngineSetting& setting, const Options& options) {
  const std::size_t each = 2 * (options.size + max_extension) + 4096;
  return std::clamp<std::size_t>(setting.length * each, 16U << 20U, 1U << 30U);
}

void wait_readable(int fd, std::chrono::nanoseconds limit) noexcept {
  pollfd readable{fd, POLLIN, 0};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  const timespec time{seconds.count(), (limit - seconds).count()};
  ::ppoll(&readable, 1, &time, nullptr);  // whatever it says, work() looks for itself
}

}  // namespace cs::bench
