// SPDX-License-Identifier: GPL-3.0-or-later
// The SAs of an IKE daemon, as its `list-sa` events tell them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/address.h"
#include "xfrm/state/model.h"

namespace cs::vici {

// An IKE SA.
struct IkeSa {
  std::string name;      // of the connection
  std::uint32_t id = 0;  // charon's number for it
  std::optional<net::Address> local;
  std::optional<net::Address> remote;
  bool connecting = false;  // it has no SAs yet
};

// One pair of SAs with what was negotiated for it.
struct ChildSa {
  std::string ike;                    // name of the connection
  std::string name;                   // of the child in its configuration
  std::string state;                  // "INSTALLED"; see strongSwan for the others
  std::string mode;                   // "TUNNEL"
  std::optional<net::Address> local;  // of this gateway's end; not: none yet
  std::optional<net::Address> remote;
  std::uint8_t protocol = 0;  // IPPROTO_ESP or IPPROTO_AH; 0: in a state in which it has no SAs
  bool encapsulated = false;  // in UDP
  std::uint32_t spi_in = 0;   // 0: none
  std::uint32_t spi_out = 0;
  std::uint32_t compression_in = 0;  // IPComp's CPIs; 0: none
  std::uint32_t compression_out = 0;
  xfrm::Mark mark_in;
  xfrm::Mark mark_out;
  std::uint32_t interface_id_in = 0;
  std::uint32_t interface_id_out = 0;
};

// Of the message of one event: an IKE SA with its children, appended to `into`.
Result<void> parse_list_sa(ByteView message, std::vector<ChildSa>& into);
// Of the same message: the IKE SA itself.
Result<IkeSa> parse_ike_sa(ByteView message);

}  // namespace cs::vici
