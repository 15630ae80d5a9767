// SPDX-License-Identifier: GPL-3.0-or-later
#include <iomanip>
#include <sstream>

#include "tools/bench/report.h"

namespace cs::bench {

namespace {

void print_modes(std::ostringstream& out, const Results& results) {
  out << std::left << std::setw(20) << "mode" << std::setw(7) << "setup" << std::right
      << std::setw(6) << "batch" << std::setw(11) << "packets/s" << std::setw(8) << "Gbit/s"
      << std::setw(10) << "CPU us/p" << std::setw(8) << "+bytes" << std::setw(6) << "MiB"
      << "   latency p50/p90 in us at 1000/s, 10, 50, 90 %\n";
  for (const ModeResult& mode : results.modes) {
    out << std::left << std::setw(20) << mode.mode << std::setw(7) << to_string(mode.setup)
        << std::right << std::setw(6) << mode.batch << std::setprecision(0) << std::setw(11)
        << mode.pps << std::setprecision(2) << std::setw(8) << mode.gbps << std::setw(10)
        << mode.cpu_us_per_packet << std::setprecision(0) << std::setw(8) << mode.overhead_bytes;
    if (mode.latency) {
      out << std::setw(6) << mode.memory_mib << "   " << mode.calm.p50_us << '/'
          << mode.calm.p90_us;
      for (const Paced& paced : *mode.latency) {
        out << ' ' << paced.p50_us << '/' << paced.p90_us;
        if (paced.loss >= 0.0005) {
          out << " (lost " << std::setprecision(1) << 100 * paced.loss << " %)"
              << std::setprecision(0);
        }
      }
    }
    out << '\n';
  }
}

}  // namespace

std::string table_of(const Options& options, const Results& results) {
  std::ostringstream out;
  out << std::fixed;
  out << (options.protocol == Protocol::ah ? "AH" : "ESP") << " over "
      << (options.ipv6 ? "IPv6" : "IPv4") << ", packets of " << options.size << " bytes, "
      << options.queues << " queue" << (options.queues == 1 ? "" : "s") << ", medians of "
      << options.rounds << " rounds of " << std::setprecision(1) << options.seconds
      << " s; steered by " << results.steered_by << "\n\n";
  print_modes(out, results);
  if (!results.ratios.empty()) out << '\n';
  for (const RatioResult& ratio : results.ratios) {
    out << std::left << std::setw(31) << ratio.name << std::setw(7) << to_string(ratio.setup)
        << std::right << std::setprecision(3) << std::setw(8) << ratio.value << '\n';
  }
  if (const auto& beside = results.beside_flood) {
    out << "\n"
        << std::setprecision(0) << beside->offered_pps
        << " good packets a second with as many forged ones among them: " << std::setprecision(1)
        << 100 * (1 - beside->loss) << " % get through\n";
  }
  if (results.sweep.empty()) return out.str();
  out << "\nend to end, offered as a part of the capacity\n"
      << "   load   offered/s delivered/s    loss   p50 us   p90 us\n";
  for (const SweepPoint& point : results.sweep) {
    out << std::right << std::setw(5) << point.load_percent << " %" << std::setprecision(0)
        << std::setw(12) << point.paced.offered_pps << std::setw(12) << point.paced.delivered_pps
        << std::setprecision(2) << std::setw(6) << 100 * point.paced.loss << " %"
        << std::setprecision(0) << std::setw(9) << point.paced.p50_us << std::setw(9)
        << point.paced.p90_us << '\n';
  }
  return out.str();
}

}  // namespace cs::bench
