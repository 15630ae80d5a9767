// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect quote`: whether a TPM's quote holds, check by check.
#pragma once

#include <iosfwd>
#include <string>

#include "tools/inspect/outcome.h"

namespace cs::inspect {

// Files may be "-", standard input, but only one of them. What is empty was not given.
struct QuoteOptions {
  std::string attest;          // TPMS_ATTEST, with or without TPM2B's length
  std::string signature;       // TPMT_SIGNATURE, or as OpenSSL has it: DER of ECDSA, plain RSA
  std::string key;             // PEM, TPMT_PUBLIC or TPM2B_PUBLIC
  std::string nonce = {};      // hex
  std::string pcrs = {};       // a file of lines "sha256:0=hex"
  std::string selection = {};  // "sha256:0,7+sha1:1"
  bool json = false;
};

// Good where no check fails: what was not checked counts neither way, and the verdict names it.
[[nodiscard]] Outcome inspect_quote(const QuoteOptions& options, std::ostream& out,
                                    std::ostream& err);

}  // namespace cs::inspect
