// SPDX-License-Identifier: GPL-3.0-or-later
// What is sealed to the static register: through a plan, through drift and healing, and back to it
// by an approval.
#include "keyms/measure/approval_request.h"
#include "keyms/measure/registers.h"
#include "tests/unit/sealing.h"
#include "tests/unit/temporary_directory.h"

namespace {

using cs::ErrorKind;
using cs::keyms::ApprovalRequest;
using cs::keyms::Hash;
using cs::keyms::InForce;
using cs::keyms::RegisterOptions;
using cs::keyms::Registers;
using cs::keyms::sealing_state;
using cs::test::get;
using cs::test::new_key;
using cs::test::PrivateKey;
using cs::test::TemporaryDirectory;
using cs::tpm::Approval;
using cs::tpm::Bytes;
using cs::tpm::CelRegister;
using cs::tpm::PcrSelection;
using cs::tpm::PcrState;
using cs::tpm::SealPolicy;
using cs::xfrm::Code;
using cs::xfrm::Difference;

constexpr std::string_view secret = "what nobody else may read";
const Difference extra{Code::policy_extra, "lan", "a policy nobody agreed"};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
Hash hash(std::uint8_t fill) {
  Hash made{};
  made.fill(fill);
  return made;
}

class HealingTest : public cs::test::SealingTest {
 protected:
  static constexpr std::uint32_t static_pcr = 16;

  HealingTest() { get(define_counter(device, counter)); }

  Registers start() {
    const RegisterOptions options{.static_pcr = static_pcr,
                                  .events = {CelRegister::Kind::pcr, 23},
                                  .resettable = true,
                                  .place = {.directory = directory.path()}};
    return get(Registers::open(device, options, in_force));
  }
  PcrState boot() {
    const PcrSelection selection = get(PcrSelection::parse("sha256:4,7"));
    return get(PcrState::of(selection, get(read_pcrs(device, selection))));
  }
  // What a log says the machine's state is, and what the machine says.
  PcrState state_by(const Bytes& log) { return get(sealing_state(boot(), static_pcr, log)); }
  PcrState state_now() {
    const PcrSelection selection = get(PcrSelection::parse("sha256:4,7,16"));
    return get(PcrState::of(selection, get(read_pcrs(device, selection))));
  }

  std::uint64_t count() { return get(read_counter(device, *get(srk.handle(device)), counter)); }
  ApprovalRequest request(const Bytes& log) {
    return {"berlin-1", "store", counter, count(), boot(), static_pcr, log};
  }
  // As the approver does, on another machine.
  Bytes approve(const Bytes& asked, EVP_PKEY* by = nullptr) {
    const auto read = get(ApprovalRequest::parse(asked));
    return get(make_approval(get(read.terms()), by == nullptr ? key.get() : by)).encode();
  }
  std::string unseal_by(const Bytes& blob, const std::vector<Approval>& approvals) {
    return unseal(blob, {.approved = approved, .approvals = approvals});
  }

