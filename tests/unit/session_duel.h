// SPDX-License-Identifier: GPL-3.0-or-later
// One gateway and one attacker, for a test that says itself what is done when.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/session_attacker.h"

namespace cs::test {

struct Duel {
  // The attacker's TPM is that of `tpm_of`.
  explicit Duel(keyms::Role victims_role, const char* tpm_of, bool wants_proof = true)
      : victim(name_of(victims_role), name_of(other(victims_role)), clock, victims_role,
               wants_proof),
        tpm(tpm_of),
        attacker(victim, tpm) {
    if (victims_role == keyms::Role::initiator) victim.run.begin();
    collect();
  }
  // With the TPM that the policy names.
  explicit Duel(keyms::Role victims_role, bool wants_proof = true)
      : Duel(victims_role, name_of(other(victims_role)), wants_proof) {}

  static const char* name_of(keyms::Role role) {
    return role == keyms::Role::initiator ? "berlin" : "hamburg";
  }
  void deliver(const Bytes& message) {
    said.emplace_back(attacker.role(), message);
    receive(victim, message);
    victim.answer();
    collect();
  }
  // Of no use where there is no key for it yet.
  void deliver(const std::optional<Bytes>& message) { deliver(message.value()); }
  void say(const keyms::Sealed& message) { deliver(attacker.sealed(message)); }
  void collect() {
    victim.answer();
    while (!victim.sent.empty()) {
      attacker.hear(victim.sent.front());
      said.emplace_back(other(attacker.role()), victim.sent.front());
      victim.sent.pop_front();
    }
  }
  // Honestly, until the victim is in this state or there is nothing more to say.
  bool until(keyms::RunState state) {
    while (victim.run.state() != state) {
      const auto message = attacker.next();
      if (!message) return false;
      deliver(*message);
    }
    return true;
  }
  [[nodiscard]] std::string code() const {
    return victim.failures.empty() ? "" : victim.failures.front().reasons.front().code;
  }
  [[nodiscard]] std::string why() const {
    return victim.failures.empty() ? "" : victim.failures.front().reasons.front().text;
  }

  ManualClock clock;
  StandInHost victim;
  StandInTpm tpm;
  Attacker attacker;
  std::vector<std::pair<keyms::Role, Bytes>> said;  // by both
};

}  // namespace cs::test
