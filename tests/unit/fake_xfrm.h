// SPDX-License-Identifier: GPL-3.0-or-later
// A kernel's IPsec in memory, that does as Linux does: tables with the newest first, events that
// come a little after what they tell, room for so many of them, and changes that no event tells.
#pragma once

#include <netinet/in.h>

#include <algorithm>
#include <deque>
#include <list>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "xfrm/watch/source.h"

namespace cs::test {

using xfrm::Event;
using xfrm::Policy;
using xfrm::Sa;
using xfrm::SaId;

inline Sa an_sa(std::uint32_t spi, std::uint8_t protocol = IPPROTO_ESP) {
  Sa sa;
  sa.id.destination.bytes = {192, 0, 2, 2};
  sa.id.spi = spi;
  sa.id.protocol = protocol;
  sa.source.bytes = {192, 0, 2, 1};
  sa.aead = xfrm::Algorithm{"rfc4106(gcm(aes))", 288, 128};
  return sa;
}

inline Policy a_policy(std::uint32_t index, std::uint8_t third_byte) {
  Policy policy;
  policy.index = index;
  policy.direction = xfrm::Direction::out;
  policy.selector.source = {{false, {10, 1, third_byte}}, 24};
  policy.selector.destination = {{false, {10, 2, third_byte}}, 24};
  return policy;
}

class FakeKernel final : public xfrm::Source {
 public:
  // 0: its room for events never ends.
  explicit FakeKernel(std::size_t room = 0) : room_(room) {}

  // Called now and then while a table is read.
  std::function<void()> meanwhile = [] {};

  void add_sa(const Sa& sa) {
    remove_sa(sa.id);
    sas_.push_front(sa);
    tell(Event::Kind::sa_new, sa);
  }
  // As Linux: of an SA in use the algorithms stay.
  void update_sa(Sa sa) {
    const auto old = find(sa.id);
    if (old != sas_.end()) old->lifetime = sa.lifetime;
    if (old != sas_.end()) sa.aead = xfrm::Algorithm{"what was asked for", 8, 8};
    if (old == sas_.end()) sas_.push_front(sa);
    tell(Event::Kind::sa_update, sa);
  }
  void delete_sa(const SaId& id) {
    if (const auto gone = remove_sa(id)) tell(Event::Kind::sa_delete, *gone);
  }
  void expire_sa(const SaId& id, bool hard) {
    const auto old = find(id);
    if (old == sas_.end()) return;
    Event event = event_of(Event::Kind::sa_expire, *old);
    event.hard = hard;
    if (hard) sas_.erase(old);
    tell(event);
  }
  void flush_sas(std::uint8_t protocol) {
    std::erase_if(sas_, [&](const Sa& sa) { return protocol == 0 || sa.id.protocol == protocol; });
    Event event;
    event.kind = Event::Kind::sa_flush;
    event.flushed = protocol;
    tell(event);
  }
  void put_policy(const Policy& policy, bool silent = false) {
    const bool was = remove_policy(policy.index).has_value();
    policies_.push_front(policy);
    if (silent) return;
    Event event;
    event.kind = was ? Event::Kind::policy_update : Event::Kind::policy_new;
    event.policy = policy;
    tell(event);
  }
  void delete_policy(std::uint32_t index, Event::Kind kind = Event::Kind::policy_delete) {
    const auto gone = remove_policy(index);
    if (!gone) return;
    Event event;
    event.kind = kind;
    event.hard = true;
    event.policy = gone;
    tell(event);
  }
  void flush_policies() {
    std::erase_if(policies_, [](const Policy& policy) { return !policy.is_of_socket(); });
    Event event;
    event.kind = Event::Kind::policy_flush;
    tell(event);
  }
  void set_defaults(xfrm::Defaults defaults) {
    defaults_ = defaults;
    Event event;
    event.kind = Event::Kind::defaults;
    event.defaults = defaults;
    tell(event);
  }
  void tell(const Event& event) { under_way_.push_back(event); }
  // No event tells of these.
  void remove_silently(std::uint32_t index) { remove_policy(index); }
  void remove_silently(const SaId& id) { remove_sa(id); }
  void put_silently(const Sa& sa) {
    remove_sa(sa.id);
    sas_.push_front(sa);
  }
  void set_switches(std::vector<xfrm::InterfaceSwitches> switches) {
    switches_ = std::move(switches);
  }

