// SPDX-License-Identifier: GPL-3.0-or-later
// How a gateway that has drifted comes back without a reboot: its approver says so, or it does not.
#include <openssl/pem.h>

#include <fstream>

#include "tests/unit/machines.h"
#include "tests/unit/sealing.h"

namespace cs::keyms {
namespace {

using machines::Showing;
using test::get;

const std::set<xfrm::Difference> drift{
    {xfrm::Code::policy_in_clear, "lan", "10.1.0.0/16 goes in clear"}};

// Berlin has an approver, whose key is elsewhere.
class MachineApproval : public Showing {
 protected:
  MachineApproval() {
    berlin.options.config.approver = write_key(key);
    berlin.open();  // seals it to the configuration that the next boot will have
    berlin.reboot();
    berlin.open();
    EXPECT_FALSE(berlin.facts().unlike);
    get(berlin.machine->endpoint_valid(*berlin.device, endpoint));
    get(berlin.machine->measured(*berlin.device, terms().measured));
  }
  std::string write_key(const test::PrivateKey& of) {
    std::string path = berlin.directory.file("approver.pem");
    std::FILE* const file = std::fopen(path.c_str(), "w");
    PEM_write_PUBKEY(file, of.get());
    std::fclose(file);
    return path;
  }
  static Bytes approve(const ApprovalRequest& request, const test::PrivateKey& by) {
    return get(make_approval(get(request.terms()), by.get())).encode();
  }
  Bytes approve(const Bytes& asked) { return approve(get(ApprovalRequest::parse(asked)), key); }
  void drift_and_heal() {
    get(berlin.machine->found(*berlin.device, drift));
    get(berlin.machine->found(*berlin.device, {}));
  }
  Bytes request() { return get(berlin.machine->approval_request(*berlin.device)); }
  std::string take(const Bytes& approval) {
    auto taken = berlin.machine->take_approval(*berlin.device, approval);
    return taken.ok() ? *taken : taken.error().message();
  }
  // Whether keys are made and fetched.
  bool opens() {
    if (!berlin.machine->try_unlock(*berlin.device).ok()) return false;
    auto show = terms();
    show.request.key_id = ++last_key;
    return berlin.machine->show(*berlin.device, show).ok() &&
           berlin.machine->fetch_key(*berlin.device, last_key).ok();
  }
  void open_locked() {
    berlin.machine.reset();
    berlin.machine = get(Machine::open_locked(*berlin.device, berlin.options));
  }

