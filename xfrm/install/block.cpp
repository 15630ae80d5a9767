// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/install/installer.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {

Result<std::vector<Policy>> block_policies(std::span<const Policy> policies) {
  std::vector<Policy> blocks;
  for (const Policy& policy : policies) {
    // The kernel takes two policies for one if their selectors, marks and if_id are equal. A bit
    // that the policy does not look at is clear or set: two policies that fit where it fits.
    const std::uint32_t bit = ~policy.mark.mask & (policy.mark.mask + 1);
    if (bit == 0) {
      return Error(ErrorKind::unsupported,
                   "blocking " + name_of(policy) + ": it looks at all bits of the mark")
          .with_hint("leave one bit out of its mask");
    }
    Policy block;
    block.direction = policy.direction;
    block.selector = policy.selector;
    block.interface_id = policy.interface_id;
    block.action = Action::block;
    for (const std::uint32_t value : {policy.mark.value, policy.mark.value | bit}) {
      block.mark = {value, policy.mark.mask | bit};
      blocks.push_back(block);
    }
  }
  return blocks;
}

}  // namespace cs::xfrm
