// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/watch/source.h"

#include <linux/xfrm.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "xfrm/state/kernel.h"
#include "xfrm/state/message.h"

namespace cs::xfrm {
namespace {

constexpr std::array<std::uint32_t, 8> groups{
    XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_SA,      XFRMNLGRP_POLICY,
    XFRMNLGRP_AEVENTS, XFRMNLGRP_REPORT, XFRMNLGRP_MIGRATE, XFRMNLGRP_MAPPING};

}  // namespace

Result<std::unique_ptr<KernelSource>> KernelSource::open(std::size_t room) {
  CS_TRY(auto events, netlink::EventSocket::open(NETLINK_XFRM, groups, room)
                          .context("following the kernel's IPsec"));
  CS_TRY(auto questions, open_socket());
  return std::unique_ptr<KernelSource>(new KernelSource(std::move(questions), std::move(events)));
}

Result<void> KernelSource::each_policy(const std::function<Result<void>(Policy)>& take) {
  return xfrm::each_policy(questions_, take);
}

Result<void> KernelSource::each_sa(const std::function<Result<void>(Sa)>& take) {
  return xfrm::each_sa(questions_, take);
}

Result<std::optional<Defaults>> KernelSource::defaults() {
  return read_defaults(questions_);
}

Result<std::vector<InterfaceSwitches>> KernelSource::switches() {
  return read_switches();
}

Result<std::optional<Sa>> KernelSource::sa(const SaId& id) {
  return read_sa(questions_, id);
}

Result<bool> KernelSource::next(const std::function<Result<void>(Event)>& take) {
  return events_.next([&](const netlink::Message& message) -> Result<void> {
    auto event = parse_event(message);
    if (event.ok()) return take(std::move(event).value());
    Event unread;
    unread.port = message.header.nlmsg_pid;
    unread.message = message.header.nlmsg_type;
    return take(std::move(unread));
  });
}

}  // namespace cs::xfrm
