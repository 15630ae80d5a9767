// SPDX-License-Identifier: GPL-3.0-or-later
// Work for the TPM, from the loop and back to it: what is asked runs on the owner's thread, what
// follows runs in the loop.
#pragma once

#include <sys/eventfd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "keyms/daemon/loop.h"
#include "tpm/device/owner.h"

namespace cs::keyms {

class TpmDesk final : public LoopPart {
 public:
  // The owner must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<TpmDesk>> create(tpm::Owner& owner);

  // `work(tpm::Device&)` returns a Result, which `then` gets, in the loop, exactly once; unless the
  // desk has gone before. Neither may throw. What `work` uses has to live as long as the owner.
  template <class Work, class Then>
  void ask(tpm::Priority priority, Work work, Then then) {
    using Outcome = std::invoke_result_t<Work&, tpm::Device&>;
    struct Both {
      Work work;
      Then then;
    };
    auto both = std::make_shared<Both>(Both{std::move(work), std::move(then)});
    owner_->post(priority, [both, mail = mail_](Result<tpm::Device*> tpm) {
      mail->begin();
      auto outcome =
          std::make_shared<Outcome>(tpm.ok() ? both->work(**tpm) : Outcome(std::move(tpm).error()));
      mail->put([both, outcome] { both->then(std::move(*outcome)); });
    });
  }

  // Whether what the TPM does now takes so long already.
  [[nodiscard]] bool is_stuck_for(std::chrono::seconds time) const {
    return mail_->is_stuck_for(time);
  }

  void wait(Waits& waits) const override { waits.on(mail_->fd()); }
  Result<void> run() override;

 private:
  // Between two threads.
  class Mail {
   public:
    explicit Mail(UniqueFd fd) : fd_(std::move(fd)) {}
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    void begin();
    [[nodiscard]] bool is_stuck_for(std::chrono::seconds time) const;
    void put(std::function<void()> next);
    [[nodiscard]] std::vector<std::function<void()>> take();

   private:
    UniqueFd fd_;
    mutable std::mutex mutex_;
    // Under mutex_:
    std::vector<std::function<void()>> waiting_;
    std::optional<std::chrono::steady_clock::time_point> begun_;  // what is under way
  };

  TpmDesk(tpm::Owner& owner, std::shared_ptr<Mail> mail) : owner_(&owner), mail_(std::move(mail)) {}

  tpm::Owner* owner_;
  std::shared_ptr<Mail> mail_;
};

}  // namespace cs::keyms
