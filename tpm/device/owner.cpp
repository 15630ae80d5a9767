// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/owner.h"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace cs::tpm {

struct Owner::Shared {
  std::mutex mutex;  // of the queue and of `closed`
  std::condition_variable changed;
  JobQueue queue;
  bool closed = false;
  std::thread thread;  // set before anybody else sees this
};

namespace {

Error closed_error() {
  return {ErrorKind::closed, "the TPM's owner is closing"};
}

}  // namespace

Result<std::unique_ptr<Owner>> Owner::open(DeviceOptions options, OnGeneration on_generation) {
  CS_TRY(Device device, Device::open(std::move(options)));
  return std::make_unique<Owner>(std::move(device), std::move(on_generation));
}

Owner::Owner(Device device, OnGeneration on_generation) : shared_(std::make_unique<Shared>()) {
  shared_->thread =
      std::thread([this, device = std::move(device), told = std::move(on_generation)]() mutable {
        run(std::move(device), told);
      });
}

Owner::~Owner() {
  close();
  shared_->thread.join();
}

void Owner::post(Priority priority, Job job) {
  auto refused = [&]() -> Result<void> {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->closed) return closed_error();
    return shared_->queue.push(priority, job);
  }();
  if (refused.ok()) {
    shared_->changed.notify_one();
  } else {
    job(std::move(refused).error());
  }
}

void Owner::close() noexcept {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
  }
  shared_->changed.notify_one();
}

void Owner::run(Device device, const OnGeneration& on_generation) {
  std::uint64_t told = device.generation().number;
  for (;;) {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [this] { return shared_->closed || !shared_->queue.empty(); });
    const bool closed = shared_->closed;
    const Job job = shared_->queue.pop();
    lock.unlock();
    if (!job) return;
    if (closed) {
      job(closed_error());
      continue;
    }
    const auto there = device.recover();
    if (!there.ok()) {
      job(there.error());
      continue;
    }
    if (device.generation().number != told && on_generation) on_generation(device.generation());
    told = device.generation().number;
    job(&device);
  }
}

}  // namespace cs::tpm
