// SPDX-License-Identifier: GPL-3.0-or-later
#include <tss2/tss2_tpm2_types.h>

#include <fstream>

#include "base/hex.h"
#include "tests/unit/machines.h"
#include "tpm/device/pcr_commands.h"

namespace cs::keyms {
namespace {

using machines::MachineTest;
using machines::Showing;
using test::get;

TEST_F(MachineTest, SettingUpAgainMakesNothing) {
  EXPECT_EQ(berlin.facts().ne_id, "berlin");
  EXPECT_TRUE(berlin.facts().policies.empty());
  EXPECT_FALSE(berlin.facts().unlike);
  const auto key = berlin.facts().attestation_key;
  berlin.machine.reset();
  EXPECT_TRUE(berlin.set_up().empty());
  berlin.open();
  EXPECT_EQ(berlin.facts().attestation_key, key);
  berlin.machine.reset();
  const auto other = Machine::set_up(*berlin.device, berlin.options, "bremen");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().kind(), ErrorKind::exists);
}

TEST_F(MachineTest, WhatIsInForceIsSoAfterRestartAndReboot) {
  apply(1);
  const auto check = [&](const char* when) {
    const auto facts = hamburg.facts();
    ASSERT_EQ(facts.policies.size(), 1U) << when;
    EXPECT_EQ(facts.policies[0].state, PolicyState::in_force) << when;
    EXPECT_EQ(facts.policies[0].peer().ne_id, "berlin") << when;
    EXPECT_FALSE(facts.unlike) << when << ": " << *facts.unlike;
  };
  check("applied");
  hamburg.open();
  check("restarted");
  hamburg.reboot();
  hamburg.open();
  check("rebooted");
  hamburg.open();
  check("restarted after that");
}

TEST_F(MachineTest, APlanSaysWhatTheRegisterWillBe) {
  const Bytes agreed = agreement(policy(1));
  const Plan plan = get(berlin.machine->plan(*berlin.device, agreed));
  EXPECT_EQ(plan.peer, "hamburg");
  ASSERT_EQ(plan.changes.size(), 1U);
  EXPECT_TRUE(berlin.facts().policies.empty()) << "a plan changes nothing";
  const auto static_value = [&] {
    const auto selection = get(tpm::PcrSelection::parse("sha256:15"));
    return *get(read_pcrs(*berlin.device, selection)).find(tpm::HashAlgorithm::sha256, 15);
  };
  get(berlin.machine->apply(*berlin.device, agreed));
  EXPECT_EQ(static_value(), plan.now);
  berlin.reboot();
  berlin.open();
  EXPECT_EQ(static_value(), plan.at_start);
}

TEST_F(MachineTest, AProposalIsPlannedAndNotApplied) {
  const Bytes agreed = agreement(policy(1));
  AgreementFile file = get(decode_agreement(agreed));
  file.signatures[0].reset();
  const Bytes proposal = get(encode(file));
  EXPECT_EQ(get(berlin.machine->plan(*berlin.device, proposal)).now,
            get(berlin.machine->plan(*berlin.device, agreed)).now);
  const auto applied = berlin.machine->apply(*berlin.device, proposal);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().kind(), ErrorKind::unverified);
  EXPECT_TRUE(berlin.facts().policies.empty());
  file.signatures[1]->signature.back() ^= 1U;
  EXPECT_FALSE(berlin.machine->plan(*berlin.device, get(encode(file))).ok());
}

TEST_F(MachineTest, ANewerPolicyTakesTheOldOnesPlaceAndNoneGoesBack) {
  apply(1);
  const Bytes first = agreement(policy(1));
  apply(2);
  EXPECT_EQ(berlin.facts().policies.size(), 1U);
  EXPECT_EQ(berlin.facts().policies[0].policy.version, 2U);
  EXPECT_FALSE(berlin.facts().unlike);
  const auto back = berlin.machine->apply(*berlin.device, first);
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().kind(), ErrorKind::denied);
  berlin.reboot();
  berlin.open();
  EXPECT_EQ(berlin.facts().policies[0].policy.version, 2U);
  EXPECT_FALSE(berlin.facts().unlike);
}

