// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/doctor/doctor.h"

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <ostream>

namespace cs::doctor {

namespace {

using inspect::Outcome;
using Json = nlohmann::ordered_json;

Result<std::vector<const Check*>> choose(const std::vector<std::string>& codes) {
  std::vector<const Check*> chosen;
  for (const std::string& code : codes) {
    const auto known = std::ranges::find(all_checks(), code, &Check::code);
    if (known == all_checks().end()) {
      return Error(ErrorKind::invalid, "there is no check '" + code + "'")
          .with_hint("countersign doctor shows the code of each");
    }
    chosen.push_back(&*known);
  }
  if (codes.empty()) {
    for (const Check& check : all_checks()) chosen.push_back(&check);
  }
  return chosen;
}

Outcome outcome_of(const Diagnosis& diagnosis) {
  if (diagnosis.count(Verdict::bad) != 0) return Outcome::refused;
  return diagnosis.is_open() ? Outcome::unreadable : Outcome::good;
}

std::string things(std::size_t count, const std::string& one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

std::string summary(const Diagnosis& diagnosis, bool all) {
  const std::string subject = all ? "this machine" : "as far as this was asked, this machine";
  const std::string warnings = things(diagnosis.count(Verdict::warning), "warning");
  switch (outcome_of(diagnosis)) {
    case Outcome::refused:
      return subject + " cannot be a gateway: " + things(diagnosis.count(Verdict::bad), "thing") +
             " to mend, " + warnings;
    case Outcome::unreadable:
      return "nobody knows whether this machine can be a gateway: " +
             things(diagnosis.count(Verdict::unchecked), "check") + " could not be made";
    default:
      return subject + " can be a gateway; " + warnings;
  }
}

void write_text(const Diagnosis& diagnosis, bool all, std::ostream& out) {
  const std::string indent(27, ' ');
  for (const auto& [check, finding] : diagnosis.lines) {
    out << std::left << std::setw(11) << to_string(finding.verdict) << std::setw(16) << check->code
        << check->subject << ": " << detail::one_line(finding.reason) << "\n";
    if (!finding.command.empty())
      out << indent << "mend: " << detail::one_line(finding.command) << "\n";
    if (!finding.advice.empty()) out << indent << detail::one_line(finding.advice) << "\n";
  }
  out << "\n" << summary(diagnosis, all) << "\n";
}

void write_json(const Diagnosis& diagnosis, std::ostream& out) {
  const Outcome outcome = outcome_of(diagnosis);
  Json json{{"schema_version", inspect::schema_version},
            {"complete", diagnosis.count(Verdict::unchecked) == 0},
            {"can_be_a_gateway", nullptr},
            {"checks", Json::array()}};
  if (outcome != Outcome::unreadable) json["can_be_a_gateway"] = outcome == Outcome::good;
  for (const auto& [check, finding] : diagnosis.lines) {
    json["checks"].push_back({{"code", check->code},
                              {"subject", check->subject},
                              {"verdict", to_string(finding.verdict)},
                              {"reason", finding.reason},
                              {"command", finding.command},
                              {"advice", finding.advice}});
  }
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace

Outcome run(const Options& options, const Machine& machine, std::ostream& out, std::ostream& err) {
  const auto checks = choose(options.only);
  if (!checks.ok()) return inspect::fail(checks.error(), Outcome::usage, false, out, err);
  const Diagnosis diagnosis = examine(machine, *checks);
  options.json ? write_json(diagnosis, out) : write_text(diagnosis, options.only.empty(), out);
  return outcome_of(diagnosis);
}

}  // namespace cs::doctor
