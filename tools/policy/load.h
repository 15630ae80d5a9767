// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keyms/policy/agreement_file.h"

namespace cs::policy {

// A core policy, whichever form its file has.
struct Loaded {
  keyms::CorePolicy policy;
  std::vector<std::uint8_t> encoded;
  keyms::Hash value{};
  std::optional<keyms::AgreementVerdict> signatures;  // of a proposal or an agreement
};

// "-": standard input. An error of kind `invalid`, `limit`, `truncated`, `unsupported` or
// `unverified` is the file's; any other says that it could not be read.
Result<Loaded> load(const std::string& file);
[[nodiscard]] bool is_of_content(const Error& error) noexcept;

// In place of what the file was.
Result<void> save(const std::string& file, ByteView bytes);

}  // namespace cs::policy
