// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/schedule/renewal.h"

#include <algorithm>

namespace cs::keyms {

namespace {

using std::chrono::nanoseconds;

// A try needs that long to end well.
constexpr std::chrono::seconds shortest_try{1};

// From nothing to all of it. A life may be as long as time is, so it is divided first.
nanoseconds part_of(nanoseconds whole, std::uint32_t random) {
  return whole / 65536 * (random >> 16U);
}

}  // namespace

Renewal::Renewal(BootTime begin, BootTime end, nanoseconds overlap, std::uint32_t random)
    : end_(end) {
  const nanoseconds life = end > begin ? end - begin : nanoseconds();
  const nanoseconds ahead = std::min(std::max(overlap, nanoseconds()) + life / 4, life / 2);
  next_ = end - ahead - part_of(life / 8, random);
}

void Renewal::failed(BootTime now, std::uint32_t random) {
  if (now >= end_ || end_ - now < 2 * shortest_try) {
    next_.reset();
    return;
  }
  const nanoseconds delay = delay_ + part_of(delay_ / 4, random);
  next_ = now + std::min(delay, (end_ - now) / 2);
  delay_ = std::min<nanoseconds>(2 * delay_, most_delay);
}

}  // namespace cs::keyms
