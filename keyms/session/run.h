// SPDX-License-Identifier: GPL-3.0-or-later
// One attestation run after the other, at one end of a channel: docs/PROTOCOL.md, "The attestation
// session". Decides what is sent and what is refused; everything else (TPM, files, verifier) its
// host does. Nothing waits, nothing has a thread: for an event loop.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "keyms/session/hello.h"
#include "keyms/session/key_schedule.h"
#include "keyms/session/log_transfer.h"
#include "keyms/session/messages.h"
#include "keyms/session/table.h"

namespace cs::keyms {

// Who the two are, as the agreed policy and the channel say.
struct RunTerms {
  Role role = Role::initiator;  // ours
  std::string us;               // NeIDs
  std::string peer;
  Hash core_properties{};
  std::uint64_t policy_version = 1;
  Hash channel{};            // channel_of(its secret)
  bool wants_proof = false;  // from the peer, that its attestation key is in a TPM
  Bytes ak_public;           // ours, and what it signed of our endpoint
  Bytes endpoint_statement;
  Bytes endpoint_signature;
  std::vector<Voucher> vouchers;
  // The certificate the carrier says the peer used; none: the carrier knows none.
  std::optional<Hash> peer_certificate;
};

// What our own evidence is to be made of.
struct ShowRequest {
  QuoteContext context;      // for qualifying_data(context, statement)
  std::uint32_t key_id = 0;  // what the peer calls our new key
  bool endorsement = false;  // the peer wants proof
};

// All that a peer has shown, to be judged. Views of the run's own memory.
struct PeerShown {
  const SessionHello& hello;
  const EvidenceMessage& evidence;
  const EvidenceStatement& statement;
  std::array<Wanted, log_count> pulled;  // what of each log there is; size 0: nothing
  std::array<ByteView, log_count> logs;
  Hash qualifying{};
};

// A run that has come to its end well.
struct Granted {
  Role role = Role::initiator;  // ours
  LateKeys keys;
  SessionHello hello;  // the peer's
  EvidenceStatement ours;
  EvidenceStatement theirs;
  Bytes our_quote;  // TPMS_ATTEST, for the PCR digests
  Bytes their_quote;
  bool proved = false;  // that the peer's attestation key is in a TPM
};

// One that has not. By us, or by the peer: then nobody but the peer says that these are the
// reasons.
struct Failed {
  enum class By : std::uint8_t { us, peer };
  By by = By::us;
  std::vector<Reason> reasons;
};

// What a run asks of its daemon. Must outlive it. None may call back into the run at once; what is
// answered later goes to Run::quoted() and Run::activated().
class RunHost {
 public:
  RunHost() = default;
  RunHost(const RunHost&) = delete;
  RunHost& operator=(const RunHost&) = delete;
  RunHost(RunHost&&) = delete;
  RunHost& operator=(RunHost&&) = delete;
  virtual ~RunHost() = default;

  virtual void send(Bytes message) = 0;
  // A hello that is well formed, of the peer and the policy we want: whether we believe it. Checks
  // the attestation key against the policy, and the statement under it, at the clock's time.
  [[nodiscard]] virtual std::vector<Reason> judge_hello(const SessionHello& hello) = 0;
  virtual void show(const ShowRequest& request) = 0;
  // Of what the evidence given last has as its logs.
  [[nodiscard]] virtual Result<Bytes> read_log(Log log, std::uint64_t offset,
                                               std::size_t length) = 0;
  // Which pieces to pull, each log at most once. An error is a denial.
  [[nodiscard]] virtual Result<std::vector<Wanted>> wanted(const EvidenceMessage& evidence) = 0;
  // None: it is good.
  [[nodiscard]] virtual std::vector<Reason> judge(const PeerShown& shown) = 0;
  // For the peer's endorsement key and attestation key, with a secret drawn for this.
  struct Challenge {
    CredentialFor credential;
    SecretBytes secret;
  };
  [[nodiscard]] virtual Result<Challenge> challenge(const EvidenceMessage& evidence,
                                                    const SessionHello& hello) = 0;
  virtual void activate(const CredentialFor& credential) = 0;
  // The run is over. `last_message`, if there is one, is to be sent when the peer's new key has
  // been given to who verifies with it.
  virtual void granted(Granted granted, Bytes last_message) = 0;
  // After it the channel has to be closed, when what was sent has gone.
  virtual void failed(Failed failed) = 0;
};

class Run {
 public:
  static constexpr std::chrono::seconds hello_within{5};
  static constexpr std::chrono::seconds step_within{20};
  static constexpr std::chrono::seconds run_within{120};

  Run(RunHost& host, const Clock& clock, RunTerms terms);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  Run(Run&&) = delete;
  Run& operator=(Run&&) = delete;

  [[nodiscard]] RunState state() const noexcept { return state_; }
  // Of a run that is under way, and for the next one.
  [[nodiscard]] RunTerms& terms() noexcept { return terms_; }

  // Begins one; only as initiator, and while none is under way.
  void begin();
  // One of the messages 0 to 8. Whatever is wrong with it ends the run.
  void receive(const Envelope& envelope);
  // Answers to show() and activate(). What comes when nobody has asked is left aside.
  void quoted(Result<EvidenceMessage> evidence);
  void activated(Result<SecretBytes> secret);

  [[nodiscard]] std::optional<BootTime> deadline() const noexcept;
  void tick();
  // Ends a run that is under way: with a reason for the peer.
  void abandon(Reason why);

 private:
  struct Progress;

  [[nodiscard]] Role peer_role() const noexcept { return other(terms_.role); }
  Result<void> act(RunAction action, const Envelope* envelope);
  Result<void> act_on(RunAction action, Sealed message, ByteView bytes);
  Result<void> greet();
  Result<void> answer(const Envelope& envelope);
  Result<void> agree(const Envelope& envelope);
  Result<void> take_hello(const Envelope& envelope);
  Result<Bytes> make_hello();
  void ask_for_evidence();
  Result<void> show();
  Result<void> serve(const Get& get);
  Result<void> pull(EvidenceMessage evidence, ByteView bytes);
  Result<void> ask_next();
  Result<void> take(const Part& part);
  Result<void> judge();
  Result<std::optional<CredentialFor>> make_challenge();
  Result<void> conclude();
  Result<void> prove(const ResultMessage& result, ByteView bytes);
  Result<void> finish();
  Result<void> grant(const FinalMessage& final);
  Result<bool> check_proof(const std::optional<Hash>& proof);
  Result<void> grant_with(Bytes last_message);
  Result<void> send(const Sealed& message, const SecretBytes& key);
  Result<Bytes> sealed(const Sealed& message, const SecretBytes& key);
  void done();
  void fail(const Error& why);
  void end(Failed failed, bool tell);
  void progress(std::chrono::seconds within);

  RunHost* host_;
  const Clock* clock_;
  RunTerms terms_;
  RunState state_ = RunState::idle;
  std::unique_ptr<Progress> progress_;
};

}  // namespace cs::keyms
