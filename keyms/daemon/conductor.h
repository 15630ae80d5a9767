// SPDX-License-Identifier: GPL-3.0-or-later
// Puts a gateway's parts together once its machine is open: what is wrong with it closes its pairs,
// what its policies say it keeps, and to each policy in force there is a counterpart.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keyms/daemon/counterpart.h"
#include "keyms/schedule/clock_guard.h"

namespace cs::keyms {

// A plan that falls back by itself, unless it is confirmed.
struct Pending {
  std::uint64_t version = 0;
  WallTime until_wall;
  BootTime until;
  Bytes fallback;  // an agreement of a higher version
};

class Conductor final : public LoopPart, private KernelHost, private CarriersHost {
 public:
  // How long until what failed is tried again.
  static constexpr std::chrono::seconds again{2};
  static constexpr std::chrono::seconds found_again{60};
  // While nothing else asks the TPM, somebody has to notice that it is gone.
  static constexpr std::chrono::seconds look_at_tpm_every{5};
  static constexpr std::chrono::seconds most_confirm{86400};

  // All must outlive it.
  struct Tools {
    const DaemonConfig* config = nullptr;
    const Clock* clock = nullptr;
    TpmDesk* desk = nullptr;
    Machine* machine = nullptr;
    SignerService* signer = nullptr;
    TpmRootSigner* root_signer = nullptr;
    Events* events = nullptr;
  };
  // What was kept over the restart.
  struct Kept {
    Machine::Facts facts;
    WallTime seen;
    std::map<std::string, Pending> pending;
  };
  // On the owner's thread.
  [[nodiscard]] static Result<Kept> read_kept(tpm::Device& device, Machine& machine,
                                              const Clock& clock);

  Conductor(const Tools& tools, Kept kept);

  // Before it goes, of an orderly end: the peers are told.
  void stop();
  void reread_trust();
  // Whether what is sealed opens in this state of the machine: after drift that was healed, or an
  // approval.
  void look_at_lock();
  // The TPM was reset, or its connection broke: what it knew is told anew.
  void tpm_began_anew();
  // The data plane's.
  void applied(std::uint32_t key);
  void lost_key(std::uint32_t key, Table table);

  // What an operator asks for. `then` comes later.
  template <class T>
  using Then = std::function<void(Result<T>)>;
  void apply(Bytes agreement, std::optional<std::chrono::seconds> confirm_within, Bytes fallback,
             Then<Plan> then);
  Result<std::uint64_t> confirm(const std::string& peer);
  void roll_back(const std::string& peer, Then<Plan> then);
  void retire(const std::string& peer, Then<void> then);
  // `then` when a run has ended.
  void attest(const std::string& peer, std::chrono::seconds within, Then<void> then);

  [[nodiscard]] const Machine::Facts& facts() const noexcept { return facts_; }
  // Why it does not attest: sentences by stable codes.
  [[nodiscard]] const std::map<std::string, std::string>& faults() const noexcept {
    return faults_;
  }
  [[nodiscard]] const std::set<xfrm::Difference>& drift() const noexcept { return drift_; }
  // Some of it lets pass what may not.
  [[nodiscard]] bool has_breach() const;
  // Those of the drift that are none: a policy is in force that the kernel has not followed yet.
  [[nodiscard]] const std::set<xfrm::Difference>& awaited() const noexcept { return awaited_; }
  [[nodiscard]] bool is_ready() const noexcept { return carriers_ != nullptr; }
  [[nodiscard]] Carriers* carriers() const noexcept { return carriers_.get(); }
  [[nodiscard]] KernelWatch* kernel() const noexcept { return kernel_.get(); }
  [[nodiscard]] const EndpointKeeper& endpoint() const noexcept { return endpoint_; }
  using Counterparts = std::map<std::string, std::unique_ptr<Counterpart>>;
  [[nodiscard]] const Counterparts& counterparts() const noexcept { return counterparts_; }
  // Refused (not_found): no policy with it is in force.
  [[nodiscard]] Result<Counterpart*> find(const std::string& peer) const;
  [[nodiscard]] const std::map<std::string, Pending>& pending() const noexcept { return pending_; }

