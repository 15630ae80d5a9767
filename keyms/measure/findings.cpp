// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/findings.h"

#include <algorithm>
#include <array>

#include "base/printable.h"

namespace cs::keyms {

namespace {

using namespace std::chrono_literals;

constexpr auto window = 1min;
constexpr std::string_view summary = "untold: ";  // no code of a finding

}  // namespace

std::string drift_text(const xfrm::Difference& found) {
  std::string text(xfrm::meaning(found.code).name);
  if (!found.tunnel.empty()) text += " " + found.tunnel;
  // A sentence may come from a peer or a name somebody chose.
  return printable(text + ": " + found.sentence).substr(0, tpm::most_cel_content);
}

std::set<std::string> Findings::due(const std::set<xfrm::Difference>& found,
                                    const std::set<std::string>& open, BootTime now) {
  if (!minute_ || now - *minute_ >= window) {
    minute_ = now;
    told_ = 0;
  }
  std::set<std::string> due;
  std::set<std::string> more;
  for (const auto& one : found) {
    if (xfrm::meaning(one.code).severity != xfrm::Severity::breach) continue;
    std::string text = drift_text(one);
    if (open.contains(text)) {
      due.insert(std::move(text));
    } else {
      more.insert(std::move(text));
    }
  }
  while (!more.empty() && told_ < each_minute) {
    due.insert(more.extract(more.begin()));
    ++told_;
  }
  add_uncounted(due, more.size(), open, now);
  return due;
}

// Told at once when it begins; then it stays as it is for a minute, whatever happens.
void Findings::add_uncounted(std::set<std::string>& due, std::size_t uncounted,
                             const std::set<std::string>& open, BootTime now) {
  const auto is_summary = [](const std::string& text) { return text.starts_with(summary); };
  const auto standing = std::ranges::find_if(open, is_summary);
  if (standing != open.end() && summed_ && now - *summed_ < window) {
    due.insert(*standing);
    return;
  }
  if (uncounted == 0) return;
  due.insert(std::string(summary) + std::to_string(uncounted) + " findings more than are told");
  summed_ = now;
}

}  // namespace cs::keyms
