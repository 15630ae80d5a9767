// SPDX-License-Identifier: GPL-3.0-or-later
// An appraisal for people and for programs: what `countersign explain PEER` shows.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "keyms/evidence/appraisal.h"

namespace cs::keyms {

// Verdict first; then each failure with where it is, what was expected and found, what that means
// and what to do; then what could not be checked, and what is worth knowing. Lines of printable
// ASCII.
[[nodiscard]] std::string explain(const Appraisal& found, std::string_view peer, WallTime when);

// The same as JSON, every check in the verifier's order:
//   {"schema": 1, "peer", "time", "verdict": "granted"|"refused", "reason": code or null,
//    "checks": [{"code", "severity": "refuse"|"note", "result": "good"|"refused"|"unchecked",
//                "where", "sentence", "meaning", "hint"}]}
[[nodiscard]] std::string explain_json(const Appraisal& found, std::string_view peer,
                                       WallTime when);

// What to do, with the peer's name in it.
[[nodiscard]] std::string hint_for(Criterion criterion, std::string_view peer);

}  // namespace cs::keyms