TEST_F(MachineTest, APolicyOfOthersOrUnsignedIsRefused) {
  CorePolicy made = policy(1);
  AgreementFile file;
  file.policy = get(encode(made));
  file.signatures[0] = get(berlin.machine->sign_policy(*berlin.device, made));
  EXPECT_FALSE(berlin.machine->apply(*berlin.device, get(encode(file))).ok());
  made.gateways[0].attestation_key = hamburg.facts().attestation_key;
  EXPECT_EQ(berlin.machine->sign_policy(*berlin.device, made).error().kind(), ErrorKind::denied);
  made.gateways[0].ne_id = "aachen";
  EXPECT_EQ(berlin.machine->sign_policy(*berlin.device, made).error().kind(), ErrorKind::denied);
}

TEST_F(MachineTest, APolicyThatIsRetiredIsGoneForGood) {
  apply(1);
  const auto none = berlin.machine->retire(*berlin.device, "bremen");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
  const Bytes agreed = agreement(policy(1));
  get(berlin.machine->retire(*berlin.device, "hamburg"));
  const auto check = [&](const char* when) {
    EXPECT_TRUE(berlin.facts().policies.empty()) << when;
    EXPECT_FALSE(berlin.facts().unlike) << when << *berlin.facts().unlike;
  };
  check("retired");
  EXPECT_FALSE(berlin.machine->apply(*berlin.device, agreed).ok()) << "what was retired is over";
  berlin.open();
  check("restarted");
  berlin.reboot();
  berlin.open();
  check("rebooted");
  EXPECT_EQ(get(berlin.machine->log_view(*berlin.device)).size(), 2U);
  apply(2);
  EXPECT_EQ(berlin.facts().policies.size(), 1U);
}

// Killed once the store is written, and once the log's intent is: the TPM has done neither then.
TEST_F(MachineTest, AnApplyThatWasKilledHalfwayIsFinishedAtTheNextStart) {
  std::uint64_t version = 0;
  for (const std::uint32_t last : {TPM2_CC_NV_Increment, TPM2_CC_PCR_Extend}) {
    const Bytes agreed = agreement(policy(++version));
    berlin.tap.decide([last](unsigned, ByteView command) {
      return test::command_code(command) == last
                 ? test::Fate{test::Fate::Kind::answer, TPM2_RC_VALUE}
                 : test::Fate{};
    });
    EXPECT_FALSE(berlin.machine->apply(*berlin.device, agreed).ok());
    berlin.tap.decide({});
    for (const char* when : {"started", "started again"}) {
      berlin.open();
      ASSERT_EQ(berlin.facts().policies.size(), 1U) << when;
      EXPECT_EQ(berlin.facts().policies[0].policy.version, version) << when;
      EXPECT_FALSE(berlin.facts().unlike) << when << *berlin.facts().unlike;
    }
  }
}

TEST_F(MachineTest, NotesAreFoundAgain) {
  auto& machine = *berlin.machine;
  EXPECT_FALSE(get(machine.note(*berlin.device, "standing")));
  get(machine.keep_note(*berlin.device, "standing", Bytes{1, 2}));
  apply(1);  // writes the book
  berlin.open();
  EXPECT_EQ(get(berlin.machine->note(*berlin.device, "standing")), (Bytes{1, 2}));
  const std::string own = "attestation-key-auth";
  EXPECT_EQ(berlin.machine->note(*berlin.device, own).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(berlin.machine->keep_note(*berlin.device, own, {}).error().kind(), ErrorKind::invalid);
}

TEST_F(MachineTest, WhatTheLogsTellIsHeldAgainstTheRegisters) {
  auto views = get(berlin.machine->log_view(*berlin.device));
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].name + ", " + views[1].name, "static, event");
  EXPECT_EQ(views[0].reg + ", " + views[1].reg, "PCR 15, PCR 13");
  const auto selection = get(tpm::PcrSelection::parse("sha256:15"));
  EXPECT_EQ(views[0].value,
            get(read_pcrs(*berlin.device, selection)).find(tpm::HashAlgorithm::sha256, 15)->hex());
  EXPECT_TRUE(views[0].agrees && views[1].agrees);
  EXPECT_EQ(views[0].why + views[1].why, "");
  EXPECT_EQ((std::vector{views[0].log, views[1].log}), get(berlin.machine->logs()));
  get(berlin.tap.send(test::extend_command(13)));
  views = get(berlin.machine->log_view(*berlin.device));
  EXPECT_TRUE(views[0].agrees);
  EXPECT_FALSE(views[1].agrees);
  EXPECT_NE(views[1].why, "");
}

