// SPDX-License-Identifier: GPL-3.0-or-later
// A gateway against a malicious peer that does as a list of choices says: random numbers in a test,
// a fuzzer's bytes in a fuzz target.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "keyms/session/link.h"
#include "tests/unit/session_attacker.h"

namespace cs::test {

// A number below the one given, which is not 0.
using Choose = std::function<std::uint32_t(std::uint32_t)>;

class Play {
 public:
  // The last quotes as the one that the policy names, but is not in the TPM it claims to be in.
  enum class Tpm : std::uint8_t { another, in_bad_state, good, not_proved };
  // The role of the victim, whether it wants proof, and the attacker's TPM are chosen too.
  explicit Play(Choose choose);

  // An honest run with up to so many things that are not, then more of those.
  void play(std::uint32_t most_deviations);

  [[nodiscard]] Tpm tpm() const noexcept { return kind_; }
  // Whether an honest run with that TPM ends granted.
  [[nodiscard]] bool is_good_enough() {
    return kind_ == Tpm::good || (kind_ == Tpm::not_proved && !victim_.run.terms().wants_proof);
  }
  [[nodiscard]] bool deviated() const noexcept { return deviated_; }
  [[nodiscard]] std::size_t grants() const noexcept { return victim_.grants.size(); }
  // What must not be: empty.
  [[nodiscard]] const std::string& broken() const noexcept { return broken_; }
  // Of one sequence, for who wants to see it.
  [[nodiscard]] const std::string& told() const noexcept { return told_; }

 private:
  void deliver(Bytes message);
  void collect();
  void step();
  void deviate();
  std::optional<Bytes> deviant_message();
  std::optional<Bytes> other_hello();
  std::optional<Bytes> other_evidence();
  std::optional<Bytes> other_message();
  std::optional<Bytes> misplaced();
  std::optional<Bytes> old_one();
  keyms::Sealed any_message();
  Bytes changed(Bytes message);
  Bytes bytes(std::size_t size);
  keyms::Hash hash();

  Choose choose_;
  ManualClock clock_;
  keyms::Role role_;  // the victim's
  StandInHost victim_;
  Tpm kind_;
  StandInTpm tpm_;
  Attacker attacker_;
  Witness witness_;
  keyms::Link link_;
  std::vector<Bytes> delivered_;
  std::vector<Bytes> heard_;
  std::size_t justified_ = 0;
  bool deviated_ = false;
  std::string broken_;
  std::string told_;
};

// All that was said in one honest run between the two, by each of them.
[[nodiscard]] const std::vector<Bytes>& old_messages(keyms::Role of);

}  // namespace cs::test
