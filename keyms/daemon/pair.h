// SPDX-License-Identifier: GPL-3.0-or-later
// One agreed policy as this gateway lives it: attests with the other gateway, keeps what that
// grants, renews it in time, and takes it back when it fails. Decides; whatever is done to TPM,
// kernel, carrier and data plane its host does. For an event loop.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "keyms/policy/core_policy.h"
#include "keyms/session/link.h"
#include "keyms/session/run.h"

namespace cs::keyms {

struct PairTerms {
  Role role = Role::initiator;  // ours, until a channel says otherwise: the initiator asks for one
  std::string us;
  std::string peer;
  Hash core_properties{};
  std::uint64_t policy_version = 1;
  std::chrono::seconds interval{300};  // from one verdict to the next
  std::chrono::seconds overlap{30};    // how long former keys are still taken
  std::chrono::seconds silence{15};
  OnFailure on_failure = OnFailure::cut;
  std::chrono::seconds grace{0};  // until the next worse consequence; 0: it never comes
};

// A channel that a carrier has made. It is told of its end, and goes.
class PairChannel {
 public:
  PairChannel() = default;
  PairChannel(const PairChannel&) = delete;
  PairChannel& operator=(const PairChannel&) = delete;
  PairChannel(PairChannel&&) = delete;
  PairChannel& operator=(PairChannel&&) = delete;
  virtual ~PairChannel() = default;

  // Who opened it is the initiator of its sessions.
  [[nodiscard]] virtual Role role() const = 0;
  // H(its secret), and the certificates by which it was made, if there are any: ours, the peer's.
  [[nodiscard]] virtual Hash channel() const = 0;
  [[nodiscard]] virtual std::optional<Hash> certificate() const = 0;
  [[nodiscard]] virtual std::optional<Hash> peer_certificate() const = 0;
  virtual void send(Bytes message) = 0;
  virtual void grant() = 0;
  // Both are the last word.
  virtual void deny(const Reason& why) = 0;
  virtual void close(const Reason& why) = 0;
};

// How much of what was granted is in force.
enum class Standing : std::uint8_t {
  closed,     // nothing passes
  granted,    // attested
  reported,   // it has failed; the policy lets it go on
  restricted  // the same, but no new SA
};
[[nodiscard]] std::string_view to_string(Standing standing) noexcept;

class PairHost {
 public:
  PairHost() = default;
  PairHost(const PairHost&) = delete;
  PairHost& operator=(const PairHost&) = delete;
  PairHost(PairHost&&) = delete;
  PairHost& operator=(PairHost&&) = delete;
  virtual ~PairHost() = default;

  // Our endpoint, for the next hello over a channel that was made with this certificate.
  struct Endpoint {
    Bytes ak_public;
    Bytes statement;
    Bytes signature;
  };
  [[nodiscard]] virtual Result<Endpoint> endpoint(const std::optional<Hash>& certificate) = 0;
  // Of the peer; whether it has not shown yet that its attestation key is in a TPM.
  [[nodiscard]] virtual bool wants_proof() = 0;

  // As RunHost. Reasons that concern what a gateway does, and not who it is, are `of_state`: a
  // policy may bear with them.
  struct Judgement {
    std::vector<Reason> of_identity;
    std::vector<Reason> of_state;
  };
  [[nodiscard]] virtual std::vector<Reason> judge_hello(const SessionHello& hello) = 0;
  virtual void show(const ShowRequest& request) = 0;
  [[nodiscard]] virtual Result<Bytes> read_log(Log log, std::uint64_t offset,
                                               std::size_t length) = 0;
  [[nodiscard]] virtual Result<std::vector<Wanted>> wanted(const EvidenceMessage& evidence) = 0;
  [[nodiscard]] virtual Judgement judge(const PeerShown& shown) = 0;
  [[nodiscard]] virtual Result<RunHost::Challenge> challenge(const EvidenceMessage& evidence,
                                                             const SessionHello& hello) = 0;
  virtual void activate(const CredentialFor& credential) = 0;

  // Asks the carrier for a channel.
  virtual void connect() = 0;
  // The data plane's keys. add_inbound: false where nobody is there to verify; else
  // Pair::applied() follows.
  virtual Result<bool> add_inbound(const Granted& granted) = 0;
  virtual Result<void> add_outbound(const Granted& granted) = 0;
  // All but those of the newest run end then.
  virtual void retire_keys(BootTime until) = 0;
  virtual void withdraw_keys() = 0;
  // The session that SAs are bound to, and what the peer says of them.
  virtual void begin_sas(const Hash& session_id, Role role) = 0;
  virtual void on_sas(const Sas& sas) = 0;
  virtual void on_sas_gone(const SasGone& gone) = 0;
  // With closed everything of the pair stops, and its SAs go.
  virtual void stand(Standing standing) = 0;

