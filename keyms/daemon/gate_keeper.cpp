// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/gate_keeper.h"

#include <algorithm>
#include <utility>

namespace cs::keyms {
namespace {

using xfrm::GateGrant;
using xfrm::Opening;
using xfrm::Passage;

constexpr std::chrono::seconds keep_interval{1};
// A transaction each, of some milliseconds; more are quicker all at once, which costs the counters.
constexpr std::size_t one_by_one = 32;

}  // namespace

GateKeeper::GateKeeper(xfrm::Gate gate, xfrm::GateConfig config, const Clock& clock,
                       Trouble trouble)
    : gate_(std::move(gate)),
      config_(std::move(config)),
      clock_(&clock),
      trouble_(std::move(trouble)),
      next_keep_(clock.boot() + keep_interval) {}

Result<std::unique_ptr<GateKeeper>> GateKeeper::set_up(xfrm::GateConfig config,
                                                       std::optional<xfrm::GateKind> kind,
                                                       const Clock& clock, Trouble trouble) {
  CS_TRY(xfrm::Gate gate, xfrm::Gate::set_up(config, kind));
  for (const xfrm::GatePeer& peer : config.peers) CS_CHECK(gate.close(peer.name));
  std::unique_ptr<GateKeeper> keeper(
      new GateKeeper(std::move(gate), std::move(config), clock, std::move(trouble)));
  keeper->open_holder();
  return keeper;
}

void GateKeeper::open_holder() {
  if (!config_.held_queue) return;
  auto holder = xfrm::Holder::open({.queue = *config_.held_queue}, *clock_);
  if (holder.ok()) {
    holder_ = std::move(holder).value();
  } else {
    trouble_(std::move(holder).error().context("keeping packets of new SAs"));
  }
}

Result<void> GateKeeper::change(std::vector<xfrm::GatePeer> peers) {
  xfrm::GateConfig config = config_;
  config.peers = std::move(peers);
  std::vector<GateGrant> granted = granted_;
  std::erase_if(granted, [&](const GateGrant& one) {
    return std::ranges::find(config.peers, one.peer, &xfrm::GatePeer::name) == config.peers.end();
  });
  if (config.peers != config_.peers) CS_CHECK(gate_.change(config, granted));
  config_ = std::move(config);
  granted_ = std::move(granted);
  return {};
}

// What the kernel has may differ now from what is wanted: keep() makes it so.
void GateKeeper::check(const Result<void>& done) {
  if (done.ok()) return;
  doubtful_ = true;
  trouble_(Error(done.error()).context("changing the gate"));
}

GateGrant* GateKeeper::grant_of(const std::string& peer) noexcept {
  const auto found = std::ranges::find(granted_, peer, &GateGrant::peer);
  return found == granted_.end() ? nullptr : &*found;
}

void GateKeeper::open(const std::string& peer) {
  if (grant_of(peer) != nullptr) return;
  granted_.push_back({.peer = peer, .opening = Opening::listed, .passages = {}});
  check(gate_.open(peer, Opening::listed));
}

void GateKeeper::close(const std::string& peer) {
  std::erase_if(granted_, [&](const GateGrant& one) { return one.peer == peer; });
  check(gate_.close(peer));
}

void GateKeeper::admit(const std::string& peer, const std::vector<Passage>& passages) {
  GateGrant* const grant = grant_of(peer);
  if (grant == nullptr || passages.empty()) return;
  grant->passages.insert(grant->passages.end(), passages.begin(), passages.end());
  // Those that wait first, or the ones that come now overtake them by more than a replay window.
  release(passages);
  if (passages.size() > one_by_one) {
    check(gate_.change(config_, granted_));
  } else {
    for (const Passage& one : passages) check(gate_.admit(peer, one));
  }
  release(passages);
}

void GateKeeper::release(const std::vector<Passage>& passages) {
  for (const Passage& one : passages) {
    if (!holder_) return;
    if (const auto done = holder_->admitted(one); !done.ok()) {
      trouble_(Error(done.error()).context("letting held packets go"));
      holder_.reset();
    }
  }
}

void GateKeeper::withdraw(const std::string& peer, const std::vector<Passage>& passages) {
  GateGrant* const grant = grant_of(peer);
  if (grant == nullptr || passages.empty()) return;
  std::erase_if(grant->passages, [&](const Passage& one) {
    return std::ranges::find(passages, one) != passages.end();
  });
  if (passages.size() > one_by_one) {
    check(gate_.change(config_, granted_));
  } else {
    for (const Passage& one : passages) check(gate_.withdraw(peer, one));
  }
}

BootTime GateKeeper::deadline() const noexcept {
  return holder_ ? std::min(next_keep_, holder_->deadline()) : next_keep_;
}

void GateKeeper::run() {
  if (holder_) {
    if (const auto done = holder_->run(); !done.ok()) {
      trouble_(Error(done.error()).context("keeping packets of new SAs"));
      holder_.reset();
    }
  }
  if (clock_->boot() >= next_keep_) keep();
}

void GateKeeper::keep() {
  next_keep_ = clock_->boot() + keep_interval;
  if (doubtful_) {
    const auto done = gate_.change(config_, granted_);
    doubtful_ = !done.ok();
    check(done);
    return;
  }
  const auto was_lost = gate_.keep(granted_);
  if (!was_lost.ok()) {
    trouble_(Error(was_lost.error()).context("keeping the gate"));
  } else if (*was_lost) {
    ++lost_;
    trouble_(Error(ErrorKind::io, "somebody took the gate away; it is back")
                 .with_hint("find out what flushes all rules, such as `nft flush ruleset`"));
  }
}

std::vector<xfrm::SaName> GateKeeper::waiting() const {
  return holder_ ? holder_->waiting() : std::vector<xfrm::SaName>();
}

xfrm::Holder::Counters GateKeeper::held() const noexcept {
  return holder_ ? holder_->counters() : xfrm::Holder::Counters();
}

}  // namespace cs::keyms