TEST_F(MachineTest, WhyItDoesNotOpenIsToldWithTheEvent) {
  get(berlin.machine->try_unlock(*berlin.device));
  get(berlin.machine->found(*berlin.device,
                            {{xfrm::Code::policy_in_clear, "lan", "10.1.0.0/16 goes in clear"}}));
  const auto check = [&] {
    const auto locked = berlin.machine->try_unlock(*berlin.device);
    ASSERT_FALSE(locked.ok());
    EXPECT_EQ(locked.error().kind(), ErrorKind::denied);
    for (const char* part : {"PCR sha256:15", "drift"})
      EXPECT_NE(locked.error().message().find(part), std::string::npos) << locked.error().message();
  };
  check();
  berlin.machine.reset();
  berlin.machine = get(Machine::open_locked(*berlin.device, berlin.options));
  check();
  EXPECT_FALSE(get(berlin.machine->log_view(*berlin.device))[0].log.empty());
  EXPECT_EQ(berlin.machine->endpoint_valid(*berlin.device, {}).error().kind(), ErrorKind::closed);
}

TEST_F(Showing, WhatItShowsIsGoodForTheOtherGateway) {
  const Machine::Shown shown = get(berlin.machine->show(*berlin.device, terms()));
  const Appraisal appraisal = judged(shown);
  for (const Criterion criterion : appraisal.refused())
    ADD_FAILURE() << text_of(criterion).code << ": " << appraisal.of(criterion).sentence;
  EXPECT_TRUE(appraisal.granted());
  const SecretBytes key = get(berlin.machine->fetch_key(*berlin.device, 77));
  EXPECT_EQ(key.size(), private_key_size);
}

TEST_F(Showing, AKeyThatStaysInTheTpmIsGoodForTheOtherGateway) {
  CorePolicy made = policy(2);
  made.predecessor = berlin.facts().policies[0].value;
  made.signing.mode = SigningMode::tpm;
  const Bytes agreed = agreement(made);
  for (machines::Box* box : {&berlin, &hamburg}) get(box->machine->apply(*box->device, agreed));
  const Machine::Shown shown = get(berlin.machine->show(*berlin.device, terms()));
  EXPECT_TRUE(shown.resident);
  const Appraisal appraisal = judged(shown);
  for (const Criterion criterion : appraisal.refused())
    ADD_FAILURE() << text_of(criterion).code << ": " << appraisal.of(criterion).sentence;
  EXPECT_TRUE(appraisal.granted());
  EXPECT_FALSE(berlin.machine->fetch_key(*berlin.device, 77).ok()) << "it is in no store";
}

// Where no PCR is free.
class EventIndex : public MachineTest {
 protected:
  EventIndex() {
    const std::string file = berlin.directory.file("owner");
    std::ofstream(file) << "the owner's\n";
    berlin.machine.reset();
    berlin.device.reset();
    get(berlin.swtpm.tool({"tpm2_changeauth", "-c", "owner", "the owner's"}));
    berlin.reboot();
    berlin.options.config.owner_auth = file;
    berlin.options.config.event_register = {tpm::CelRegister::Kind::nv_index, 0x01d10300};
    berlin.options.config.state_directory = berlin.directory.file("state-of-index");
    berlin.set_up();
    berlin.open();
  }
};

TEST_F(EventIndex, KeepsTheEventLog) {
  const Hash certificate = test::counted<32>(0x21);
  const auto now = static_cast<std::uint64_t>(to_time_t(berlin.clock.wall()));
  for (const char* when : {"at first", "in the next boot"}) {
    get(berlin.machine->endpoint_valid(*berlin.device, {"berlin", certificate, now, now + 60}));
    auto view = get(berlin.machine->log_view(*berlin.device))[1];
    EXPECT_EQ(view.reg, "NV index 0x1d10300");
    EXPECT_TRUE(view.agrees) << when << view.why;
    berlin.open();
    EXPECT_TRUE(get(berlin.machine->log_view(*berlin.device))[1].agrees) << when;
    berlin.reboot();
    berlin.open();
    EXPECT_TRUE(get(berlin.machine->log_view(*berlin.device))[1].log.empty());
  }
}

