// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/tpm_signing.h"

#include <poll.h>
#include <sodium.h>
#include <unistd.h>

#include <utility>

#include "nfq-signer/key_from_keyms.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"

namespace cs::bench {

namespace {

constexpr std::size_t depth = 2;  // of one worker, as nfq-signer has it
constexpr int look_around = 20;   // milliseconds
constexpr std::chrono::hours lifetime{24};

keyms::KeyScope scope_for_keyms(const KeyScope& scope) {
  return {scope.session, scope.pcr_digest, scope.key, scope.direction,
          static_cast<keyms::Suite>(scope.suite)};
}

struct MadeKey {
  tpm::KeyBlobs blobs;
  tpm::SigningKey::Policy policy;
};

Result<MadeKey> make_tpm_key(tpm::Device& device) {
  MadeKey made;
  CS_TRY(made.policy.selection, tpm::PcrSelection::parse("sha256:0,1,2,3,4,5,6,7"));
  CS_TRY(const tpm::PcrValues values, read_pcrs(device, made.policy.selection));
  CS_TRY(made.policy.composite,
         values.composite(made.policy.selection, tpm::HashAlgorithm::sha256));
  tpm::SaltedSession session(tpm::storage_root_key());
  CS_TRY(made.blobs, tpm::SigningKey::create(device, session, made.policy));
  return made;
}

}  // namespace

Result<std::unique_ptr<TpmSigning>> TpmSigning::start(const Clock& clock, const Options& options) {
  CS_TRY(keyms::SignerListener listener,
         keyms::SignerListener::open(clock, options.socket, ::geteuid()));
  keyms::Hello hello;
  randombytes_buf(hello.instance.data(), hello.instance.size());
  CS_TRY(keyms::KeymsdConnection keymsd,
         keyms::KeymsdConnection::create(clock, {options.socket, ::geteuid(), hello}));
  std::unique_ptr<TpmSigning> made(
      new TpmSigning(clock, options, std::move(listener), std::move(keymsd)));
  CS_TRY(made->owner_, tpm::Owner::open({.tcti = options.tcti}));
  CS_CHECK(made->make_key());
  CS_TRY(made->exchange_, SignatureExchange::create());
  CS_TRY(made->signer_, keyms::TpmRootSigner::create(*made->owner_, clock));
  TpmSigning* const self = made.get();
  made->serving_ = std::thread([self] { self->serve(); });
  made->forwarding_ = std::thread([self] { self->forward(); });
  return made;
}

TpmSigning::~TpmSigning() {
  stopping_ = true;
  if (serving_.joinable()) serving_.join();
  if (forwarding_.joinable()) forwarding_.join();
}

Result<void> TpmSigning::make_key() {
  CS_TRY(MadeKey made, owner_->submit(tpm::Priority::background, make_tpm_key).get());
  CS_TRY(public_key_, tpm::SigningKey::public_key(made.blobs));
  blobs_ = std::move(made.blobs);
  policy_ = std::move(made.policy);
  return {};
}

Result<std::unique_ptr<RootSigner>> TpmSigning::make_signer() {
  const std::lock_guard lock(mutex_);
  const keyms::KeyScope scope = scope_for_keyms(options_.scope);
  const keyms::LaneRange lanes{options_.lanes.first, options_.lanes.last};
  CS_CHECK(signer_->open(
      {scope, clock_.boot() + lifetime, std::make_shared<keyms::StatementCheck>(scope, lanes)},
      tpm::SigningKey(blobs_, policy_)));
  return SignatureExchange::make_signer(exchange_, options_.scope.key, depth);
}

std::string TpmSigning::last_failure() {
  const std::lock_guard lock(mutex_);
  return last_failure_;
}

// keymsd's end.
void TpmSigning::serve() {
  std::optional<keyms::SignerConnection> connection;
  while (!stopping_) {
    std::array<pollfd, 3> wanted{
        {{listener_.fd(), POLLIN, 0},
         {signer_->fd(), POLLIN, 0},
         {connection ? connection->fd() : -1, connection ? connection->events() : short{0}, 0}}};
    ::poll(wanted.data(), wanted.size(), look_around);
    auto accepted = listener_.accept();
    if (accepted.ok() && *accepted) connection = std::move(**accepted);
    if (!connection || serve(*connection).ok()) continue;
    connection.reset();
    const std::lock_guard lock(mutex_);
    signer_->clear();
  }
}

Result<void> TpmSigning::serve(keyms::SignerConnection& connection) {
  const std::lock_guard lock(mutex_);
  for (;;) {
    CS_TRY(const auto message, connection.receive());
    if (!message) break;
    if (const auto* request = std::get_if<keyms::SignRequest>(&*message)) signer_->take(*request);
  }
  answers_.clear();
  signer_->collect(answers_);
  for (const auto& answer : answers_) {
    if (answer.why) last_failure_ = answer.why->message();
    CS_CHECK(connection.send(answer.reply));
  }
  CS_CHECK(connection.flush());
  return connection.tick();
}

// nfq-signer's end.
void TpmSigning::forward() {
  while (!stopping_) {
    std::array<pollfd, 2> wanted{
        {{exchange_->fd(), POLLIN, 0}, {keymsd_.fd(), keymsd_.events(), 0}}};
    ::poll(wanted.data(), wanted.size(), look_around);
    Result<void> done = keymsd_.tick();
    if (done.ok()) done = receive_replies();
    if (done.ok() && keymsd_.agreed()) done = send_requests();
    if (!done.ok() || !keymsd_.agreed()) exchange_->postpone_all();
  }
}

Result<void> TpmSigning::receive_replies() {
  for (;;) {
    CS_TRY(const auto message, keymsd_.receive());
    if (!message) return {};
    const auto* const reply = std::get_if<keyms::SignReply>(&*message);
    if (reply == nullptr) continue;
    RootSigner::Reply passed{reply->ticket, {}, reply->status == keyms::SignStatus::busy};
    if (reply->status == keyms::SignStatus::done) passed.signature = reply->signature;
    exchange_->reply(passed);
  }
}

Result<void> TpmSigning::send_requests() {
  requests_.clear();
  exchange_->take(keymsd_.room(), requests_);
  for (const SignatureExchange::Request& request : requests_) {
    CS_CHECK(keymsd_.send(keyms::SignRequest{request.ticket, request.key, request.statement}));
  }
  return keymsd_.flush();
}

}  // namespace cs::bench
