// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator sees of the running daemon.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/fingerprint.h"
#include "base/hex.h"
#include "base/rfc3339.h"
#include "keyms/daemon/control_verbs.h"
#include "keyms/evidence/explain.h"
#include "keyms/policy/words.h"

namespace cs::keyms {
namespace {

using nlohmann::json;

// What people read aloud of a Name is its digest.
constexpr std::size_t algorithm_size = 2;

Conductor* conductor_of(ControlState& state) {
  Running* const running = state.running();
  return running == nullptr ? nullptr : running->conductor.get();
}

json null_or(bool there, json value) {
  return there ? std::move(value) : json();
}

// Times are the boot clock's inside, and the wall clock's for people.
json wall_of(const Clock& clock, std::optional<BootTime> time) {
  if (!time) return nullptr;
  return format_rfc3339(clock.wall() +
                        std::chrono::duration_cast<WallTime::duration>(*time - clock.boot()));
}

json reasons_json(const std::vector<Reason>& reasons) {
  json out = json::array();
  for (const Reason& one : reasons) out.push_back({{"code", one.code}, {"text", one.text}});
  return out;
}

// Sentences of faults end with a command where they know one; these are for those that do not.
std::string_view hint_of(std::string_view code) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> hints{
      {{"locked", "countersign recover --request FILE, for the approver; or a reboot"},
       {"kernel", "countersign doctor"},
       {"registers", "countersign log; a reboot begins the registers anew"},
       {"clock", "timedatectl status"},
       {"certificate", "countersign certs"},
       {"carrier", "countersign events; check network.listen in keymsd.toml"},
       {"policies", "countersign policy show"}}};
  const auto* const found =
      std::ranges::find(hints, code, &std::pair<std::string_view, std::string_view>::first);
  return found == hints.end() ? "countersign events" : found->second;
}

json faults_json(ControlState& state) {
  json out = json::array();
  const ControlState::About about = state.about();
  if (!about.locked.empty())
    out.push_back({{"code", "locked"}, {"text", about.locked}, {"hint", "countersign recover"}});
  if (!about.configuration.words.empty()) {
    out.push_back({{"code", "configuration"},
                   {"text", about.configuration.words},
                   {"hint", about.configuration.mend}});
  }
  if (const Conductor* conductor = conductor_of(state)) {
    for (const auto& [code, text] : conductor->faults())
      out.push_back({{"code", code}, {"text", text}, {"hint", hint_of(code)}});
    for (const auto& [name, one] : conductor->counterparts()) {
      if (!one->trouble()) continue;
      out.push_back({{"code", "own_evidence"},
                     {"text", "to " + name + ": " + *one->trouble()},
                     {"hint", hint_of("own_evidence")}});
    }
  }
  return out;
}

std::string state_word(ControlState& state) {
  const Conductor* const conductor = conductor_of(state);
  if (conductor == nullptr) return "locked";
  if (conductor->counterparts().empty()) return "no_policy";
  if (!conductor->faults().empty() || conductor->has_breach() || !conductor->awaited().empty())
    return "at_fault";
  return conductor->is_ready() ? "ready" : "starting";
}

json keys_json(const Counterpart& peer) {
  json out{{"inbound", nullptr}, {"outbound", nullptr}};
  for (const Counterpart::Key& key : peer.keys())
    out[key.table == Table::inbound ? "inbound" : "outbound"] = key.id;
  return out;
}

json pending_json(const Conductor& conductor, const std::string& peer) {
  const auto found = conductor.pending().find(peer);
  if (found == conductor.pending().end()) return nullptr;
  return {{"version", found->second.version},
          {"confirm_by", format_rfc3339(found->second.until_wall)}};
}

json peer_json(ControlState& state, const Conductor& conductor, const Counterpart& peer,
               const KernelView* kernel) {
  const Clock& clock = state.clock();
  const Pair::View view = peer.pair().view();
  const HeldPolicy& held = peer.policy();
  KernelView::Pair sas;
  if (kernel != nullptr) {
    if (const auto found = kernel->pairs.find(peer.name()); found != kernel->pairs.end())
      sas = found->second;
  }
  json out{{"peer", peer.name()},
           {"policy",
            {{"name", held.policy.name},
             {"version", held.policy.version},
             {"value", hex_encode(held.value)},
             {"fingerprint", fingerprint_text(held.value)}}},
           {"pending", pending_json(conductor, peer.name())},
           {"role", peer.role() == Role::initiator ? "initiator" : "responder"},
           {"standing", to_string(view.standing)},
           {"run", to_string(view.run)},
           {"channel", view.channel},
           {"granted_at", wall_of(clock, view.granted_at)},
           {"until", wall_of(clock, view.until)},
           {"next_run", wall_of(clock, view.next_run)},
           {"reasons", reasons_json(view.reasons)},
           {"by_peer", view.by_peer},
           {"proved", peer.memory() && peer.memory()->proven_under.has_value()},
           {"granted_runs", view.granted},
           {"failed_runs", view.failed},
           {"sas", sas.sas},
           {"admitted", sas.admitted},
           {"keys", keys_json(peer)}};
  out["heard_seconds"] = null_or(
      view.heard.has_value(),
      view.heard
          ? std::chrono::duration_cast<std::chrono::seconds>(clock.boot() - *view.heard).count()
          : 0);
  return out;
}

std::optional<KernelView> kernel_view(ControlState& state) {
  const Conductor* const conductor = conductor_of(state);
  if (conductor == nullptr || conductor->kernel() == nullptr) return std::nullopt;
  return conductor->kernel()->view();
}

json peers_json(ControlState& state, const std::optional<KernelView>& view) {
  json out = json::array();
  const Conductor* const conductor = conductor_of(state);
  if (conductor == nullptr) return out;
  for (const auto& [name, one] : conductor->counterparts())
    out.push_back(peer_json(state, *conductor, *one, view ? &*view : nullptr));
  return out;
}

json kernel_json(ControlState& state, const std::optional<KernelView>& view) {
  const Conductor* const conductor = conductor_of(state);
  json drift = json::array();
  if (conductor != nullptr) {
    for (const xfrm::Difference& one : conductor->drift()) {
      const xfrm::Meaning& meant = xfrm::meaning(one.code);
      drift.push_back({{"code", meant.name},
                       {"severity", xfrm::text(meant.severity)},
                       {"awaited", conductor->awaited().contains(one)},
                       {"tunnel", one.tunnel},
                       {"sentence", as_text(one.sentence)},
                       {"hint", meant.hint}});
    }
  }
  return {{"watched", view.has_value()},
          {"gate", view ? xfrm::to_string(view->gate) : ""},
          {"drift", drift},
          {"waiting", view ? view->waiting.size() : 0}};
}

json carrier_json(ControlState& state) {
  const Conductor* const conductor = conductor_of(state);
  json out{{"running", false},
           {"third_parties", 0},
           {"channels", 0},
           {"unproven", 0},
           {"refused", json::object()}};
  if (conductor == nullptr || !conductor->is_ready()) return out;
  const Carriers& carriers = *conductor->carriers();
  out["running"] = carriers.worker_runs();
  out["third_parties"] = carriers.third_parties();
  out["channels"] = carriers.stats().channels;
  out["unproven"] = carriers.stats().unproven;
  for (std::size_t i = 0; i < carrier::refusal_count; ++i) {
    const std::uint64_t count = carriers.stats().counters.refused.at(i);
    if (count != 0) out["refused"][carrier::to_string(carrier::Refusal(i))] = count;
  }
  return out;
}

json data_plane_json(ControlState& state) {
  const Running* const running = state.running();
  if (running == nullptr) return {{"connected", false}};
  const keyms::Status& counters = running->signer->counters();
  return {{"connected", running->signer->is_connected()},
          {"packets_signed", counters.packets_signed},
          {"batches_signed", counters.batches_signed},
          {"packets_accepted", counters.packets_accepted},
          {"packets_dropped", counters.packets_dropped},
          {"bad_signatures", counters.bad_signatures}};
}

}  // namespace

