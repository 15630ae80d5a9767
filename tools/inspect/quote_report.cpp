// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/quote_report.h"

#include <nlohmann/json.hpp>
#include <ostream>

#include "base/hex.h"
#include "tools/inspect/outcome.h"

namespace cs::inspect {

namespace {

using Json = nlohmann::ordered_json;
using tpm::Verdict;

std::string firmware_text(std::uint64_t version) {
  ByteBuilder out(sizeof(version));
  out.u64be(version);
  return "0x" + hex_encode(tpm::finish(out));
}

std::string clock_text(const tpm::ClockInfo& clock) {
  return std::to_string(clock.clock) + " ms, reset " + std::to_string(clock.reset_count) +
         ", restart " + std::to_string(clock.restart_count) + (clock.safe ? "" : ", not safe");
}

// What makes a check possible that had nothing to compare with; nothing on this command line does
// for those that are not here.
std::string_view option_for(std::string_view code) noexcept {
  if (code == "qualifying_data") return "; give --nonce";
  if (code == "selection") return "; give --selection";
  if (code == "pcr_digest") return "; give --pcrs";
  if (code == "key") return "; give its TPM2B_PUBLIC to --key";
  return "";
}

std::string sentence_of(const tpm::Check& check) {
  if (check.verdict != Verdict::not_checked) return detail::one_line(check.sentence);
  return "not checked: " + check.sentence + std::string(option_for(check.code));
}

void write_line(std::ostream& out, std::string_view label, const std::string& text) {
  constexpr std::size_t width = 14;
  out << "  " << label << std::string(width - label.size(), ' ') << text << "\n";
}

std::string hex_or_none(ByteView bytes) {
  return bytes.empty() ? "none" : hex_encode(bytes);
}

Json to_json(const tpm::Attest& attest) {
  Json json{{"signer", attest.signer.hex()},
            {"qualifying_data", hex_encode(attest.extra_data)},
            {"clock", attest.clock.clock},
            {"reset_count", attest.clock.reset_count},
            {"restart_count", attest.clock.restart_count},
            {"safe", attest.clock.safe},
            {"firmware", firmware_text(attest.firmware)}};
  if (const auto* const quote = std::get_if<tpm::Attest::Quote>(&attest.attested)) {
    json["selection"] = quote->selection.text();
    json["pcr_digest"] = hex_encode(quote->digest);
  }
  return json;
}

void write(const Json& json, std::ostream& out) {
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace

void write_text(const QuoteReport& report, std::ostream& out) {
  const tpm::Attest& attest = report.quote.attest;
  const tpm::Findings& findings = report.quote.findings;
  write_line(out, "is", to_string(attest.type));
  if (const auto* const quote = std::get_if<tpm::Attest::Quote>(&attest.attested)) {
    write_line(out, "PCRs", quote->selection.text());
    write_line(out, "digest", hex_or_none(quote->digest));
  }
  write_line(out, "nonce", hex_or_none(attest.extra_data));
  write_line(out, "signer", hex_or_none(attest.signer.bytes));
  write_line(out, "clock", clock_text(attest.clock));
  write_line(out, "firmware", firmware_text(attest.firmware));
  write_line(
      out, "signed by",
      report.key + ", " + report.scheme.text() + ", read as " + std::string(report.signature_form));
  for (const tpm::Check& check : findings.checks()) {
    write_line(out, to_string(check.verdict), std::string(check.code) + ": " + sentence_of(check));
  }
  out << "verdict: " << (findings.none_fails() ? "good" : "refused");
  const auto open = findings.codes(Verdict::not_checked);
  for (std::size_t i = 0; i < open.size(); ++i) {
    out << (i == 0 ? "; not checked: " : ", ") << open[i];
  }
  out << "\n";
}

void write_json(const QuoteReport& report, std::ostream& out) {
  const tpm::Findings& findings = report.quote.findings;
  Json json{{"schema_version", schema_version},
            {"complete", true},
            {"verdict", findings.none_fails() ? "good" : "refused"},
            {"not_checked", findings.codes(Verdict::not_checked)},
            {"type", to_string(report.quote.attest.type)},
            {"attest", to_json(report.quote.attest)},
            {"key", report.key},
            {"scheme", report.scheme.text()},
            {"signature_form", report.signature_form}};
  json["checks"] = Json::array();
  for (const tpm::Check& check : findings.checks()) {
    json["checks"].push_back({{"code", check.code},
                              {"verdict", to_string(check.verdict)},
                              {"sentence", sentence_of(check)}});
  }
  write(json, out);
}

}  // namespace cs::inspect
