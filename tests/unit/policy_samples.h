// SPDX-License-Identifier: GPL-3.0-or-later
// For tests: core policies that validate.
#pragma once

#include <random>
#include <string>

#include "keyms/policy/core_policy.h"
#include "tests/unit/agreement_samples.h"

namespace cs::test {

inline keyms::Hash hash_of(std::uint8_t fill) {
  keyms::Hash hash;
  hash.fill(fill);
  return hash;
}

// The Name of some attestation key.
inline tpm::Name name_of(std::uint8_t fill) {
  return tpm::Name::of(tpm::Digest(tpm::HashAlgorithm::sha256, fill));
}

// "berlin-1" at 192.0.2.1, where its keymsd listens, and "hamburg-1" at 192.0.2.2, with the tunnel
// "office" of sample_agreement().
inline keyms::CorePolicy sample_policy() {
  keyms::CorePolicy policy;
  policy.name = "berlin-hamburg";
  policy.agreement = sample_agreement();
  for (std::size_t i = 0; i < 2; ++i) {
    keyms::Gateway& gateway = policy.gateways.at(i);
    gateway.ne_id = i == 0 ? "berlin-1" : "hamburg-1";
    gateway.attestation_key = name_of(static_cast<std::uint8_t>(0xa0 + i));
    gateway.addresses = {*policy.agreement.tunnels[0].ends.at(i).address};
  }
  policy.gateways[0].keymsd = keyms::Endpoint{policy.gateways[0].addresses[0], 4739};
  return policy;
}

// Some policy; the same for the same state of `random`.
inline keyms::CorePolicy random_policy(std::mt19937& random) {
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
  const auto chance = [&] { return below(2) == 0; };
  const auto byte = [&] { return static_cast<std::uint8_t>(random()); };
  keyms::CorePolicy policy;
  policy.name = R"(a "policy" \ of )" + std::to_string(below(1000));
  policy.version = 1 + below(3);
  if (policy.version > 1) policy.predecessor = hash_of(byte());
  policy.agreement = random_agreement(random);
  for (std::size_t i = 0; i < 2; ++i) {
    keyms::Gateway& gateway = policy.gateways.at(i);
    gateway.ne_id = "gw-" + std::to_string(2 * below(1000) + i);
    if (chance()) {
      gateway.attestation_key = name_of(static_cast<std::uint8_t>(i));
    } else {
      gateway.authority = hash_of(byte());
    }
    gateway.proof = static_cast<keyms::Proof>(below(2));
    if (chance()) {
      for (const auto& tunnel : policy.agreement.tunnels) {
        if (const auto& at = tunnel.ends.at(i).address) gateway.addresses.push_back(*at);
      }
    }
    if (i == 0 || chance()) {
      gateway.keymsd = keyms::Endpoint{address(chance() ? "192.0.2.9" : "2001:db8::9"),
                                       static_cast<std::uint16_t>(1 + below(65535))};
    }
    gateway.static_pcr = chance() ? 15 : 11;
    if (chance()) gateway.event_register = {tpm::CelRegister::Kind::nv_index, 0x01d10300};
    gateway.resettable = chance();
    for (unsigned pcr = 0; pcr < 8; ++pcr) {
      if (chance()) continue;
      keyms::BootRule& rule = gateway.boot.emplace_back();
      rule.pcr = pcr;
      for (unsigned n = below(4); n > 0; --n) {
        rule.accepted.emplace_back(tpm::HashAlgorithm::sha256, byte());
      }
    }
    if (chance()) continue;
    gateway.ima = keyms::ImaRules{{hash_of(byte()), hash_of(byte())}, {}, chance()};
    if (chance()) gateway.ima->ignored = {"/var/lib/a b", R"(/"tmp"\)"};
  }
  policy.signing.suite = static_cast<keyms::Suite>(1 + below(4));
  if (policy.signing.suite < keyms::Suite::ed25519_node16 && chance()) {
    policy.signing.mode = keyms::SigningMode::tpm;
  }
  policy.signing.inbound = static_cast<keyms::Mode>(below(4));
  policy.signing.key_lifetime = std::chrono::seconds(300 + below(3600));
  policy.attestation.interval = std::chrono::seconds(10 + below(290));
  policy.attestation.after_drift = static_cast<keyms::AfterDrift>(below(3));
  policy.attestation.on_failure = static_cast<keyms::OnFailure>(below(3));
  if (policy.attestation.on_failure != keyms::OnFailure::cut) {
    policy.attestation.grace = std::chrono::seconds(below(100) * 60);
  }
  keyms::normalise(policy);
  return policy;
}

}  // namespace cs::test
