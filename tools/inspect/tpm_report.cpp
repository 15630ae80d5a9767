// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/tpm_report.h"

#include <algorithm>
#include <ostream>

#include "base/byte_writer.h"
#include "base/hex.h"
#include "tools/inspect/cert_json.h"
#include "tools/inspect/outcome.h"
#include "tpm/certificates/manufacturer.h"

namespace cs::inspect {

namespace {

using Json = nlohmann::ordered_json;

void write_line(std::ostream& out, std::string_view label, const std::string& text) {
  constexpr std::size_t width = 16;
  out << label << std::string(width - label.size(), ' ') << detail::one_line(text) << "\n";
}

std::string manufacturer_of(const tpm::Capabilities& capabilities) {
  const auto name = tpm::manufacturer_name(std::string_view(capabilities.manufacturer));
  return name ? capabilities.manufacturer + " " + std::string(*name) : capabilities.manufacturer;
}

// As vendors write it: four numbers of 16 bits.
std::string version_of(std::uint64_t firmware) {
  std::string text;
  for (unsigned shift = 64; shift != 0; shift -= 16) {
    text += (text.empty() ? "" : ".") + std::to_string(firmware >> (shift - 16) & 0xffffU);
  }
  return text;
}

std::vector<std::string> banks_of(const tpm::Capabilities& capabilities) {
  std::vector<std::string> names;
  for (const auto bank : capabilities.banks) names.emplace_back(to_string(bank));
  return names;
}

std::string index_of(std::uint32_t index) {
  std::array<std::uint8_t, 4> bytes{};
  ByteWriter(bytes).u32be(index);
  return "0x" + hex_encode(bytes);
}

Json to_json(const TpmReport::Endorsement& endorsement) {
  Json json{{"index", index_of(endorsement.index)}};
  if (endorsement.certificates.ok()) {
    json.update(to_json(*endorsement.certificates));
  } else {
    json["verdict"] = "refused";
    json["error"] = endorsement.certificates.error().message();
  }
  return json;
}

void write_text(const TpmReport::Endorsement& endorsement, std::ostream& out) {
  out << "\n";
  write_line(out, "NV index", index_of(endorsement.index));
  if (endorsement.certificates.ok()) return write_text(*endorsement.certificates, out);
  out << "verdict: refused, " << endorsement.certificates.error().message() << "\n";
}

}  // namespace

bool TpmReport::is_refused() const noexcept {
  return std::ranges::any_of(endorsements, [](const Endorsement& endorsement) {
    return !endorsement.certificates.ok() || endorsement.certificates->verdict == "refused";
  });
}

void write_text(const TpmReport& report, std::ostream& out) {
  const tpm::Status& status = report.status;
  write_line(out, "TPM", report.tcti);
  write_line(out, "manufacturer", manufacturer_of(status.capabilities));
  write_line(out, "vendor", status.capabilities.vendor);
  write_line(out, "firmware", version_of(status.capabilities.firmware));
  std::string banks;
  for (const std::string& bank : banks_of(status.capabilities)) {
    banks += (banks.empty() ? "" : ", ") + bank;
  }
  write_line(out, "PCR banks", banks);
  write_line(out, "resets",
             std::to_string(status.clock.reset_count) + ", restarts " +
                 std::to_string(status.clock.restart_count));
  write_line(out, "lockout", status.lockout.text());
  write_line(out, "free slots",
             std::to_string(status.free.objects) + " for objects, " +
                 std::to_string(status.free.sessions) + " for sessions");
  if (report.signatures_a_second) {
    write_line(out, "signs",
               std::to_string(static_cast<long>(*report.signatures_a_second)) +
                   " times a second (ECDSA P-256)");
  }
  if (report.endorsements.empty()) {
    out << "\nno endorsement certificate: the TPM holds none; its maker's web service may have "
           "it\n";
  }
  for (const auto& endorsement : report.endorsements) write_text(endorsement, out);
}

void write_json(const TpmReport& report, std::ostream& out) {
  const tpm::Status& status = report.status;
  const tpm::Lockout& lockout = status.lockout;
  Json json{{"schema_version", schema_version},
            {"complete", true},
            {"tcti", report.tcti},
            {"manufacturer", manufacturer_of(status.capabilities)},
            {"vendor", status.capabilities.vendor},
            {"firmware", version_of(status.capabilities.firmware)},
            {"banks", banks_of(status.capabilities)},
            {"reset_count", status.clock.reset_count},
            {"restart_count", status.clock.restart_count},
            {"lockout",
             {{"locked", lockout.locked},
              {"failures", lockout.failures},
              {"most", lockout.most},
              {"forgets_one_in_seconds", lockout.forgets_one_in.count()}}},
            {"owner_auth_set", lockout.owner_auth_set},
            {"endorsement_auth_set", lockout.endorsement_auth_set},
            {"lockout_auth_set", lockout.lockout_auth_set},
            {"free_slots", {{"objects", status.free.objects}, {"sessions", status.free.sessions}}},
            {"signatures_per_second", nullptr},
            {"endorsement_certificates", Json::array()}};
  if (report.signatures_a_second) json["signatures_per_second"] = *report.signatures_a_second;
  for (const auto& endorsement : report.endorsements) {
    json["endorsement_certificates"].push_back(to_json(endorsement));
  }
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace cs::inspect
