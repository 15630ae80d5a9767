// SPDX-License-Identifier: GPL-3.0-or-later
// A worker on a thread of its own: works when there is something to do, sleeps otherwise, takes
// orders.
#pragma once

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "nfq-signer/counters.h"

namespace cs {

// Owns the worker. Everything but counters() goes through the thread, so the worker needs no locks.
// When the thread ends by an error its queue closes, and the kernel drops what comes.
template <class Worker>
class WorkerThread {
 public:
  // Fails if `cpu` is given and is none.
  static Result<std::unique_ptr<WorkerThread>> start(Worker worker, std::optional<int> cpu = {}) {
    UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) return from_errno(errno, "making an eventfd for a worker");
    std::unique_ptr<WorkerThread> made(new WorkerThread(std::move(worker), std::move(wake)));
    if (cpu) CS_CHECK(made->pin(*cpu));
    return made;
  }
  ~WorkerThread() { static_cast<void>(stop()); }
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;
  WorkerThread(WorkerThread&&) = delete;
  WorkerThread& operator=(WorkerThread&&) = delete;

  // Calls f(worker) on the thread, between two rounds of work, and returns what it returns. Fails
  // with `closed` once the thread has ended.
  template <class F>
  auto call(F f) -> Result<std::invoke_result_t<F, Worker&>> {
    using Answer = std::invoke_result_t<F, Worker&>;
    std::packaged_task<Answer(Worker&)> task(std::move(f));
    std::future<Answer> answer = task.get_future();
    {
      const std::scoped_lock lock(mutex_);
      if (ended_) return Error(ErrorKind::closed, "giving a worker an order: it has ended");
      orders_.push_back([&task](Worker& worker) { task(worker); });
    }
    wake();
    if constexpr (std::is_void_v<Answer>) {
      answer.get();
      return {};
    } else {
      return answer.get();
    }
  }

  [[nodiscard]] const WorkerCounters& counters() const noexcept { return *counters_; }
  [[nodiscard]] bool has_ended() const {
    const std::scoped_lock lock(mutex_);
    return ended_;
  }

  // Ends the thread; says why if it had ended before. What it held is dropped.
  Result<void> stop() {
    stop_ = true;
    wake();
    if (thread_.joinable()) thread_.join();
    worker_.reset();
    if (failure_) return *failure_;
    return {};
  }

 private:
  WorkerThread(Worker worker, UniqueFd wake)
      : worker_(std::move(worker)),
        counters_(worker_->share_counters()),
        wake_(std::move(wake)),
        thread_([this] { run(); }) {}

  Result<void> pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0 || cpu >= CPU_SETSIZE)
      return Error(ErrorKind::invalid, "CPU " + std::to_string(cpu) + ": there is none");
    CPU_SET(static_cast<unsigned>(cpu), &set);
    const int error = pthread_setaffinity_np(thread_.native_handle(), sizeof(set), &set);
    if (error != 0) return from_errno(error, "keeping a worker on CPU " + std::to_string(cpu));
    return {};
  }

  void wake() const noexcept { static_cast<void>(eventfd_write(wake_.get(), 1)); }

  void run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    // Pacing is in tens of microseconds, which is what the kernel adds by itself otherwise.
    ::prctl(PR_SET_TIMERSLACK, 1000UL);
    while (!stop_ && !failure_) {
      obey();
      if (auto worked = worker_->work(); !worked.ok()) failure_ = std::move(worked).error();
      if (!failure_) sleep();
    }
    {
      const std::scoped_lock lock(mutex_);
      ended_ = true;
    }
    obey();  // nobody waits for ever
    if (failure_) worker_.reset();
  }

  void obey() {
    std::vector<std::function<void(Worker&)>> orders;
    {
      const std::scoped_lock lock(mutex_);
      orders.swap(orders_);
    }
    for (auto& order : orders) order(*worker_);
  }

  void sleep() {
    const auto idle = worker_->idle_for();
    if (idle && idle->count() <= 0) return;
    descriptors_.clear();
    worker_->descriptors(descriptors_);
    polled_.assign(1, {wake_.get(), POLLIN, 0});
    for (const int fd : descriptors_) polled_.push_back({fd, POLLIN, 0});
    timespec limit{};
    if (idle) limit = {idle->count() / 1'000'000'000, idle->count() % 1'000'000'000};
    if (::ppoll(polled_.data(), polled_.size(), idle ? &limit : nullptr, nullptr) > 0 &&
        polled_[0].revents != 0) {
      eventfd_t ignored = 0;
      static_cast<void>(eventfd_read(wake_.get(), &ignored));
    }
  }

  std::optional<Worker> worker_;
  std::shared_ptr<const WorkerCounters> counters_;
  UniqueFd wake_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<std::function<void(Worker&)>> orders_;
  bool ended_ = false;
  std::optional<Error> failure_;
  std::vector<int> descriptors_;
  std::vector<pollfd> polled_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace cs
