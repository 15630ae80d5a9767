// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/trust.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tpm/small_file.h"

namespace cs::keyms {

std::vector<std::string> Trust::read() {
  std::vector<std::string> troubles;
  roots_.reset();
  lists_.clear();
  std::error_code none;
  if (std::filesystem::is_directory(roots_directory_, none)) {
    auto roots = tpm::VendorRoots::read(roots_directory_);
    if (roots.ok()) {
      roots_ = std::move(roots).value();
    } else {
      troubles.push_back(roots.error().message());
    }
  }
  std::vector<std::string> files;
  std::filesystem::directory_iterator each(lists_directory_, none);
  for (; !none && each != std::filesystem::directory_iterator(); each.increment(none)) {
    if (each->path().filename().string().front() != '.') files.push_back(each->path().string());
  }
  std::ranges::sort(files);
  if (files.size() > most_lists) {
    troubles.push_back(lists_directory_ + " has more than " + std::to_string(most_lists) +
                       " files: the last ones are left aside");
    files.resize(most_lists);
  }
  for (const std::string& file : files) {
    auto bytes = tpm::read_small_file(file, max_digest_list);
    auto list = bytes.ok() ? DigestList::parse(std::string(bytes->begin(), bytes->end()))
                           : Result<DigestList>(std::move(bytes).error());
    if (list.ok()) {
      lists_.push_back(std::move(list).value());
    } else {
      troubles.push_back(Error(list.error()).context("the digest list " + file).message());
    }
  }
  return troubles;
}

}  // namespace cs::keyms
