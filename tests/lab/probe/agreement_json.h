// SPDX-License-Identifier: GPL-3.0-or-later
// An agreement in JSON, as the lab's tests write it.
#pragma once

#include <string>

#include "base/result.h"
#include "xfrm/agreement/agreement.h"

namespace cs::test {

// {"tunnels": [{"name", "mode", "protocol": "esp" or "ah", "proposals": ["aes256gcm16"], "udp":
// "required",
//   "left": {"address": … or null, "networks": […]}, "right": …, "inbound_mark": [value, mask],
//   …}],
//  "bypasses": […]}. What is left out is as agreement.h has it.
Result<xfrm::Agreement> parse_agreement(const std::string& json_text);

}  // namespace cs::test