json peers_of(ControlState& state) {
  return {{"schema", 1}, {"peers", peers_json(state, kernel_view(state))}};
}

json status_of(ControlState& state) {
  const ControlState::About about = state.about();
  const auto view = kernel_view(state);
  json out{{"schema", 1},
           {"ne_id", ""},
           {"release", about.release},
           {"since", format_rfc3339(about.since)},
           {"state", state_word(state)},
           {"faults", faults_json(state)},
           {"tpm", nullptr},
           {"data_plane", data_plane_json(state)},
           {"kernel", kernel_json(state, view)},
           {"carrier", carrier_json(state)},
           {"peers", peers_json(state, view)}};
  if (const Conductor* conductor = conductor_of(state)) {
    const Machine::Facts& facts = conductor->facts();
    out["ne_id"] = facts.ne_id;
    out["tpm"] = {{"attestation_key", facts.attestation_key.hex()},
                  {"fingerprint",
                   fingerprint_text(ByteView(facts.attestation_key.bytes).subspan(algorithm_size))},
                  {"reset_count", facts.reset_count}};
  }
  return out;
}

json certs_of(ControlState& state) {
  json out{{"schema", 1}, {"endpoint", nullptr}, {"keys", json::array()}};
  const Conductor* const conductor = conductor_of(state);
  if (conductor == nullptr) return out;
  if (const auto endpoint = conductor->endpoint().view()) {
    out["endpoint"] = {
        {"certificate", hex_encode(endpoint->certificate)},
        {"not_before", format_rfc3339(endpoint->not_before)},
        {"not_after", format_rfc3339(endpoint->not_after)},
        {"renews_at", endpoint->renewed_at ? json(format_rfc3339(*endpoint->renewed_at)) : json()}};
  }
  for (const auto& [name, one] : conductor->counterparts()) {
    for (const Counterpart::Key& key : one->keys()) {
      out["keys"].push_back(
          {{"peer", name},
           {"id", key.id},
           {"direction", key.table == Table::inbound ? "inbound" : "outbound"},
           {"suite", word_for(suite_words, key.suite)},
           {"mode", key.resident ? "tpm" : "session"},
           {"not_after", format_rfc3339(WallTime(std::chrono::seconds(key.not_after)))}});
    }
  }
  return out;
}

