// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/kernel_watch.h"

#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "tpm/hash.h"
#include "xfrm/agreement/compare.h"
#include "xfrm/canonical/canonical.h"
#include "xfrm/state/ike_sockets.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/text.h"

namespace cs::keyms {
namespace {

using xfrm::GateWay;
using xfrm::Passage;

Result<Hash> measure(const xfrm::Expected& expected, const xfrm::State& state,
                     std::size_t bypasses) {
  const xfrm::PolicyIndex index(state.policies);
  Bytes all;
  for (const xfrm::Tunnel& tunnel : expected.agreement.tunnels) {
    CS_TRY(const xfrm::Canonical form,
           xfrm::canonicalise(tunnel, expected.end, state, index, bypasses));
    all.insert(all.end(), form.policies_sha256.begin(), form.policies_sha256.end());
  }
  const tpm::Digest digest = tpm::Hasher(tpm::HashAlgorithm::sha256).hash({all});
  Hash out{};
  std::ranges::copy(digest.bytes(), out.begin());
  return out;
}

bool carries(const xfrm::Sa& sa) {
  return !sa.is_larval() && (sa.id.protocol == IPPROTO_ESP || sa.id.protocol == IPPROTO_AH);
}

// The same at both ends.
xfrm::Sense sense_of(GateWay way, Role ours) {
  const bool from_initiator = (way == GateWay::out) == (ours == Role::initiator);
  return from_initiator ? xfrm::Sense::to_responder : xfrm::Sense::to_initiator;
}

// In messages as long as they may be.
template <class Message, class Item>
void say_all(const std::vector<Item>& items, const std::function<void(const Message&)>& say) {
  for (std::size_t at = 0; at < items.size(); at += most_sas) {
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(at);
    const auto count = std::min(most_sas, items.size() - at);
    say(Message{{begin, begin + static_cast<std::ptrdiff_t>(count)}});
  }
}

}  // namespace

// --- its beginning -------------------------------------------------------------------------------

KernelWatch::KernelWatch(KernelHost& host, const Clock& clock, KernelOptions options,
                         Agreements agreements)
    : host_(&host),
      clock_(&clock),
      options_(std::move(options)),
      agreements_(std::move(agreements)) {}

Result<std::unique_ptr<KernelWatch>> KernelWatch::open(KernelHost& host, const Clock& clock,
                                                       KernelOptions options,
                                                       const std::vector<CorePolicy>& policies) {
  CS_TRY(Agreements agreements, Agreements::join(policies, options.us));
  std::unique_ptr<KernelWatch> watch(
      new KernelWatch(host, clock, std::move(options), std::move(agreements)));
  CS_CHECK(watch->start());
  return watch;
}

Result<void> KernelWatch::start() {
  const auto trouble = [this](const Error& error) { host_->trouble(error); };
  xfrm::GateConfig config = options_.gate;
  config.peers = agreements_.peers();
  for (const xfrm::GatePeer& peer : config.peers) pairs_.try_emplace(peer.name, *clock_);
  CS_TRY(gate_, GateKeeper::set_up(std::move(config), options_.kind, *clock_, trouble));
  CS_TRY(netlink::Socket questions, xfrm::open_socket());
  values_.emplace(std::move(questions));
  CS_TRY(netlink::Socket removals, xfrm::open_socket());
  removal_.emplace(options_.vici_socket, std::move(removals), *clock_, trouble);

  CS_TRY(source_, xfrm::KernelSource::open());
  counter_ = std::make_unique<BypassCounter>(
      *source_, [this] { return count_bypasses(); }, trouble);
  xfrm::WatchOptions watching;
  watching.audit_interval = options_.audit_interval;
  watching.grace = options_.grace;
  watching.judge = [this](const xfrm::State& state) { return judge(state); };
  watching.on_change = [this](const xfrm::Change& change) { note(change); };
  if (!options_.vici_socket.empty())
    watching.known = [at = options_.vici_socket] { return xfrm::ask_ike_daemon(at); };
  CS_TRY(watcher_, xfrm::Watcher::open(*counter_, *clock_, std::move(watching)));
  counter_->settle();
  return {};
}

// The IKE daemon gives each of its sockets two.
Result<std::size_t> KernelWatch::count_bypasses() const {
  CS_TRY(const auto sockets, xfrm::find_ike_sockets());
  if (!options_.own_bypasses) return 2 * sockets.size();
  CS_TRY(const std::size_t ours, options_.own_bypasses());
  return 2 * sockets.size() + ours;
}

Result<void> KernelWatch::set_policies(const std::vector<CorePolicy>& policies) {
  CS_TRY(Agreements next, Agreements::join(policies, options_.us));
  CS_CHECK(gate_->change(next.peers()));
  std::map<std::string, Pair> stay;
  for (const xfrm::GatePeer& peer : next.peers()) {
    auto there = pairs_.extract(peer.name);
    Pair& pair = stay.try_emplace(peer.name, *clock_).first->second;
    if (!there.empty()) pair = std::move(there.mapped());
    pair.stale = true;
  }
  for (const auto& [peer, pair] : pairs_) remove_sas(peer);
  pairs_ = std::move(stay);
  agreements_ = std::move(next);
  watcher_->judge_again();
  drift_.reset();  // of other policies
  return {};
}

// --- what is found -------------------------------------------------------------------------------

std::vector<xfrm::Difference> KernelWatch::judge(const xfrm::State& state) {
  judged_ = true;
  const xfrm::Expected& expected = agreements_.expected();
  const std::size_t bypasses = counter_->known();
  auto now = measure(expected, state, bypasses);
  newest_.reset();
  unmeasured_.reset();
  if (now.ok()) {
    newest_ = *now;
  } else {
    unmeasured_ = std::move(now).error().context("measuring the kernel's policies");
  }
  return xfrm::compare(expected, state, {.socket_bypasses = bypasses});
}

void KernelWatch::note(const xfrm::Change& change) {
  using Kind = xfrm::Event::Kind;
  const xfrm::Event& event = change.event;
  const bool all = change.how == xfrm::Change::How::lost || event.kind == Kind::sa_flush ||
                   event.kind == Kind::migrate;
  if (!all && (!event.sa || event.kind == Kind::sa_replay || event.kind == Kind::acquire)) return;
  all ? values_->forget_all() : values_->forget(event.sa->id);
  for (auto& [peer, pair] : pairs_) pair.stale = true;
}

void KernelWatch::tell_findings() {
  if (!std::exchange(judged_, false)) return;
  if (unmeasured_) host_->trouble(*unmeasured_);
  if (newest_ && newest_ != measured_) {
    measured_ = newest_;
    host_->on_measured(*measured_);
  }
  if (drift_ == watcher_->drift()) return;
  drift_ = watcher_->drift();
  host_->on_drift(*drift_);
}

// --- SAs, agreed on one by one -------------------------------------------------------------------

KernelWatch::Pair* KernelWatch::pair_of(const std::string& peer) {
  const auto found = pairs_.find(peer);
  return found == pairs_.end() ? nullptr : &found->second;
}

void KernelWatch::begin_sas(const std::string& peer, const Hash& session_id, Role role) {
  Pair* const pair = pair_of(peer);
  if (pair == nullptr) return;
  pair->session = session_id;
  pair->role = role;
  pair->book.begin_session();
  pair->stale = true;
}

void KernelWatch::on_sas(const std::string& peer, const Sas& sas) {
  Pair* const pair = pair_of(peer);
  if (pair != nullptr && pair->session) apply(peer, *pair, pair->book.on_peer(sas));
}

void KernelWatch::on_sas_gone(const std::string& peer, const SasGone& gone) {
  Pair* const pair = pair_of(peer);
  if (pair != nullptr && pair->session) apply(peer, *pair, pair->book.on_peer(gone));
}

std::map<std::string, std::vector<KernelWatch::PairSa>> KernelWatch::sas_by_peer() {
  std::map<std::string, std::vector<PairSa>> out;
  for (const xfrm::Sa& sa : watcher_->state().sas) {
    if (!carries(sa)) continue;
    if (const std::string* peer = agreements_.peer_at(sa.id.destination)) {
      out[*peer].push_back({&sa, GateWay::out});
    } else if (const std::string* from = agreements_.peer_at(sa.source)) {
      out[*from].push_back({&sa, GateWay::in});
    }
  }
  return out;
}

void KernelWatch::refresh() {
  const auto wanted = [](const auto& each) { return each.second.stale && each.second.session; };
  if (std::ranges::none_of(pairs_, wanted)) return;
  values_->begin_turn();
  auto sas = sas_by_peer();
  for (auto& each : pairs_) {
    if (wanted(each)) refresh(each.first, each.second, sas[each.first]);
  }
}

void KernelWatch::refresh(const std::string& peer, Pair& pair, const std::vector<PairSa>& sas) {
  std::set<std::string> hidden;
  auto local = bound(pair, sas, hidden);
  if (!local.ok()) {
    // More of them in the next turn; nothing is known of those that were not asked for.
    if (local.error().kind() == ErrorKind::busy) return;
    host_->trouble(std::move(local).error().context("binding the SAs with " + peer));
    pair.stale = false;
    return;
  }
  pair.stale = false;
  const std::set<std::string> before = std::exchange(pair.hidden, std::move(hidden));
  std::vector<std::string> news;
  std::ranges::set_difference(pair.hidden, before, std::back_inserter(news));
  apply(peer, pair, pair.book.set_local(std::move(local).value()));
  for (const std::string& sa : news)
    host_->disagree(peer, sa + " is not admitted: the kernel hides its keys, or it has none");
}

Result<std::vector<LocalSa>> KernelWatch::bound(Pair& pair, const std::vector<PairSa>& sas,
                                                std::set<std::string>& hidden) {
  std::vector<LocalSa> out;
  for (const PairSa& one : sas) {
    const xfrm::SaId& id = one.sa->id;
    const xfrm::Sense sense = sense_of(one.way, pair.role);
    auto value = values_->of(id, *pair.session, sense);
    if (!value.ok()) {
      const ErrorKind why = value.error().kind();
      if (why == ErrorKind::not_found) continue;  // an event will tell
      if (why != ErrorKind::unsupported) return std::move(value).error();
      hidden.insert(xfrm::name_of(*one.sa));
      continue;
    }
    out.push_back(
        {{one.way, id.destination, id.protocol, id.spi}, sense, algorithms_of(*one.sa), *value});
  }
  return out;
}

void KernelWatch::tell(const std::string& peer, const SaBook::Changes& changes) {
  const auto say = [&](const auto& message) { host_->say(peer, message); };
  say_all<Sas>(changes.tell, say);
  say_all<SasGone>(changes.tell_gone, say);
}

// Whom it tells may close the pair meanwhile: then nothing of this is admitted.
void KernelWatch::apply(const std::string& peer, Pair& pair, SaBook::Changes changes) {
  std::erase_if(pair.withheld, [&](const Passage& one) {
    return std::ranges::find(changes.withdraw, one) != changes.withdraw.end();
  });
  gate_->withdraw(peer, changes.withdraw);
  admit(peer, pair, std::move(changes.admit));
  tell(peer, changes);
  for (const std::string& sentence : changes.disagreements) host_->disagree(peer, sentence);
}

void KernelWatch::admit(const std::string& peer, Pair& pair, std::vector<Passage> passages) {
  if (pair.standing == Standing::granted || pair.standing == Standing::reported) {
    gate_->admit(peer, passages);
  } else {
    pair.withheld.insert(pair.withheld.end(), passages.begin(), passages.end());
  }
}

// --- how pairs stand -----------------------------------------------------------------------------

void KernelWatch::stand(const std::string& peer, Standing standing) {
  Pair* const pair = pair_of(peer);
  if (pair == nullptr) return;
  pair->standing = standing;
  if (standing == Standing::closed) {
    gate_->close(peer);
    static_cast<void>(pair->book.end());  // all of it is withdrawn by that
    pair->session.reset();
    pair->withheld.clear();
    remove_sas(peer);
    return;
  }
  gate_->open(peer);
  if (standing == Standing::restricted) return;
  admit(peer, *pair, std::exchange(pair->withheld, {}));
}

void KernelWatch::remove_sas(const std::string& peer) {
  const auto& peers = agreements_.peers();
  const auto found = std::ranges::find(peers, peer, &xfrm::GatePeer::name);
  if (found == peers.end()) return;
  std::vector<xfrm::SaId> ids;
  auto sas = sas_by_peer();
  for (const PairSa& one : sas[peer]) ids.push_back(one.sa->id);
  removal_->begin(found->addresses, std::move(ids));
}

// --- the loop ------------------------------------------------------------------------------------

void KernelWatch::wait(Waits& waits) const {
  waits.on(source_->fd());
  waits.on(gate_->fd());
  waits.until(watcher_->deadline());
  waits.until(gate_->deadline());
  waits.until(removal_->deadline());
  for (const auto& [peer, pair] : pairs_) {
    waits.until(pair.book.deadline());
    if (pair.stale && pair.session) waits.until(clock_->boot());
  }
}

Result<void> KernelWatch::run() {
  auto watched = watcher_->run();
  if (!watched.ok()) {
    for (const auto& [peer, pair] : pairs_) gate_->close(peer);
    return std::move(watched).context("watching the kernel's IPsec; the gate is closed");
  }
  const xfrm::MirrorCounters& counters = watcher_->counters();
  if (const auto readings = counters.audits + counters.lost; readings != readings_) {
    readings_ = readings;
    counter_->settle();
  }
  refresh();
  for (auto& [peer, pair] : pairs_) {
    const auto deadline = pair.book.deadline();
    if (deadline && clock_->boot() >= *deadline) apply(peer, pair, pair.book.tick());
  }
  tell_findings();
  gate_->run();
  removal_->run();
  return {};
}

KernelView KernelWatch::view() {
  KernelView view;
  view.gate = gate_->kind();
  view.gate_lost = gate_->lost();
  const auto sas = sas_by_peer();
  for (const auto& [peer, pair] : pairs_) {
    const auto own = sas.find(peer);
    view.pairs[peer] = {.standing = pair.standing,
                        .in_session = pair.session.has_value(),
                        .sas = own == sas.end() ? 0 : own->second.size(),
                        .admitted = pair.book.admitted() - pair.withheld.size(),
                        .withheld = pair.withheld.size(),
                        .hidden = pair.hidden.size()};
  }
  view.waiting = gate_->waiting();
  view.held = gate_->held();
  view.mirror = watcher_->counters();
  return view;
}

}  // namespace cs::keyms