  test::PrivateKey key = test::new_key();
  std::uint32_t last_key = 100;
};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_F(MachineApproval, BringsAGatewayBackThatHasDrifted) {
  EXPECT_TRUE(opens());
  const auto shows = terms();
  get(berlin.machine->found(*berlin.device, drift));
  const auto early = berlin.machine->approval_request(*berlin.device);
  ASSERT_FALSE(early.ok());
  EXPECT_TRUE(contains(early.error().message(), "10.1.0.0/16 goes in clear"));
  get(berlin.machine->found(*berlin.device, {}));
  EXPECT_FALSE(opens());
  EXPECT_TRUE(contains(take(approve(request())), "opens in the state as it is"));
  EXPECT_TRUE(opens());
  EXPECT_EQ(berlin.facts().policies.size(), 1U);
  const auto judgement = judged(get(berlin.machine->show(*berlin.device, shows)));
  for (const Criterion criterion : judgement.refused())
    EXPECT_TRUE(contains(text_of(criterion).code, "drift")) << text_of(criterion).code;
  for (const char* when : {"restarted", "and once more"}) {
    berlin.open();
    EXPECT_TRUE(opens()) << when;
  }
}

TEST_F(MachineApproval, IsOfOneStateAndOfOneBoot) {
  drift_and_heal();
  const Bytes first = approve(request());
  take(first);
  EXPECT_TRUE(opens());
  drift_and_heal();
  EXPECT_FALSE(opens()) << "that was another drift";
  EXPECT_NE(berlin.refusal(), "opened");
  open_locked();
  EXPECT_FALSE(contains(take(first), "opens in"));
  EXPECT_TRUE(contains(take(approve(request())), "opens in the state as it is"));
  get(berlin.machine->try_unlock(*berlin.device));
  EXPECT_TRUE(opens());
  berlin.reboot();
  berlin.open();
  get(berlin.machine->endpoint_valid(*berlin.device, endpoint));
  get(berlin.machine->measured(*berlin.device, test::counted<32>(0x31)));
  EXPECT_TRUE(opens());
  drift_and_heal();
  EXPECT_FALSE(opens()) << "the same state again, which was approved in the boot before";
  EXPECT_FALSE(contains(take(first), "opens in"));
  EXPECT_FALSE(opens());
  drift_and_heal();
  EXPECT_FALSE(opens()) << "nor the second one";
}

TEST_F(MachineApproval, NeitherAStrangersNorOneWithoutTheDriftOpensAnything) {
  const Bytes before = request();
  drift_and_heal();
  const test::PrivateKey stranger = test::new_key();
  EXPECT_TRUE(contains(take(approve(get(ApprovalRequest::parse(request())), stranger)),
                       "not signed by the approver"));
  EXPECT_TRUE(contains(take(approve(before)), "PCR sha256:15 is"));
  ApprovalRequest other = get(ApprovalRequest::parse(request()));
  ++other.counter_at_most;
  EXPECT_TRUE(contains(take(approve(other, key)), "another counter"));
  EXPECT_FALSE(opens());
  EXPECT_NE(berlin.refusal(), "opened");
  // Nor does the stranger's key, put in the approver's place.
  berlin.options.config.approver = write_key(stranger);
  EXPECT_NE(berlin.refusal(), "opened");
}

TEST_F(MachineApproval, OfADriftThatIsOpenIsNotTaken) {
  drift_and_heal();
  const Bytes approval = approve(request());
  get(berlin.machine->found(*berlin.device, drift));
  EXPECT_TRUE(contains(take(approval), "drift that is not healed"));
  EXPECT_FALSE(opens());
}

TEST_F(MachineApproval, APlanAfterDriftIsApprovedAhead) {
  drift_and_heal();
  take(approve(request()));
  const Bytes agreed = agreement(policy(2));
  const auto early = berlin.machine->apply(*berlin.device, agreed);
  ASSERT_FALSE(early.ok());
  EXPECT_EQ(early.error().kind(), ErrorKind::denied);
  EXPECT_EQ(berlin.facts().policies[0].policy.version, 1U);
  const Bytes ahead = get(berlin.machine->approval_request_for(*berlin.device, agreed));
  berlin.open();
  EXPECT_TRUE(contains(take(approve(ahead)), "the state that the plan leads to"));
  get(berlin.machine->apply(*berlin.device, agreed));
  EXPECT_TRUE(opens());
  berlin.open();
  EXPECT_TRUE(opens());
  EXPECT_EQ(berlin.facts().policies[0].policy.version, 2U);
  EXPECT_FALSE(berlin.facts().unlike);
  berlin.reboot();
  berlin.open();
  EXPECT_EQ(berlin.facts().policies[0].policy.version, 2U);
}

// As after an update of the firmware.
TEST_F(MachineApproval, OfOtherBootRegistersBecomesWhatItIsSealedTo) {
  get(berlin.tap.send(test::extend_command(4)));
  EXPECT_TRUE(contains(berlin.refusal(), "PCR sha256:4"));
  open_locked();
  take(approve(request()));
  berlin.open();
  EXPECT_TRUE(opens());
  berlin.open();
  EXPECT_TRUE(opens()) << "though the approval is retired";
  drift_and_heal();
  EXPECT_FALSE(opens());
}

TEST_F(MachineApproval, WhoHasNoneIsToldSo) {
  const auto asked = hamburg.machine->approval_request(*hamburg.device);
  ASSERT_FALSE(asked.ok());
  EXPECT_EQ(asked.error().kind(), ErrorKind::unsupported);
  EXPECT_EQ(hamburg.machine->take_approval(*hamburg.device, {}).error().kind(),
            ErrorKind::unsupported);
  // Who had one, and has none any more, opens by the register alone.
  berlin.options.config.approver.clear();
  berlin.open();
  EXPECT_TRUE(berlin.facts().unlike) << "who approves is part of what is measured";
  berlin.options.config.approver = write_key(key);
  drift_and_heal();
  EXPECT_NE(berlin.refusal(), "opened");
}

}  // namespace
}  // namespace cs::keyms
