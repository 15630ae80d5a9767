// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/cert_report.h"

#include <ostream>

#include "base/error.h"
#include "tools/inspect/cert_json.h"
#include "tools/inspect/outcome.h"

namespace cs::inspect {

namespace {

using Json = nlohmann::ordered_json;

std::string join(const std::vector<std::string>& values, std::string_view separator) {
  std::string text;
  for (const std::string& value : values) {
    if (!text.empty()) text += separator;
    text += value;
  }
  return text;
}

void write_line(std::ostream& out, std::string_view label, const std::string& text) {
  constexpr std::size_t width = 20;
  if (text.empty()) return;
  out << "  " << label << std::string(label.size() < width ? width - label.size() : 1, ' ') << text
      << "\n";
}

Json to_json(const CertReport::Entry& entry) {
  Json json{{"file", entry.file}, {"kind", entry.kind}};
  for (const CertReport::Field& field : entry.fields) {
    if (field.is_list) {
      json[std::string(field.name)] = field.values;
    } else if (!field.values.front().empty()) {
      json[std::string(field.name)] = field.values.front();
    }
  }
  json["checks"] = Json::array();
  for (const tpm::Check& check : entry.findings.checks()) {
    json["checks"].push_back({{"code", check.code},
                              {"verdict", to_string(check.verdict)},
                              {"sentence", check.sentence}});
  }
  json["path"] = entry.path;
  return json;
}

void write(const Json& json, std::ostream& out) {
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace

void write_text(const CertReport& report, std::ostream& out) {
  for (const CertReport::Entry& entry : report.certificates) {
    out << detail::one_line(entry.file) << ": " << entry.kind << " certificate\n";
    for (const CertReport::Field& field : entry.fields) {
      write_line(out, field.name, join(field.values, ", "));
    }
    write_line(out, "path", join(entry.path, " < "));
    for (const tpm::Check& check : entry.findings.checks()) {
      write_line(out, to_string(check.verdict),
                 std::string(check.code) + ": " + detail::one_line(check.sentence));
    }
  }
  for (const std::string& skipped : report.skipped_roots) {
    out << "skipped: " << detail::one_line(skipped) << "\n";
  }
  out << "verdict: " << report.verdict;
  if (report.verdict == "unchecked") out << ", chain not checked: give --roots";
  out << "\n";
}

nlohmann::ordered_json to_json(const CertReport& report) {
  Json json{{"verdict", report.verdict}, {"certificates", Json::array()}};
  for (const CertReport::Entry& entry : report.certificates) {
    json["certificates"].push_back(to_json(entry));
  }
  json["skipped_roots"] = report.skipped_roots;
  return json;
}

void write_json(const CertReport& report, std::ostream& out) {
  Json json{{"schema_version", schema_version}, {"complete", true}};
  json.update(to_json(report));
  write(json, out);
}

}  // namespace cs::inspect
