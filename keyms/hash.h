// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>

namespace cs::keyms {

// SHA-256, by which policies, certificates, statements and measurements are named.
using Hash = std::array<std::uint8_t, 32>;

}  // namespace cs::keyms
