// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <iomanip>
#include <sstream>

#include "tools/bench/report.h"

namespace cs::bench {

namespace {

constexpr double width = 760;
constexpr double left = 190;   // where bars and axes begin
constexpr double right = 700;  // where they end
constexpr double bar_height = 18;
constexpr double sweep_height = 240;
constexpr double margin = 50;  // for a title above a part of the picture

const char* colour_of(Setup setup) {
  return setup == Setup::drain ? "#2b6cb0" : "#dd6b20";
}

void text(std::ostringstream& out, double x, double y, const std::string& words,
          const char* more = "") {
  out << "<text x=\"" << x << "\" y=\"" << y << "\" " << more << ">" << words << "</text>\n";
}

void line(std::ostringstream& out, double x1, double y1, double x2, double y2) {
  out << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
      << "\" stroke=\"#999\"/>\n";
}

std::string rounded(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

// From `top` on; ratios above 1.5 are cut and keep their number.
void draw_ratios(std::ostringstream& out, const std::vector<RatioResult>& ratios, double top) {
  constexpr double largest = 1.5;
  text(out, left, top - 14, "packets per second, as a ratio (drain blue, live orange)");
  double y = top;
  for (const RatioResult& ratio : ratios) {
    const double bar = std::min(ratio.value, largest) / largest * (right - left);
    text(out, left - 8, y + 13, ratio.name, "text-anchor=\"end\"");
    out << R"(<rect x=")" << left << R"(" y=")" << y << R"(" width=")" << bar << R"(" height=")"
        << bar_height - 4 << R"(" fill=")" << colour_of(ratio.setup) << "\"/>\n";
    text(out, left + bar + 6, y + 12, rounded(ratio.value, 2));
    y += bar_height;
  }
  const double one = left + (right - left) / largest;
  line(out, one, top - 4, one, y);
}

// One curve: points in the order of their load, values as parts of `largest`.
template <class Value>
void draw_curve(std::ostringstream& out, const std::vector<SweepPoint>& points, double bottom,
                double largest, const char* colour, Value value) {
  out << R"(<polyline fill="none" stroke=")" << colour << R"(" stroke-width="2" points=")";
  const double last = points.back().load_percent;
  for (const SweepPoint& point : points) {
    const double share = largest > 0 ? std::min(1.0, value(point) / largest) : 0;
    out << left + point.load_percent / last * (right - left) << ',' << bottom - share * sweep_height
        << ' ';
  }
  out << "\"/>\n";
}

void draw_sweep(std::ostringstream& out, const std::vector<SweepPoint>& points, double top) {
  const double bottom = top + sweep_height;
  double most = 0;
  double slowest = 0;
  for (const SweepPoint& point : points) {
    most = std::max({most, point.paced.offered_pps, point.paced.delivered_pps});
    slowest = std::max(slowest, point.paced.p90_us);
  }
  text(out, left, top - 14, "end to end: offered (grey), delivered (blue); p90 latency (orange)");
  line(out, left, bottom, right, bottom);
  line(out, left, top, left, bottom);
  text(out, left - 8, top + 5, rounded(most / 1000, 0) + " k/s", "text-anchor=\"end\"");
  text(out, right + 6, top + 5, rounded(slowest / 1000, 1) + " ms", "fill=\"#dd6b20\"");
  const int last = points.back().load_percent;
  for (int load = 0; load <= last; load += 25) {
    const double x = left + static_cast<double>(load) / last * (right - left);
    line(out, x, bottom, x, bottom + 4);
    text(out, x, bottom + 18, std::to_string(load) + " %", "text-anchor=\"middle\"");
  }
  draw_curve(out, points, bottom, most, "#aaa",
             [](const SweepPoint& point) { return point.paced.offered_pps; });
  draw_curve(out, points, bottom, most, "#2b6cb0",
             [](const SweepPoint& point) { return point.paced.delivered_pps; });
  draw_curve(out, points, bottom, slowest, "#dd6b20",
             [](const SweepPoint& point) { return point.paced.p90_us; });
}

}  // namespace

std::string picture_of(const Results& results) {
  const double ratios_end = margin + bar_height * static_cast<double>(results.ratios.size());
  const bool has_sweep = !results.sweep.empty();
  const double height = ratios_end + 20 + (has_sweep ? margin + sweep_height + 30 : 0);
  std::ostringstream out;
  out << std::fixed << std::setprecision(1)
      << R"(<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="13" width=")"
      << width << R"(" height=")" << height << R"(" viewBox="0 0 )" << width << ' ' << height
      << "\">\n"
      << R"(<rect width="100%" height="100%" fill="white"/>)" << '\n';
  if (!results.ratios.empty()) draw_ratios(out, results.ratios, margin);
  if (has_sweep) draw_sweep(out, results.sweep, ratios_end + margin);
  out << "</svg>\n";
  return out.str();
}

}  // namespace cs::bench
