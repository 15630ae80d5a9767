// SPDX-License-Identifier: GPL-3.0-or-later
// A core policy drawn from what a gateway does already. It says what is protected and how; who the
// gateways are, nobody can read there: that is given, or left to be filled in.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keyms/policy/core_policy.h"

namespace cs::keyms {

struct DrawnGateway {
  std::string ne_id;
  std::optional<tpm::Name> attestation_key;
  std::optional<Endpoint> keymsd;
};

struct DrawOptions {
  std::string name = "unnamed";
  // Their NeIDs are no NeIDs until somebody says which.
  DrawnGateway here{"HERE", {}, {}};
  DrawnGateway there{"THERE", {}, {}};
};

struct Drawn {
  CorePolicy policy;               // in its one order; may not validate yet
  std::vector<std::string> notes;  // what was not understood, and what is no part of a policy
};

// Of tunnels whose left end is here.
[[nodiscard]] CorePolicy draw(const DrawOptions& options, xfrm::Agreement agreement);

}  // namespace cs::keyms