  struct Told {
    enum class What : std::uint8_t { granted, renewed, denied, notice, trouble };
    What what = What::trouble;
    std::vector<Reason> reasons;
    bool by_peer = false;  // nobody but the peer says so
  };
  virtual void tell(const Told& told) = 0;
};

class Pair final : private RunHost {
 public:
  // After failure the initiator tries again.
  static constexpr std::chrono::seconds first_delay{1};
  static constexpr std::chrono::seconds last_delay{30};
  // A call costs next to nothing, so who comes back is not waited for; nor is one called twice
  // while a call goes on.
  static constexpr std::chrono::seconds call_again{2};
  static constexpr std::chrono::seconds most_call{15};

  // Host and clock must outlive it.
  Pair(PairHost& host, const Clock& clock, PairTerms terms);
  ~Pair() override;
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  Pair(Pair&&) = delete;
  Pair& operator=(Pair&&) = delete;

  // That an initiator begins at most, renewals and what it is asked for.
  [[nodiscard]] static std::size_t runs_in_a_minute(std::chrono::seconds interval) noexcept;

  // From the carrier. A newer channel takes the place of the older.
  void channel_up(std::unique_ptr<PairChannel> channel);
  void receive(ByteView message);
  void channel_down(const Reason& why);
  void unreachable();

  // Answers of the host.
  void quoted(Result<EvidenceMessage> evidence);
  void activated(Result<SecretBytes> secret);
  void applied(std::uint32_t key);

  // What is wrong with this gateway itself, as drift; empty: nothing. While it is, nothing is
  // granted.
  void set_own_faults(std::vector<Reason> faults);
  // On the link, if there is one.
  Result<void> say(const Sealed& message);
  // Now, rather than when it is due. Fails in words where it cannot be.
  Result<void> attest();
  // An operator, or a policy that ends.
  void deny(const Reason& why);

  [[nodiscard]] std::optional<BootTime> deadline() const;
  void tick();

  struct View {
    Standing standing = Standing::closed;
    RunState run = RunState::idle;
    bool channel = false;
    std::optional<BootTime> granted_at;
    std::optional<BootTime> until;     // the end of what was granted
    std::optional<BootTime> next_run;  // of the initiator
    std::optional<BootTime> heard;
    std::vector<Reason> reasons;  // of the last failure, or why nothing was granted yet
    bool by_peer = false;
    bool proved = false;
    std::uint64_t granted = 0;  // runs
    std::uint64_t failed = 0;
  };
  [[nodiscard]] View view() const;

 private:
  struct Channel;

  // RunHost
  void send(Bytes message) override;
  [[nodiscard]] std::vector<Reason> judge_hello(const SessionHello& hello) override;
  void show(const ShowRequest& request) override { host_->show(request); }
  [[nodiscard]] Result<Bytes> read_log(Log log, std::uint64_t offset, std::size_t length) override {
    return host_->read_log(log, offset, length);
  }
  [[nodiscard]] Result<std::vector<Wanted>> wanted(const EvidenceMessage& evidence) override {
    return host_->wanted(evidence);
  }
  [[nodiscard]] std::vector<Reason> judge(const PeerShown& shown) override;
  [[nodiscard]] Result<Challenge> challenge(const EvidenceMessage& evidence,
                                            const SessionHello& hello) override {
    return host_->challenge(evidence, hello);
  }
  void activate(const CredentialFor& credential) override { host_->activate(credential); }
  void granted(Granted grant, Bytes last_message) override;
  void failed(Failed failure) override;

  void begin_run();
  [[nodiscard]] Result<RunTerms> run_terms(const PairChannel& channel) const;
  [[nodiscard]] Role role() const noexcept;
  void on_link(const Envelope& envelope);
  void on_link(Sealed message);
  void use_new_keys();
  void is_ready();
  void fail(std::vector<Reason> reasons, bool by_peer);
  void escalate();
  [[nodiscard]] OnFailure consequence() const;
  [[nodiscard]] bool is_at_fault() const;
  void cut();
  void close_channel(const Reason& why, bool denied);
  void try_again_later();
  [[nodiscard]] std::chrono::milliseconds sign_of_life() const;
  void trouble(const std::string& code, const Error& why);

  PairHost* host_;
  const Clock* clock_;
  PairTerms terms_;
  std::unique_ptr<Channel> channel_;
  bool calling_ = false;                          // and nobody has answered yet
  std::vector<std::unique_ptr<Channel>> closed_;  // gone when nothing of them is on the stack
  std::vector<Reason> own_faults_;

  // Of the run that granted last.
  struct Grant {
    Granted what;
    BootTime at;
    BootTime until;
    Bytes last_message;  // to be sent when our data plane verifies with the peer's key
    bool applied = false;
    bool ready = false;  // so does the peer's
  };
  std::optional<Grant> grant_;
  Standing standing_ = Standing::closed;
  std::optional<BootTime> failing_since_;
  std::vector<Reason> reasons_;
  bool by_peer_ = false;
  std::vector<Reason> borne_;  // what this run's judgement found that the policy bears with

  std::optional<BootTime> heard_;
  std::optional<BootTime> next_run_;
  std::deque<BootTime> begun_;  // runs, in the last minute
  std::chrono::seconds delay_ = first_delay;
  std::uint64_t granted_runs_ = 0;
  std::uint64_t failed_runs_ = 0;
};

}  // namespace cs::keyms
