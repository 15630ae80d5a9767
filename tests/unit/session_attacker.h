// SPDX-License-Identifier: GPL-3.0-or-later
// A malicious peer, on messages and key schedule alone. It has the endpoint of the gateway it plays
// and all that is not secret, draws its own share, so it knows the keys; and it has some TPM.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/session_pair.h"

namespace cs::test {

class Attacker {
 public:
  // Plays the one whom the victim expects. The TPM may be that one's, in any state, or another.
  // Both must outlive it.
  Attacker(StandInHost& victim, StandInTpm& tpm);

  // What an honest peer would say now, with the evidence that the TPM makes; nothing: it waits.
  [[nodiscard]] std::optional<Bytes> next();
  // What the victim has said.
  void hear(ByteView message);

  // The pieces of it. Each counts as said.
  [[nodiscard]] keyms::SessionHello make_hello();
  [[nodiscard]] Bytes say(const keyms::SessionHello& hello);
  [[nodiscard]] keyms::EvidenceMessage make_evidence();
  void quote(keyms::EvidenceMessage& evidence);  // anew, over the statement in it
  [[nodiscard]] Bytes show(const keyms::EvidenceMessage& evidence);
  [[nodiscard]] std::optional<Bytes> conclude();  // result or final, by role
  // Under the key and the number that are its turn; none: there is no such key yet.
  [[nodiscard]] std::optional<Bytes> sealed(const keyms::Sealed& message);
  [[nodiscard]] std::optional<Bytes> part_of(const keyms::Get& get, std::size_t size);
  // Of the run, of confirming or of the link; by who sends under it. None: not yet.
  [[nodiscard]] const SecretBytes* key(keyms::MessageType type, keyms::Role of) const;

  [[nodiscard]] keyms::Role role() const noexcept { return role_; }
  [[nodiscard]] bool knows_keys() const noexcept { return run_.has_value(); }
  [[nodiscard]] const SecretBytes& agreed() const { return agreed_.value(); }
  // How often the victim has sent each kind of message, and how many bytes of parts.
  std::size_t heard_gets = 0;
  std::size_t heard_parts = 0;
  std::uint64_t heard_part_bytes = 0;
  std::optional<keyms::SessionHello> victims_hello;
  std::optional<keyms::EvidenceMessage> victims_evidence;
  std::optional<keyms::CredentialFor> victims_credential;  // for our TPM, as the victim thinks
  std::vector<keyms::Reason> victims_reasons;
  std::deque<keyms::Get> gets;  // unanswered
  std::uint64_t number = 0;     // of our next message under the run key
  bool granted = false;         // the victim's final has come

 private:
  void agree();
  void hear_sealed(const keyms::Envelope& envelope);
  [[nodiscard]] std::optional<keyms::Hash> proof();
  [[nodiscard]] std::optional<Bytes> next_part();
  void continue_with(ByteView sealed);
  [[nodiscard]] keyms::QuoteContext context() const;

  StandInHost* victim_;
  StandInTpm* tpm_;
  keyms::Role role_;
  std::optional<keyms::EphemeralKey> key_;
  Bytes our_hello_;
  Bytes victims_hello_bytes_;
  std::array<keyms::Nonce, 2> nonces_{};
  std::array<keyms::Hash, 2> certificates_{};
  keyms::Hash transcript_{};
  std::optional<SecretBytes> agreed_;
  std::optional<keyms::KeyPair> run_;
  std::optional<keyms::LateKeys> late_;
  bool shown_ = false;
  bool concluded_ = false;
  bool asked_to_conclude_ = false;
};

// Watches one end: what goes in and out of it, and what its run makes of that.
class Witness {
 public:
  explicit Witness(StandInHost& watched) : watched_(&watched) {}

  void in(ByteView message);
  void out(ByteView message);
  // THE PROPERTY. Each grant needs a quote of its own that the TPM of the gateway whom the policy
  // names has made, in a good state, over exactly this run: over the hellos, nonces, channel,
  // certificates and (the responder's) the initiator's evidence, as this end has sent and received
  // them, and over the new session key that was granted. It is `proved` only if that TPM has
  // recovered the secret of the credential that this end has sent. Empty: so it is.
  [[nodiscard]] std::string why_unjustified(const keyms::Granted& grant, const StandInTpm& named);

 private:
  StandInHost* watched_;
  std::array<Bytes, 2> hellos_;  // by role
  std::array<Bytes, 2> evidences_;
  std::optional<keyms::CredentialFor> credential_;
  std::set<Bytes> used_;
};

}  // namespace cs::test
