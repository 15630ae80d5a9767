// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/ima.h"

#include <unistd.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "tools/inspect/ima_report.h"
#include "tools/inspect/input.h"
#include "tpm/small_file.h"

namespace cs::inspect {

namespace {

// What every machine has, and what is asked for.
std::vector<tpm::HashAlgorithm> banks_for(const tpm::PcrValues& expected) {
  std::vector banks{tpm::HashAlgorithm::sha1, tpm::HashAlgorithm::sha256};
  for (const auto& [algorithm, registers] : expected.banks()) {
    if (std::ranges::find(banks, algorithm) == banks.end()) banks.push_back(algorithm);
  }
  return banks;
}

Result<ImaReport> replay(int fd, const tpm::PcrValues& expected) {
  CS_TRY(tpm::ImaLog log, tpm::ImaLog::open(tpm::Input(fd, tpm::most_ima_entry)));
  ImaReport report;
  report.is_text = log.is_text();
  report.listed = log.listed();
  tpm::ImaReplay replayed(log.listed(), banks_for(expected), expected);
  tpm::ImaEntry entry;
  while (true) {
    CS_TRY(const bool more, log.next(entry));
    if (!more) break;
    replayed.add(entry);
    report.count_template(entry.template_name);
    if (entry.is_violation) ++report.violations;
  }
  report.entries = replayed.entries();
  report.recomputed = replayed.values(tpm::ImaRule::recomputed);
  report.padded = replayed.values(tpm::ImaRule::padded);
  report.verdicts = replayed.verdicts();
  return report;
}

Result<ImaReport> inspect(const ImaOptions& options) {
  tpm::PcrValues expected;
  if (!options.pcrs.empty()) {
    CS_TRY(expected, read_pcrs(options.pcrs));
  }
  UniqueFd file;
  if (options.file != "-") {
    CS_TRY(file, tpm::open_regular_file(options.file));
  }
  CS_TRY(ImaReport report,
         replay(file ? file.get() : STDIN_FILENO, expected).context(options.file));
  report.compared = !options.pcrs.empty();
  return report;
}

}  // namespace

Outcome inspect_ima(const ImaOptions& options, std::ostream& out, std::ostream& err) {
  if (const auto usage = check_files({options.file, options.pcrs}); !usage.ok()) {
    return fail(usage.error(), Outcome::usage, false, out, err);
  }
  const auto report = inspect(options);
  if (!report.ok()) {
    const bool contradicts = report.error().kind() == ErrorKind::unverified;
    return fail(report.error(), contradicts ? Outcome::refused : Outcome::unreadable, options.json,
                out, err);
  }
  options.json ? write_json(*report, out) : write_text(*report, out);
  return report->verdict() == "refused" ? Outcome::refused : Outcome::good;
}

}  // namespace cs::inspect
