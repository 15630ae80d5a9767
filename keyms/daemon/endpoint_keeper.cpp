// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/endpoint_keeper.h"

#include <random>
#include <utility>

namespace cs::keyms {
namespace {

// When one renews matters to nobody: so that not all do at once.
std::uint32_t random_number() {
  return std::random_device()();
}

bool holds_now(const Clock& clock, const Life& life, const carrier::Validity& validity) {
  return !life.is_over(clock) && clock.wall() + Life::tolerance >= validity.not_before;
}

}  // namespace

EndpointKeeper::EndpointKeeper(const Clock& clock, const ClockGuard& guard, TpmDesk& desk,
                               Machine& machine, Hooks hooks)
    : clock_(&clock), guard_(&guard), desk_(&desk), machine_(&machine), hooks_(std::move(hooks)) {}

void EndpointKeeper::keep(const std::string& ne_id, Bytes ak_public,
                          std::chrono::seconds lifetime) {
  ne_id_ = ne_id;
  ak_public_ = std::move(ak_public);
  if (!current_ || lifetime < lifetime_) due_ = clock_->boot();
  lifetime_ = lifetime;
}

void EndpointKeeper::make() {
  making_ = true;
  due_.reset();
  const auto prepared = [&]() -> Result<std::shared_ptr<Made>> {
    CS_CHECK(guard_->check());
    const WallTime now = std::chrono::floor<std::chrono::seconds>(clock_->wall());
    const carrier::Validity validity{now, now + lifetime_};
    CS_TRY(auto endpoint, carrier::make_endpoint(ne_id_, validity));
    CS_TRY(const Life life, Life::begin(*clock_, validity.not_before, validity.not_after));
    const EndpointStatement statement{ne_id_, carrier::hash_of(endpoint.certificate),
                                      static_cast<std::uint64_t>(to_time_t(validity.not_before)),
                                      static_cast<std::uint64_t>(to_time_t(validity.not_after))};
    return std::make_shared<Made>(Made{std::move(endpoint), validity, statement, life, {}});
  }();
  if (!prepared.ok()) {
    failed(prepared.error());
    return;
  }
  const auto& made = *prepared;
  desk_->ask(
      tpm::Priority::extend,
      [machine = machine_, made](tpm::Device& device) -> Result<Signed> {
        return machine->endpoint_valid(device, made->statement);
      },
      [this, alive = std::weak_ptr(alive_), made](Result<Signed> signature) {
        if (!alive.expired()) stated(made, std::move(signature));
      });
}

void EndpointKeeper::stated(const std::shared_ptr<Made>& made, Result<Signed> signature) {
  if (!signature.ok()) {
    failed(signature.error());
    return;
  }
  making_ = false;
  made->signature = std::move(signature).value();
  const BootTime now = clock_->boot();
  renewal_.emplace(now, now + made->life.left(*clock_), overlap, random_number());
  current_.emplace(std::move(*made));
  revoke_at_ = now + overlap;
  hooks_.made();
}

// Not at once: runs over channels of the old one are still judged by what the log says of it.
void EndpointKeeper::revoke_former() {
  revoke_at_.reset();
  desk_->ask(
      tpm::Priority::extend,
      [machine = machine_, certificate = current_->statement.certificate](tpm::Device& device) {
        return machine->revoke_others(device, {certificate});
      },
      [this, alive = std::weak_ptr(alive_)](const Result<void>& revoked) {
        if (alive.expired() || revoked.ok()) return;
        hooks_.trouble(Error(revoked.error()).context("revoking former endpoint certificates"));
        revoke_at_ = clock_->boot() + overlap;
      });
}

void EndpointKeeper::failed(const Error& why) {
  making_ = false;
  const BootTime now = clock_->boot();
  if (renewal_) renewal_->failed(now, random_number());
  if (!renewal_ || !renewal_->next() || !holds_now(*clock_, current_->life, current_->validity))
    due_ = now + Renewal::most_delay;
  hooks_.trouble(Error(why).context("making this gateway's endpoint certificate"));
}

Result<carrier::OwnEndpoint> EndpointKeeper::own() const {
  if (!current_) return Error(ErrorKind::not_found, "there is no endpoint certificate yet");
  const carrier::OwnEndpoint& from = current_->endpoint;
  CS_TRY(SecretBytes key, SecretBytes::copy_of(from.private_key.bytes()));
  return carrier::OwnEndpoint{from.ne_id, from.certificate, std::move(key)};
}

Result<PairHost::Endpoint> EndpointKeeper::of(const std::optional<Hash>& certificate) const {
  if (!current_) return Error(ErrorKind::not_found, "there is no endpoint certificate yet");
  if (current_->life.is_over(*clock_))
    return Error(ErrorKind::timed_out, "this gateway's endpoint certificate has ended");
  if (certificate && *certificate != current_->statement.certificate)
    return Error(ErrorKind::denied, "the channel is of a certificate that was replaced");
  return PairHost::Endpoint{ak_public_, current_->signature.bytes, current_->signature.signature};
}

std::optional<EndpointKeeper::View> EndpointKeeper::view() const {
  if (!current_) return std::nullopt;
  View out{current_->statement.certificate,
           current_->validity.not_before,
           current_->validity.not_after,
           {}};
  if (const auto next = renewal_->next()) {
    out.renewed_at =
        clock_->wall() + std::chrono::duration_cast<WallTime::duration>(*next - clock_->boot());
  }
  return out;
}

void EndpointKeeper::wait(Waits& waits) const {
  if (making_ || lifetime_.count() == 0) return;
  waits.until(due_);
  waits.until(revoke_at_);
  if (renewal_) waits.until(renewal_->next());
}

Result<void> EndpointKeeper::run() {
  if (making_ || lifetime_.count() == 0) return {};
  const BootTime now = clock_->boot();
  const bool renew = renewal_ && renewal_->next() && now >= *renewal_->next();
  // Set forward, the clock ends it at once; set back again, it would begin in the future.
  const bool useless = !due_ && current_ && !holds_now(*clock_, current_->life, current_->validity);
  if ((due_ && now >= *due_) || renew || useless) {
    make();
  } else if (revoke_at_ && now >= *revoke_at_) {
    revoke_former();
  }
  return {};
}

}  // namespace cs::keyms
