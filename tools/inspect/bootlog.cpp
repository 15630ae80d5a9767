// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/bootlog.h"

#include <ostream>
#include <utility>

#include "tools/inspect/bootlog_report.h"
#include "tools/inspect/input.h"
#include "tpm/small_file.h"

namespace cs::inspect {

namespace {

Result<std::vector<std::size_t>> unbound_events(ByteView bytes) {
  CS_TRY(tpm::BootLog log, tpm::BootLog::open(bytes));
  tpm::BindingCheck check(log.banks());
  std::vector<std::size_t> unbound;
  tpm::BootEvent event;
  while (true) {
    CS_TRY(const bool more, log.next(event));
    if (!more) return unbound;
    if (check(event) == tpm::Binding::unbound) unbound.push_back(event.number);
  }
}

Result<BootlogReport> inspect(const BootlogOptions& options) {
  BootlogReport report;
  CS_TRY(report.log, tpm::read_small_file(options.file, tpm::most_boot_log));
  CS_TRY(report.replayed, tpm::replay_boot_log(report.log).context(options.file));
  CS_TRY(report.unbound, unbound_events(report.log));
  if (options.pcrs.empty()) return report;
  CS_TRY(const tpm::PcrValues expected, read_pcrs(options.pcrs));
  CS_TRY(report.verdicts, tpm::compare(report.log, report.replayed, expected));
  report.compared = true;
  return report;
}

}  // namespace

Outcome inspect_bootlog(const BootlogOptions& options, std::ostream& out, std::ostream& err) {
  if (const auto usage = check_files({options.file, options.pcrs}); !usage.ok()) {
    return fail(usage.error(), Outcome::usage, false, out, err);
  }
  const auto report = inspect(options);
  if (!report.ok()) return fail(report.error(), Outcome::unreadable, options.json, out, err);
  options.json ? write_json(*report, out) : write_text(*report, out);
  return report->verdict() == "refused" ? Outcome::refused : Outcome::good;
}

}  // namespace cs::inspect
