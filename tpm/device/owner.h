// SPDX-License-Identifier: GPL-3.0-or-later
// The one thread of a process that speaks to the TPM.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "tpm/device/device.h"
#include "tpm/device/job_queue.h"

namespace cs::tpm {

// Everybody else hands it jobs, from any thread:
//
//   auto quoted = owner.submit(Priority::quote, [=](Device& tpm) { return quote(tpm, …); });
//   CS_TRY(Quote quote, quoted.get());
//
// Before each job the device is recovered if it must be. A job during which the connection breaks
// fails with Retry::anew and is not repeated by itself: only its author knows whether doing it
// twice does harm (an extend), so look and submit again.
class Owner {
 public:
  // Called on the owner's thread at the begin of every generation but the first, before the next
  // job. What was loaded is gone, and if resetCount changed so are the PCRs.
  using OnGeneration = std::function<void(const Generation&)>;

  [[nodiscard]] static Result<std::unique_ptr<Owner>> open(DeviceOptions options,
                                                           OnGeneration on_generation = {});
  explicit Owner(Device device, OnGeneration on_generation = {});
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  Owner(Owner&&) = delete;
  Owner& operator=(Owner&&) = delete;
  ~Owner();  // as close(), then waits for the job under way

  // The result when it is there, or why there is none: `work(Device&)` returns a Result. Never
  // wait for it on the owner's own thread. What `work` holds is destroyed with it on that thread.
  template <class Work>
  [[nodiscard]] auto submit(Priority priority, Work work)
      -> std::future<std::invoke_result_t<Work&, Device&>> {
    using Outcome = std::invoke_result_t<Work&, Device&>;
    auto promise = std::make_shared<std::promise<Outcome>>();
    auto future = promise->get_future();
    post(priority, [promise, work = std::make_shared<Work>(std::move(work))](Result<Device*> tpm) {
      promise->set_value(tpm.ok() ? (*work)(**tpm) : Outcome(std::move(tpm).error()));
    });
    return future;
  }

  // For who does not wait: `job` runs on the owner's thread with the device or, if it cannot run
  // (busy: the queue is full; closed; the TPM does not come back), with the error: on this thread
  // then when that is known at once.
  void post(Priority priority, Job job);

  // What waits fails with `closed`, and so does what comes later.
  void close() noexcept;

 private:
  struct Shared;
  void run(Device device, const OnGeneration& on_generation);

  std::unique_ptr<Shared> shared_;
};

}  // namespace cs::tpm