  TemporaryDirectory directory;
  InForce in_force{.policies = {hash(1), hash(2)}, .configuration = hash(9)};
  PrivateKey key = new_key();
  const cs::tpm::PublicArea approver = get(approver_area(cs::test::public_key(key.get())));
  SealPolicy::Approved approved{approver, get(cs::tpm::approval_reference("berlin-1", "store"))};
};

TEST_F(HealingTest, TheStateAfterAPlanIsKnownBefore) {
  Registers both = start();
  const Bytes now = get(both.static_log());
  EXPECT_EQ(state_by(now).composite(), state_now().composite());
  const Bytes after = get(cs::keyms::log_after(now, hash(3)));
  EXPECT_NE(state_by(after).composite(), state_now().composite());
  get(both.apply(device, hash(3), {hash(1)}));
  EXPECT_EQ(get(both.static_log()), after);
  EXPECT_EQ(state_by(after).composite(), state_now().composite());
  EXPECT_EQ(cs::keyms::log_after(after, hash(3)).error().kind(), ErrorKind::exists);
}

TEST_F(HealingTest, TheStateOfTheNextBootIsKnownBefore) {
  std::vector<cs::tpm::Digest> phase;
  for (const auto bank : device.capabilities().banks) phase.emplace_back(bank, 7);
  std::ranges::sort(phase, {}, &cs::tpm::Digest::algorithm);
  const Bytes expected = get(log_of_start(
      {static_pcr, device.capabilities().banks, {{"systemd: sysinit", phase}}}, in_force));
  get(extend_pcr(device, static_pcr, phase));
  const RegisterOptions options{.static_pcr = static_pcr,
                                .resettable = true,
                                .explained_static = {{"systemd: sysinit", phase}},
                                .place = {.directory = directory.path()}};
  const Registers both = get(Registers::open(device, options, in_force));
  EXPECT_EQ(get(both.static_log()), expected);
  EXPECT_EQ(state_by(expected).composite(), state_now().composite());
}

TEST_F(HealingTest, DriftSealsForGoodWithoutAnApprover) {
  Registers both = start();
  const Bytes blob = seal(secret, {.policy = {.state = state_by(get(both.static_log()))}});
  EXPECT_EQ(unseal(blob), secret);
  get(both.found(device, {extra}));
  EXPECT_TRUE(contains(unseal(blob), "PCR sha256:16 is ")) << unseal(blob);
  const auto log = get(both.static_log());
  EXPECT_TRUE(contains(unseal(blob, {.logs = {.own = log}}), "drift")) << unseal(blob);
  get(both.found(device, {}));
  EXPECT_TRUE(contains(unseal(blob), "PCR sha256:16 is "));
  get(reset_pcr(device, 16));  // as a reboot does
  cs::test::TemporaryDirectory next_boot;
  const Registers again = get(Registers::open(
      device, {.static_pcr = 16, .resettable = true, .place = {.directory = next_boot.path()}},
      in_force));
  EXPECT_EQ(unseal(blob), secret);
}

TEST_F(HealingTest, AnApprovalOfWhatHasHappenedOpensItAgain) {
  Registers both = start();
  const Bytes blob = seal(secret, {.policy = {.approved = approved}});
  std::vector<Approval> approvals;
  const auto ask_and_take = [&] {
    const auto asked = request(get(both.static_log()));
    approvals.push_back(get(take_approval(approve(get(asked.encode())), asked, approver)));
  };
  ask_and_take();
  EXPECT_EQ(unseal_by(blob, approvals), secret);
  get(both.found(device, {extra}));
  EXPECT_TRUE(contains(unseal_by(blob, approvals), "approval 1: PCR sha256:16 is "));
  get(both.found(device, {}));
  EXPECT_TRUE(contains(unseal_by(blob, approvals), "approval 1: PCR sha256:16 is "));
  ask_and_take();
  EXPECT_EQ(unseal_by(blob, approvals), secret);
  // Until the next drift, or until the counter has counted on.
  get(both.found(device, {extra}));
  EXPECT_TRUE(contains(unseal_by(blob, approvals), "approval 2: PCR sha256:16 is "));
  get(both.found(device, {}));
  ask_and_take();
  EXPECT_EQ(unseal_by(blob, approvals), secret);
  get(count_on(device, counter));
  EXPECT_NE(unseal_by(blob, approvals), secret);
}

TEST_F(HealingTest, ThePersonWhoSignsReadsWhatHappened) {
  Registers both = start();
  get(both.found(device, {extra}));
  get(both.found(device, {}));
  get(both.found(device, {{Code::disable_policy, "", "eth0"}}));
  const std::string text = get(request(get(both.static_log())).text());
  for (const std::string_view part :
       {"gateway berlin-1, for its store\n", "holds until its counter has passed ",
        "\nsha256:4=", "static PCR 16, 6 records:\n", "record 0: policy 0101",
        "record 1: policy 02", "record 2: configuration 0909",
        "record 3: drift, healed by record 4: policy-extra lan: a policy nobody agreed\n",
        "record 5: drift, NOT HEALED: disable-policy: eth0\n"}) {
    EXPECT_TRUE(contains(text, part)) << part << text;
  }
}

// Whoever hides the drift from the approver gets an approval of a state that is not there.
TEST_F(HealingTest, AnApprovalWithoutTheDriftIsOfAnotherState) {
  Registers both = start();
  const Bytes before = get(both.static_log());
  const Bytes blob = seal(secret, {.policy = {.approved = approved}});
  get(both.found(device, {extra}));
  get(both.found(device, {}));
  const auto asked = request(before);
  const auto taken = get(take_approval(approve(get(asked.encode())), asked, approver));
  EXPECT_TRUE(contains(unseal_by(blob, {taken}), "approval 1: PCR sha256:16 is "));
}

TEST_F(HealingTest, OnlyWhatWasAskedForIsTaken) {
  Registers both = start();
  const auto asked = request(get(both.static_log()));
  const Bytes good = approve(get(asked.encode()));
  get(take_approval(good, asked, approver));
  const auto refusal = [&](const ApprovalRequest& wanted) {
    const auto taken = take_approval(good, wanted, approver);
    return taken.ok() ? "" : taken.error().message();
  };
  auto other = asked;
  other.gateway = "hamburg-1";
  EXPECT_TRUE(contains(refusal(other), "for another gateway or purpose"));
  other = asked;
  ++other.counter_at_most;
  EXPECT_TRUE(contains(refusal(other), "it goes by another counter"));
  get(both.found(device, {extra}));
  EXPECT_TRUE(contains(refusal(request(get(both.static_log()))), "PCR sha256:16 is "));
  const PrivateKey stranger = new_key();
  EXPECT_FALSE(take_approval(approve(get(asked.encode()), stranger.get()), asked, approver).ok());
}

TEST_F(HealingTest, ARequestIsReadStrictly) {
  const Registers both = start();
  const auto asked = request(get(both.static_log()));
  const Bytes good = get(asked.encode());
  EXPECT_EQ(get(get(ApprovalRequest::parse(good)).encode()), good);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ApprovalRequest::parse(cs::ByteView(good).first(size)).ok()) << size;
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_FALSE(ApprovalRequest::parse(longer).ok());
  const auto refused = [](ApprovalRequest request, auto change) {
    change(request);
    return !ApprovalRequest::parse(get(request.encode())).ok();
  };
  EXPECT_FALSE(refused(asked, [](auto&) {}));
  EXPECT_TRUE(refused(asked, [](auto& request) { request.gateway = "a\nb"; }));
  EXPECT_TRUE(refused(asked, [](auto& request) { request.gateway.clear(); }));
  EXPECT_TRUE(refused(asked, [](auto& request) { request.counter_index = 0x01c00002; }));
  EXPECT_TRUE(refused(asked, [](auto& request) { request.static_pcr = 15; }));
  EXPECT_FALSE(refused(asked, [](auto& request) { request.static_log.clear(); }));
  EXPECT_TRUE(refused(asked, [](auto& request) {
    request.static_log.clear();
    request.static_pcr = 4;  // of the boot registers
  }));
  EXPECT_TRUE(refused(asked, [](auto& request) { request.static_log.back() ^= 1; }));
}

TEST(BootRegisters, AreNotThoseThatChange) {
  const auto refusal = [](std::string_view boot) {
    const auto checked = cs::keyms::check_boot_registers(get(PcrSelection::parse(boot)), 15,
                                                         {CelRegister::Kind::pcr, 13});
    return checked.ok() ? "" : checked.error().message();
  };
  EXPECT_EQ(refusal("sha256:0,1,2,3,4,5,6,7,8,9,11,12,14"), "");
  for (const std::string_view bad :
       {"sha256:10", "sha1:0+sha256:10", "sha256:13", "sha256:15", "sha256:16", "sha256:0,23"}) {
    EXPECT_NE(refusal(bad), "") << bad;
  }
  EXPECT_TRUE(contains(refusal("sha256:0,10"), "sealing to PCR 10: IMA extends it"));
}

}  // namespace
