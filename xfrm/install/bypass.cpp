// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/install/bypass.h"

#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace cs::xfrm {
namespace {

Result<int> option_of(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (getsockopt(fd, level, name, &value, &size) == 0) return value;
  return from_errno(errno, "asking what kind of socket is to bypass IPsec");
}

}  // namespace

Result<void> bypass_xfrm(int fd) {
  CS_TRY(const int family, option_of(fd, SOL_SOCKET, SO_DOMAIN));
  if (family != AF_INET && family != AF_INET6) {
    return Error(ErrorKind::invalid, "bypassing IPsec: it is no socket of IPv4 or IPv6");
  }
  const bool ipv6 = family == AF_INET6;
  if (ipv6) {
    CS_TRY(const int only, option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY));
    if (only == 0) {
      return Error(ErrorKind::invalid, "bypassing IPsec: the socket speaks IPv4 too")
          .with_hint("set IPV6_V6ONLY and open another socket for IPv4");
    }
  }
  for (const int direction : {XFRM_POLICY_IN, XFRM_POLICY_OUT}) {
    xfrm_userpolicy_info policy{};  // without templates: in clear
    policy.sel.family = static_cast<__u16>(family);
    policy.dir = static_cast<__u8>(direction);
    policy.action = XFRM_POLICY_ALLOW;
    policy.lft = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
    if (setsockopt(fd, ipv6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                   ipv6 ? IPV6_XFRM_POLICY : IP_XFRM_POLICY, &policy, sizeof(policy)) != 0) {
      return from_errno(errno, "letting a socket bypass IPsec").with_hint("run with CAP_NET_ADMIN");
    }
  }
  return {};
}

}  // namespace cs::xfrm
