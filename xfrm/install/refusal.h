// SPDX-License-Identifier: GPL-3.0-or-later
// Why the kernel refused a policy or an SA, and what to do about it.
#pragma once

#include "base/error.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// `error` is the kernel's; it gets the words that its number means here.
Error explain(Error error, const Sa& sa);
Error explain(Error error, const Policy& policy);

}  // namespace cs::xfrm
