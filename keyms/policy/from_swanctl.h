// SPDX-License-Identifier: GPL-3.0-or-later
// A core policy drawn from one connection of a swanctl.conf.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "keyms/policy/draw.h"

namespace cs::keyms {

// `connection` may be empty where there is only one. Refused, with the line: what would make
// another policy than strongSwan does (ranges, IPComp, offload, marks of its own choice). What is
// merely no part of a policy is in the notes.
Result<Drawn> from_swanctl(std::string_view text, const std::string& file,
                           const std::string& connection, const DrawOptions& options);

}  // namespace cs::keyms
