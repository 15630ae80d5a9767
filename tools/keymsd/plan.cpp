// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/keymsd/plan.h"

#include <ostream>

#include "base/base64.h"
#include "keyms/policy/agreement_file.h"
#include "tools/keymsd/keymsd.h"
#include "tpm/small_file.h"

namespace cs::keymsd {
namespace {

Result<std::string> read_agreement(const std::string& file) {
  CS_TRY(const auto bytes, tpm::read_small_file(file, keyms::max_agreement_file));
  CS_TRY([[maybe_unused]] const auto agreed, keyms::read_agreed(bytes).context(file));
  return base64_encode(bytes);
}

std::string subject(const Json& plan) {
  return text(plan, "peer") + ", version " + std::to_string(number(plan, "version"));
}

void write_plan(const Json& plan, std::ostream& out) {
  out << subject(plan) << ", fingerprint " << text(plan, "fingerprint") << "\n";
  write_changes(plan, out);
  out << "static register, once it is applied: " << text(plan, "now") << "\n"
      << "              from the next start on: " << text(plan, "at_start") << "\n";
}

void write_applied(const Json& plan, std::ostream& out) {
  out << subject(plan) << ": in force\n";
  write_changes(plan, out);
  const std::string peer = text(plan, "peer");
  if (const std::string until = text(plan, "confirm_by"); !until.empty()) {
    out << "UNDONE at " << until << " unless you type: countersign policy confirm " << peer << "\n";
  }
  out << "The other gateway applies the same; both load what has changed: swanctl --load-all\n"
         "Then: countersign status --wait 60\n";
}

// A verb that takes the agreement in a file.
Outcome put_file(Question question, const std::string& file, const AgreementOptions& options,
                 const Console& console) {
  Daemon daemon(options.asking.socket);
  const auto agreement = read_agreement(file);
  if (!agreement.ok()) return fail(agreement.error(), daemon, console, options.asking.json);
  question.arguments["agreement"] = *agreement;
  return put(question, daemon, console, options.asking.json);
}

Outcome put_peer(Question question, const AgreementOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  question.arguments["peer"] = options.peer;
  return put(question, daemon, console, options.asking.json);
}

bool may_be_applied(const Json& plan) {
  return list(plan, "refused_by").empty();
}

}  // namespace

void write_changes(const Json& plan, std::ostream& out) {
  for (const std::string& one : sentences(plan, "changes")) out << "  changes: " << one << "\n";
  for (const std::string& one : sentences(plan, "refused_by")) out << "  AGAINST: " << one << "\n";
}

Outcome plan(const AgreementOptions& options, const Console& console) {
  return put_file({"plan", Json::object(), write_plan, may_be_applied}, options.file, options,
                  console);
}

Outcome apply(const AgreementOptions& options, const Console& console) {
  Question question{"apply", Json::object(), write_applied, may_be_applied};
  if (options.confirm_within.count() > 0) {
    const auto fallback = read_agreement(options.fallback);
    if (!fallback.ok())
      return fail(fallback.error(), Daemon(options.asking.socket), console, options.asking.json);
    question.arguments["confirm_within"] = options.confirm_within.count();
    question.arguments["fallback"] = *fallback;
  }
  return put_file(std::move(question), options.file, options, console);
}

Outcome confirm(const AgreementOptions& options, const Console& console) {
  const auto tell = [](const Json& answer, std::ostream& out) {
    out << subject(answer) << ": confirmed, it stays in force\n";
  };
  return put_peer({"confirm", Json::object(), tell}, options, console);
}

Outcome roll_back(const AgreementOptions& options, const Console& console) {
  Question question{"rollback", Json::object(), write_applied, may_be_applied};
  return options.file.empty() ? put_peer(std::move(question), options, console)
                              : put_file(std::move(question), options.file, options, console);
}

Outcome retire(const AgreementOptions& options, const Console& console) {
  const auto tell = [](const Json& answer, std::ostream& out) {
    out << text(answer, "peer") << ": no policy with it is in force any more, all of it is cut\n";
  };
  return put_peer({"retire", Json::object(), tell}, options, console);
}

}  // namespace cs::keymsd
