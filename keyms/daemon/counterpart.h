// SPDX-License-Identifier: GPL-3.0-or-later
// A gateway that a core policy is in force with: what its Pair decides is done here, with this
// gateway's TPM, carriers, data plane and kernel.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keyms/daemon/carriers.h"
#include "keyms/daemon/endpoint_keeper.h"
#include "keyms/daemon/events.h"
#include "keyms/daemon/kernel_watch.h"
#include "keyms/daemon/machine.h"
#include "keyms/daemon/pair.h"
#include "keyms/daemon/signer_service.h"
#include "keyms/daemon/tpm_desk.h"
#include "keyms/daemon/trust.h"
#include "keyms/evidence/verifier.h"
#include "keyms/tpm_root_signer.h"

namespace cs::keyms {

// What all peers of a gateway use; must outlive them.
struct CounterpartTools {
  const Clock* clock = nullptr;
  TpmDesk* desk = nullptr;
  Machine* machine = nullptr;
  SignerService* signer = nullptr;
  TpmRootSigner* root_signer = nullptr;
  EndpointKeeper* endpoint = nullptr;
  Events* events = nullptr;
  Trust* trust = nullptr;
  std::unique_ptr<Carriers>* carriers = nullptr;   // none, before all else is ready
  std::unique_ptr<KernelWatch>* kernel = nullptr;  // none: nobody watches it
  const std::optional<Hash>* measured = nullptr;   // of the kernel's policies, as the log has it
};

class Counterpart final : private PairHost {
 public:
  // Runs that one gateway may begin in a minute beyond what it should: each costs us a quote.
  static constexpr std::size_t spare_runs = 2;

  // `number`: by which nfq-signer knows it.
  Counterpart(const CounterpartTools& tools, HeldPolicy policy, std::uint32_t number,
              std::optional<PeerMemory> memory);
  ~Counterpart() override;
  Counterpart(const Counterpart&) = delete;
  Counterpart& operator=(const Counterpart&) = delete;
  Counterpart(Counterpart&&) = delete;
  Counterpart& operator=(Counterpart&&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return policy_.peer().ne_id; }
  [[nodiscard]] const HeldPolicy& policy() const noexcept { return policy_; }
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
  [[nodiscard]] Role role() const noexcept { return role_; }
  [[nodiscard]] Pair& pair() noexcept { return pair_; }
  [[nodiscard]] const Pair& pair() const noexcept { return pair_; }
  [[nodiscard]] const std::optional<PeerMemory>& memory() const noexcept { return memory_; }

  // Whether the hello is its own, over a channel made with this certificate.
  [[nodiscard]] bool believes(const SessionHello& hello,
                              const std::optional<Hash>& peer_certificate) const;
  void channel_up(std::unique_ptr<PairChannel> channel);
  // What the kernel does otherwise than agreed, and what else keeps this gateway from attesting.
  void set_faults(std::vector<Reason> faults);
  // Cut now, and not attested anew before it is released.
  void hold(const std::string& why);
  void release() { held_.reset(); }
  // An operator acknowledges the drifts that were healed; how many records.
  [[nodiscard]] std::uint64_t acknowledge();

  // Of the last evidence; none: nothing was judged yet.
  struct Judged {
    Appraisal appraisal;
    WallTime at;
  };
  [[nodiscard]] const std::optional<Judged>& judged() const noexcept { return judged_; }
  // Why this gateway could not show evidence when it was asked last; none: it could.
  [[nodiscard]] const std::optional<std::string>& trouble() const noexcept { return trouble_; }
  struct Key {
    std::uint32_t id = 0;
    Table table = Table::inbound;
    Suite suite = Suite::p256_node16;
    bool resident = false;
    std::uint64_t not_after = 0;
  };
  [[nodiscard]] std::vector<Key> keys() const;
  // nfq-signer does not have it any more.
  void lost_key(std::uint32_t key, Table table);

 private:
  // PairHost
  [[nodiscard]] Result<Endpoint> endpoint(const std::optional<Hash>& certificate) override;
  [[nodiscard]] bool wants_proof() override;
  [[nodiscard]] std::vector<Reason> judge_hello(const SessionHello& hello) override;
  void show(const ShowRequest& request) override;
  [[nodiscard]] Result<Bytes> read_log(Log log, std::uint64_t offset, std::size_t length) override;
  [[nodiscard]] Result<std::vector<Wanted>> wanted(const EvidenceMessage& evidence) override;
  [[nodiscard]] Judgement judge(const PeerShown& shown) override;
  [[nodiscard]] Result<RunHost::Challenge> challenge(const EvidenceMessage& evidence,
                                                     const SessionHello& hello) override;
  void activate(const CredentialFor& credential) override;
  void connect() override;
  Result<bool> add_inbound(const Granted& granted) override;
  Result<void> add_outbound(const Granted& granted) override;
  void retire_keys(BootTime until) override;
  void withdraw_keys() override;
  void begin_sas(const Hash& session_id, Role role) override;
  void on_sas(const Sas& sas) override;
  void on_sas_gone(const SasGone& gone) override;
  void stand(Standing standing) override;
  void tell(const Told& told) override;

  [[nodiscard]] PairTerms pair_terms() const;
  [[nodiscard]] Expectations expectations(const Hash& qualifying,
                                          const std::optional<Hash>& certificate) const;
  [[nodiscard]] Expectations expectations(const Hash& qualifying) const {
    return expectations(qualifying, channel_certificate_);
  }
  void remember(const PeerMemory& memory);
  void shown(Result<Machine::Shown> shown);
  void keep(const Key& key);
  void drop_stored(std::uint32_t key) const;
  // Of something that this is not to be called back for once it has gone.
  template <class Then>
  auto while_alive(Then then) {
    return [then = std::move(then), alive = std::weak_ptr(alive_)](auto result) mutable {
      if (!alive.expired()) then(std::move(result));
    };
  }

  CounterpartTools tools_;
  HeldPolicy policy_;
  std::uint32_t number_;
  Role role_;
  std::optional<PeerMemory> memory_;
  std::optional<Hash> channel_certificate_;
  std::vector<Reason> faults_;
  std::optional<std::string> held_;  // why
  std::deque<BootTime> begun_;
  std::uint64_t asked_ = 0;              // for evidence, how often
  std::array<Bytes, log_count> logs_;    // of the evidence given last
  std::optional<ResidentKey> resident_;  // and its session key, if that stays in the TPM
  std::optional<Judged> judged_;
  std::optional<std::string> trouble_;
  bool proof_missing_ = false;  // but for that it would be granted
  std::vector<Key> keys_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  Pair pair_;  // last: it may use all the others
};

}  // namespace cs::keyms
