// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/remote_signer.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

namespace cs {

namespace {

Result<UniqueFd> make_event() {
  UniqueFd made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made) return from_errno(errno, "making an eventfd for signatures");
  return made;
}

void clear(const UniqueFd& event) noexcept {
  eventfd_t ignored = 0;
  static_cast<void>(eventfd_read(event.get(), &ignored));
}

}  // namespace

// One worker's end. What it shares with the socket's thread is under the exchange's mutex.
class SignatureExchange::Signer final : public RootSigner {
 public:
  Signer(std::shared_ptr<SignatureExchange> exchange, UniqueFd ready, std::uint32_t key,
         std::size_t depth)
      : exchange_(std::move(exchange)), ready_(std::move(ready)), key_(key), depth_(depth) {}
  ~Signer() override {
    const std::scoped_lock lock(exchange_->mutex_);
    std::erase_if(exchange_->waiting_,
                  [this](const auto& entry) { return entry.second.signer == this; });
  }
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;
  Signer(Signer&&) = delete;
  Signer& operator=(Signer&&) = delete;

  [[nodiscard]] std::size_t depth() const noexcept override { return depth_; }
  [[nodiscard]] int fd() const noexcept override { return ready_.get(); }

  [[nodiscard]] bool submit(std::uint64_t ticket, const Statement& statement) override {
    const std::scoped_lock lock(exchange_->mutex_);
    const std::uint64_t shared = exchange_->next_ticket_++;
    exchange_->waiting_.emplace(shared, Waiting{this, ticket});
    exchange_->requests_.push_back({shared, key_, statement});
    static_cast<void>(eventfd_write(exchange_->wake_.get(), 1));
    return true;
  }
  void collect(std::vector<Reply>& out) override {
    const std::scoped_lock lock(exchange_->mutex_);
    clear(ready_);
    out.insert(out.end(), replies_.begin(), replies_.end());
    replies_.clear();
  }
  void deliver(const Reply& reply) {
    replies_.push_back(reply);
    static_cast<void>(eventfd_write(ready_.get(), 1));
  }

 private:
  std::shared_ptr<SignatureExchange> exchange_;
  UniqueFd ready_;
  std::vector<Reply> replies_;
  std::uint32_t key_;
  std::size_t depth_;
};

Result<std::shared_ptr<SignatureExchange>> SignatureExchange::create() {
  CS_TRY(UniqueFd wake, make_event());
  return std::shared_ptr<SignatureExchange>(new SignatureExchange(std::move(wake)));
}

Result<std::unique_ptr<RootSigner>> SignatureExchange::make_signer(
    std::shared_ptr<SignatureExchange> exchange, std::uint32_t key, std::size_t depth) {
  CS_TRY(UniqueFd ready, make_event());
  return std::unique_ptr<RootSigner>(
      std::make_unique<Signer>(std::move(exchange), std::move(ready), key, depth));
}

void SignatureExchange::take(std::size_t most, std::vector<Request>& out) {
  const std::scoped_lock lock(mutex_);
  const std::size_t count = std::min(most, requests_.size());
  const auto end = requests_.begin() + static_cast<std::ptrdiff_t>(count);
  // A request whose worker has given up on it is not worth a signature.
  std::copy_if(requests_.begin(), end, std::back_inserter(out),
               [this](const Request& request) { return waiting_.contains(request.ticket); });
  requests_.erase(requests_.begin(), end);
  if (requests_.empty()) clear(wake_);
}

void SignatureExchange::reply(const RootSigner::Reply& reply) {
  const std::scoped_lock lock(mutex_);
  const auto found = waiting_.find(reply.ticket);
  if (found == waiting_.end()) return;
  found->second.signer->deliver({found->second.ticket, reply.signature, reply.is_busy});
  waiting_.erase(found);
}

void SignatureExchange::postpone_all() {
  const std::scoped_lock lock(mutex_);
  for (const auto& [ticket, waiting] : waiting_)
    waiting.signer->deliver({waiting.ticket, std::nullopt, true});
  waiting_.clear();
  requests_.clear();
  clear(wake_);
}

}  // namespace cs