  // Events arrive.
  void deliver() {
    for (; !under_way_.empty(); under_way_.pop_front()) {
      if (room_ != 0 && arrived_.size() >= room_) {
        overrun_ = true;
      } else {
        arrived_.push_back(under_way_.front());
      }
    }
  }
  // Nobody follows yet.
  void forget_events() { under_way_.clear(); }
  [[nodiscard]] const std::list<Sa>& sas() const { return sas_; }
  [[nodiscard]] const std::list<Policy>& policies() const { return policies_; }

  Result<void> each_policy(const std::function<Result<void>(Policy)>& take) override {
    return walk(policies_, take, [](const Policy& policy) { return policy.index; });
  }
  Result<void> each_sa(const std::function<Result<void>(Sa)>& take) override {
    return walk(sas_, take, [](const Sa& sa) { return sa.id; });
  }
  Result<std::optional<xfrm::Defaults>> defaults() override { return defaults_; }
  Result<std::vector<xfrm::InterfaceSwitches>> switches() override { return switches_; }
  Result<std::optional<Sa>> sa(const SaId& id) override {
    const auto found = find(id);
    return found == sas_.end() ? std::optional<Sa>() : std::optional(*found);
  }
  Result<bool> next(const std::function<Result<void>(Event)>& take) override {
    // Linux tells of a loss before what is left.
    if (std::exchange(overrun_, false)) return from_errno(ENOBUFS, "following");
    if (arrived_.empty()) return false;
    const Event event = arrived_.front();
    arrived_.pop_front();
    CS_CHECK(take(event));
    return true;
  }

 private:
  static Event event_of(Event::Kind kind, const Sa& sa) {
    Event event;
    event.kind = kind;
    event.sa = sa;
    return event;
  }
  void tell(Event::Kind kind, const Sa& sa) { tell(event_of(kind, sa)); }
  std::list<Sa>::iterator find(const SaId& id) {
    return std::ranges::find_if(sas_, [&](const Sa& sa) { return sa.id == id; });
  }
  std::optional<Sa> remove_sa(const SaId& id) {
    const auto old = find(id);
    if (old == sas_.end()) return std::nullopt;
    Sa gone = *old;
    sas_.erase(old);
    return gone;
  }
  std::optional<Policy> remove_policy(std::uint32_t index) {
    const auto old = std::ranges::find_if(
        policies_, [&](const Policy& policy) { return policy.index == index; });
    if (old == policies_.end()) return std::nullopt;
    Policy gone = *old;
    policies_.erase(old);
    return gone;
  }
  // What is made meanwhile stands before the walker, what is removed is not come by.
  template <class T, class Take, class Key>
  Result<void> walk(const std::list<T>& table, const Take& take, Key key) {
    std::vector<decltype(key(table.front()))> keys;
    for (const T& one : table) keys.push_back(key(one));
    for (const auto& wanted : keys) {
      meanwhile();
      const auto found =
          std::ranges::find_if(table, [&](const T& one) { return key(one) == wanted; });
      if (found != table.end()) CS_CHECK(take(*found));
    }
    meanwhile();
    return {};
  }

  std::size_t room_;
  std::list<Sa> sas_;
  std::list<Policy> policies_;
  std::optional<xfrm::Defaults> defaults_ = xfrm::Defaults{};
  std::vector<xfrm::InterfaceSwitches> switches_;
  std::deque<Event> under_way_;
  std::deque<Event> arrived_;
  bool overrun_ = false;
};

}  // namespace cs::test
