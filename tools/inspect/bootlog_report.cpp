// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/bootlog_report.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "base/hex.h"
#include "tools/inspect/outcome.h"
#include "tools/inspect/pcr_json.h"

namespace cs::inspect {

namespace {

using Json = nlohmann::ordered_json;
using Kind = tpm::Divergence::Kind;

// Stable for scripts.
std::string_view code_of(Kind kind) noexcept {
  switch (kind) {
    case Kind::no_bank:
      return "no_bank";
    case Kind::no_event:
      return "no_event";
    case Kind::log_goes_on:
      return "log_goes_on";
    case Kind::left_out:
      return "left_out";
    case Kind::doubled:
      return "doubled";
    case Kind::other_start:
      return "other_start";
    case Kind::unexplained:
      break;
  }
  return "unexplained";
}

bool names_an_event(Kind kind) noexcept {
  return kind != Kind::no_bank && kind != Kind::no_event;
}

Json to_json(const tpm::RegisterVerdict& verdict) {
  Json json{{"bank", to_string(verdict.bank)},
            {"pcr", verdict.pcr},
            {"matches", !verdict.divergence.has_value()}};
  if (!verdict.divergence) return json;
  json["cause"] = code_of(verdict.divergence->kind);
  json["from_event"] =
      names_an_event(verdict.divergence->kind) ? Json(verdict.divergence->event) : Json();
  json["reason"] = verdict.divergence->text();
  return json;
}

std::string type_text(tpm::BootEventType type) {
  const auto name = name_of(type);
  if (!name.empty()) return std::string(name);
  return "type " + std::to_string(static_cast<std::uint32_t>(type));
}

// The digest of the last bank the event has one for: firmware lists them from weak to strong.
std::string digest_text(const tpm::BootEvent& event) {
  const auto last = std::find_if(event.digests.rbegin(), event.digests.rend(),
                                 [](ByteView digest) { return !digest.empty(); });
  return !event.extends() || last == event.digests.rend() ? "not extended" : hex_encode(*last);
}

void write_events(const BootlogReport& report, std::ostream& out) {
  auto log = tpm::BootLog::open(report.log);
  tpm::BootEvent event;
  for (auto more = log->next(event); more.ok() && *more; more = log->next(event)) {
    const bool unbound = std::ranges::binary_search(report.unbound, event.number);
    out << std::setw(5) << event.number << "  PCR " << std::left << std::setw(3)
        << (event.extends() ? std::to_string(event.pcr) : "-") << std::setw(34)
        << type_text(event.type) << std::right << digest_text(event)
        << (unbound ? "  (not of its data)" : "") << "\n";
  }
}

std::string register_text(const tpm::RegisterVerdict& verdict) {
  return std::string(to_string(verdict.bank)) + ":" + std::to_string(verdict.pcr);
}

std::string verdict_text(const BootlogReport& report) {
  const std::string events = std::to_string(report.replayed.events) + " events";
  if (!report.compared) return events + ", and no PCR values to hold them against";
  const auto wrong = std::ranges::count_if(
      report.verdicts, [](const auto& verdict) { return verdict.divergence.has_value(); });
  const std::string all = std::to_string(report.verdicts.size());
  if (wrong == 0) return events + " replay to all of the " + all + " PCR values";
  return events + " do not replay to " + std::to_string(wrong) + " of the " + all + " PCR values";
}

}  // namespace

std::string_view BootlogReport::verdict() const noexcept {
  if (!compared) return "unchecked";
  const bool all_match = std::ranges::none_of(
      verdicts, [](const auto& verdict) { return verdict.divergence.has_value(); });
  return all_match ? "good" : "refused";
}

void write_text(const BootlogReport& report, std::ostream& out) {
  write_events(report, out);
  out << "\n" << report.replayed.values.text() << "\n";
  for (const auto& gap : report.replayed.gaps) {
    out << "not replayed: " << to_string(gap.bank) << ", of which event " << gap.event
        << " has no digest\n";
  }
  if (!report.unbound.empty()) {
    out << "not to be believed: the data of " << report.unbound.size()
        << " events, whose digest is not that of their data\n";
  }
  for (const auto& verdict : report.verdicts) {
    if (verdict.divergence) {
      out << register_text(verdict) << " differs: " << verdict.divergence->text() << "\n";
    }
  }
  out << "verdict: " << report.verdict() << ", " << verdict_text(report) << "\n";
}

void write_json(const BootlogReport& report, std::ostream& out) {
  Json json{{"schema_version", schema_version},
            {"complete", true},
            {"verdict", report.verdict()},
            {"events", report.replayed.events},
            {"form", report.replayed.agile ? "crypto-agile" : "sha1"},
            {"startup_locality", report.replayed.locality},
            {"banks", to_json(report.replayed.values)},
            {"incomplete_banks", Json::object()},
            {"unbound_events", report.unbound}};
  for (const auto& gap : report.replayed.gaps) {
    json["incomplete_banks"][std::string(to_string(gap.bank))] = gap.event;
  }
  if (report.compared) {
    json["pcrs"] = Json::array();
    for (const auto& verdict : report.verdicts) json["pcrs"].push_back(to_json(verdict));
  }
  out << json.dump(2) << "\n";
}

}  // namespace cs::inspect
