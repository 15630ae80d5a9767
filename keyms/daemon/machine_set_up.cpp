// SPDX-License-Identifier: GPL-3.0-or-later
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/unique_fd.h"
#include "keyms/daemon/machine.h"
#include "keyms/daemon/machine_notes.h"
#include "tpm/device/nv.h"
#include "tpm/seal/nv_counter.h"

namespace cs::keyms {

namespace {

constexpr std::size_t auth_size = 32;
constexpr std::uint32_t store_counter = tpm::first_counter_index;

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), S_IRWXU) == 0 || errno == EEXIST) return {};
  return from_errno(errno, "making the directory " + path);
}

Result<SecretBytes> draw() {
  CS_TRY(SecretBytes secret, SecretBytes::create(auth_size));
  if (::getrandom(secret.bytes().data(), secret.size(), 0) == static_cast<ssize_t>(auth_size))
    return secret;
  return from_errno(errno, "drawing an auth value");
}

}  // namespace

Result<std::vector<std::string>> Machine::set_up(tpm::Device& device, const Options& options,
                                                 const std::string& ne_id) {
  const DaemonConfig& config = options.config;
  if (!is_ne_id(ne_id)) {
    return Error(ErrorKind::invalid, "\"" + ne_id + "\" is no NeID")
        .with_hint("a lower-case letter, then lower-case letters, digits and '-', at most 16");
  }
  CS_CHECK(make_directory(config.state_directory));
  CS_CHECK(make_directory(config.logs()));
  if (::access(config.store().c_str(), F_OK) == 0) {
    CS_TRY(auto there, open(device, options));
    if (there->ne_id_ == ne_id) return std::vector<std::string>();
    return Error(ErrorKind::exists, "this gateway is " + there->ne_id_ + " already")
        .with_hint("to begin anew: countersign recover");
  }
  std::unique_ptr<Machine> made(new Machine(options));
  CS_CHECK(made->make_store(device, ne_id));
  return std::vector<std::string>{
      "a counter in the TPM, against stores that are put back",
      "an attestation key, in the TPM's endorsement hierarchy",
      "the sealed store " + config.store() + ", which opens in this state of the machine alone"};
}

// Its auth value lies beside the store, which does not open without the index: who reads it can
// extend the index, as anybody can extend a PCR. In hexadecimal, for it is read as a line.
Result<void> Machine::make_event_index(tpm::Device& device) {
  const std::string path = options_.config.event_index_auth();
  CS_TRY(SecretBytes secret, draw());
  for (std::uint8_t& byte : secret.bytes())
    byte = static_cast<std::uint8_t>("0123456789abcdef"[byte % 16]);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                             S_IRUSR | S_IWUSR));
  if (!file ||
      ::write(file.get(), secret.bytes().data(), secret.size()) !=
          static_cast<ssize_t>(secret.size()) ||
      ::fsync(file.get()) != 0) {
    return from_errno(errno, "writing " + path);
  }
  event_index_ = std::make_shared<const SecretBytes>(std::move(secret));
  auto made = tpm::ExtendIndex::define(device, session_, options_.config.event_register.number,
                                       event_index_, owner_);
  if (made.ok() || made.error().kind() != ErrorKind::exists) return made;
  return std::move(made).error().with_hint(
      "if it is left of a gateway that this was: tpm2_nvundefine -C o; else take another number");
}

Result<void> Machine::make_store(tpm::Device& device, const std::string& ne_id) {
  CS_CHECK(read_secrets());
  ne_id_ = ne_id;
  CS_CHECK(know_approver(device));
  CS_CHECK(tpm::define_counter(device, store_counter, owner_));
  if (options_.config.has_event_index()) CS_CHECK(make_event_index(device));
  CS_TRY(SecretBytes drawn, draw());
  const tpm::Auth auth = std::make_shared<const SecretBytes>(std::move(drawn));
  Contents contents;
  contents.clear.ne_id = ne_id;
  contents.clear.counter = store_counter;
  contents.clear.configuration = to_digest(options_.configuration);
  CS_TRY(contents.clear.attestation_key,
         tpm::AttestationKey::create(device, session_, {tpm::KeyType::p256, auth, endorsement_}));
  InForce nothing;
  nothing.configuration = options_.configuration;
  CS_TRY(registers_, Registers::open(device, register_options(), nothing));
  CS_TRY(contents.sealed_to, sealed_to(device, nothing));
  CS_TRY(store_, Store::create(device, srk_, {options_.config.store(), owner_, options_.clock},
                               std::move(contents)));
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.keep({RowKind::note, ak_auth}, auth->bytes());
}

}  // namespace cs::keyms
