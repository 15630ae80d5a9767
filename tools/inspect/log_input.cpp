// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/log_input.h"

#include <ostream>

#include "tools/inspect/error_json.h"

namespace cs::inspect {

namespace {

constexpr std::size_t most_pcrs = 65536;

}  // namespace

Result<void> check_files(const std::string& log, const std::string& pcrs) {
  if (log.empty()) return Error(ErrorKind::invalid, "no log is named");
  if (log == "-" && pcrs == "-") {
    return Error(ErrorKind::invalid, "standard input can be only one of the files");
  }
  return {};
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

Outcome fail(const Error& error, Outcome outcome, bool json, std::ostream& out, std::ostream& err) {
  err << "countersign: " << error.message() << "\n";
  if (json) write_error_json(error, out);
  return outcome;
}

}  // namespace cs::inspect
