// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/explain.h"

#include <nlohmann/json.hpp>

#include "base/rfc3339.h"

namespace cs::keyms {

namespace {

using Json = nlohmann::ordered_json;
using tpm::Verdict;

constexpr std::string_view placeholder = "PEER";

std::string told(const Finding& finding) {
  return (finding.where.empty() ? "" : finding.where + ": ") + finding.sentence;
}

std::string entry(const Appraisal& found, Criterion criterion, std::string_view peer) {
  const CriterionText& text = text_of(criterion);
  return "  " + std::string(text.code) + "\n    " + told(found.of(criterion)) + "\n    " +
         std::string(text.wrong) + "\n    to do: " + hint_for(criterion, peer) + "\n";
}

std::string summary(const Appraisal& found, std::string_view peer) {
  const std::string name(peer);
  if (found.granted()) return name + " is granted: it is what the policy says";
  const auto failed = found.failed(Severity::refuse);
  if (failed.empty()) return name + " is not granted yet: not everything could be checked";
  const std::string more =
      failed.size() > 1 ? " (and " + std::to_string(failed.size() - 1) + " more)" : "";
  return name + " is refused: " + std::string(text_of(failed.front()).code) + more;
}

}  // namespace

std::string hint_for(Criterion criterion, std::string_view peer) {
  std::string hint(text_of(criterion).hint);
  for (auto at = hint.find(placeholder); at != std::string::npos;
       at = hint.find(placeholder, at + peer.size())) {
    hint.replace(at, placeholder.size(), peer);
  }
  return hint;
}

std::string explain(const Appraisal& found, std::string_view peer, WallTime when) {
  std::string text = summary(found, peer) + "\njudged at " + format_rfc3339(when) + "\n";
  std::string unchecked;
  for (const Criterion criterion : found.refused()) {
    if (found.of(criterion).verdict == Verdict::fails) {
      text += entry(found, criterion, peer);
    } else {
      unchecked +=
          "  " + std::string(text_of(criterion).code) + ": " + told(found.of(criterion)) + "\n";
    }
  }
  if (!unchecked.empty()) text += "not checked, which grants nothing:\n" + unchecked;
  const auto noted = found.failed(Severity::note);
  if (!noted.empty()) text += "worth knowing:\n";
  for (const Criterion criterion : noted) text += entry(found, criterion, peer);
  return text;
}

std::string explain_json(const Appraisal& found, std::string_view peer, WallTime when) {
  const auto refused = found.refused();
  Json json;
  json["schema"] = 1;
  json["peer"] = peer;
  json["time"] = format_rfc3339(when);
  json["verdict"] = found.granted() ? "granted" : "refused";
  json["reason"] = refused.empty() ? Json() : Json(text_of(refused.front()).code);
  json["checks"] = Json::array();
  for (const CriterionText& text : criteria()) {
    const Finding& finding = found.of(text.criterion);
    Json check;
    check["code"] = text.code;
    check["severity"] = text.severity == Severity::refuse ? "refuse" : "note";
    check["result"] = to_string(finding.verdict);
    check["where"] = finding.where;
    check["sentence"] = finding.sentence;
    if (finding.verdict == Verdict::fails) {
      check["meaning"] = text.wrong;
      check["hint"] = hint_for(text.criterion, peer);
    }
    json["checks"].push_back(std::move(check));
  }
  return json.dump(2) + "\n";
}

}  // namespace cs::keyms