json explanation_of(ControlState& state, const Counterpart& peer) {
  const Pair::View view = peer.pair().view();
  json out{{"schema", 1},
           {"peer", peer.name()},
           {"standing", to_string(view.standing)},
           {"reasons", reasons_json(view.reasons)},
           {"by_peer", view.by_peer},
           {"appraisal", nullptr},
           {"text", ""}};
  if (const auto& judged = peer.judged()) {
    out["appraisal"] =
        json::parse(explain_json(judged->appraisal, peer.name(), judged->at), nullptr, false);
    out["text"] = explain(judged->appraisal, peer.name(), judged->at);
  } else {
    out["text"] = peer.name() + " has shown nothing since keymsd began, at " +
                  format_rfc3339(state.about().since) + "\n";
  }
  return out;
}

std::string summary_of(ControlState& state) {
  const ControlState::About about = state.about();
  if (!about.locked.empty()) return "closed: " + about.locked;
  const Conductor* const conductor = conductor_of(state);
  if (conductor == nullptr) return "closed";
  std::size_t granted = 0;
  for (const auto& [name, one] : conductor->counterparts())
    granted += one->pair().view().standing == Standing::closed ? 0 : 1;
  std::string out = std::to_string(granted) + " of " +
                    std::to_string(conductor->counterparts().size()) + " peers attested";
  if (!conductor->faults().empty()) out += "; " + conductor->faults().begin()->second;
  if (conductor->has_breach()) out += "; drift: countersign status";
  if (!conductor->awaited().empty()) out += "; the kernel's IPsec is not as agreed yet";
  return out;
}

}  // namespace cs::keyms
