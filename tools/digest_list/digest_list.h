// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign digest-list`: lists of accepted files, made, signed and looked at.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "tools/inspect/outcome.h"

namespace cs::digest_list {

using inspect::Outcome;

struct MakeOptions {
  std::string directory;
  std::string as;  // what stands for the directory in the list; empty: its own path
  std::string name;
  std::uint64_t version = 1;
};
// Of every regular file below the directory; links are not followed. The list goes to `out`.
Outcome make(const MakeOptions& options, std::ostream& out, std::ostream& err);

struct SignOptions {
  std::string list;
  std::string key;  // PEM
};
Outcome sign(const SignOptions& options, std::ostream& out, std::ostream& err);

struct CheckOptions {
  std::string list;
  bool json = false;
};
// Refused: nobody has signed it, or the signature does not hold.
Outcome check(const CheckOptions& options, std::ostream& out, std::ostream& err);

}  // namespace cs::digest_list
