// SPDX-License-Identifier: GPL-3.0-or-later
// What `countersign inspect cert` found out, and its two forms.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "tpm/check.h"

namespace cs::inspect {

struct CertReport {
  struct Field {
    std::string_view name;
    std::vector<std::string> values;
    bool is_list = false;  // in JSON; others have one value, and are left out when it is empty
  };
  struct Entry {
    std::string file;
    std::string kind;
    std::vector<Field> fields;
    tpm::Findings findings;
    std::vector<std::string> path;  // of names, up to the root
  };
  std::vector<Entry> certificates;
  std::vector<std::string> skipped_roots;
  std::string_view verdict;  // good, unchecked, refused
};

void write_text(const CertReport& report, std::ostream& out);
void write_json(const CertReport& report, std::ostream& out);

}  // namespace cs::inspect
