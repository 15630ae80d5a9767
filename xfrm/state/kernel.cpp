// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state/kernel.h"

#include <linux/xfrm.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "xfrm/state/message.h"
#include "xfrm/state/raw.h"

namespace cs::xfrm {
namespace {

using netlink::Message;
using netlink::Request;

constexpr std::size_t max_interfaces = 65536;

Result<void> ask(netlink::Socket& socket, Request request, const std::string& tried,
                 const netlink::Take& take) {
  auto asked = socket.ask(std::move(request), tried, take);
  if (asked.ok() || asked.error().kind() != ErrorKind::denied) return asked;
  return std::move(asked).error().with_hint("run as root, or with CAP_NET_ADMIN");
}

template <class Parse, class Take>
Result<void> each(netlink::Socket& socket, std::uint16_t question, std::uint16_t answer,
                  const std::string& tried, std::size_t most, Parse parse, const Take& take) {
  std::size_t count = 0;
  return ask(socket, Request::dump(question), tried, [&](const Message& message) -> Result<void> {
    if (message.header.nlmsg_type != answer) return {};
    if (++count > most)
      return Error(ErrorKind::limit, tried + ": more than " + std::to_string(most));
    CS_TRY(auto one, parse(message.payload));
    return take(std::move(one));
  });
}

// A file of one digit. One that is not there is a switch that this kernel does not have, or of an
// interface that has just gone.
Result<void> read_switch(const std::filesystem::path& file, bool& on) {
  std::ifstream in(file);
  char digit = '0';
  if (!in.is_open() && errno == ENOENT) return {};
  if (!in.get(digit)) return from_errno(errno == 0 ? EIO : errno, "reading " + file.string());
  on = digit != '0';
  return {};
}

}  // namespace

Result<netlink::Socket> open_socket() {
  return netlink::Socket::open(NETLINK_XFRM).context("the kernel's IPsec");
}

Result<void> each_policy(netlink::Socket& socket, const std::function<Result<void>(Policy)>& take) {
  return each(socket, XFRM_MSG_GETPOLICY, XFRM_MSG_NEWPOLICY, "listing the IPsec policies",
              max_policies, parse_policy, take);
}

Result<void> each_sa(netlink::Socket& socket, const std::function<Result<void>(Sa)>& take) {
  return each(socket, XFRM_MSG_GETSA, XFRM_MSG_NEWSA, "listing the SAs", max_sas, parse_sa, take);
}

Request get_sa_request(const SaId& id) {
  return raw::about(XFRM_MSG_GETSA, id);
}

Result<std::optional<Sa>> read_sa(netlink::Socket& socket, const SaId& id) {
  std::optional<Sa> found;
  auto asked = ask(socket, get_sa_request(id), "asking for an SA",
                   [&](const Message& message) -> Result<void> {
                     if (message.header.nlmsg_type != XFRM_MSG_NEWSA) return {};
                     CS_TRY(found, parse_sa(message.payload));
                     return {};
                   });
  if (!asked.ok() && asked.error().os_error() != ESRCH) return std::move(asked).error();
  return found;
}

Result<std::optional<Defaults>> read_defaults(netlink::Socket& socket) {
  Request request(XFRM_MSG_GETDEFAULT, 0);
  request.fixed<xfrm_userpolicy_default>();
  std::optional<Defaults> found;
  auto asked = ask(socket, std::move(request), "asking for the default IPsec policy",
                   [&](const Message& message) -> Result<void> {
                     if (message.header.nlmsg_type != XFRM_MSG_GETDEFAULT) return {};
                     CS_TRY(found, parse_defaults(message.payload));
                     return {};
                   });
  // Before Linux 5.15 there is no such question.
  if (!asked.ok() && asked.error().os_error() != EINVAL) return std::move(asked).error();
  return found;
}

Result<std::vector<InterfaceSwitches>> read_switches(const std::string& root) {
  const std::filesystem::path ipv4 = root + "/proc/sys/net/ipv4/conf";
  const std::filesystem::path ipv6 = root + "/proc/sys/net/ipv6/conf";
  std::error_code failed;
  std::filesystem::directory_iterator entries(ipv4, failed);
  std::vector<InterfaceSwitches> out;
  for (; !failed && entries != std::filesystem::directory_iterator(); entries.increment(failed)) {
    if (out.size() == max_interfaces) {
      return Error(ErrorKind::limit, "more than " + std::to_string(max_interfaces) + " interfaces");
    }
    const std::filesystem::path name = entries->path().filename();
    InterfaceSwitches& one = out.emplace_back(InterfaceSwitches{name.string()});
    CS_CHECK(read_switch(ipv4 / name / "disable_xfrm", one.disable_xfrm));
    CS_CHECK(read_switch(ipv4 / name / "disable_policy", one.disable_policy));
    CS_CHECK(read_switch(ipv6 / name / "disable_policy", one.disable_policy_ipv6));
  }
  if (failed) return from_errno(failed.value(), "listing " + ipv4.string());
  std::ranges::sort(out, {}, &InterfaceSwitches::name);
  return out;
}

Result<State> read_state(netlink::Socket& socket) {
  State state;
  CS_CHECK(each_policy(socket, [&](Policy policy) {
    state.policies.push_back(std::move(policy));
    return Result<void>();
  }));
  CS_CHECK(each_sa(socket, [&](Sa sa) {
    state.sas.push_back(std::move(sa));
    return Result<void>();
  }));
  CS_TRY(state.defaults, read_defaults(socket));
  CS_TRY(state.interfaces, read_switches());
  return state;
}

}  // namespace cs::xfrm
