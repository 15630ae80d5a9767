// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/quote.h"

#include <algorithm>
#include <array>
#include <optional>
#include <ostream>
#include <string_view>

#include "base/hex.h"
#include "tools/inspect/error_json.h"
#include "tools/inspect/quote_report.h"
#include "tpm/small_file.h"

namespace cs::inspect {

namespace {

constexpr std::size_t most_attest = 4096;
constexpr std::size_t most_signature = 2048;
constexpr std::size_t most_key = 16384;
constexpr std::size_t most_pcrs = 65536;

Result<tpm::QuoteExpectations> read_command_line(const QuoteOptions& options) {
  if (options.attest.empty() || options.signature.empty() || options.key.empty()) {
    return Error(ErrorKind::invalid, "a quote has three parts")
        .with_hint("give all of --attest, --signature and --key");
  }
  const std::array files{std::string_view(options.attest), std::string_view(options.signature),
                         std::string_view(options.key), std::string_view(options.pcrs)};
  if (std::ranges::count(files, "-") > 1) {
    return Error(ErrorKind::invalid, "standard input can be only one of the files");
  }
  tpm::QuoteExpectations expected;
  if (!options.nonce.empty()) {
    CS_TRY(expected.attest.qualifying_data,
           hex_decode(options.nonce, tpm::most_data).context("--nonce"));
  }
  if (!options.selection.empty()) {
    CS_TRY(expected.selection, tpm::PcrSelection::parse(options.selection).context("--selection"));
  }
  return expected;
}

Result<std::optional<tpm::PcrValues>> read_values(const std::string& file) {
  if (file.empty()) return std::optional<tpm::PcrValues>();
  CS_TRY(const tpm::Bytes bytes, tpm::read_small_file(file, most_pcrs));
  CS_TRY(tpm::PcrValues values,
         tpm::PcrValues::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()})
             .context(file));
  return std::optional(std::move(values));
}

Result<QuoteReport> verify(const QuoteOptions& options, tpm::QuoteExpectations expected) {
  CS_TRY(const tpm::Bytes attest, tpm::read_small_file(options.attest, most_attest));
  CS_TRY(const tpm::Bytes signature_bytes, tpm::read_small_file(options.signature, most_signature));
  CS_TRY(const tpm::Bytes key_bytes, tpm::read_small_file(options.key, most_key));
  CS_TRY(const tpm::PublicKey key, tpm::PublicKey::read(key_bytes).context(options.key));
  CS_TRY(const tpm::SignatureFile signature,
         tpm::read_signature(signature_bytes, key).context(options.signature));
  CS_TRY(const auto values, read_values(options.pcrs));
  expected.values = values ? &*values : nullptr;
  CS_TRY(tpm::QuoteReport quote,
         tpm::verify_quote({tpm::without_size(attest), signature.signature, key}, expected)
             .context(options.attest));
  return QuoteReport{std::move(quote),
                     key.text(),
                     {signature.signature.scheme, signature.signature.hash},
                     to_string(signature.form)};
}

Outcome fail(const Error& error, Outcome outcome, bool json, std::ostream& out, std::ostream& err) {
  err << "countersign: " << error.message() << "\n";
  if (json) write_error_json(error, out);
  return outcome;
}

}  // namespace

Outcome inspect_quote(const QuoteOptions& options, std::ostream& out, std::ostream& err) {
  auto expected = read_command_line(options);
  if (!expected.ok()) return fail(expected.error(), Outcome::usage, false, out, err);
  const auto report = verify(options, std::move(expected).value());
  if (!report.ok()) return fail(report.error(), Outcome::unreadable, options.json, out, err);
  options.json ? write_json(*report, out) : write_text(*report, out);
  return report->quote.findings.none_fails() ? Outcome::good : Outcome::refused;
}

}  // namespace cs::inspect
