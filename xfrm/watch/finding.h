// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

namespace cs::xfrm {

// Something of the kernel's state that should not be so.
struct Finding {
  std::string code;      // stable, for machines: "sa_unknown"
  std::string sentence;  // for a person; equal for as long as it is the same thing

  bool operator==(const Finding&) const = default;
  bool operator<(const Finding& other) const {
    return code != other.code ? code < other.code : sentence < other.sentence;
  }
};

}  // namespace cs::xfrm
