// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/input.h"

#include <algorithm>

#include "tpm/small_file.h"

namespace cs::inspect {

namespace {

constexpr std::size_t most_pcrs = 65536;

}  // namespace

Result<void> check_files(std::initializer_list<std::string_view> files) {
  if (files.begin()->empty()) return Error(ErrorKind::invalid, "no file is named");
  if (std::ranges::count(files, "-") <= 1) return {};
  return Error(ErrorKind::invalid, "standard input can be only one of the files");
}

Result<tpm::PcrValues> read_pcrs(const std::string& file) {
  CS_TRY(const auto bytes, tpm::read_small_file(file, most_pcrs));
  CS_TRY(tpm::PcrValues values,
         tpm::PcrValues::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()})
             .context(file));
  if (values.banks().empty()) {
    return Error(ErrorKind::invalid, file + ": it states no PCR")
        .with_hint("its lines are like sha256:0=hex");
  }
  return values;
}

}  // namespace cs::inspect
