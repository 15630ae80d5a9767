// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/cert.h"

#include <ostream>

#include "tools/inspect/cert_judge.h"
#include "tpm/certificates/nv_certificate.h"
#include "tpm/small_file.h"

namespace cs::inspect {

namespace {

constexpr std::size_t most_files = 64;

Result<CertReport> inspect(const CertOptions& options, const Clock& clock) {
  std::vector<FoundCertificates> found;
  for (const std::string& file : options.files) {
    const std::string name = file == "-" ? "standard input" : file;
    CS_TRY(auto bytes, tpm::read_small_file(file, tpm::most_certificate_bytes));
    found.push_back({name, std::move(bytes)});
  }
  return judge_certificates(found, options.roots, clock);
}

}  // namespace

Outcome inspect_cert(const CertOptions& options, const Clock& clock, std::ostream& out,
                     std::ostream& err) {
  if (options.files.empty() || options.files.size() > most_files) {
    err << "countersign: give 1 to " << most_files << " files with certificates\n";
    return Outcome::usage;
  }
  const auto report = inspect(options, clock);
  if (!report.ok()) return fail(report.error(), Outcome::unreadable, options.json, out, err);
  options.json ? write_json(*report, out) : write_text(*report, out);
  return report->verdict == "refused" ? Outcome::refused : Outcome::good;
}

}  // namespace cs::inspect
