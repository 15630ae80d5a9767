// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/tpm_desk.h"

#include <cerrno>

namespace cs::keyms {

Result<std::unique_ptr<TpmDesk>> TpmDesk::create(tpm::Owner& owner) {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return from_errno(errno, "making an eventfd");
  return std::unique_ptr<TpmDesk>(new TpmDesk(owner, std::make_shared<Mail>(std::move(fd))));
}

Result<void> TpmDesk::run() {
  for (const auto& next : mail_->take()) next();
  return {};
}

void TpmDesk::Mail::begin() {
  const std::lock_guard lock(mutex_);
  begun_ = std::chrono::steady_clock::now();
}

bool TpmDesk::Mail::is_stuck_for(std::chrono::seconds time) const {
  const std::lock_guard lock(mutex_);
  return begun_ && std::chrono::steady_clock::now() - *begun_ >= time;
}

void TpmDesk::Mail::put(std::function<void()> next) {
  const std::lock_guard lock(mutex_);
  begun_.reset();
  waiting_.push_back(std::move(next));
  // Fails where it is full: then it is readable already.
  static_cast<void>(::eventfd_write(fd_.get(), 1));
}

std::vector<std::function<void()>> TpmDesk::Mail::take() {
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  static_cast<void>(::eventfd_read(fd_.get(), &count));
  return std::exchange(waiting_, {});
}

}  // namespace cs::keyms
