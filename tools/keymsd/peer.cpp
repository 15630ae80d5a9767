// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <ostream>

#include "base/printable.h"
#include "tools/keymsd/daemon.h"
#include "tools/keymsd/keymsd.h"

namespace cs::keymsd {
namespace {

void write_reasons(const Json& answer, std::ostream& out) {
  for (const Json& reason : list(answer, "reasons"))
    out << "  " << text(reason, "code") << ": " << text(reason, "text") << "\n";
}

void write_run(const Json& answer, std::ostream& out) {
  const std::string peer = text(answer, "peer");
  const std::string standing = text(answer, "standing");
  out << peer << ": " << standing << "\n";
  write_reasons(answer, out);
  if (standing != "granted") out << "why, in full: countersign explain " << peer << "\n";
}

// The verifier's text has lines of its own, and each is printable.
void write_explained(const Json& answer, std::ostream& out) {
  const auto found = answer.find("text");
  std::string_view rest;
  if (found != answer.end() && found->is_string()) rest = found->get_ref<const std::string&>();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    out << printable(rest.substr(0, end)) << "\n";
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (list(answer, "reasons").empty()) return;
  out << (flag(answer, "by_peer") ? "it does not grant us, and says why:\n" : "last failure:\n");
  write_reasons(answer, out);
}

// None: keymsd has no such peer, or does not answer, which has been told.
std::optional<Json> find_peer(Daemon& daemon, const std::string& name, const Console& console,
                              Outcome& outcome) {
  const auto answer = daemon.ask("peers");
  if (!answer.ok()) {
    outcome = fail(answer.error(), daemon, console);
    return std::nullopt;
  }
  for (const Json& peer : list(*answer, "peers")) {
    if (text(peer, "peer") == name) return peer;
  }
  outcome = inspect::fail(Error(ErrorKind::not_found, "there is no peer '" + name + "'")
                              .with_hint("countersign peers lists them"),
                          Outcome::refused, false, console.out, console.err);
  return std::nullopt;
}

}  // namespace

Outcome attest(const PeerOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  const Json arguments{{"peer", options.peer}, {"wait", options.wait.count()}};
  const auto granted = [](const Json& answer) { return text(answer, "standing") == "granted"; };
  return put({"attest", arguments, write_run, granted, options.wait + answers_within}, daemon,
             console, options.asking.json);
}

Outcome explain(const PeerOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  const auto granted = [](const Json& answer) {
    return text(part(answer, "appraisal"), "verdict") == "granted" &&
           list(answer, "reasons").empty();
  };
  return put({"explain", {{"peer", options.peer}}, write_explained, granted}, daemon, console,
             options.asking.json);
}

Outcome acknowledge(const PeerOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  if (!options.yes) {
    Outcome outcome = Outcome::good;
    const auto peer = find_peer(daemon, options.peer, console, outcome);
    if (!peer) return outcome;
    console.out << options.peer << ": " << text(*peer, "standing") << "\n";
    write_reasons(*peer, console.out);
    console.out << "Its drift was healed, as it says; once you acknowledge that, it is granted "
                   "again.\n"
                << std::flush;
    const auto ended = inspect::unless_typed(
        console, "Type the peer's name if you know what happened there", options.peer, "--yes");
    if (ended) return *ended;
  }
  const auto tell = [&](const Json& answer, std::ostream& out) {
    out << text(answer, "peer") << ": drift acknowledged up to record " << number(answer, "records")
        << " of its event log; the next run judges it: countersign attest " << options.peer << "\n";
  };
  return put({"acknowledge", {{"peer", options.peer}}, tell}, daemon, console);
}

Outcome deny(const PeerOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  const auto tell = [](const Json& answer, std::ostream& out) {
    const std::string peer = text(answer, "peer");
    out << peer << ": cut; to begin anew: countersign attest " << peer << "\n";
  };
  return put({"deny", {{"peer", options.peer}, {"why", options.why}}, tell}, daemon, console);
}

}  // namespace cs::keymsd
