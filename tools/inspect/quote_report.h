// SPDX-License-Identifier: GPL-3.0-or-later
// What `countersign inspect quote` found out, and its two forms.
#pragma once

#include <iosfwd>
#include <string>

#include "tpm/evidence/quote.h"

namespace cs::inspect {

struct QuoteReport {
  tpm::QuoteReport quote;
  std::string key;                  // "P-256"
  tpm::Scheme scheme;               // of the signature
  std::string_view signature_form;  // "TPMT_SIGNATURE"
};

void write_text(const QuoteReport& report, std::ostream& out);
void write_json(const QuoteReport& report, std::ostream& out);

}  // namespace cs::inspect