  void wait(Waits& waits) const override;
  Result<void> run() override;

 private:
  // KernelHost
  void on_drift(const std::set<xfrm::Difference>& all) override;
  void on_measured(const Hash& policies) override;
  void say(const std::string& peer, const Sealed& message) override;
  void disagree(const std::string& peer, const std::string& sentence) override;
  // CarriersHost
  [[nodiscard]] bool knows(const std::string& peer) const override;
  [[nodiscard]] bool believes(const SessionHello& hello,
                              const std::optional<Hash>& peer_certificate) const override;
  void channel_up(const std::string& peer, std::unique_ptr<PairChannel> channel) override;
  void receive(const std::string& peer, ByteView message) override;
  void channel_down(const std::string& peer, const Reason& why) override;
  void unreachable(const std::string& peer, const std::string& why) override;
  void trouble(const Error& error) override;  // both

  [[nodiscard]] std::optional<std::string> whose(const xfrm::Difference& found) const;
  void settle(const std::set<xfrm::Difference>& all);
  void set_fault(const std::string& code, const Error& why);
  void clear_fault(const std::string& code);
  void spread_faults();

  void use(Machine::Facts facts);
  void use_counterparts(const std::vector<HeldPolicy>& in_force);
  void use_signer(const std::vector<HeldPolicy>& in_force);
  void use_kernel();
  void use_endpoint();
  void open_carriers();
  void call_peers();
  void tell_carriers();

  void tell_measured();
  void tell_found();
  void registers_told(const Result<void>& told);
  void reopen_registers();
  void look_at_clock();
  void look_at_tpm();
  void run_kernel();
  void run_counterparts();
  void fall_back();
  void keep_pending();
  struct Following {
    std::string peer;
    Pending pending;
  };
  [[nodiscard]] Result<CorePolicy> fitting(const Bytes& agreement) const;
  [[nodiscard]] const std::string& peer_in(const CorePolicy& policy) const;
  [[nodiscard]] Result<Following> following(const CorePolicy& forth,
                                            std::chrono::seconds confirm_within,
                                            Bytes fallback) const;
  void answer_waiting();
  template <class Then>
  auto while_alive(Then then) {
    return [then = std::move(then), alive = std::weak_ptr(alive_)](auto result) mutable {
      if (!alive.expired()) then(std::move(result));
    };
  }
  [[nodiscard]] std::vector<CorePolicy> policies() const;
  [[nodiscard]] CounterpartTools counterpart_tools();

  Tools tools_;
  ClockGuard guard_;
  Machine::Facts facts_;
  std::map<std::string, Pending> pending_;
  Trust trust_;
  EndpointKeeper endpoint_;

  std::map<std::string, std::string> faults_;
  std::set<xfrm::Difference> drift_;
  std::set<xfrm::Difference> awaited_;
  // Peers with which the kernel's IPsec has not been as agreed since their policy came into force,
  // or since keymsd began: an IKE daemon has to load it first. And `sockets`, while connections of
  // the keymsd before may be closing: nobody's, and beside IPsec.
  static constexpr const char* sockets = "";
  std::set<std::string> unsettled_{sockets};
  std::optional<Hash> newest_;    // of the kernel's policies
  std::optional<Hash> measured_;  // the same, once the log has it
  bool judged_ = false;           // by the kernel watch that is
  bool called_ = false;           // the peers, for the first time
  std::optional<BootTime> kernel_again_;
  std::optional<BootTime> found_again_;
  std::optional<BootTime> reopen_again_;
  std::optional<BootTime> carriers_again_;
  std::optional<BootTime> unlock_again_;
  std::optional<BootTime> fall_back_again_;
  std::optional<BootTime> tpm_again_;  // none: it is being looked at
  WallTime noted_;                     // of the clock, in the store

  std::map<std::string, std::uint32_t> numbers_;  // for nfq-signer
  std::unique_ptr<KernelWatch> kernel_;
  std::unique_ptr<Carriers> carriers_;
  Counterparts counterparts_;

  struct Waiting {
    std::string peer;
    std::uint64_t runs = 0;  // that had ended
    BootTime until;
    Then<void> then;
  };
  std::vector<Waiting> waiting_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace cs::keyms
