// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign approve`: what a gateway asks its approver to sign, on a machine that is none.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "tools/inspect/outcome.h"
#include "tpm/hash.h"

namespace cs::approve {

using inspect::Outcome;

struct Options {
  std::string request;
  std::string key;  // PEM
  std::string out;
  // What others extend the gateway's static register with, as its configuration explains it.
  std::vector<tpm::Digest> explained;
  bool yes = false;  // not to ask
};
// Shows the request and asks `in` for the digits that the gateway's operator reads aloud. Refused:
// other digits, a log with drift in it that is open.
Outcome approve(const Options& options, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace cs::approve
