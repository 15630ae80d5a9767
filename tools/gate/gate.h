// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign gate`: the gate of this machine, looked at and worked by hand.
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/inspect/outcome.h"
#include "xfrm/gate/gate.h"
#include "xfrm/state/model.h"

namespace cs::gate {

using inspect::Outcome;

// "NAME=ADDRESS[,ADDRESS...]"
Result<xfrm::GatePeer> parse_peer(std::string_view text);

// "DESTINATION/esp/0xSPI" or "…/ah/…", as the kernel names an SA.
Result<xfrm::SaName> parse_sa(std::string_view text);

struct SetUpOptions {
  xfrm::GateConfig config;
  std::optional<xfrm::GateKind> kind;
  bool keep = false;  // stay, and put back what is lost
};
// Adopts or makes. With `keep` it comes back only on an error: a line on `out` for each loss.
[[nodiscard]] Outcome set_up(const SetUpOptions& options, std::ostream& out, std::ostream& err);

// Refused: the gate is there, and something of it is missing.
[[nodiscard]] Outcome show(bool json, std::ostream& out, std::ostream& err);

// Without SAs named: for all of the peer's. Whether a destination is ours or the peer's says the
// way.
struct OpenOptions {
  std::string peer;
  std::vector<xfrm::SaName> sas;
};
[[nodiscard]] Outcome open(const OpenOptions& options, std::ostream& out, std::ostream& err);
[[nodiscard]] Outcome close(const std::string& peer, std::ostream& out, std::ostream& err);
// Nothing being there is fine.
[[nodiscard]] Outcome close_all(std::ostream& out, std::ostream& err);
[[nodiscard]] Outcome remove(std::ostream& out, std::ostream& err);

}  // namespace cs::gate
