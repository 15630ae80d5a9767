// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/tpm_root_signer.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <iterator>
#include <mutex>
#include <utility>

#include "base/unique_fd.h"

namespace cs::keyms {

static_assert(std::is_same_v<tpm::EcdsaSignature, Signature>);
static_assert(max_unanswered <= tpm::JobQueue::most);

// What is finished, from the owner's thread to the event loop's.
class TpmRootSigner::Mailbox {
 public:
  explicit Mailbox(UniqueFd ready) : ready_(std::move(ready)) {}
  [[nodiscard]] int fd() const noexcept { return ready_.get(); }
  void put(Finished finished) {
    const std::lock_guard lock(mutex_);
    finished_.push_back(std::move(finished));
    static_cast<void>(eventfd_write(ready_.get(), 1));
  }
  void take(std::vector<Finished>& out) {
    const std::lock_guard lock(mutex_);
    eventfd_t ignored = 0;
    static_cast<void>(eventfd_read(ready_.get(), &ignored));
    out.swap(finished_);
  }

 private:
  UniqueFd ready_;
  std::mutex mutex_;
  std::vector<Finished> finished_;
};

Result<std::unique_ptr<TpmRootSigner>> TpmRootSigner::create(tpm::Owner& owner,
                                                             const Clock& clock) {
  UniqueFd ready(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready) return from_errno(errno, "making an eventfd for signatures");
  return std::unique_ptr<TpmRootSigner>(
      new TpmRootSigner(owner, clock, std::make_shared<Mailbox>(std::move(ready))));
}

int TpmRootSigner::fd() const noexcept {
  return mailbox_->fd();
}

Result<void> TpmRootSigner::open(const Opening& opening, tpm::SigningKey signing) {
  const KeyScope& scope = opening.scope;
  if (public_key_size(scope.suite) != 65) {
    return Error(ErrorKind::unsupported, "key " + std::to_string(scope.key) +
                                             ": a TPM signs with P-256, not with its suite");
  }
  // What it is signing now stays its own.
  if (const auto found = open_.find(scope.key);
      found != open_.end() && found->second.check == opening.check) {
    found->second.end = opening.end;
    return {};
  }
  open_.insert_or_assign(scope.key, OpenKey{opening.end, opening.check,
                                            std::make_shared<tpm::SigningKey>(std::move(signing))});
  return {};
}

StatementSigner::Open TpmRootSigner::opener(tpm::KeyBlobs blobs, tpm::SigningKey::Policy policy,
                                            tpm::Auth owner) {
  return [this, blobs = std::move(blobs), policy = std::move(policy),
          owner = std::move(owner)](const Opening& opening) {
    return open(opening, tpm::SigningKey(blobs, policy, owner));
  };
}

void TpmRootSigner::clear() {
  open_.clear();
  ++connection_;
}

TpmRootSigner::OpenKey* TpmRootSigner::find(std::uint32_t key) noexcept {
  const auto found = open_.find(key);
  return found == open_.end() || found->second.end <= clock_->boot() ? nullptr : &found->second;
}

SignStatus TpmRootSigner::admit(const SignRequest& request) noexcept {
  if (with_tpm_ >= max_unanswered) return SignStatus::busy;
  OpenKey* const key = find(request.key);
  return key == nullptr ? SignStatus::unknown_key : key->check->admit(request.statement);
}

void TpmRootSigner::take(const SignRequest& request) {
  const SignStatus status = admit(request);
  if (status == SignStatus::done) return ask_tpm(request);
  mailbox_->put({{{request.ticket, status, {}}, {}}, request.key, connection_, nullptr});
}

void TpmRootSigner::ask_tpm(const SignRequest& request) {
  ++with_tpm_;
  Finished finished{{{request.ticket, SignStatus::failed, {}}, {}},
                    request.key,
                    connection_,
                    find(request.key)->signing};
  owner_->post(
      tpm::Priority::signature, [mailbox = mailbox_, digest = hasher_.hash({request.statement}),
                                 finished = std::move(finished)](Result<tpm::Device*> tpm) mutable {
        const auto signature =
            tpm.ok() ? finished.signing->sign(**tpm, digest) : Result<Signature>(tpm.error());
        if (signature.ok()) {
          finished.answer.reply.status = SignStatus::done;
          finished.answer.reply.signature = *signature;
        } else {
          finished.answer.why = signature.error();
        }
        mailbox->put(std::move(finished));
      });
}

// A key that has ended meanwhile has signed nothing. One whose policy does not hold any more ends.
void TpmRootSigner::check_key(Finished& finished) noexcept {
  const OpenKey* const key = find(finished.key);
  if (key == nullptr || key->signing != finished.signing) {
    finished.answer = {{finished.answer.reply.ticket, SignStatus::unknown_key, {}}, {}};
  } else if (finished.answer.why && finished.answer.why->kind() == ErrorKind::denied) {
    open_.erase(finished.key);
  }
}

void TpmRootSigner::collect(std::vector<Answer>& out) {
  finished_.clear();
  mailbox_->take(finished_);
  for (Finished& finished : finished_) {
    if (finished.signing) {
      --with_tpm_;
      check_key(finished);
    }
    if (finished.connection == connection_) out.push_back(std::move(finished.answer));
  }
}

}  // namespace cs::keyms
