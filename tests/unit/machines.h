// SPDX-License-Identifier: GPL-3.0-or-later
// Two gateways with a TPM each, and what they do to each other.
#pragma once

#include <gtest/gtest.h>

#include "keyms/daemon/machine.h"
#include "keyms/evidence/verifier.h"
#include "keyms/policy/encode.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tests/unit/policy_samples.h"
#include "tests/unit/signer_messages.h"
#include "tests/unit/temporary_directory.h"

namespace cs::keyms::machines {

using test::get;

// A gateway with a TPM and a state directory of its own.
class Box {
 public:
  explicit Box(std::string name) : ne_id(std::move(name)), swtpm(get(test::Swtpm::start())) {
    options.config = get(parse_daemon_config("", "a test"));
    options.config.state_directory = directory.file("state");
    options.config.boot_log.clear();
    options.configuration = test::counted<32>(0x77);
    options.clock = &clock;
    connect();
  }
  void connect() {
    device.reset();
    device.emplace(get(tpm::Device::open(tap.options(swtpm.tcti()))));
  }
  std::vector<std::string> set_up() { return get(Machine::set_up(*device, options, ne_id)); }
  Machine& open() {
    machine.reset();
    machine = get(Machine::open(*device, options));
    return *machine;
  }
  // A loss of power, and the next boot.
  void reboot() {
    machine.reset();
    device.reset();
    swtpm.kill();
    get(swtpm.power_on());
    connect();
  }
  Machine::Facts facts() { return get(machine->facts(*device)); }
  std::string refusal() {
    machine.reset();
    auto opened = Machine::open(*device, options);
    return opened.ok() ? "opened" : opened.error().message();
  }

  SystemClock clock;
  std::string ne_id;
  test::TemporaryDirectory directory;
  test::Swtpm swtpm;
  test::TctiTap tap;
  std::optional<tpm::Device> device;
  Machine::Options options;
  std::unique_ptr<Machine> machine;
};

class MachineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { test::require::programs({"swtpm"}); }

  MachineTest() {
    for (Box* box : {&berlin, &hamburg}) {
      box->set_up();
      box->open();
    }
  }
  // Between the two, who need no proof: their TPMs have no certificate.
  CorePolicy policy(std::uint64_t version) {
    CorePolicy made = test::sample_policy();
    made.version = version;
    made.predecessor.reset();
    if (version > 1) made.predecessor = test::counted<32>(static_cast<std::uint8_t>(version));
    const std::array boxes{&berlin, &hamburg};
    for (std::size_t i = 0; i < 2; ++i) {
      Gateway& gateway = made.gateways.at(i);
      gateway.ne_id = boxes.at(i)->ne_id;
      gateway.attestation_key = boxes.at(i)->facts().attestation_key;
      gateway.authority.reset();
      gateway.proof = Proof::optional;
      gateway.boot.clear();
      gateway.ima.reset();
      gateway.static_pcr = 15;
      gateway.event_register = {tpm::CelRegister::Kind::pcr, 13};
    }
    made.signing = {};
    normalise(made);
    return made;
  }
  Bytes agreement(const CorePolicy& made) {
    AgreementFile file;
    file.policy = get(encode(made));
    file.signatures[0] = get(berlin.machine->sign_policy(*berlin.device, made));
    file.signatures[1] = get(hamburg.machine->sign_policy(*hamburg.device, made));
    return get(encode(file));
  }
  void apply(std::uint64_t version) {
    const Bytes agreed = agreement(policy(version));
    for (Box* box : {&berlin, &hamburg}) get(box->machine->apply(*box->device, agreed));
  }

  Box berlin{"berlin"};
  Box hamburg{"hamburg"};
};

class Showing : public MachineTest {
 protected:
  Showing() {
    apply(1);
    const Hash certificate = test::counted<32>(0x21);
    const auto now = static_cast<std::uint64_t>(to_time_t(berlin.clock.wall()));
    endpoint = {"berlin", certificate, now - 10, now + 3600};
    signed_endpoint = get(berlin.machine->endpoint_valid(*berlin.device, endpoint));
    get(berlin.machine->measured(*berlin.device, terms().measured));
  }
  Machine::ShowTerms terms() {
    Machine::ShowTerms out;
    const auto facts = berlin.facts();
    out.gateway = facts.policies[0].ours();
    out.signing = facts.policies[0].policy.signing;
    out.peer = "hamburg";
    out.request.key_id = 77;
    out.measured = test::counted<32>(0x31);
    return out;
  }
  // By the one who has shown this.
  Appraisal judged(const Machine::Shown& shown) {
    const auto facts = hamburg.facts();
    const HeldPolicy& held = facts.policies[0];
    Evidence evidence;
    const Bytes ak = berlin.facts().ak_public;
    evidence.ne_id = "berlin";
    evidence.attestation_key = ak;
    evidence.endpoint = signed_endpoint.view();
    evidence.quote = {shown.message.quote.attest, shown.message.quote.signature};
    evidence.values = shown.message.values;
    evidence.session_key = {shown.statement.suite,
                            shown.statement.public_key,
                            shown.statement.not_after,
                            shown.statement.lifetime_ms,
                            {}};
    const auto bytes = [](const auto& of) { return SignedBytes{of.attest, of.signature}; };
    if (const auto& key = shown.message.signing_key)
      evidence.session_key.resident = {key->area, bytes(key->certified)};
    if (const auto& index = shown.message.event_register)
      evidence.event_index = {index->index, bytes(index->certified), index->contents};
    evidence.spd = shown.statement.measurement;
    evidence.wall_clock = shown.statement.wall_clock;
    evidence.logs.boot = shown.logs[0];
    evidence.logs.static_log = shown.logs[1];
    evidence.logs.event_log = shown.logs[2];
    const Expectations expected{
        .policy = held.policy,
        .core_properties = held.value,
        .of = other(held.end),
        .qualifying = qualifying_data(terms().request.context, shown.message.statement),
        .channel_certificate = endpoint.certificate,
        .clock = hamburg.clock};
    return appraise(evidence, expected, nullptr);
  }

  EndpointStatement endpoint;
  Signed signed_endpoint;
};

}  // namespace cs::keyms::machines
