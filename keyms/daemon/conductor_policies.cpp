// SPDX-License-Identifier: GPL-3.0-or-later
// The policies that a gateway keeps to: how one comes into force, falls back, and goes.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/hex.h"
#include "keyms/daemon/conductor.h"

namespace cs::keyms {
namespace {

using nlohmann::json;

constexpr const char* pending_note = "pending";
constexpr const char* clock_note = "clock";
constexpr std::size_t most_fallback = 2 * max_agreement_file;

Bytes encode_pending(const std::map<std::string, Pending>& pending) {
  json all = json::object();
  for (const auto& [peer, one] : pending) {
    all[peer] = {{"version", one.version},
                 {"until", to_time_t(one.until_wall)},
                 {"fallback", hex_encode(one.fallback)}};
  }
  const std::string text = all.dump();
  return {text.begin(), text.end()};
}

// What we have written ourselves, into a store that nobody else can write to. Of what did not come
// into force, or was followed, nothing is kept.
std::map<std::string, Pending> read_pending(const Bytes& note, const Machine::Facts& facts,
                                            const Clock& clock) {
  std::map<std::string, Pending> out;
  const json all = json::parse(note.begin(), note.end(), nullptr, false);
  if (!all.is_object()) return out;
  for (const auto& [peer, one] : all.items()) {
    auto fallback = hex_decode(one.value("fallback", ""), most_fallback);
    if (!fallback.ok()) continue;
    Pending pending;
    pending.version = one.value("version", std::uint64_t{0});
    const bool runs = std::ranges::any_of(facts.policies, [&, name = peer](const HeldPolicy& held) {
      return held.state == PolicyState::in_force && held.peer().ne_id == name &&
             held.policy.version == pending.version;
    });
    if (!runs) continue;
    pending.until_wall = WallTime(std::chrono::seconds(one.value("until", std::int64_t{0})));
    // The clock set back makes it no longer than it was.
    const auto left = std::clamp<std::chrono::nanoseconds>(pending.until_wall - clock.wall(), {},
                                                           Conductor::most_confirm);
    pending.until = clock.boot() + left;
    pending.fallback = std::move(fallback).value();
    out.emplace(peer, std::move(pending));
  }
  return out;
}

keyms::Address address_of(const net::Address& address) {
  keyms::Address out;
  out.bytes = address.bytes;
  out.size = address.ipv6 ? 16 : 4;
  return out;
}

}  // namespace

Result<Conductor::Kept> Conductor::read_kept(tpm::Device& device, Machine& machine,
                                             const Clock& clock) {
  Kept out;
  CS_TRY(out.facts, machine.facts(device));
  CS_TRY(const auto seen, machine.note(device, clock_note));
  if (seen) {
    std::int64_t seconds = 0;
    const std::string text(seen->begin(), seen->end());
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    out.seen = WallTime(std::chrono::seconds(seconds));
  }
  CS_TRY(const auto pending, machine.note(device, pending_note));
  if (pending) out.pending = read_pending(*pending, out.facts, clock);
  // Which lanes of them were given out nobody knows any more.
  CS_CHECK(machine.drop_all_keys(device));
  return out;
}

std::vector<CorePolicy> Conductor::policies() const {
  std::vector<CorePolicy> out;
  for (const HeldPolicy& held : facts_.policies) {
    if (held.state == PolicyState::in_force) out.push_back(held.policy);
  }
  return out;
}

CounterpartTools Conductor::counterpart_tools() {
  return {tools_.clock,  tools_.desk, tools_.machine, tools_.signer, tools_.root_signer, &endpoint_,
          tools_.events, &trust_,     &carriers_,     &kernel_,      &measured_};
}

void Conductor::use(Machine::Facts facts) {
  facts_ = std::move(facts);
  std::vector<HeldPolicy> in_force;
  std::ranges::copy_if(facts_.policies, std::back_inserter(in_force),
                       [](const HeldPolicy& held) { return held.state == PolicyState::in_force; });
  use_counterparts(in_force);
  use_kernel();
  use_signer(in_force);
  use_endpoint();
  tell_carriers();
  spread_faults();
}

void Conductor::use_counterparts(const std::vector<HeldPolicy>& in_force) {
  const auto stays = [&](const auto& entry) {
    return std::ranges::any_of(in_force, [&](const HeldPolicy& held) {
      return held.value == entry.second->policy().value;
    });
  };
  for (const auto& entry : counterparts_) {
    if (!stays(entry))
      entry.second->pair().deny({"policy_replaced", "its policy is not in force any more"});
  }
  std::erase_if(counterparts_, [&](const auto& entry) { return !stays(entry); });
  for (const HeldPolicy& held : in_force) {
    const std::string& peer = held.peer().ne_id;
    if (counterparts_.contains(peer)) continue;
    unsettled_.insert(peer);
    const auto number =
        numbers_.try_emplace(peer, static_cast<std::uint32_t>(numbers_.size() + 1)).first;
    std::optional<PeerMemory> memory;
    if (const auto kept = facts_.memories.find(peer); kept != facts_.memories.end()) {
      auto read = PeerMemory::decode(kept->second);
      if (read.ok()) memory = std::move(read).value();
    }
    counterparts_.emplace(peer, std::make_unique<Counterpart>(counterpart_tools(), held,
                                                              number->second, std::move(memory)));
  }
}

void Conductor::use_signer(const std::vector<HeldPolicy>& in_force) {
  for (const auto& [peer, number] : numbers_) {
    if (!counterparts_.contains(peer)) tools_.signer->remove_peer(number);
  }
  std::vector<CorePolicy> all;
  all.reserve(in_force.size());
  for (const HeldPolicy& held : in_force) all.push_back(held.policy);
  if (all.empty()) return;
  const auto joined = Agreements::join(all, facts_.ne_id);
  if (!joined.ok()) {
    set_fault("policies", joined.error());
    return;
  }
  clear_fault("policies");
  for (const xfrm::GatePeer& gate : joined->peers()) {
    const auto& of = *counterparts_.at(gate.name);
    keyms::Peer peer{of.number(), of.policy().policy.signing.inbound, {}};
    for (const net::Address& address : gate.addresses) {
      if (peer.addresses.size() < max_addresses) peer.addresses.push_back(address_of(address));
    }
    if (const auto set = tools_.signer->set(std::move(peer)); !set.ok()) trouble(set.error());
  }
}

void Conductor::use_endpoint() {
  std::chrono::seconds lifetime = max_duration;
  for (const auto& [peer, one] : counterparts_)
    lifetime = std::min(lifetime, one->policy().policy.attestation.certificate_lifetime);
  if (!counterparts_.empty()) endpoint_.keep(facts_.ne_id, facts_.ak_public, lifetime);
}

// All that would be in force then go together: else one of them would cut every pair.
Result<CorePolicy> Conductor::fitting(const Bytes& agreement) const {
  CS_TRY(AgreementVerdict agreed, read_agreed(agreement));
  std::map<std::string, CorePolicy> all;
  for (const HeldPolicy& held : facts_.policies) {
    if (held.state == PolicyState::in_force) all.emplace(held.peer().ne_id, held.policy);
  }
  all.insert_or_assign(peer_in(agreed.policy), agreed.policy);
  std::vector<CorePolicy> together;
  together.reserve(all.size());
  for (auto& [peer, policy] : all) together.push_back(std::move(policy));
  CS_CHECK(Agreements::join(together, facts_.ne_id));
  return std::move(agreed.policy);
}

const std::string& Conductor::peer_in(const CorePolicy& policy) const {
  return policy.gateways[policy.gateways[0].ne_id == facts_.ne_id ? 1 : 0].ne_id;
}

Result<Conductor::Following> Conductor::following(const CorePolicy& forth,
                                                  std::chrono::seconds confirm_within,
                                                  Bytes fallback) const {
  CS_TRY(const AgreementVerdict back, read_agreed(fallback).context("the fallback"));
  const auto& gateways = forth.gateways;
  if (back.policy.version <= forth.version || back.policy.gateways[0].ne_id != gateways[0].ne_id ||
      back.policy.gateways[1].ne_id != gateways[1].ne_id) {
    return Error(ErrorKind::invalid,
                 "the fallback is not of the same two gateways, with a higher version than what it "
                 "follows")
        .with_hint("agree on the former policy again, as version " +
                   std::to_string(forth.version + 1) + ", before you apply");
  }
  const auto within = std::min(confirm_within, most_confirm);
  return Following{peer_in(forth),
                   {forth.version, tools_.clock->wall() + within, tools_.clock->boot() + within,
                    std::move(fallback)}};
}

// What it falls back to is noted before it is in force: who is killed in between finds it.
void Conductor::apply(Bytes agreement, std::optional<std::chrono::seconds> confirm_within,
                      Bytes fallback, Then<Plan> then) {
  const auto forth = fitting(agreement);
  if (!forth.ok()) {
    then(forth.error());
    return;
  }
  std::optional<Following> next;
  std::optional<Bytes> note;
  if (confirm_within) {
    auto read = following(*forth, *confirm_within, std::move(fallback));
    if (!read.ok()) {
      then(std::move(read).error());
      return;
    }
    next = std::move(read).value();
    auto all = pending_;
    all[next->peer] = next->pending;
    note = encode_pending(all);
  }
  struct Done {
    Plan plan;
    Machine::Facts facts;
  };
  tools_.desk->ask(
      tpm::Priority::extend,
      [machine = tools_.machine, agreement = std::move(agreement),
       note = std::move(note)](tpm::Device& device) -> Result<Done> {
        if (note) CS_CHECK(machine->keep_note(device, pending_note, *note));
        CS_TRY(Plan plan, machine->apply(device, agreement));
        CS_TRY(Machine::Facts facts, machine->facts(device));
        return Done{std::move(plan), std::move(facts)};
      },
      while_alive([this, next = std::move(next), then = std::move(then)](Result<Done> applied) {
        if (!applied.ok()) {
          then(std::move(applied).error());
          return;
        }
        const std::string& peer = applied->plan.peer;
        const bool had = pending_.erase(peer) != 0;
        if (next) pending_[peer] = next->pending;
        if (had || next) keep_pending();
        use(std::move(applied->facts));
        tools_.events->tell({EventKind::policy, peer, "applied",
                             "version " + std::to_string(applied->plan.version) + " is in force"});
        then(std::move(applied->plan));
      }));
}

void Conductor::keep_pending() {
  tools_.desk->ask(
      tpm::Priority::background,
      [machine = tools_.machine, note = encode_pending(pending_)](tpm::Device& device) {
        return machine->keep_note(device, pending_note, note);
      },
      while_alive([this](const Result<void>& kept) {
        if (!kept.ok()) trouble(Error(kept.error()).context("noting what is to be confirmed"));
      }));
}

Result<std::uint64_t> Conductor::confirm(const std::string& peer) {
  const auto found = pending_.find(peer);
  if (found == pending_.end())
    return Error(ErrorKind::not_found, "nothing is to be confirmed with \"" + peer + "\"");
  const std::uint64_t version = found->second.version;
  pending_.erase(found);
  keep_pending();
  tools_.events->tell({EventKind::policy, peer, "confirmed",
                       "version " + std::to_string(version) + " stays in force"});
  return version;
}

void Conductor::roll_back(const std::string& peer, Then<Plan> then) {
  const auto found = pending_.find(peer);
  if (found == pending_.end()) {
    then(Error(ErrorKind::not_found, "no fallback is kept for \"" + peer + "\"")
             .with_hint("agree on the former policy as a higher version, and apply that"));
    return;
  }
  apply(found->second.fallback, std::nullopt, {}, std::move(then));
}

void Conductor::fall_back() {
  const BootTime now = tools_.clock->boot();
  if (fall_back_again_ && now < *fall_back_again_) return;
  fall_back_again_.reset();
  const auto due =
      std::ranges::find_if(pending_, [&](const auto& one) { return now >= one.second.until; });
  if (due == pending_.end()) return;
  // Once more where it fails; not while it is under way.
  fall_back_again_ = now + std::chrono::seconds(30);
  const std::string peer = due->first;
  tools_.events->tell(
      {EventKind::policy, peer, "not_confirmed", "nobody has confirmed the plan: falling back"});
  roll_back(peer, [this](const Result<Plan>& plan) {
    if (!plan.ok()) trouble(Error(plan.error()).context("falling back"));
  });
}

void Conductor::retire(const std::string& peer, Then<void> then) {
  tools_.desk->ask(
      tpm::Priority::extend,
      [machine = tools_.machine, peer](tpm::Device& device) -> Result<Machine::Facts> {
        CS_CHECK(machine->retire(device, peer));
        return machine->facts(device);
      },
      while_alive([this, peer, then = std::move(then)](Result<Machine::Facts> facts) {
        if (!facts.ok()) {
          then(std::move(facts).error());
          return;
        }
        pending_.erase(peer);
        keep_pending();
        use(std::move(facts).value());
        tools_.events->tell({EventKind::policy, peer, "retired", "no policy with it is in force"});
        then({});
      }));
}

void Conductor::attest(const std::string& peer, std::chrono::seconds within, Then<void> then) {
  auto found = find(peer);
  if (!found.ok()) {
    then(std::move(found).error());
    return;
  }
  Pair& pair = (*found)->pair();
  if (auto asked = pair.attest(); !asked.ok()) {
    then(std::move(asked));
    return;
  }
  const Pair::View view = pair.view();
  waiting_.push_back(
      {peer, view.granted + view.failed, tools_.clock->boot() + within, std::move(then)});
}

void Conductor::answer_waiting() {
  const BootTime now = tools_.clock->boot();
  std::vector<Then<void>> done;
  std::erase_if(waiting_, [&](Waiting& one) {
    const auto found = counterparts_.find(one.peer);
    const auto view = found == counterparts_.end() ? Pair::View{} : found->second->pair().view();
    if (now < one.until && view.granted + view.failed == one.runs) return false;
    done.push_back(std::move(one.then));
    return true;
  });
  for (const auto& then : done) then({});
}

}  // namespace cs::keyms
