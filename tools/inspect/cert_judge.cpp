// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/cert_judge.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tpm/certificates/attribute_certificate.h"
#include "tpm/certificates/certificate.h"
#include "tpm/certificates/chain.h"
#include "tpm/certificates/manufacturer.h"
#include "tpm/certificates/nv_certificate.h"
#include "tpm/certificates/vendor_roots.h"

namespace cs::inspect {

namespace {

using Entry = CertReport::Entry;

template <class Kind>
struct From {
  std::string file;
  std::vector<std::string> forgiven;
  Kind certificate;
};

struct Input {
  std::vector<From<tpm::Certificate>> keys;
  std::vector<From<tpm::AttributeCertificate>> platforms;
  std::optional<tpm::VendorRoots> roots;
  const Result<tpm::PublicKey>* endorsed = nullptr;

  [[nodiscard]] std::vector<const tpm::Certificate*> given() const {
    std::vector<const tpm::Certificate*> list;
    list.reserve(keys.size());
    for (const auto& key : keys) list.push_back(&key.certificate);
    return list;
  }
};

Result<void> read(const FoundCertificates& found, Input& input) {
  const auto context = [&] { return found.name; };
  auto certificates = tpm::find_certificates(found.bytes).context(context);
  CS_TRY(std::vector<tpm::EncodedCertificate> all, std::move(certificates));
  for (tpm::EncodedCertificate& encoded : all) {
    if (encoded.form == tpm::CertificateForm::attribute) {
      auto parsed = tpm::AttributeCertificate::parse(encoded.der).context(context);
      CS_TRY(tpm::AttributeCertificate platform, std::move(parsed));
      input.platforms.push_back({found.name, std::move(encoded.forgiven), std::move(platform)});
      continue;
    }
    auto parsed = tpm::Certificate::parse(encoded.der).context(context);
    CS_TRY(tpm::Certificate key, std::move(parsed));
    input.keys.push_back({found.name, std::move(encoded.forgiven), std::move(key)});
  }
  return {};
}

Result<Input> read_input(const std::vector<FoundCertificates>& found, const std::string& roots) {
  Input input;
  if (!roots.empty()) {
    CS_TRY(tpm::VendorRoots trusted, tpm::VendorRoots::read(roots));
    input.roots.emplace(std::move(trusted));
  }
  for (const FoundCertificates& one : found) CS_CHECK(read(one, input));
  return input;
}

std::string with_name(const std::string& manufacturer) {
  const auto name = tpm::manufacturer_name(std::string_view(manufacturer));
  return name ? manufacturer + " " + std::string(*name) : manufacturer;
}

Entry describe(const From<tpm::Certificate>& from) {
  const tpm::CertificateFields& fields = from.certificate.fields();
  std::vector<std::string> forgiven = from.forgiven;
  forgiven.insert(forgiven.end(), fields.forgiven.begin(), fields.forgiven.end());
  return {from.file,
          std::string(to_string(fields.kind)),
          {{"subject", {fields.subject}},
           {"issuer", {fields.issuer}},
           {"serial", {fields.serial}},
           {"not_before", {fields.not_before}},
           {"not_after", {fields.not_after}},
           {"key", {fields.key}},
           {"manufacturer", {with_name(fields.manufacturer)}},
           {"model", {fields.model}},
           {"version", {fields.version}},
           {"key_usage", fields.key_usage, true},
           {"extended_key_usage", fields.extended_key_usage, true},
           {"issuer_url", {fields.issuer_url}},
           {"sha256", {fields.fingerprint}},
           {"forgiven", forgiven, true}},
          {},
          {}};
}

Entry describe(const From<tpm::AttributeCertificate>& from) {
  const tpm::AttributeCertificateFields& fields = from.certificate.fields();
  return {from.file,
          fields.is_delta() ? "delta platform attribute" : "platform attribute",
          {{"holder_issuer", {fields.holder_issuer}},
           {"holder_serial", {fields.holder_serial}},
           {"issuer", {fields.issuer}},
           {"serial", {fields.serial}},
           {"not_before", {fields.not_before}},
           {"not_after", {fields.not_after}},
           {"manufacturer", {fields.manufacturer}},
           {"model", {fields.model}},
           {"version", {fields.version}},
           {"platform_serial", {fields.platform_serial}},
           {"attributes", fields.attributes, true},
           {"sha256", {fields.fingerprint}},
           {"forgiven", from.forgiven, true}},
          {},
          {}};
}

void judge(const tpm::Certificate& certificate, const Input& input, const Clock& clock,
           Entry& entry) {
  const bool is_endorsement =
      certificate.fields().kind == tpm::CertificateKind::endorsement && input.endorsed != nullptr;
  const bool is_known = is_endorsement && input.endorsed->ok();
  entry.findings =
      tpm::check(certificate, clock, is_known ? input.endorsed->value().openssl() : nullptr);
  if (is_endorsement && !is_known) {
    entry.findings.add(tpm::not_checked("key_matches", input.endorsed->error().message()));
  }
  if (!input.roots) {
    entry.findings.add(tpm::not_checked("chain", "chain not checked: give --roots"));
    return;
  }
  tpm::Chain chain = tpm::verify_chain(certificate, input.given(), *input.roots, clock);
  entry.findings.add(std::move(chain.check));
  entry.path = std::move(chain.path);
}

std::string_view verdict_of(const std::vector<Entry>& entries, bool has_roots) {
  bool unchecked = false;
  for (const Entry& entry : entries) {
    if (entry.findings.checks().empty()) continue;  // an authority that only helps
    if (!entry.findings.none_fails()) return "refused";
    if (!entry.findings.all_hold()) unchecked = true;
  }
  if (!unchecked) return "good";
  return has_roots ? "refused" : "unchecked";
}

CertReport report_on(const Input& input, const Clock& clock) {
  using tpm::CertificateKind;
  const bool only_authorities =
      input.platforms.empty() && std::ranges::all_of(input.keys, [](const auto& key) {
        return key.certificate.fields().kind == CertificateKind::authority;
      });
  CertReport report;
  for (const auto& key : input.keys) {
    Entry entry = describe(key);
    if (only_authorities || key.certificate.fields().kind != CertificateKind::authority) {
      judge(key.certificate, input, clock, entry);
    }
    report.certificates.push_back(std::move(entry));
  }
  for (const auto& platform : input.platforms) {
    Entry entry = describe(platform);
    const tpm::VendorRoots* const roots = input.roots ? &*input.roots : nullptr;
    tpm::PlatformVerdict verdict =
        tpm::verify_platform(platform.certificate, input.given(), roots, clock);
    entry.findings = std::move(verdict.findings);
    entry.path = std::move(verdict.path);
    report.certificates.push_back(std::move(entry));
  }
  if (input.roots) report.skipped_roots = input.roots->skipped();
  report.verdict = verdict_of(report.certificates, input.roots.has_value());
  return report;
}

}  // namespace

Result<CertReport> judge_certificates(const std::vector<FoundCertificates>& found,
                                      const std::string& roots, const Clock& clock,
                                      const Result<tpm::PublicKey>* endorsed) {
  CS_TRY(Input input, read_input(found, roots));
  input.endorsed = endorsed;
  return report_on(input, clock);
}

}  // namespace cs::inspect
