// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/vendor_roots.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tpm/certificates/nv_certificate.h"
#include "tpm/small_file.h"

namespace cs::tpm {

namespace {

namespace fs = std::filesystem;

Error cannot_read(const std::string& directory, const std::error_code& failure) {
  return from_errno(failure.value(), "reading the directory of vendor roots " + directory);
}

// In the order of their names, so that every run says the same.
Result<std::vector<std::string>> files_below(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code failure;
  fs::recursive_directory_iterator entry(directory, failure);
  if (failure) return cannot_read(directory, failure);
  for (std::size_t seen = 0; entry != fs::recursive_directory_iterator();) {
    const bool hidden = entry->path().filename().native().starts_with('.');
    if (hidden) entry.disable_recursion_pending();
    if (++seen > VendorRoots::most_files || entry.depth() > VendorRoots::most_depth) {
      return Error(ErrorKind::limit, "the directory of vendor roots " + directory + ": more than " +
                                         std::to_string(VendorRoots::most_files) +
                                         " files, or folders too deep")
          .with_hint("keep only the certificates of your machines' vendors there");
    }
    if (!hidden && !entry->is_directory(failure)) files.push_back(entry->path().native());
    entry.increment(failure);
    if (failure) return cannot_read(directory, failure);
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

Result<void> VendorRoots::add_file(const std::string& path) {
  CS_TRY(const auto bytes, read_small_file(path, most_certificate_bytes));
  CS_TRY(const auto found, find_certificates(bytes));
  for (const EncodedCertificate& encoded : found) {
    if (encoded.form == CertificateForm::attribute) {
      return Error(ErrorKind::invalid, "an attribute certificate, which vouches for nobody");
    }
    CS_TRY(Certificate certificate, Certificate::parse(encoded.der));
    const bool is_anchor =
        certificate.is_self_issued() && certificate.is_signed_by(certificate.public_key());
    (is_anchor ? anchors_ : intermediates_).push_back(std::move(certificate));
  }
  return {};
}

Result<VendorRoots> VendorRoots::read(const std::string& directory) {
  CS_TRY(const auto files, files_below(directory));
  VendorRoots roots;
  roots.directory_ = directory;
  for (const std::string& file : files) {
    if (const auto added = roots.add_file(file); !added.ok()) {
      roots.skipped_.push_back(file + ": " + added.error().message());
    }
  }
  return roots;
}

}  // namespace cs::tpm
