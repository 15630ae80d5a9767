// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect cert`: what certificates of TPMs and platforms say, and who vouches for
// them.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tools/inspect/outcome.h"

namespace cs::inspect {

struct CertOptions {
  std::vector<std::string> files;  // DER, PEM, the contents of an NV index; "-" is standard input
  std::string roots;               // directory of vendor roots; empty: chains are not checked
  bool json = false;
};

// As judge_certificates(). Without roots the outcome is good where nothing that could be checked
// was refused, and the verdict says that the chain was not; with roots what could not be checked is
// refused.
[[nodiscard]] Outcome inspect_cert(const CertOptions& options, const Clock& clock,
                                   std::ostream& out, std::ostream& err);

}  // namespace cs::inspect
