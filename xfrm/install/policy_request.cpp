// SPDX-License-Identifier: GPL-3.0-or-later
#include <linux/netlink.h>

#include "xfrm/install/request.h"
#include "xfrm/state/raw.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using netlink::Request;

constexpr std::size_t max_templates = 6;  // XFRM_MAX_DEPTH of the kernel

xfrm_user_tmpl raw_template(const Template& from) {
  xfrm_user_tmpl out{};
  out.family = raw::family(from.destination);
  out.id.daddr = raw::address(from.destination);
  out.id.spi = htonl(from.spi);
  out.id.proto = from.protocol;
  out.saddr = raw::address(from.source);
  out.reqid = from.reqid;
  out.mode = static_cast<std::uint8_t>(from.mode);
  out.share = static_cast<std::uint8_t>(from.share);
  out.optional = from.optional ? 1 : 0;
  out.aalgos = from.authentications;
  out.ealgos = from.encryptions;
  out.calgos = from.compressions;
  return out;
}

Result<void> check(const Policy& policy) {
  const auto refused = [&](ErrorKind kind, const std::string& why) {
    return Error(kind, name_of(policy) + ": " + why);
  };
  const Selector& selector = policy.selector;
  if (policy.is_of_socket()) return refused(ErrorKind::invalid, "only a socket's owner sets it");
  if (selector.any_family || selector.source.address.ipv6 != selector.destination.address.ipv6) {
    return refused(ErrorKind::invalid, "its selector is not of one family");
  }
  if (policy.templates.size() > max_templates) {
    return refused(ErrorKind::limit, "it has " + std::to_string(policy.templates.size()) +
                                         " templates, at most " + std::to_string(max_templates));
  }
  for (const Template& one : policy.templates) {
    if (one.source.ipv6 != one.destination.ipv6) {
      return refused(ErrorKind::invalid, "the ends of a template are not of one family");
    }
  }
  if (policy.type != PolicyType::main || !policy.security_context.empty() ||
      !policy.unknown.empty()) {
    return refused(ErrorKind::unsupported,
                   "sub-policies, security contexts and unknown attributes are not installed");
  }
  return {};
}

Request about(std::uint16_t type, const PolicyId& id) {
  Request request(type, 0);
  auto& fixed = request.fixed<xfrm_userpolicy_id>();
  fixed.index = id.index;
  fixed.dir = static_cast<std::uint8_t>(id.direction);
  raw::put_mark(request, id.mark);
  raw::put_interface(request, id.interface_id);
  return request;
}

}  // namespace

Result<Request> put_policy_request(const Policy& policy, Put put) {
  CS_CHECK(check(policy));
  Request request(put == Put::add ? XFRM_MSG_NEWPOLICY : XFRM_MSG_UPDPOLICY, 0);
  auto& fixed = request.fixed<xfrm_userpolicy_info>();
  fixed.sel = raw::selector(policy.selector);
  fixed.lft = raw::lifetime(policy.lifetime);
  fixed.priority = policy.priority;
  fixed.index = policy.index;
  fixed.dir = static_cast<std::uint8_t>(policy.direction);
  fixed.action = static_cast<std::uint8_t>(policy.action);
  fixed.flags = policy.flags;
  fixed.share = static_cast<std::uint8_t>(policy.share);
  std::vector<xfrm_user_tmpl> templates;
  for (const Template& one : policy.templates) templates.push_back(raw_template(one));
  if (!templates.empty()) {
    request.put(XFRMA_TMPL, {reinterpret_cast<const std::uint8_t*>(templates.data()),
                             templates.size() * sizeof(xfrm_user_tmpl)});
  }
  raw::put_mark(request, policy.mark);
  raw::put_offload(request, policy.offload);
  raw::put_interface(request, policy.interface_id);
  return request;
}

Request get_policy_request(const PolicyId& id) {
  return about(XFRM_MSG_GETPOLICY, id);
}

Request delete_policy_request(const PolicyId& id) {
  return about(XFRM_MSG_DELPOLICY, id);
}

}  // namespace cs::xfrm
