// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/conductor.h"

#include <algorithm>
#include <utility>

namespace cs::keyms {
namespace {

constexpr std::chrono::hours note_every{1};

// Codes of faults.
constexpr const char* kernel_fault = "kernel";
constexpr const char* registers_fault = "registers";
constexpr const char* clock_fault = "clock";
constexpr const char* lock_fault = "locked";
constexpr const char* certificate_fault = "certificate";

}  // namespace

Conductor::Conductor(const Tools& tools, Kept kept)
    : tools_(tools),
      guard_(*tools.clock, kept.seen),
      facts_(std::move(kept.facts)),
      pending_(std::move(kept.pending)),
      trust_(tools.config->vendor_roots, tools.config->digest_lists),
      endpoint_(
          *tools.clock, guard_, *tools.desk, *tools.machine,
          {[this] {
             clear_fault(certificate_fault);
             tell_carriers();
             if (carriers_)
               carriers_->renew_channels({"renewed", "the endpoint's certificate was renewed"});
             tools_.events->tell(
                 {EventKind::key, "", "endpoint", "a new endpoint certificate is in use"});
           },
           [this](const Error& why) {
             if (!endpoint_.of({}).ok()) set_fault(certificate_fault, why);
             trouble(why);
           }}) {
  reread_trust();
  if (facts_.unlike) {
    tools_.events->tell({EventKind::trouble, "", "static_log",
                         *facts_.unlike + "; the next boot will measure it as it is"});
  }
  if (!tools_.config->kernel) {
    judged_ = true;
    newest_ = Hash{};
    tell_measured();
  }
  tpm_again_ = tools_.clock->boot() + look_at_tpm_every;
  use(std::move(facts_));
}

void Conductor::reread_trust() {
  for (const std::string& sentence : trust_.read())
    tools_.events->tell({EventKind::trouble, "", "trust", sentence});
}

void Conductor::stop() {
  for (const auto& [peer, one] : counterparts_)
    one->pair().deny({"stopping", "this gateway's keymsd is being stopped"});
}

Result<Counterpart*> Conductor::find(const std::string& peer) const {
  const auto found = counterparts_.find(peer);
  if (found != counterparts_.end()) return found->second.get();
  return Error(ErrorKind::not_found, "no core policy is in force with \"" + peer + "\"")
      .with_hint("countersign peers lists those there are");
}

// Faults, and what follows from them.

void Conductor::set_fault(const std::string& code, const Error& why) {
  const std::string text = why.message();
  if (const auto found = faults_.find(code); found != faults_.end() && found->second == text)
    return;
  faults_[code] = text;
  tools_.events->tell({EventKind::trouble, "", code, text});
  spread_faults();
}

void Conductor::clear_fault(const std::string& code) {
  if (faults_.erase(code) == 0) return;
  tools_.events->tell({EventKind::healed, "", code, "it is well again"});
  spread_faults();
}

// Drift that is of no pair concerns all.
void Conductor::spread_faults() {
  for (const auto& [peer, one] : counterparts_) {
    std::vector<Reason> all;
    if (!judged_) all.push_back({"own_kernel", "its kernel's IPsec was not looked at yet"});
    // The peer is told that there is one. What it is concerns who mends it, and stands in the
    // status.
    for (const auto& [code, text] : faults_)
      all.push_back({"own_" + code, "this gateway is at fault itself: " + code});
    for (const xfrm::Difference& found : drift_) {
      const xfrm::Meaning& meant = xfrm::meaning(found.code);
      if (meant.severity != xfrm::Severity::breach) continue;
      if (whose(found).value_or(peer) != peer) continue;
      const std::string code = awaited_.contains(found) ? "own_kernel" : "own_drift";
      if (all.size() < most_reasons)
        all.push_back({code, as_text(std::string(meant.name) + ": " + found.sentence)});
    }
    one->set_faults(std::move(all));
  }
}

// The kernel's.

std::optional<std::string> Conductor::whose(const xfrm::Difference& found) const {
  return kernel_ ? kernel_->agreements().peer_of(found.tunnel) : std::nullopt;
}

void Conductor::settle(const std::set<xfrm::Difference>& all) {
  std::map<std::string, std::vector<xfrm::Difference>> breaches;
  for (const xfrm::Difference& one : all) {
    const auto peer = whose(one);
    if (!peer && one.code != xfrm::Code::socket_bypass) continue;
    if (xfrm::meaning(one.code).severity == xfrm::Severity::breach)
      breaches[peer.value_or(sockets)].push_back(one);
  }
  std::erase_if(unsettled_, [&](const std::string& peer) { return !breaches.contains(peer); });
  awaited_.clear();
  for (const std::string& peer : unsettled_)
    awaited_.insert(breaches[peer].begin(), breaches[peer].end());
}

void Conductor::on_drift(const std::set<xfrm::Difference>& all) {
  settle(all);
  const auto tell = [this](EventKind kind, const xfrm::Difference& one) {
    const xfrm::Meaning& meant = xfrm::meaning(one.code);
    std::string text = as_text(one.sentence);
    if (kind == EventKind::drift && !meant.hint.empty()) text += "; " + std::string(meant.hint);
    const bool breach = meant.severity == xfrm::Severity::breach && !awaited_.contains(one);
    tools_.events->tell({breach || kind == EventKind::healed ? kind : EventKind::trouble, "",
                         std::string(meant.name), std::move(text)});
  };
  for (const xfrm::Difference& one : all) {
    const bool worth = xfrm::meaning(one.code).severity != xfrm::Severity::note;
    if (worth && !drift_.contains(one)) tell(EventKind::drift, one);
  }
  for (const xfrm::Difference& one : drift_) {
    if (xfrm::meaning(one.code).severity == xfrm::Severity::breach && !all.contains(one))
      tell(EventKind::healed, one);
  }
  drift_ = all;
  judged_ = true;
  // First what stops the traffic, then what tells of it.
  spread_faults();
  tell_found();
}

void Conductor::on_measured(const Hash& policies) {
  newest_ = policies;
  tell_measured();
}

void Conductor::tell_measured() {
  if (!newest_) return;
  tools_.desk->ask(
      tpm::Priority::extend,
      [machine = tools_.machine, hash = *newest_](tpm::Device& device) -> Result<Hash> {
        CS_CHECK(machine->measured(device, hash));
        return hash;
      },
      while_alive([this](Result<Hash> told) {
        if (told.ok()) measured_ = *told;
        registers_told(told.ok() ? Result<void>() : Result<void>(told.error()));
      }));
}

bool Conductor::has_breach() const {
  return std::ranges::any_of(drift_, [this](const xfrm::Difference& one) {
    return xfrm::meaning(one.code).severity == xfrm::Severity::breach && !awaited_.contains(one);
  });
}

void Conductor::tell_found() {
  found_again_.reset();
  const bool open = has_breach();
  if (open) found_again_ = tools_.clock->boot() + found_again;
  tools_.desk->ask(
      tpm::Priority::extend,
      [machine = tools_.machine, all = drift_, awaited = awaited_](tpm::Device& device) {
        return machine->found(device, all, awaited);
      },
      while_alive([this, open](const Result<void>& told) {
        registers_told(told);
        if (told.ok() && !open) look_at_lock();
      }));
}

// A state that nobody has approved brings no more keys forth: an operator is not to learn that from
// the next run that fails.
void Conductor::look_at_lock() {
  unlock_again_.reset();
  tools_.desk->ask(
      tpm::Priority::background,
      [machine = tools_.machine](tpm::Device& device) { return machine->try_unlock(device); },
      while_alive([this](const Result<void>& opens) {
        if (opens.ok()) {
          clear_fault(lock_fault);
          return;
        }
        set_fault(lock_fault, opens.error());
        unlock_again_ = tools_.clock->boot() + found_again;
      }));
}

// After an error nothing is certain: closed, until all was told again.
void Conductor::registers_told(const Result<void>& told) {
  if (told.ok()) return;
  set_fault(registers_fault, told.error());
  if (!reopen_again_) reopen_again_ = tools_.clock->boot() + again;
}

// Of a TPM that is gone nobody knows whether it is the one that comes back.
void Conductor::look_at_tpm() {
  tpm_again_ = tools_.clock->boot() + look_at_tpm_every;
  if (faults_.contains(registers_fault)) return;  // it is asked anyway, and what it says is told
  tpm_again_.reset();
  tools_.desk->ask(
      tpm::Priority::background, [](tpm::Device& device) { return device.look(); },
      while_alive([this](const Result<void>& there) {
        tpm_again_ = tools_.clock->boot() + look_at_tpm_every;
        if (there.ok() || there.error().kind() == ErrorKind::busy) return;
        registers_told(Error(there.error()).context("looking whether the TPM is there"));
      }));
}

void Conductor::reopen_registers() {
  reopen_again_.reset();
  tools_.desk->ask(
      tpm::Priority::extend,
      [machine = tools_.machine, measured = newest_, all = drift_,
       awaited = awaited_](tpm::Device& device) -> Result<void> {
        CS_CHECK(machine->reopen(device));
        if (measured) CS_CHECK(machine->measured(device, *measured));
        return machine->found(device, all, awaited);
      },
      while_alive([this, newest = newest_](const Result<void>& told) {
        if (!told.ok()) {
          registers_told(told);
          return;
        }
        measured_ = newest;
        // A reset TPM's log does not have the certificate that is.
        endpoint_.make_anew();
        clear_fault(registers_fault);
      }));
}

void Conductor::tpm_began_anew() {
  registers_told(
      Error(ErrorKind::closed, "the TPM was lost, and has come back: what it knows is told anew"));
}

void Conductor::say(const std::string& peer, const Sealed& message) {
  const auto found = counterparts_.find(peer);
  if (found == counterparts_.end()) return;
  // Where the channel has gone the next session tells everything anew.
  static_cast<void>(found->second->pair().say(message));
}

void Conductor::disagree(const std::string& peer, const std::string& sentence) {
  tools_.events->tell({EventKind::sa_refused, peer, "sa", sentence});
}

void Conductor::use_kernel() {
  if (!tools_.config->kernel) return;
  const auto all = policies();
  if (all.empty()) {
    kernel_.reset();
    drift_.clear();
    awaited_.clear();
    clear_fault(kernel_fault);
    return;
  }
  Result<void> used;
  if (kernel_) {
    used = kernel_->set_policies(all);
  } else {
    KernelOptions options;
    options.us = facts_.ne_id;
    options.gate.udp_ports = tools_.config->udp_ports;
    options.gate.translator_port = tools_.config->translator_port;
    options.gate.held_queue = tools_.config->held_queue;
    options.kind = tools_.config->gate;
    options.vici_socket = tools_.config->vici;
    options.audit_interval = std::chrono::seconds(tools_.config->audit_seconds);
    options.own_bypasses = [this]() -> Result<std::size_t> {
      return carriers_ ? carriers_->own_bypasses() : Result<std::size_t>(std::size_t{0});
    };
    auto opened = KernelWatch::open(*this, *tools_.clock, std::move(options), all);
    used = opened.ok() ? Result<void>() : Result<void>(opened.error());
    if (opened.ok()) kernel_ = std::move(opened).value();
    judged_ = false;
  }
  if (used.ok()) {
    clear_fault(kernel_fault);
  } else {
    set_fault(kernel_fault, used.error());
    kernel_again_ = tools_.clock->boot() + again;
  }
}

void Conductor::run_kernel() {
  const BootTime now = tools_.clock->boot();
  if (kernel_again_ && now >= *kernel_again_) {
    kernel_again_.reset();
    use_kernel();
  }
  if (kernel_) {
    const auto done = kernel_->run();
    if (!done.ok()) {
      kernel_.reset();
      judged_ = false;
      set_fault(kernel_fault, done.error());
      // It closed the gate: what stood has to be attested anew.
      for (const auto& [peer, one] : counterparts_)
        one->pair().deny({"own_kernel", "this gateway cannot watch its kernel's IPsec"});
      kernel_again_ = now + again;
    }
  }
  if (found_again_ && now >= *found_again_) tell_found();
  if (reopen_again_ && now >= *reopen_again_) reopen_registers();
  if (unlock_again_ && now >= *unlock_again_) look_at_lock();
  if (tpm_again_ && now >= *tpm_again_) look_at_tpm();
}

// The carriers'.

void Conductor::open_carriers() {
  if (carriers_ || !judged_ || !measured_ || !endpoint_.is_made()) return;
  const BootTime now = tools_.clock->boot();
  if (carriers_again_ && now < *carriers_again_) return;
  carriers_again_.reset();
  auto opened = Carriers::open(*this, *tools_.clock, *tools_.config);
  if (!opened.ok()) {
    set_fault("carrier", opened.error());
    carriers_again_ = now + again;
    return;
  }
  carriers_ = std::move(opened).value();
  clear_fault("carrier");
  tell_carriers();
}

// Once somebody can carry it.
void Conductor::call_peers() {
  if (called_ || !carriers_ || !carriers_->can_call()) return;
  called_ = true;
  for (const auto& [peer, one] : counterparts_) {
    if (one->role() == Role::initiator) static_cast<void>(one->pair().attest());
  }
}

void Conductor::tell_carriers() {
  if (!carriers_) return;
  std::vector<carrier::KnownPeer> peers;
  for (const auto& [name, one] : counterparts_) {
    carrier::KnownPeer known{name, {one->policy().value}, {}, {}};
    const Gateway& gateway = one->policy().peer();
    if (gateway.attestation_key) {
      const auto& bytes = gateway.attestation_key->bytes;
      known.attestation_key.assign(bytes.begin(), bytes.end());
    }
    if (gateway.keymsd) known.pinned.push_back(gateway.keymsd->address);
    for (const net::Address& address : gateway.addresses) {
      if (known.pinned.size() < carrier::max_pinned &&
          std::ranges::find(known.pinned, address) == known.pinned.end())
        known.pinned.push_back(address);
    }
    peers.push_back(std::move(known));
  }
  auto own = endpoint_.own();
  if (!own.ok()) return;
  if (const auto told = carriers_->configure(std::move(own).value(), std::move(peers)); !told.ok())
    trouble(told.error());
}

bool Conductor::knows(const std::string& peer) const {
  return counterparts_.contains(peer);
}
bool Conductor::believes(const SessionHello& hello,
                         const std::optional<Hash>& peer_certificate) const {
  const auto found = counterparts_.find(hello.from);
  return found != counterparts_.end() && found->second->believes(hello, peer_certificate);
}
void Conductor::channel_up(const std::string& peer, std::unique_ptr<PairChannel> channel) {
  counterparts_.at(peer)->channel_up(std::move(channel));
}
void Conductor::receive(const std::string& peer, ByteView message) {
  if (const auto found = counterparts_.find(peer); found != counterparts_.end())
    found->second->pair().receive(message);
}
void Conductor::channel_down(const std::string& peer, const Reason& why) {
  if (const auto found = counterparts_.find(peer); found != counterparts_.end())
    found->second->pair().channel_down(why);
}
void Conductor::unreachable(const std::string& peer, const std::string& why) {
  tools_.events->tell({EventKind::attempt, peer, "unreachable", why});
  if (const auto found = counterparts_.find(peer); found != counterparts_.end())
    found->second->pair().unreachable();
}
void Conductor::trouble(const Error& error) {
  tools_.events->tell(
      {EventKind::trouble, "", std::string(to_string(error.kind())), error.message()});
}

// The data plane's.

void Conductor::applied(std::uint32_t key) {
  for (const auto& [peer, one] : counterparts_) one->pair().applied(key);
}

void Conductor::lost_key(std::uint32_t key, Table table) {
  for (const auto& [peer, one] : counterparts_) one->lost_key(key, table);
}

// The clock's.

void Conductor::look_at_clock() {
  if (const auto step = guard_.look()) trouble(Error(ErrorKind::invalid, step_text(*step)));
  const auto plausible = guard_.check();
  plausible.ok() ? clear_fault(clock_fault) : set_fault(clock_fault, plausible.error());
  if (guard_.seen() - noted_ < note_every) return;
  noted_ = guard_.seen();
  const std::string text = std::to_string(to_time_t(noted_));
  tools_.desk->ask(
      tpm::Priority::background,
      [machine = tools_.machine, value = Bytes(text.begin(), text.end())](tpm::Device& device) {
        return machine->keep_note(device, "clock", value);
      },
      // A store that is closed keeps what it has: the guard is only the more careful.
      [](const Result<void>& /*kept*/) {});
}

// Its turn.

void Conductor::run_counterparts() {
  for (const auto& [peer, one] : counterparts_) {
    const auto due = one->pair().deadline();
    if (due && tools_.clock->boot() >= *due) one->pair().tick();
  }
}

void Conductor::wait(Waits& waits) const {
  if (kernel_) kernel_->wait(waits);
  if (carriers_) carriers_->wait(waits);
  endpoint_.wait(waits);
  for (const auto& [peer, one] : counterparts_) waits.until(one->pair().deadline());
  for (const auto& time :
       {kernel_again_, found_again_, reopen_again_, carriers_again_, unlock_again_, tpm_again_})
    waits.until(time);
  for (const auto& [peer, one] : pending_)
    waits.until(std::max(one.until, fall_back_again_.value_or(one.until)));
  for (const Waiting& one : waiting_) waits.until(one.until);
}

Result<void> Conductor::run() {
  look_at_clock();
  run_kernel();
  CS_CHECK(endpoint_.run());
  open_carriers();
  if (carriers_) CS_CHECK(carriers_->run());
  call_peers();
  run_counterparts();
  fall_back();
  answer_waiting();
  return {};
}

}  // namespace cs::keyms
