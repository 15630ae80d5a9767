// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/quote.h"

#include <ostream>

#include "base/hex.h"
#include "tools/inspect/input.h"
#include "tools/inspect/quote_report.h"
#include "tpm/small_file.h"

namespace cs::inspect {

namespace {

constexpr std::size_t most_attest = 4096;
constexpr std::size_t most_signature = 2048;
constexpr std::size_t most_key = 16384;

Result<tpm::QuoteExpectations> read_command_line(const QuoteOptions& options) {
  if (options.attest.empty() || options.signature.empty() || options.key.empty()) {
    return Error(ErrorKind::invalid, "a quote has three parts")
        .with_hint("give all of --attest, --signature and --key");
  }
  CS_CHECK(check_files({options.attest, options.signature, options.key, options.pcrs}));
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

Result<QuoteReport> verify(const QuoteOptions& options, tpm::QuoteExpectations expected) {
  CS_TRY(const tpm::Bytes attest, tpm::read_small_file(options.attest, most_attest));
  CS_TRY(const tpm::Bytes signature_bytes, tpm::read_small_file(options.signature, most_signature));
  CS_TRY(const tpm::Bytes key_bytes, tpm::read_small_file(options.key, most_key));
  CS_TRY(const tpm::PublicKey key, tpm::PublicKey::read(key_bytes).context(options.key));
  CS_TRY(const tpm::SignatureFile signature,
         tpm::read_signature(signature_bytes, key).context(options.signature));
  tpm::PcrValues values;
  if (!options.pcrs.empty()) {
    CS_TRY(values, read_pcrs(options.pcrs));
    expected.values = &values;
  }
  CS_TRY(tpm::QuoteReport quote,
         tpm::verify_quote({tpm::without_size(attest), signature.signature, key}, expected)
             .context(options.attest));
  return QuoteReport{std::move(quote),
                     key.text(),
                     {signature.signature.scheme, signature.signature.hash},
                     to_string(signature.form)};
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
