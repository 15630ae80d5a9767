// SPDX-License-Identifier: GPL-3.0-or-later
// Two ends of a session over a channel of the test's own. Their TPMs are stand-ins: a quote is the
// qualifying data and the state of the machine, signed with an HMAC that only the gateway it names
// has the key of. What a run does with it is what counts here; the verifier has tests of its own.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "keyms/session/run.h"
#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"

namespace cs::test {

using keyms::Bytes;

// What the one of this name signs with; nobody else uses it.
[[nodiscard]] Bytes stand_in_signature(const std::string& name, ByteView signed_bytes);
// What everybody knows of it.
[[nodiscard]] keyms::Hash certificate_of(const std::string& name);
[[nodiscard]] Bytes attestation_key_of(const std::string& name);
[[nodiscard]] Bytes endorsement_key_of(const std::string& name);
[[nodiscard]] Bytes endpoint_statement_of(const std::string& name);
[[nodiscard]] keyms::EvidenceStatement statement_for(std::uint32_t key_id);

// What a session asks of a TPM; it remembers what it did.
struct StandInTpm {
  explicit StandInTpm(std::string of, bool in_good_state = true)
      : name(std::move(of)), good(in_good_state) {}

  std::string name;
  bool good;          // the state its quotes tell
  bool opens = true;  // credentials; else its endorsement key is another's
  std::vector<Bytes> quoted;
  std::vector<keyms::CredentialFor> activated;
  std::vector<Bytes> recovered;  // their secrets

  [[nodiscard]] keyms::SignedAttestation quote(const keyms::Hash& qualifying);
  // Refused: a credential for another TPM, or for another key in it.
  [[nodiscard]] Result<Bytes> activate(const keyms::CredentialFor& credential);
};
[[nodiscard]] keyms::CredentialFor credential_for(ByteView endorsement_key, ByteView ak,
                                                  ByteView secret);

class StandInHost : public keyms::RunHost {
 public:
  StandInHost(const std::string& who, const std::string& peer, const Clock& clock, keyms::Role role,
              bool wants_proof);

  void send(Bytes message) override { sent.push_back(std::move(message)); }
  std::vector<keyms::Reason> judge_hello(const keyms::SessionHello& hello) override;
  void show(const keyms::ShowRequest& request) override;
  Result<Bytes> read_log(keyms::Log log, std::uint64_t offset, std::size_t length) override;
  Result<std::vector<keyms::Wanted>> wanted(const keyms::EvidenceMessage& evidence) override;
  std::vector<keyms::Reason> judge(const keyms::PeerShown& shown) override;
  Result<Challenge> challenge(const keyms::EvidenceMessage& evidence,
                              const keyms::SessionHello& hello) override;
  void activate(const keyms::CredentialFor& credential) override;
  void granted(keyms::Granted grant, Bytes last_message) override;
  void failed(keyms::Failed failure) override { failures.push_back(std::move(failure)); }

  // What the TPM was asked for is answered when the test says so, or at once.
  void answer();

  StandInTpm tpm;
  std::deque<Bytes> sent;
  std::vector<keyms::Granted> grants;
  std::vector<keyms::Failed> failures;
  std::size_t judged = 0;
  std::array<Bytes, keyms::log_count> logs;  // ours
  std::optional<keyms::ShowRequest> asked_to_show;
  std::optional<keyms::CredentialFor> asked_to_activate;
  // What this one does otherwise than it should.
  std::function<void(keyms::EvidenceMessage&, const keyms::ShowRequest&)> spoil;
  std::vector<keyms::Reason> refuses;
  std::optional<std::vector<keyms::Wanted>> wants;
  bool other_tpm = false;  // recovers another secret
  std::optional<Error> tpm_fails;
  std::optional<Error> log_fails;
  keyms::Run run;
};

struct SessionPair {
  explicit SessionPair(bool wants_proof = true);

  ManualClock clock;
  StandInHost initiator;
  StandInHost responder;

  // Delivers what waits, both ways, until nothing does. `middle` sees each message, with who sent
  // it, and may change it; an empty one is not delivered.
  using Middle = std::function<void(keyms::Role, Bytes&)>;
  void deliver(const Middle& middle = {});
  void attest(const Middle& middle = {}) {
    initiator.run.begin();
    deliver(middle);
  }
  [[nodiscard]] StandInHost& of(keyms::Role role) {
    return role == keyms::Role::initiator ? initiator : responder;
  }
};

// As a daemon does: what is no message at all ends the run, too.
void receive(StandInHost& host, ByteView message);

}  // namespace cs::test
