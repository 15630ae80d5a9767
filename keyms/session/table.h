// SPDX-License-Identifier: GPL-3.0-or-later
// The attestation run as a table: what may happen in which state, and what is done then. Whatever
// is not here is refused. docs/PROTOCOL.md shows the same table; a test holds the two together.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "keyms/session/messages.h"

namespace cs::keyms {

enum class RunState : std::uint8_t {
  idle,
  // initiator
  greeting,    // hello is sent
  quoting,     // the own TPM is asked
  showing,     // evidence is sent, and served
  appraising,  // the responder's evidence is pulled
  proving,     // the own TPM activates a credential
  concluding,  // result is sent
  // responder
  greeted,       // hello is answered
  r_appraising,  // the initiator's evidence is pulled
  r_quoting,
  r_showing,
  r_proving,
};
inline constexpr std::size_t run_state_count = 12;
[[nodiscard]] constexpr std::string_view to_string(RunState state) noexcept {
  constexpr std::array<std::string_view, run_state_count> names{
      "idle",       "greeting", "quoting",      "showing",   "appraising", "proving",
      "concluding", "greeted",  "r_appraising", "r_quoting", "r_showing",  "r_proving"};
  return names.at(static_cast<std::size_t>(state));
}

// A message that came, or what happened here.
enum class RunEvent : std::uint8_t {
  refuse,
  initiator_hello,
  responder_hello,
  evidence,
  get,
  part,
  result,
  final,
  denied,
  begin,      // we are to attest
  quoted,     // the own TPM has given evidence
  activated,  // and recovered a secret
};
inline constexpr std::size_t run_event_count = 12;
[[nodiscard]] constexpr std::string_view to_string(RunEvent event) noexcept {
  constexpr std::array<std::string_view, run_event_count> names{
      "refuse", "hello 1", "hello 2", "evidence", "get",    "part",
      "result", "final",   "denied",  "begin",    "quoted", "activated"};
  return names.at(static_cast<std::size_t>(event));
}

enum class RunAction : std::uint8_t {
  greet,     // send hello
  answer,    // look at the hello, and answer it
  agree,     // look at the answer, agree on keys, ask the TPM for evidence
  show,      // send evidence
  serve,     // send parts
  pull,      // take the peer's evidence, and ask for its logs
  take,      // one part; with the last, judge
  conclude,  // send result
  prove,     // look at the result; answer its credential, or finish
  finish,    // send final, and grant
  grant,     // look at final, and grant
  fail,      // the peer has ended it
};
inline constexpr std::size_t run_action_count = 12;
[[nodiscard]] constexpr std::string_view to_string(RunAction action) noexcept {
  constexpr std::array<std::string_view, run_action_count> names{
      "greet", "answer",   "agree", "show",   "serve", "pull",
      "take",  "conclude", "prove", "finish", "grant", "fail"};
  return names.at(static_cast<std::size_t>(action));
}

struct RunRow {
  RunState in;
  RunEvent on;
  RunAction then;
};
inline constexpr std::array run_table{
    RunRow{RunState::idle, RunEvent::begin, RunAction::greet},
    RunRow{RunState::idle, RunEvent::initiator_hello, RunAction::answer},
    RunRow{RunState::greeting, RunEvent::responder_hello, RunAction::agree},
    RunRow{RunState::greeting, RunEvent::refuse, RunAction::fail},
    RunRow{RunState::quoting, RunEvent::quoted, RunAction::show},
    RunRow{RunState::quoting, RunEvent::denied, RunAction::fail},
    RunRow{RunState::showing, RunEvent::get, RunAction::serve},
    RunRow{RunState::showing, RunEvent::evidence, RunAction::pull},
    RunRow{RunState::showing, RunEvent::denied, RunAction::fail},
    RunRow{RunState::appraising, RunEvent::part, RunAction::take},
    RunRow{RunState::appraising, RunEvent::denied, RunAction::fail},
    RunRow{RunState::proving, RunEvent::activated, RunAction::conclude},
    RunRow{RunState::proving, RunEvent::denied, RunAction::fail},
    RunRow{RunState::concluding, RunEvent::final, RunAction::grant},
    RunRow{RunState::concluding, RunEvent::denied, RunAction::fail},
    RunRow{RunState::greeted, RunEvent::evidence, RunAction::pull},
    RunRow{RunState::greeted, RunEvent::denied, RunAction::fail},
    RunRow{RunState::r_appraising, RunEvent::part, RunAction::take},
    RunRow{RunState::r_appraising, RunEvent::denied, RunAction::fail},
    RunRow{RunState::r_quoting, RunEvent::quoted, RunAction::show},
    RunRow{RunState::r_quoting, RunEvent::denied, RunAction::fail},
    RunRow{RunState::r_showing, RunEvent::get, RunAction::serve},
    RunRow{RunState::r_showing, RunEvent::result, RunAction::prove},
    RunRow{RunState::r_showing, RunEvent::denied, RunAction::fail},
    RunRow{RunState::r_proving, RunEvent::activated, RunAction::finish},
    RunRow{RunState::r_proving, RunEvent::denied, RunAction::fail},
};

// Null: it may not happen there.
[[nodiscard]] constexpr const RunRow* find_row(RunState in, RunEvent on) noexcept {
  const auto* const row = std::ranges::find_if(
      run_table, [&](const RunRow& each) { return each.in == in && each.on == on; });
  return row == run_table.end() ? nullptr : row;
}

}  // namespace cs::keyms
