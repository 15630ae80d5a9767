// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include "xfrm/state/fields.h"
#include "xfrm/state/message.h"

namespace cs::xfrm {
namespace {

using fields::broken;
using netlink::Attribute;

constexpr std::size_t max_templates = 6;  // XFRM_MAX_DEPTH of the kernel

Result<Template> one_template(const xfrm_user_tmpl& raw, std::uint16_t family) {
  Template out;
  const std::uint16_t own = raw.family == AF_UNSPEC ? family : raw.family;
  CS_TRY(out.source, fields::address(raw.saddr, own));
  CS_TRY(out.destination, fields::address(raw.id.daddr, own));
  CS_TRY(out.mode, fields::mode(raw.mode));
  CS_TRY(out.share, fields::share(raw.share));
  out.protocol = raw.id.proto;
  out.optional = raw.optional != 0;
  out.spi = ntohl(raw.id.spi);
  out.reqid = raw.reqid;
  out.authentications = raw.aalgos;
  out.encryptions = raw.ealgos;
  out.compressions = raw.calgos;
  return out;
}

Result<void> read_templates(const Attribute& attribute, std::uint16_t family, Policy& policy) {
  constexpr std::size_t size = sizeof(xfrm_user_tmpl);
  if (attribute.value.size() % size != 0 || attribute.value.size() / size > max_templates) {
    return broken("a policy's templates in " + std::to_string(attribute.value.size()) + " bytes");
  }
  for (std::size_t at = 0; at < attribute.value.size(); at += size) {
    CS_TRY(const auto raw,
           fields::structure<xfrm_user_tmpl>(attribute.value.subspan(at, size), "a template"));
    CS_TRY(Template made, one_template(raw, family));
    policy.templates.push_back(made);
  }
  return {};
}

Result<void> read_type(const Attribute& attribute, PolicyType& type) {
  CS_TRY(const auto raw, fields::structure<xfrm_userpolicy_type>(attribute.value, "a type"));
  if (raw.type > XFRM_POLICY_TYPE_SUB) return broken("policy type " + std::to_string(raw.type));
  type = static_cast<PolicyType>(raw.type);
  return {};
}

Result<void> read_attribute(const Attribute& attribute, std::uint16_t family, Policy& policy) {
  switch (attribute.type) {
    case XFRMA_PAD:
    case XFRMA_POLICY:  // of a deletion: read already
      return {};
    case XFRMA_TMPL:
      return read_templates(attribute, family, policy);
    case XFRMA_POLICY_TYPE:
      return read_type(attribute, policy.type);
    case XFRMA_MARK: {
      CS_TRY(policy.mark, fields::mark(attribute));
      return {};
    }
    case XFRMA_IF_ID: {
      CS_TRY(policy.interface_id, fields::number<std::uint32_t>(attribute));
      return {};
    }
    case XFRMA_OFFLOAD_DEV: {
      CS_TRY(policy.offload, fields::offload(attribute));
      return {};
    }
    case XFRMA_SEC_CTX: {
      CS_TRY(policy.security_context, fields::security_context(attribute));
      return {};
    }
    default:
      return fields::keep_unknown(attribute, policy.unknown);
  }
}

}  // namespace

Result<Policy> fields::policy(const xfrm_userpolicy_info& info, ByteView payload,
                              std::size_t fixed) {
  Policy out;
  if (info.dir > static_cast<std::uint8_t>(Direction::socket_out)) {
    return broken("policy direction " + std::to_string(info.dir));
  }
  out.direction = static_cast<Direction>(info.dir);
  if (info.action > XFRM_POLICY_BLOCK) {
    return broken("policy action " + std::to_string(info.action));
  }
  out.action = static_cast<Action>(info.action);
  CS_TRY(out.selector, selector(info.sel));
  if (out.selector.any_family) return broken("a policy of no family");
  CS_TRY(out.share, share(info.share));
  out.index = info.index;
  out.priority = info.priority;
  out.flags = info.flags;
  out.lifetime = lifetime(info.lft);
  out.usage = usage(info.curlft);
  CS_CHECK(each_attribute(payload, fixed, [&](const Attribute& attribute) {
    return read_attribute(attribute, info.sel.family, out);
  }));
  return out;
}

Result<Policy> parse_policy(ByteView payload) {
  CS_TRY(const auto info, fields::structure<xfrm_userpolicy_info>(payload, "a policy"));
  return fields::policy(info, payload, sizeof(info));
}

}  // namespace cs::xfrm
