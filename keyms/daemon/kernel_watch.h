// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's IPsec as keymsd has to do with it: held against all policies in force, measured, and
// gated for each pair, SA by SA, as both gateways have agreed on it in their session.
//
// A pair is named by its peer's NeID. In the network namespace of the thread that opened it, which
// has to be the one that runs it. Needs CAP_NET_ADMIN, and CAP_SYS_PTRACE for no more than names.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keyms/daemon/agreements.h"
#include "keyms/daemon/bypass_counter.h"
#include "keyms/daemon/gate_keeper.h"
#include "keyms/daemon/loop.h"
#include "keyms/daemon/pair.h"
#include "keyms/daemon/sa_book.h"
#include "keyms/daemon/sa_removal.h"
#include "keyms/daemon/sa_values.h"
#include "xfrm/watch/watcher.h"

namespace cs::keyms {

// Whom it tells. May call back but for set_policies(), and must not destroy it.
class KernelHost {
 public:
  KernelHost() = default;
  KernelHost(const KernelHost&) = delete;
  KernelHost& operator=(const KernelHost&) = delete;
  KernelHost(KernelHost&&) = delete;
  KernelHost& operator=(KernelHost&&) = delete;
  virtual ~KernelHost() = default;

  // All that differs now from what is agreed, of every severity: after the first look, even if
  // nothing does, and whenever it has changed.
  virtual void on_drift(const std::set<xfrm::Difference>& all) = 0;
  // SHA-256 over the policies_sha256 (docs/XFRM.md) of all tunnels in the order of their names.
  // When first known, and when it has changed.
  virtual void on_measured(const Hash& policies) = 0;
  // To be said to the peer in the session: Sas and SasGone.
  virtual void say(const std::string& peer, const Sealed& message) = 0;
  // Something about an SA that the two do not have alike; once for each.
  virtual void disagree(const std::string& peer, const std::string& sentence) = 0;
  virtual void trouble(const Error& error) = 0;
};

struct KernelOptions {
  std::string us;                      // our NeID
  xfrm::GateConfig gate;               // but for the peers
  std::optional<xfrm::GateKind> kind;  // none: what the kernel has
  std::string vici_socket;             // empty: no IKE daemon is asked
  std::chrono::seconds audit_interval{60};
  std::chrono::seconds grace{10};  // of an SA that nobody answers for
  // How many policies keymsd's own sockets may have (OwnSockets).
  std::function<Result<std::size_t>()> own_bypasses;
};

struct KernelView {
  struct Pair {
    Standing standing = Standing::closed;
    bool in_session = false;
    std::size_t sas = 0;       // of this pair, in the kernel
    std::size_t admitted = 0;  // agreed on
    std::size_t withheld = 0;  // agreed on, and not admitted while it stands restricted
    std::size_t hidden = 0;    // of those whose keys the kernel hides
  };
  xfrm::GateKind gate = xfrm::GateKind::nft;
  std::uint64_t gate_lost = 0;
  std::map<std::string, Pair> pairs;
  std::vector<xfrm::SaName> waiting;  // SAs of which packets are held
  xfrm::Holder::Counters held;
  xfrm::MirrorCounters mirror;
};

class KernelWatch final : public LoopPart {
 public:
  // Closes the gate to all of them. Host and clock must outlive it.
  static Result<std::unique_ptr<KernelWatch>> open(KernelHost& host, const Clock& clock,
                                                   KernelOptions options,
                                                   const std::vector<CorePolicy>& policies);

  // From a plan that was applied: what is granted stays open all the while. On failure nothing has
  // changed. The SAs of a peer that has no policy any more are taken away.
  Result<void> set_policies(const std::vector<CorePolicy>& policies);
  [[nodiscard]] const Agreements& agreements() const noexcept { return agreements_; }

  // Of peers that have a policy; others are passed over.
  //
  // closed: nothing passes, the session's SAs are forgotten, those in the kernel are taken away.
  // restricted: what is admitted stays, nothing new is.
  void stand(const std::string& peer, Standing standing);
  void begin_sas(const std::string& peer, const Hash& session_id, Role role);
  void on_sas(const std::string& peer, const Sas& sas);
  void on_sas_gone(const std::string& peer, const SasGone& gone);

  // What it knows; the kernel is not asked.
  [[nodiscard]] KernelView view();
  // The gate as it is in the kernel, with packets by peer and reason.
  [[nodiscard]] Result<xfrm::GateView> look_at_gate() const { return gate_->look(); }

  void wait(Waits& waits) const override;
  // Fails if the kernel cannot be watched any more: everything is closed then.
  Result<void> run() override;

 private:
  struct Pair {
    explicit Pair(const Clock& clock) : book(clock) {}

    SaBook book;
    Standing standing = Standing::closed;
    std::optional<Hash> session;
    Role role = Role::initiator;
    std::vector<xfrm::Passage> withheld;
    std::set<std::string> hidden;  // SAs whose keys the kernel hides: told
    bool stale = false;            // its SAs are to be looked at
  };
  // An SA of a pair, and which way it goes.
  struct PairSa {
    const xfrm::Sa* sa = nullptr;
    xfrm::GateWay way = xfrm::GateWay::in;
  };

  KernelWatch(KernelHost& host, const Clock& clock, KernelOptions options, Agreements agreements);
  Result<void> start();
  [[nodiscard]] Result<std::size_t> count_bypasses() const;
  std::vector<xfrm::Difference> judge(const xfrm::State& state);
  void note(const xfrm::Change& change);
  void tell_findings();
  void refresh();
  void refresh(const std::string& peer, Pair& pair, const std::vector<PairSa>& sas);
  [[nodiscard]] std::map<std::string, std::vector<PairSa>> sas_by_peer();
  [[nodiscard]] Result<std::vector<LocalSa>> bound(Pair& pair, const std::vector<PairSa>& sas,
                                                   std::set<std::string>& hidden);
  void apply(const std::string& peer, Pair& pair, SaBook::Changes changes);
  void tell(const std::string& peer, const SaBook::Changes& changes);
  void admit(const std::string& peer, Pair& pair, std::vector<xfrm::Passage> passages);
  void remove_sas(const std::string& peer);
  Pair* pair_of(const std::string& peer);

  KernelHost* host_;
  const Clock* clock_;
  KernelOptions options_;
  Agreements agreements_;
  std::map<std::string, Pair> pairs_;
  std::unique_ptr<GateKeeper> gate_;
  std::unique_ptr<xfrm::KernelSource> source_;
  std::unique_ptr<BypassCounter> counter_;
  std::unique_ptr<xfrm::Watcher> watcher_;
  std::optional<SaValues> values_;
  std::optional<SaRemoval> removal_;

  std::uint64_t readings_ = 0;       // of all the kernel has, that the mirror has taken over
  std::optional<Hash> measured_;     // what was told
  std::optional<Hash> newest_;       // what was measured last
  std::optional<Error> unmeasured_;  // why it was not
  bool judged_ = false;
  std::optional<std::set<xfrm::Difference>> drift_;  // what was told
};

}  // namespace cs::keyms