TEST_F(EventIndex, IsShownToTheOtherGateway) {
  CorePolicy made = policy(1);
  made.gateways[0].event_register = {tpm::CelRegister::Kind::nv_index, 0x01d10300};
  const Bytes agreed = agreement(made);
  get(berlin.machine->apply(*berlin.device, agreed));
  Machine::ShowTerms terms;
  terms.gateway = berlin.facts().policies[0].ours();
  terms.peer = "hamburg";
  get(berlin.machine->measured(*berlin.device, terms.measured));
  const Machine::Shown shown = get(berlin.machine->show(*berlin.device, terms));
  ASSERT_TRUE(shown.message.event_register);
  const auto value = get(berlin.machine->log_view(*berlin.device))[1].value;
  EXPECT_EQ(hex_encode(shown.message.event_register->contents), value);
}

TEST_F(Showing, AfterDriftItIsRefusedAndKeysAreNoLongerFetched) {
  const Machine::ShowTerms shows = terms();
  get(berlin.machine->show(*berlin.device, shows));
  const std::set<xfrm::Difference> drift{
      {xfrm::Code::policy_in_clear, "lan", "10.1.0.0/16 goes in clear"}};
  get(berlin.machine->found(*berlin.device, drift));
  EXPECT_FALSE(berlin.machine->fetch_key(*berlin.device, 77).ok());
  EXPECT_FALSE(berlin.machine->show(*berlin.device, shows).ok()) << "no key could be kept";
  get(berlin.machine->found(*berlin.device, {}));
  EXPECT_FALSE(berlin.machine->fetch_key(*berlin.device, 77).ok()) << "healing does not unseal";
  EXPECT_NE(berlin.refusal(), "opened");
  berlin.reboot();
  berlin.open();
  EXPECT_EQ(get(berlin.machine->fetch_key(*berlin.device, 77)).size(), private_key_size);
}

TEST_F(Showing, ARevokedCertificateIsSeen) {
  get(berlin.machine->revoke_others(*berlin.device, {}));
  const Appraisal appraisal = judged(get(berlin.machine->show(*berlin.device, terms())));
  EXPECT_FALSE(appraisal.granted());
  EXPECT_EQ(appraisal.refused().front(), Criterion::certificate_revoked);
}

TEST_F(Showing, OtherCertificatesAreRevoked) {
  const Hash other = test::counted<32>(0x22);
  EndpointStatement former = endpoint;
  former.certificate = other;
  get(berlin.machine->endpoint_valid(*berlin.device, former));
  EXPECT_TRUE(judged(get(berlin.machine->show(*berlin.device, terms()))).granted());
  get(berlin.machine->revoke_others(*berlin.device, {endpoint.certificate}));
  EXPECT_TRUE(judged(get(berlin.machine->show(*berlin.device, terms()))).granted());
  EXPECT_FALSE(berlin.machine->endpoint_valid(*berlin.device, former).ok());
  get(berlin.machine->revoke_others(*berlin.device, {}));
  EXPECT_FALSE(judged(get(berlin.machine->show(*berlin.device, terms()))).granted());
}

TEST_F(Showing, AllKeysAreDropped) {
  get(berlin.machine->keep_note(*berlin.device, "standing", {}));
  get(berlin.machine->show(*berlin.device, terms()));
  get(berlin.machine->fetch_key(*berlin.device, 77));
  get(berlin.machine->drop_all_keys(*berlin.device));
  EXPECT_EQ(berlin.machine->fetch_key(*berlin.device, 77).error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(get(berlin.machine->note(*berlin.device, "standing"))) << "keys alone";
}

TEST_F(Showing, AnEditedConfigurationHoldsFromTheNextStartOn) {
  berlin.options.configuration = test::counted<32>(0x99);
  berlin.open();
  EXPECT_TRUE(berlin.facts().unlike) << "this boot has measured the other one";
  berlin.reboot();
  berlin.open();
  EXPECT_FALSE(berlin.facts().unlike);
}

}  // namespace
}  // namespace cs::keyms
