// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign policy`: core policies as files, without a daemon.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keyms/policy/draw.h"
#include "tools/inspect/console.h"
#include "tools/inspect/outcome.h"

namespace cs::policy {

using inspect::Console;
using inspect::Outcome;

struct NewOptions {
  keyms::DrawOptions who{"", {"", {}, {}}, {"", {}, {}}};
  // The ends of its tunnel, here and there.
  std::array<xfrm::TunnelEnd, 2> ends;
  std::string tunnel = "tunnel-1";
  std::vector<xfrm::Proposal> proposals;
};
// A policy with one tunnel. What the options lack it asks for; without a terminal it says which
// options are missing.
[[nodiscard]] Outcome make_new(NewOptions options, const Console& console);

struct SwanctlOptions {
  keyms::DrawOptions who;
  std::string file;
  std::string connection;
};
[[nodiscard]] Outcome draw_from_swanctl(const SwanctlOptions& options, const Console& console);

struct KernelOptions {
  keyms::DrawOptions who;
  std::optional<net::Address> peer;
};
[[nodiscard]] Outcome draw_from_kernel(const KernelOptions& options, const Console& console);

// Of a policy's text, its encoding, or a proposal or agreement.
struct FileOptions {
  std::string file;
  bool json = false;
};
// Good: it can be kept, and no signature that is there is wrong.
[[nodiscard]] Outcome check(const FileOptions& options, const Console& console);
[[nodiscard]] Outcome show(const FileOptions& options, const Console& console);

struct DiffOptions {
  std::vector<std::string> files;  // two: before, after
  bool json = false;
};
[[nodiscard]] Outcome diff(const DiffOptions& options, const Console& console);

struct EncodeOptions {
  std::string file;
  std::string out;
};
[[nodiscard]] Outcome encode(const EncodeOptions& options, const Console& console);

}  // namespace cs::policy
