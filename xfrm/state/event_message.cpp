// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include "xfrm/state/fields.h"
#include "xfrm/state/message.h"

namespace cs::xfrm {
namespace {

using fields::broken;
using fields::structure;
using netlink::Attribute;
using Kind = Event::Kind;

Result<Sa> sa_named(const xfrm_usersa_id& raw) {
  Sa out;
  CS_TRY(out.id.destination, fields::address(raw.daddr, raw.family));
  out.source.ipv6 = out.id.destination.ipv6;
  out.id.spi = ntohl(raw.spi);
  out.id.protocol = raw.proto;
  return out;
}

// The structure in the attribute of this type, if there is one.
template <class T>
Result<std::optional<T>> inside(ByteView payload, std::size_t fixed, std::uint16_t type) {
  std::optional<T> found;
  CS_CHECK(fields::each_attribute(payload, fixed, [&](const Attribute& attribute) -> Result<void> {
    if (attribute.type != type) return {};
    CS_TRY(found, structure<T>(attribute.value, "what was deleted"));
    return {};
  }));
  return found;
}

// The name of what is deleted comes first; all of it, if the kernel tells it, in an attribute, with
// its others beside it.
Result<void> read_deleted_sa(ByteView payload, Event& event) {
  CS_TRY(const auto id, structure<xfrm_usersa_id>(payload, "an SA's name"));
  CS_TRY(const auto info, inside<xfrm_usersa_info>(payload, sizeof(id), XFRMA_SA));
  if (info) {
    CS_TRY(event.sa, fields::sa(*info, payload, sizeof(id)));
  } else {
    CS_TRY(event.sa, sa_named(id));
  }
  return {};
}

Result<void> read_deleted_policy(ByteView payload, Event& event) {
  CS_TRY(const auto id, structure<xfrm_userpolicy_id>(payload, "a policy's name"));
  CS_TRY(auto info, inside<xfrm_userpolicy_info>(payload, sizeof(id), XFRMA_POLICY));
  if (!info) {
    info.emplace();
    info->sel = id.sel;
    info->index = id.index;
    info->dir = id.dir;
  }
  CS_TRY(event.policy, fields::policy(*info, payload, sizeof(id)));
  return {};
}

Result<void> read_expired_sa(ByteView payload, Event& event) {
  CS_TRY(const auto raw, structure<xfrm_user_expire>(payload, "an expired SA"));
  CS_TRY(event.sa, fields::sa(raw.state, payload, sizeof(raw)));
  event.hard = raw.hard != 0;
  return {};
}

Result<void> read_expired_policy(ByteView payload, Event& event) {
  CS_TRY(const auto raw, structure<xfrm_user_polexpire>(payload, "an expired policy"));
  CS_TRY(event.policy, fields::policy(raw.pol, payload, sizeof(raw)));
  event.hard = raw.hard != 0;
  return {};
}

// The SA that is wanted, and the policy that wants it.
Result<void> read_acquire(ByteView payload, Event& event) {
  CS_TRY(const auto raw, structure<xfrm_user_acquire>(payload, "a wanted SA"));
  CS_TRY(event.policy, fields::policy(raw.policy, payload, sizeof(raw)));
  Sa wanted;
  CS_TRY(wanted.id.destination, fields::address(raw.id.daddr, raw.policy.sel.family));
  CS_TRY(wanted.source, fields::address(raw.saddr, raw.policy.sel.family));
  CS_TRY(wanted.selector, fields::selector(raw.sel));
  wanted.id.protocol = raw.id.proto;
  wanted.id.mark = event.policy->mark;
  event.sa = std::move(wanted);
  return {};
}

Result<void> read_mapping(ByteView payload, Event& event) {
  CS_TRY(const auto raw, structure<xfrm_user_mapping>(payload, "a NAT mapping"));
  CS_TRY(event.sa, sa_named(raw.id));
  CS_TRY(event.sa->source, fields::address(raw.old_saddr, raw.id.family));
  event.sa->reqid = raw.reqid;
  CS_TRY(event.moved_to, fields::address(raw.new_saddr, raw.id.family));
  event.moved_to_port = ntohs(raw.new_sport);
  return {};
}

Result<void> read_migration(ByteView payload, Event& event) {
  CS_TRY(const auto id, structure<xfrm_userpolicy_id>(payload, "a policy that moves"));
  xfrm_userpolicy_info info{};
  info.sel = id.sel;
  info.index = id.index;
  info.dir = id.dir;
  CS_TRY(event.policy, fields::policy(info, payload, sizeof(id)));
  event.policy->unknown.clear();  // where from and to: what follows tells it again
  return {};
}

Result<void> read_replay_event(ByteView payload, Event& event) {
  CS_TRY(const auto raw, structure<xfrm_aevent_id>(payload, "an SA's counters"));
  CS_TRY(event.sa, sa_named(raw.sa_id));
  CS_TRY(event.sa->source, fields::address(raw.saddr, raw.sa_id.family));
  event.sa->reqid = raw.reqid;
  return fields::each_attribute(payload, sizeof(raw),
                                [&](const Attribute& attribute) -> Result<void> {
                                  if (attribute.type != XFRMA_MARK) return {};
                                  CS_TRY(event.sa->id.mark, fields::mark(attribute));
                                  return {};
                                });
}

Result<void> read_flush(ByteView payload, Event& event) {
  CS_TRY(const auto raw, structure<xfrm_usersa_flush>(payload, "a flush"));
  event.flushed = raw.proto;
  return {};
}

Result<void> read_policy_flush(ByteView payload, Event& event) {
  CS_TRY(const auto type, inside<xfrm_userpolicy_type>(payload, 0, XFRMA_POLICY_TYPE));
  event.flushed = type ? type->type : std::uint8_t{XFRM_POLICY_TYPE_MAIN};
  return {};
}

Result<void> read_new_sa(ByteView payload, Event& event) {
  CS_TRY(event.sa, parse_sa(payload));
  return {};
}

Result<void> read_new_policy(ByteView payload, Event& event) {
  CS_TRY(event.policy, parse_policy(payload));
  return {};
}

Result<void> read_new_defaults(ByteView payload, Event& event) {
  CS_TRY(event.defaults, parse_defaults(payload));
  return {};
}

struct Reading {
  std::uint16_t message;
  Kind kind;
  Result<void> (*read)(ByteView payload, Event& event);
};

constexpr std::array readings{
    Reading{XFRM_MSG_NEWSA, Kind::sa_new, read_new_sa},
    Reading{XFRM_MSG_UPDSA, Kind::sa_update, read_new_sa},
    Reading{XFRM_MSG_DELSA, Kind::sa_delete, read_deleted_sa},
    Reading{XFRM_MSG_FLUSHSA, Kind::sa_flush, read_flush},
    Reading{XFRM_MSG_EXPIRE, Kind::sa_expire, read_expired_sa},
    Reading{XFRM_MSG_NEWAE, Kind::sa_replay, read_replay_event},
    Reading{XFRM_MSG_NEWPOLICY, Kind::policy_new, read_new_policy},
    Reading{XFRM_MSG_UPDPOLICY, Kind::policy_update, read_new_policy},
    Reading{XFRM_MSG_DELPOLICY, Kind::policy_delete, read_deleted_policy},
    Reading{XFRM_MSG_FLUSHPOLICY, Kind::policy_flush, read_policy_flush},
    Reading{XFRM_MSG_POLEXPIRE, Kind::policy_expire, read_expired_policy},
    Reading{XFRM_MSG_ACQUIRE, Kind::acquire, read_acquire},
    Reading{XFRM_MSG_MAPPING, Kind::mapping, read_mapping},
    Reading{XFRM_MSG_MIGRATE, Kind::migrate, read_migration},
    Reading{XFRM_MSG_GETDEFAULT, Kind::defaults, read_new_defaults},
};

}  // namespace

Result<Defaults> parse_defaults(ByteView payload) {
  CS_TRY(const auto raw, structure<xfrm_userpolicy_default>(payload, "the default policy"));
  const auto action = [](std::uint8_t said) {
    return said == XFRM_USERPOLICY_BLOCK ? Action::block : Action::allow;
  };
  for (const std::uint8_t said : {raw.in, raw.fwd, raw.out}) {
    if (said > XFRM_USERPOLICY_ACCEPT) return broken("default policy " + std::to_string(said));
  }
  return Defaults{action(raw.in), action(raw.fwd), action(raw.out)};
}

Result<Event> parse_event(const netlink::Message& message) {
  Event event;
  event.message = message.header.nlmsg_type;
  event.port = message.header.nlmsg_pid;
  for (const Reading& reading : readings) {
    if (reading.message != event.message) continue;
    event.kind = reading.kind;
    CS_CHECK(reading.read(message.payload, event));
    return event;
  }
  if (event.message == XFRM_MSG_REPORT) event.kind = Kind::report;
  return event;
}

}  // namespace cs::xfrm
