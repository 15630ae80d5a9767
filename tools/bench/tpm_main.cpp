// SPDX-License-Identifier: GPL-3.0-or-later
// tpm-bench: what the TPM library costs, as ratios in one run. tpm-bench [--json] [MEASUREMENT…]
#include <algorithm>
#include <array>
#include <iomanip>
#include <iostream>
#include <string_view>
#include <vector>

#include "tools/bench/tpm_measure.h"

namespace {

using cs::bench::Figure;
using cs::bench::Figures;

struct Measurement {
  std::string_view name;
  cs::Result<Figures> (*run)();
};
// Memory first: it is the whole process's, as far as it has come.
constexpr std::array measurements{
    Measurement{"long-ima-list", cs::bench::measure_long_ima_list},
    Measurement{"boot-log", cs::bench::measure_boot_log},
    Measurement{"ima-list", cs::bench::measure_ima_list},
    Measurement{"sign", cs::bench::measure_signing},
};

bool is_met(const Figure& figure) {
  return figure.limit == 0 || figure.value <= figure.limit;
}

void print_line(const Figure& figure) {
  std::cout << std::left << std::setw(48) << figure.name << std::right << std::fixed
            << std::setprecision(3) << std::setw(14) << figure.value << " " << figure.unit;
  if (figure.limit != 0) {
    std::cout << "  at most " << figure.limit << (is_met(figure) ? ": met" : ": MISSED");
  }
  std::cout << "\n";
}

// Names and units are ours: nothing in them needs escaping.
void print_json(const Figures& figures) {
  std::cout << R"({"schema_version": 1, "figures": [)";
  for (const Figure& figure : figures) {
    std::cout << (&figure == figures.data() ? "\n" : ",\n") << R"(  {"name": ")" << figure.name
              << R"(", "value": )" << figure.value << R"(, "unit": ")" << figure.unit << '"';
    if (figure.limit != 0) std::cout << R"(, "limit": )" << figure.limit;
    std::cout << "}";
  }
  std::cout << "\n]}\n";
}

int usage(std::ostream& out, int code) {
  out << "usage: tpm-bench [--json] [MEASUREMENT...]\n"
         "What the TPM library costs, as ratios in one run; exit code 1 if one is above its "
         "limit.\n"
         "measurements:";
  for (const Measurement& each : measurements) out << " " << each.name;
  out << "\n";
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string_view> wanted(argv + 1, argv + argc);
  const bool json = std::erase(wanted, "--json") > 0;
  const auto is_known = [](std::string_view name) {
    return std::ranges::find(measurements, name, &Measurement::name) != measurements.end();
  };
  if (std::ranges::find(wanted, "--help") != wanted.end()) return usage(std::cout, 0);
  if (!std::ranges::all_of(wanted, is_known)) return usage(std::cerr, 2);
  Figures figures;
  for (const Measurement& each : measurements) {
    if (!wanted.empty() && std::ranges::find(wanted, each.name) == wanted.end()) continue;
    const auto found = each.run();
    if (!found.ok()) {
      std::cerr << "tpm-bench: " << found.error().message() << "\n";
      return 1;
    }
    figures.insert(figures.end(), found->begin(), found->end());
  }
  if (json) {
    print_json(figures);
  } else {
    std::ranges::for_each(figures, print_line);
  }
  return std::ranges::all_of(figures, is_met) ? 0 : 1;
}
