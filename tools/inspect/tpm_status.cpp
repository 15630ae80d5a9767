// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/tpm_status.h"

#include <ostream>
#include <utility>

#include "tools/inspect/cert_judge.h"
#include "tools/inspect/tpm_report.h"
#include "tpm/certificates/vendor_roots.h"

namespace cs::inspect {

namespace {

Result<tpm::PublicKey> read_endorsement_key(tpm::Device& device, std::uint32_t index) {
  CS_TRY(const auto area, tpm::read_endorsement_area(device, index));
  return tpm::PublicKey::read(area);
}

// Each certificate by itself: that one of them is nonsense says nothing of the others.
std::vector<TpmReport::Endorsement> judge(tpm::Device& device, const tpm::EndorsementBlobs& blobs,
                                          const std::string& roots, const Clock& clock) {
  FoundCertificates chain{"the TPM's own chain", {}};  // one, cut into indices
  for (const auto& piece : blobs.chain) {
    chain.bytes.insert(chain.bytes.end(), piece.bytes.begin(), piece.bytes.end());
  }
  std::vector<TpmReport::Endorsement> judged;
  for (const auto& blob : blobs.certificates) {
    std::vector<FoundCertificates> found{{"the TPM", blob.bytes}};
    if (!chain.bytes.empty()) found.push_back(chain);
    const auto key = read_endorsement_key(device, blob.index);
    judged.push_back({blob.index, judge_certificates(found, roots, clock, &key)});
  }
  return judged;
}

Result<TpmReport> inspect(const TpmStatusOptions& options, const Clock& clock) {
  // A directory that is not there is a mistake even where there is nothing to check.
  if (!options.roots.empty()) CS_CHECK(tpm::VendorRoots::read(options.roots));
  auto opened = tpm::Device::open({.tcti = options.tcti});
  CS_TRY(tpm::Device device, std::move(opened));
  CS_TRY(tpm::Status status, tpm::read_status(device));
  TpmReport report{options.tcti, std::move(status), {}, {}};
  if (options.sign_for.count() != 0) {
    CS_TRY(report.signatures_a_second, tpm::measure_sign_rate(device, options.sign_for));
  }
  report.endorsements = judge(device, report.status.endorsement, options.roots, clock);
  return report;
}

}  // namespace

Outcome tpm_status(const TpmStatusOptions& options, const Clock& clock, std::ostream& out,
                   std::ostream& err) {
  const auto report = inspect(options, clock);
  if (!report.ok()) return fail(report.error(), Outcome::unreadable, options.json, out, err);
  options.json ? write_json(*report, out) : write_text(*report, out);
  return report->is_refused() ? Outcome::refused : Outcome::good;
}

}  // namespace cs::inspect
