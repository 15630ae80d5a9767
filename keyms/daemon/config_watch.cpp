// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/config_watch.h"

#include <utility>

namespace cs::keyms {

bool ConfigWatch::look() {
  if (clock_->boot() < next_) return false;
  next_ = clock_->boot() + looks_every;
  const Finding before = std::exchange(found_, compare());
  return found_ != before;
}

ConfigWatch::Finding ConfigWatch::compare() const {
  const auto config = read_daemon_config(path_);
  if (!config.ok())
    return {"keymsd will not start again: " + config.error().message(), "mend " + path_};
  if (configuration_digest(*config) == running_) return {};
  return {path_ + " was edited since keymsd began: its store will not open after the next boot",
          "systemctl restart keymsd, before this machine is booted anew"};
}

}  // namespace cs::keyms
