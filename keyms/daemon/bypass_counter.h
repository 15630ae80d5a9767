// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel as a mirror reads it, with the sockets counted that may bypass IPsec at that moment.
// The kernel tells no event of a socket's policies: a mirror has them as they were when it last
// read all, and sockets come and go. So they are counted when it reads, and a count holds for what
// was read then.
#pragma once

#include <functional>
#include <vector>

#include "xfrm/watch/source.h"

namespace cs::keyms {

class BypassCounter final : public xfrm::Source {
 public:
  // How many policies of sockets there may be now.
  using Count = std::function<Result<std::size_t>()>;

  // A count that fails changes nothing, and is told.
  BypassCounter(xfrm::Source& source, Count count, std::function<void(const Error&)> trouble)
      : source_(&source), count_(std::move(count)), trouble_(std::move(trouble)) {}

  // The most there may be in what the mirror has.
  [[nodiscard]] std::size_t known() const noexcept;
  // The mirror has what was read last: an audit reads some time before that.
  void settle() noexcept;

  Result<void> each_policy(const std::function<Result<void>(xfrm::Policy)>& take) override;
  Result<void> each_sa(const std::function<Result<void>(xfrm::Sa)>& take) override {
    return source_->each_sa(take);
  }
  Result<std::optional<xfrm::Defaults>> defaults() override { return source_->defaults(); }
  Result<std::vector<xfrm::InterfaceSwitches>> switches() override { return source_->switches(); }
  Result<std::optional<xfrm::Sa>> sa(const xfrm::SaId& id) override { return source_->sa(id); }
  Result<bool> next(const std::function<Result<void>(xfrm::Event)>& take) override {
    return source_->next(take);
  }

 private:
  void count(std::size_t& most);

  xfrm::Source* source_;
  Count count_;
  std::function<void(const Error&)> trouble_;
  std::vector<std::size_t> counted_;  // of what the mirror may have, the newest last
};

}  // namespace cs::keyms
