// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/watch/tables.h"

#include <netinet/in.h>

#include <array>
#include <cstring>
#include <string_view>
#include <tuple>

#include "xfrm/state/kernel.h"

namespace cs::xfrm {
namespace {

constexpr std::uint8_t any_ipsec = 255;  // IPSEC_PROTO_ANY: ESP, AH and IPComp

auto facts(const Sa& sa) {
  return std::tie(sa.id, sa.source, sa.mode, sa.reqid, sa.selector, sa.flags, sa.extra_flags,
                  sa.replay.window, sa.replay.extended, sa.aead, sa.encryption, sa.authentication,
                  sa.compression, sa.encapsulation, sa.output_mark, sa.interface_id, sa.tfc_pad,
                  sa.offload, sa.direction, sa.lifetime, sa.security_context, sa.unknown);
}

auto facts(const Policy& policy) {
  return std::tie(policy.direction, policy.type, policy.index, policy.selector, policy.priority,
                  policy.action, policy.flags, policy.share, policy.templates, policy.mark,
                  policy.interface_id, policy.lifetime, policy.offload, policy.security_context,
                  policy.unknown);
}

bool is_flushed(std::uint8_t protocol, std::uint8_t flushed) noexcept {
  if (flushed == 0 || protocol == flushed) return true;
  return flushed == any_ipsec &&
         (protocol == IPPROTO_ESP || protocol == IPPROTO_AH || protocol == IPPROTO_COMP);
}

Error too_many(std::string_view what, std::size_t most) {
  return {ErrorKind::limit, "following the kernel's IPsec: more than " + std::to_string(most) +
                                " " + std::string(what)};
}

Change found(Event::Kind kind, const Sa& sa) {
  Change change;
  change.how = Change::How::found;
  change.event.kind = kind;
  change.event.sa = sa;
  return change;
}

Change found(Event::Kind kind, const Policy& policy) {
  Change change;
  change.how = Change::How::found;
  change.event.kind = kind;
  change.event.policy = policy;
  return change;
}

void compare_switches(const std::vector<InterfaceSwitches>& before,
                      const std::vector<InterfaceSwitches>& now, std::vector<Change>& changes) {
  std::map<std::string_view, InterfaceSwitches> known;
  for (const InterfaceSwitches& one : before) known.emplace(one.name, one);
  for (const InterfaceSwitches& one : now) {
    const auto old = known.extract(one.name);
    const bool is_off = one == InterfaceSwitches{one.name};
    if (old ? old.mapped() == one : is_off) continue;
    changes.push_back({Change::How::found, {}, one});
  }
  for (const auto& [name, gone] : known) {
    if (gone == InterfaceSwitches{gone.name}) continue;
    changes.push_back({Change::How::found, {}, InterfaceSwitches{gone.name}});
  }
}

}  // namespace

bool same(const Sa& a, const Sa& b) {
  return facts(a) == facts(b);
}
bool same(const Policy& a, const Policy& b) {
  return facts(a) == facts(b);
}

std::size_t Tables::Hash::operator()(const SaId& id) const noexcept {
  std::array<char, 16 + 4 + 4 + 4 + 1> bytes{};
  std::memcpy(bytes.data(), id.destination.bytes.data(), 16);
  std::memcpy(bytes.data() + 16, &id.spi, 4);
  std::memcpy(bytes.data() + 20, &id.mark.value, 4);
  std::memcpy(bytes.data() + 24, &id.mark.mask, 4);
  bytes[28] = static_cast<char>(id.protocol);
  return std::hash<std::string_view>()({bytes.data(), bytes.size()});
}

Result<void> Tables::add(Policy policy) {
  return put(std::move(policy), ++oldest_);
}

Result<void> Tables::add(Sa sa) {
  return put(std::move(sa));
}

Result<void> Tables::put(Policy policy, Place place) {
  erase_policy(policy.index);
  if (policies_.size() == max_policies) return too_many("policies", max_policies);
  places_[policy.index] = place;
  policies_.insert_or_assign(place, std::move(policy));
  policies_changed_ = true;
  return {};
}

Result<void> Tables::put(Sa sa) {
  if (sa.is_larval()) return {};
  if (sas_.size() == max_sas && !sas_.contains(sa.id)) return too_many("SAs", max_sas);
  const SaId id = sa.id;
  sas_.insert_or_assign(id, std::move(sa));
  sas_changed_ = true;
  return {};
}

void Tables::erase_policy(std::uint32_t index) {
  const auto place = places_.find(index);
  if (place == places_.end()) return;
  policies_.erase(place->second);
  places_.erase(place);
  policies_changed_ = true;
}

void Tables::erase_sa(const SaId& id) {
  sas_changed_ = sas_.erase(id) != 0 || sas_changed_;
}

void Tables::flush_sas(std::uint8_t protocol) {
  std::erase_if(sas_, [&](const auto& one) { return is_flushed(one.first.protocol, protocol); });
  sas_changed_ = true;
}

// Those of sockets stay.
void Tables::flush_policies(std::uint8_t type) {
  std::erase_if(policies_, [&](const auto& one) {
    const Policy& policy = one.second;
    const bool goes = !policy.is_of_socket() && static_cast<std::uint8_t>(policy.type) == type;
    if (goes) places_.erase(policy.index);
    return goes;
  });
  policies_changed_ = true;
}

Result<void> Tables::apply(const Event& event) {
  using Kind = Event::Kind;
  switch (event.kind) {
    case Kind::sa_new:
    case Kind::sa_update:
      return event.sa ? put(*event.sa) : Result<void>();
    case Kind::sa_delete:
      if (event.sa) erase_sa(event.sa->id);
      return {};
    case Kind::sa_expire:
      if (event.sa && event.hard) erase_sa(event.sa->id);
      return {};
    case Kind::sa_flush:
      flush_sas(event.flushed);
      return {};
    case Kind::policy_new:
    case Kind::policy_update:  // the kernel makes another one in its place, with its index
      return event.policy ? put(*event.policy, --newest_) : Result<void>();
    case Kind::policy_delete:
      if (event.policy) erase_policy(event.policy->index);
      return {};
    case Kind::policy_expire:
      if (event.policy && event.hard) erase_policy(event.policy->index);
      return {};
    case Kind::policy_flush:
      flush_policies(event.flushed);
      return {};
    case Kind::defaults:
      if (event.defaults) state_.defaults = event.defaults;
      return {};
    case Kind::sa_replay:
    case Kind::acquire:
    case Kind::mapping:
    case Kind::migrate:
    case Kind::report:
    case Kind::unknown:
      return {};
  }
  return {};
}

std::vector<Change> Tables::differences(const Tables& now) const {
  using Kind = Event::Kind;
  std::vector<Change> changes;
  for (const auto& [id, sa] : sas_) {
    if (!now.sas_.contains(id)) changes.push_back(found(Kind::sa_delete, sa));
  }
  for (const auto& [id, sa] : now.sas_) {
    const auto old = sas_.find(id);
    if (old == sas_.end()) changes.push_back(found(Kind::sa_new, sa));
    if (old != sas_.end() && !same(old->second, sa)) changes.push_back(found(Kind::sa_update, sa));
  }
  for (const auto& [place, policy] : policies_) {
    if (!now.places_.contains(policy.index)) changes.push_back(found(Kind::policy_delete, policy));
  }
  for (const auto& [place, policy] : now.policies_) {
    const auto old = places_.find(policy.index);
    if (old == places_.end()) {
      changes.push_back(found(Kind::policy_new, policy));
    } else if (!same(policies_.at(old->second), policy)) {
      changes.push_back(found(Kind::policy_update, policy));
    }
  }
  if (state_.defaults != now.state_.defaults) {
    Change& change = changes.emplace_back(Change{Change::How::found, {}, {}});
    change.event.kind = Kind::defaults;
    change.event.defaults = now.state_.defaults;
  }
  compare_switches(state_.interfaces, now.state_.interfaces, changes);
  return changes;
}

const State& Tables::state() {
  if (std::exchange(policies_changed_, false)) {
    state_.policies.clear();
    for (const auto& [place, policy] : policies_) state_.policies.push_back(policy);
  }
  if (std::exchange(sas_changed_, false)) {
    state_.sas.clear();
    for (const auto& [id, sa] : sas_) state_.sas.push_back(sa);
  }
  return state_;
}

}  // namespace cs::xfrm
