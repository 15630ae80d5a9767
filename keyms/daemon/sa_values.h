// SPDX-License-Identifier: GPL-3.0-or-later
// The values of SAs in their sessions (xfrm/binding.h), each computed once: again only if the SA
// changes or another session begins.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "base/result.h"
#include "keyms/session/types.h"
#include "xfrm/binding.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/state/model.h"

namespace cs::keyms {

class SaValues {
 public:
  // Questions to the kernel in one turn of a loop, some tens of milliseconds.
  static constexpr std::size_t most_at_once = 256;

  explicit SaValues(netlink::Socket socket) : socket_(std::move(socket)) {}

  void begin_turn() noexcept { asked_ = 0; }
  // `busy`: not in this turn. `not_found`: the SA has gone. `unsupported`: the kernel hides its
  // keys, or it has none.
  Result<Hash> of(const xfrm::SaId& id, const Hash& session, xfrm::Sense sense);
  // It has changed, or is gone.
  void forget(const xfrm::SaId& id) { values_.erase(key_of(id)); }
  void forget_all() { values_.clear(); }

 private:
  using Key = std::tuple<bool, std::array<std::uint8_t, 16>, std::uint8_t, std::uint32_t,
                         std::uint32_t, std::uint32_t>;
  struct Value {
    Hash session{};
    xfrm::Sense sense{};
    Result<Hash> value = Hash{};
  };
  static Key key_of(const xfrm::SaId& id) {
    return {id.destination.ipv6, id.destination.bytes, id.protocol, id.spi,
            id.mark.value,       id.mark.mask};
  }

  netlink::Socket socket_;
  std::map<Key, Value> values_;
  std::size_t asked_ = 0;
};

}  // namespace cs::keyms
