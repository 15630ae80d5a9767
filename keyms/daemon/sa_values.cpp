// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/sa_values.h"

namespace cs::keyms {

Result<Hash> SaValues::of(const xfrm::SaId& id, const Hash& session, xfrm::Sense sense) {
  const auto found = values_.find(key_of(id));
  if (found != values_.end() && found->second.session == session && found->second.sense == sense)
    return found->second.value;
  if (asked_ == most_at_once) return Error(ErrorKind::busy, "there are more SAs to bind");
  ++asked_;
  Result<Hash> value = xfrm::bind_sa(socket_, id, session, sense);
  if (value.ok() || value.error().kind() == ErrorKind::unsupported)
    values_.insert_or_assign(key_of(id), Value{session, sense, value});
  return value;
}

}  // namespace cs::keyms
