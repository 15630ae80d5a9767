// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/quote.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/hex.h"

namespace cs::tpm {

namespace {

using Quote = Attest::Quote;

std::string text_of(const PcrSelection& selection) {
  return selection.banks.empty() ? "no PCR" : selection.text();
}

bool selects_nothing(const PcrSelection& selection) noexcept {
  return std::ranges::all_of(selection.banks, [](const auto& bank) { return bank.registers == 0; });
}

void check_selection(Findings& findings, const Quote& quote, const QuoteExpectations& expected) {
  if (expected.selection) {
    findings.compare("selection", quote.selection == *expected.selection,
                     "it covers " + text_of(quote.selection), text_of(*expected.selection),
                     text_of(quote.selection));
  } else if (selects_nothing(quote.selection)) {
    findings.fails("selection", "expected at least one PCR, found none");
  } else {
    findings.not_checked("selection",
                         "whether " + text_of(quote.selection) + " is what was asked for");
  }
}

void check_digest(Findings& findings, const Quote& quote, HashAlgorithm hash,
                  const PcrValues* values) {
  if (values == nullptr) {
    findings.not_checked("pcr_digest", "which values the PCRs had");
    return;
  }
  const auto composite = values->composite(quote.selection, hash);
  if (!composite.ok()) {
    findings.fails("pcr_digest", composite.error().message());
    return;
  }
  findings.compare("pcr_digest", std::ranges::equal(quote.digest, composite->bytes()),
                   "the PCRs had the values given", composite->hex() + " of the values given",
                   hex_encode(quote.digest));
}

void check_count(Findings& findings, std::string_view code, std::uint32_t found,
                 std::uint32_t last) {
  findings.compare(code, found == last, "still " + std::to_string(found),
                   std::to_string(last) + ", last seen", std::to_string(found));
}

void check_clock(Findings& findings, const ClockInfo& found,
                 const std::optional<ClockInfo>& last_seen) {
  constexpr auto nothing_seen = "nothing of this TPM was seen before";
  if (!last_seen) {
    findings.not_checked("clock", nothing_seen);
    findings.not_checked("reset_count", nothing_seen);
    findings.not_checked("restart_count", nothing_seen);
    return;
  }
  // Without `safe` it may have lost up to some 70 minutes with its power, once a reset.
  const bool may_go_back = !found.safe && found.reset_count != last_seen->reset_count;
  if (may_go_back && found.clock < last_seen->clock) {
    findings.not_checked("clock", "the TPM lost its power and does not vouch for its clock");
  } else {
    findings.compare("clock", found.clock >= last_seen->clock, "it has not gone back",
                     "at least " + std::to_string(last_seen->clock) + " ms, last seen",
                     std::to_string(found.clock));
  }
  check_count(findings, "reset_count", found.reset_count, last_seen->reset_count);
  check_count(findings, "restart_count", found.restart_count, last_seen->restart_count);
}

// What a quote alone has; an attestation of another type has failed by now.
void check_quoted(Findings& findings, const Attest& attest, HashAlgorithm hash,
                  const QuoteExpectations& expected) {
  if (const auto* const quote = std::get_if<Quote>(&attest.attested)) {
    check_selection(findings, *quote, expected);
    check_digest(findings, *quote, hash, expected.values);
    return;
  }
  findings.not_checked("selection", "it is no quote");
  findings.not_checked("pcr_digest", "it is no quote");
}

}  // namespace

Result<QuoteReport> verify_quote(const SignedAttest& file, const QuoteExpectations& expected) {
  CS_TRY(Attest attest, Attest::parse(file.bytes));
  Findings findings;
  check_attest(findings, file, attest, AttestType::quote, expected.attest);
  check_quoted(findings, attest, file.signature.hash, expected);
  check_clock(findings, attest.clock, expected.last_seen);
  if (expected.firmware) {
    findings.compare("firmware", attest.firmware == *expected.firmware, "it is as known",
                     std::to_string(*expected.firmware), std::to_string(attest.firmware));
  } else {
    findings.not_checked("firmware", "whether it is the version known");
  }
  return QuoteReport{std::move(attest), std::move(findings)};
}

}  // namespace cs::tpm
