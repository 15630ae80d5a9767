// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/install/refusal.h"

#include <netinet/in.h>

#include <cerrno>
#include <string>

#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

// The kernel's own names for what implements "rfc4106(gcm(aes))": crypto-rfc4106 and so on.
std::string crypto_modules(const Sa& sa) {
  std::string modules;
  for (const auto* algorithm : {&sa.aead, &sa.encryption, &sa.authentication}) {
    if (!*algorithm) continue;
    bool inside = false;
    for (const char c : (*algorithm)->name) {
      const bool word = c != '(' && c != ')' && c != ',';
      if (word && !inside) modules += " crypto-";
      if (word) modules += c;
      inside = word;
    }
  }
  return modules;
}

std::string algorithms(const Sa& sa) {
  std::string names;
  for (const auto* algorithm : {&sa.aead, &sa.encryption, &sa.authentication}) {
    if (*algorithm) names += (names.empty() ? "" : " and ") + (*algorithm)->name;
  }
  return names;
}

Error mended(Error error, const std::string& why, const std::string& hint) {
  return std::move(error).context(why).with_hint(hint);
}

}  // namespace

Error explain(Error error, const Sa& sa) {
  const std::string module = std::string(sa.id.protocol == IPPROTO_AH ? "ah" : "esp") +
                             (sa.id.destination.ipv6 ? "6" : "4");
  switch (error.os_error()) {
    case EPROTONOSUPPORT:
      return mended(std::move(error),
                    "this kernel has no " + ipsec_protocol(sa.id.protocol) + " in " +
                        std::string(text(sa.mode)) + " mode for " +
                        (sa.id.destination.ipv6 ? "IPv6" : "IPv4"),
                    "load it: modprobe " + module);
    case ENOSYS:
    case ENOENT:
      return mended(std::move(error), "this kernel has no " + algorithms(sa),
                    "load what it is made of: modprobe -a" + crypto_modules(sa));
    case EEXIST:
      return mended(std::move(error), "an SA that is not ours has its place",
                    "take another SPI, or remove that one: countersign xfrm show");
    case EPERM:
      return std::move(error).with_hint("run as root, or with CAP_NET_ADMIN");
    default:
      return error;
  }
}

Error explain(Error error, const Policy& policy) {
  if (error.os_error() == EEXIST) {
    return mended(std::move(error), "a policy that is not ours has its place",
                  "remove it, or give " + name_of(policy) + " another selector, mark or if_id");
  }
  if (error.os_error() == EPERM) {
    return std::move(error).with_hint("run as root, or with CAP_NET_ADMIN");
  }
  return error;
}

}  // namespace cs::xfrm
