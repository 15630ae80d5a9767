// SPDX-License-Identifier: GPL-3.0-or-later
// The directory where an operator puts the certificates of TPM vendors.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "tpm/certificates/certificate.h"

namespace cs::tpm {

// Only a certificate that is signed with its own key is an anchor of trust. All others in the
// directory merely help to build a path to one: so an intermediate that was fetched from the
// address that an unverified certificate names can be put there safely.
class VendorRoots {
 public:
  static constexpr std::size_t most_files = 4096;
  static constexpr int most_depth = 4;  // folders below folders, as a vendor list comes unpacked

  // DER and PEM, one or several in a file; hidden files are passed over, links to folders are not
  // followed. A file that is none is skipped and told of. Refused: a directory that cannot be read,
  // and more files or folders than the limits.
  [[nodiscard]] static Result<VendorRoots> read(const std::string& directory);

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] const std::vector<Certificate>& anchors() const noexcept { return anchors_; }
  [[nodiscard]] const std::vector<Certificate>& intermediates() const noexcept {
    return intermediates_;
  }
  [[nodiscard]] const std::vector<std::string>& skipped() const noexcept { return skipped_; }

 private:
  Result<void> add_file(const std::string& path);
  std::string directory_;
  std::vector<Certificate> anchors_;
  std::vector<Certificate> intermediates_;
  std::vector<std::string> skipped_;  // "DIR/x.crt: why"
};

}  // namespace cs::tpm
