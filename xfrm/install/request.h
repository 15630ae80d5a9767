// SPDX-License-Identifier: GPL-3.0-or-later
// Netlink requests that put policies and SAs into the kernel, ask for one and take one out. Plain
// functions over values, no sockets.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/secret.h"
#include "xfrm/netlink/message.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// An SA to be made, and the bytes of its keys, as long as its algorithms say: the AEAD's, with its
// salt; else those of encryption, then those of authentication.
struct SaWithKeys {
  Sa sa;
  SecretBytes keys;
};

// What names a policy for the kernel. The index is the kernel's, or one that the policy was given.
struct PolicyId {
  Direction direction = Direction::in;
  std::uint32_t index = 0;
  Mark mark;
  std::uint32_t interface_id = 0;
  bool operator==(const PolicyId&) const = default;
};

// Counters and times are left out: they begin anew. `tag` comes back with each answer about the SA
// (as its `seq`), so that whoever made it knows it again. Refused: keys of another length than the
// algorithms', an SA that authenticates nothing, a replay window of 0 for an SA that may receive, a
// setting that cannot be repeated.
Result<netlink::Request> add_sa_request(const SaWithKeys& with_keys, std::uint32_t tag);
netlink::Request delete_sa_request(const SaId& id);

// `add`: the kernel refuses it if there is one with its direction, selector, mark and if_id.
// `replace`: takes that one's place at once, and its index; without one it is added.
enum class Put : std::uint8_t { add, replace };
// Of the main type. An index of 0 is chosen by the kernel.
Result<netlink::Request> put_policy_request(const Policy& policy, Put put);
netlink::Request get_policy_request(const PolicyId& id);
netlink::Request delete_policy_request(const PolicyId& id);

}  // namespace cs::xfrm
