// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/ima_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tools/inspect/outcome.h"
#include "tools/inspect/pcr_json.h"

namespace cs::inspect {

namespace {

using Json = nlohmann::ordered_json;

// A kernel writes with one or two of them; a hostile list could fill the memory with names.
constexpr std::size_t most_templates = 32;
constexpr std::string_view other_templates = "others";

std::string_view code_of(tpm::ImaRule rule) noexcept {
  return rule == tpm::ImaRule::padded ? "padded" : "recomputed";
}

Json to_json(const tpm::ImaVerdict& verdict) {
  Json json{{"bank", to_string(verdict.bank)},
            {"pcr", verdict.pcr},
            {"matches", verdict.match.has_value()}};
  if (verdict.match) {
    json["entries"] = verdict.match->entries;
    json["rule"] = code_of(verdict.match->rule);
  } else {
    json["reason"] = "it is no state of the list, after whatever entry";
  }
  return json;
}

std::string text_of(const tpm::ImaVerdict& verdict, std::uint64_t entries) {
  if (!verdict.match) return "differs: it is no state of the list, after whatever entry";
  std::string text =
      "is what the first " + std::to_string(verdict.match->entries) + " entries make";
  if (verdict.match->rule == tpm::ImaRule::padded) text += ", by the rule of kernels before 5.8";
  const auto later = entries - verdict.match->entries;
  if (later > 0) text += "; it does not vouch for the " + std::to_string(later) + " after them";
  return text;
}

std::string verdict_text(const ImaReport& report) {
  const std::string entries = std::to_string(report.entries) + " entries";
  if (!report.compared) return entries + ", and no PCR values to hold them against";
  const auto wrong =
      std::ranges::count_if(report.verdicts, [](const auto& verdict) { return !verdict.match; });
  const std::string all = std::to_string(report.verdicts.size());
  if (wrong == 0) return entries + " replay to all of the " + all + " PCR values";
  return entries + " do not replay to " + std::to_string(wrong) + " of the " + all + " PCR values";
}

}  // namespace

void ImaReport::count_template(std::string_view name) {
  const auto row = templates.find(name);
  if (row != templates.end()) {
    ++row->second;
  } else if (templates.size() < most_templates) {
    templates.emplace(name, 1);
  } else {
    ++templates[std::string(other_templates)];
  }
}

std::string_view ImaReport::verdict() const noexcept {
  if (!compared) return "unchecked";
  const bool all_match =
      std::ranges::all_of(verdicts, [](const auto& verdict) { return verdict.match.has_value(); });
  return all_match ? "good" : "refused";
}

void write_text(const ImaReport& report, std::ostream& out) {
  out << (report.is_text ? "text" : "binary") << ", with template hashes of "
      << to_string(report.listed) << "\n";
  for (const auto& [name, count] : report.templates) out << name << ": " << count << "\n";
  out << "violations: " << report.violations << "\n" << report.recomputed.text();
  for (const auto& verdict : report.verdicts) {
    out << to_string(verdict.bank) << ":" << verdict.pcr << " " << text_of(verdict, report.entries)
        << "\n";
  }
  out << "verdict: " << report.verdict() << ", " << verdict_text(report) << "\n";
}

void write_json(const ImaReport& report, std::ostream& out) {
  Json json{{"schema_version", schema_version},
            {"complete", true},
            {"verdict", report.verdict()},
            {"entries", report.entries},
            {"violations", report.violations},
            {"templates", report.templates},
            {"form", report.is_text ? "text" : "binary"},
            {"listed", to_string(report.listed)},
            {"banks", to_json(report.recomputed)},
            {"padded_banks", to_json(report.padded)}};
  if (report.compared) {
    json["pcrs"] = Json::array();
    for (const auto& verdict : report.verdicts) json["pcrs"].push_back(to_json(verdict));
  }
  out << json.dump(2) << "\n";
}

}  // namespace cs::inspect
