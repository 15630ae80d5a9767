// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator does with keymsd: verbs that ask the daemon, and the two that do without it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "keyms/daemon/config.h"
#include "tools/inspect/console.h"

namespace cs::keymsd {

using inspect::Console;
using inspect::Outcome;

struct Asking {
  std::string socket = keyms::DaemonConfig().control_socket;
  bool json = false;
};

struct StatusOptions {
  Asking asking;
  std::chrono::seconds wait{0};  // at most, until it is good
};
// Good: keymsd is ready and without a fault, and each peer is granted.
[[nodiscard]] Outcome status(const StatusOptions& options, const Console& console);
[[nodiscard]] Outcome peers(const Asking& asking, const Console& console);

struct PeerOptions {
  Asking asking;
  std::string peer;
  std::chrono::seconds wait{30};  // of attest
  std::string why;                // of deny
  bool yes = false;               // of acknowledge
};
// Good: it is granted then.
[[nodiscard]] Outcome attest(const PeerOptions& options, const Console& console);
[[nodiscard]] Outcome explain(const PeerOptions& options, const Console& console);
[[nodiscard]] Outcome acknowledge(const PeerOptions& options, const Console& console);
[[nodiscard]] Outcome deny(const PeerOptions& options, const Console& console);

[[nodiscard]] Outcome certs(const Asking& asking, const Console& console);

struct LogOptions {
  Asking asking;
  std::string which;      // "static" or "event"; empty: both
  std::string directory;  // where the logs go as they are; empty: nowhere
};
// Good: each log makes its register's value.
[[nodiscard]] Outcome log(const LogOptions& options, const Console& console);

struct EventsOptions {
  Asking asking;
  bool follow = false;
  std::string peer;  // only of this one
};
[[nodiscard]] Outcome events(const EventsOptions& options, const Console& console);

// A core policy, on its way to be agreed and in force.
struct AgreementOptions {
  Asking asking;
  std::string file;
  std::string out;          // empty: in place of the file
  std::string fingerprint;  // empty: it is asked for
  std::chrono::seconds confirm_within{0};
  std::string fallback;
  std::string peer;
};
[[nodiscard]] Outcome propose(const AgreementOptions& options, const Console& console);
[[nodiscard]] Outcome agree(const AgreementOptions& options, const Console& console);
[[nodiscard]] Outcome plan(const AgreementOptions& options, const Console& console);
[[nodiscard]] Outcome apply(const AgreementOptions& options, const Console& console);
[[nodiscard]] Outcome confirm(const AgreementOptions& options, const Console& console);
[[nodiscard]] Outcome roll_back(const AgreementOptions& options, const Console& console);
[[nodiscard]] Outcome retire(const AgreementOptions& options, const Console& console);

inline constexpr const char* default_config = "/etc/countersign/keymsd.toml";

struct InitOptions {
  std::string config = default_config;
  std::string ne_id;
  std::string user = "keymsd";  // who gets the state directory; empty: it stays as it is
};
[[nodiscard]] Outcome init(const InitOptions& options, const Clock& clock, const Console& console);

struct RecoverOptions {
  std::string config = default_config;
  std::string socket;     // empty: the configuration's
  std::string request;    // file to write
  std::string agreement;  // that the request is for; empty: the state as it is
  std::string approval;   // file to read
  bool begin_anew = false;
  bool yes = false;
};
// Good: nothing is wrong, or what was asked for is done.
[[nodiscard]] Outcome recover(const RecoverOptions& options, const Clock& clock,
                              const Console& console);

}  // namespace cs::keymsd
