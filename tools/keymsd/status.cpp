// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <iomanip>
#include <ostream>
#include <thread>

#include "base/printable.h"
#include "tools/keymsd/daemon.h"
#include "tools/keymsd/keymsd.h"

namespace cs::keymsd {
namespace {

constexpr std::chrono::milliseconds look_every{500};

bool is_granted(const Json& peer) {
  return text(peer, "standing") == "granted";
}

bool all_granted(const Json& answer) {
  return std::ranges::all_of(list(answer, "peers"), is_granted);
}

bool is_bad(const Json& found) {
  return text(found, "severity") != "note";
}

bool is_good(const Json& status) {
  return text(status, "state") == "ready" && list(status, "faults").empty() &&
         std::ranges::none_of(list(part(status, "kernel"), "drift"), is_bad) && all_granted(status);
}

std::string or_dash(std::string words) {
  return words.empty() ? "-" : std::move(words);
}

// The peer's own lines below its row: why it is not granted, and what is due.
void write_notes(const Json& peer, std::ostream& out) {
  const std::string by = flag(peer, "by_peer") ? " (it says so itself)" : "";
  for (const Json& reason : list(peer, "reasons"))
    out << "  " << text(reason, "code") << ": " << text(reason, "text") << by << "\n";
  const Json& pending = part(peer, "pending");
  const std::string name = text(peer, "peer");
  if (!pending.empty()) {
    out << "  version " << number(pending, "version") << " is undone at "
        << text(pending, "confirm_by") << "; to keep it: countersign policy confirm " << name
        << "\n";
  }
  if (!is_granted(peer)) out << "  why: countersign explain " << name << "\n";
  if (is_granted(peer) && !flag(peer, "proved"))
    out << "  TPM unproven: nobody has vouched for its attestation key\n";
}

void write_peers(const Json& answer, std::ostream& out) {
  const Json& peers = list(answer, "peers");
  if (peers.empty()) {
    out << "no peer: no policy is in force (countersign policy apply)\n";
    return;
  }
  out << std::left << std::setw(17) << "peer" << std::setw(11) << "standing" << std::setw(22)
      << "until" << std::setw(9) << "heard" << std::setw(6) << "SAs"
      << "policy\n";
  for (const Json& peer : peers) {
    const Json& policy = part(peer, "policy");
    const bool heard = peer.contains("heard_seconds") && peer["heard_seconds"].is_number();
    out << std::setw(17) << text(peer, "peer") << std::setw(11) << text(peer, "standing")
        << std::setw(22) << or_dash(text(peer, "until")) << std::setw(9)
        << (heard ? std::to_string(number(peer, "heard_seconds")) + " s" : "never") << std::setw(6)
        << std::to_string(number(peer, "admitted")) + "/" + std::to_string(number(peer, "sas"))
        << text(policy, "name") << ", version " << number(policy, "version") << "\n";
    write_notes(peer, out);
  }
}

void write_faults(const Json& status, std::ostream& out) {
  for (const Json& fault : list(status, "faults")) {
    out << "FAULT " << text(fault, "code") << ": " << text(fault, "text") << "\n";
    if (const std::string hint = text(fault, "hint"); !hint.empty())
      out << "  to do: " << hint << "\n";
  }
  for (const Json& found : list(part(status, "kernel"), "drift")) {
    const std::string tunnel = text(found, "tunnel");
    const char* const what = found.value("awaited", false) ? "NOT YET AS AGREED "
                             : is_bad(found)               ? "DRIFT "
                                                           : "note ";
    out << what << text(found, "code") << (tunnel.empty() ? "" : " " + tunnel) << ": "
        << text(found, "sentence") << "\n";
    if (const std::string hint = text(found, "hint"); !hint.empty())
      out << "  to do: " << hint << "\n";
  }
}

std::string state_words(const std::string& state) {
  if (state == "ready") return "ready";
  if (state == "locked") return "LOCKED: the store does not open (countersign recover)";
  if (state == "no_policy") return "no policy yet (countersign policy propose)";
  if (state == "at_fault") return "AT FAULT: this gateway is not as agreed, every peer is cut";
  return state;
}

void write_parts(const Json& status, std::ostream& out) {
  const Json& plane = part(status, "data_plane");
  out << "\ndata plane  "
      << (flag(plane, "connected") ? "connected" : "NOT CONNECTED (systemctl start nfq-signer)")
      << "; signed " << number(plane, "packets_signed") << " packets in "
      << number(plane, "batches_signed") << " batches; accepted "
      << number(plane, "packets_accepted") << ", dropped " << number(plane, "packets_dropped")
      << ", bad signatures " << number(plane, "bad_signatures") << "\n";
  const Json& kernel = part(status, "kernel");
  out << "kernel      "
      << (flag(kernel, "watched") ? "watched, gate by " + or_dash(text(kernel, "gate"))
                                  : std::string("not watched"))
      << "; " << number(kernel, "waiting") << " SAs wait for the peer's word\n";
  const Json& carrier = part(status, "carrier");
  out << "carrier     " << (flag(carrier, "running") ? "running" : "NOT RUNNING") << "; "
      << number(carrier, "channels") << " channels, " << number(carrier, "unproven")
      << " of them unproven";
  const char* before = "; refused: ";
  for (const auto& [reason, count] : part(carrier, "refused").items()) {
    if (!count.is_number_unsigned() || count == 0) continue;
    out << before << count << " " << printable(reason);
    before = ", ";
  }
  const Json& tpm = part(status, "tpm");
  out << "\nTPM         attestation key " << or_dash(text(tpm, "attestation_key"))
      << "\n            read aloud " << or_dash(text(tpm, "fingerprint")) << "; reset "
      << number(tpm, "reset_count") << " times\n";
}

void write_status(const Json& status, std::ostream& out) {
  out << or_dash(text(status, "ne_id")) << ": " << state_words(text(status, "state")) << "; keymsd "
      << text(status, "release") << " since " << text(status, "since") << "\n";
  write_faults(status, out);
  out << "\n";
  write_peers(status, out);
  write_parts(status, out);
}

}  // namespace

Outcome status(const StatusOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  const auto until = std::chrono::steady_clock::now() + options.wait;
  // A daemon that is being started has no socket yet.
  for (;;) {
    const auto answer = daemon.ask("status");
    const bool late = std::chrono::steady_clock::now() >= until;
    if (!answer.ok() && (late || daemon.has_refused()))
      return fail(answer.error(), daemon, console, options.asking.json);
    if (answer.ok() && (late || is_good(*answer))) {
      options.asking.json ? print(*answer, console) : write_status(*answer, console.out);
      return is_good(*answer) ? Outcome::good : Outcome::refused;
    }
    std::this_thread::sleep_for(look_every);
  }
}

Outcome peers(const Asking& asking, const Console& console) {
  Daemon daemon(asking.socket);
  return put({"peers", Json::object(), write_peers, all_granted}, daemon, console, asking.json);
}

}  // namespace cs::keymsd
