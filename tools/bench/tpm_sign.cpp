// SPDX-License-Identifier: GPL-3.0-or-later
#include <chrono>
#include <iostream>

#include "tools/bench/own_tpm.h"
#include "tools/bench/tpm_measure.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/signing_key.h"
#include "tpm/device/status.h"

namespace cs::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds turn{500};
constexpr int turns = 8;
constexpr double least_share = 0.75;  // of the rate with a password

Result<tpm::SigningKey> make_key(tpm::Device& device) {
  tpm::SigningKey::Policy policy;
  CS_TRY(policy.selection, tpm::PcrSelection::parse("sha256:0,1,2,3,4,5,6,7"));
  CS_TRY(const tpm::PcrValues values, read_pcrs(device, policy.selection));
  CS_TRY(policy.composite, values.composite(policy.selection, tpm::HashAlgorithm::sha256));
  tpm::SaltedSession session(tpm::storage_root_key());
  CS_TRY(tpm::KeyBlobs blobs, tpm::SigningKey::create(device, session, policy));
  return tpm::SigningKey(std::move(blobs), std::move(policy));
}

// Signatures a second.
Result<double> policy_rate(tpm::Device& device, tpm::SigningKey& key) {
  const tpm::Digest digest(tpm::HashAlgorithm::sha256);
  double signatures = 0;
  const Clock::time_point begin = Clock::now();
  while (Clock::now() - begin < turn) {
    CS_CHECK(key.sign(device, digest));
    ++signatures;
  }
  return signatures / std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

Result<Figures> measure_signing() {
  auto own = OwnTpm::start();
  if (!own.ok() && own.error().kind() == ErrorKind::not_found) {
    std::cerr << "tpm-bench: sign is left out: " << own.error().message() << "\n";
    return Figures{};
  }
  if (!own.ok()) return own.error();
  CS_TRY(tpm::Device device, tpm::Device::open({.tcti = own->tcti()}));
  CS_TRY(tpm::SigningKey key, make_key(device));
  CS_CHECK(key.sign(device, tpm::Digest(tpm::HashAlgorithm::sha256)));
  double password = 0;
  double policy = 0;
  for (int i = 0; i < turns; ++i) {
    CS_TRY(const double one, measure_sign_rate(device, turn));
    CS_TRY(const double other, policy_rate(device, key));
    password += one / turns;
    policy += other / turns;
  }
  return Figures{
      {"signatures with a password", password, "/s"},
      {"signatures under a PCR policy", policy, "/s"},
      {"time under a PCR policy / with a password", password / policy, "", 1 / least_share}};
}

}  // namespace cs::bench
