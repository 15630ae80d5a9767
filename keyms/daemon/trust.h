// SPDX-License-Identifier: GPL-3.0-or-later
// Whom this gateway trusts, beside the policies: TPM vendors, and who signs digest lists. Files of
// two directories.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "keyms/evidence/digest_list.h"
#include "tpm/certificates/vendor_roots.h"

namespace cs::keyms {

class Trust {
 public:
  static constexpr std::size_t most_lists = 64;

  Trust(std::string roots, std::string lists)
      : roots_directory_(std::move(roots)), lists_directory_(std::move(lists)) {}

  // What is there now. What cannot be read is told, in sentences, and is not there.
  [[nodiscard]] std::vector<std::string> read();

  // Null: there are none.
  [[nodiscard]] const tpm::VendorRoots* roots() const noexcept {
    return roots_ ? &*roots_ : nullptr;
  }
  [[nodiscard]] const std::vector<DigestList>& lists() const noexcept { return lists_; }

 private:
  std::string roots_directory_;
  std::string lists_directory_;
  std::optional<tpm::VendorRoots> roots_;
  std::vector<DigestList> lists_;
};

}  // namespace cs::keyms
