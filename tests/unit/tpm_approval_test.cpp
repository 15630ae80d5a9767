// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/ima_lists.h"
#include "tests/unit/sealing.h"
#include "tpm/seal/approval.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::test::auth_of;
using cs::test::get;
using cs::test::new_key;
using cs::test::PrivateKey;
using cs::tpm::Approval;
using cs::tpm::Bytes;
using cs::tpm::make_approval;
using cs::tpm::PcrState;
using cs::tpm::SealPolicy;
using cs::tpm::UnsealTerms;

constexpr std::string_view secret = "what nobody else may read";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class ApprovalTest : public cs::test::SealingTest {
 protected:
  ApprovalTest() {
    get(define_counter(device, counter));
    blob = seal(secret, {.policy = {.approved = approved}});
  }

  std::uint64_t count() { return get(read_counter(device, *get(srk.handle(device)), counter)); }
  Approval approve(const PcrState& state, EVP_PKEY* by = nullptr, std::uint64_t more = 0) {
    return get(make_approval({approved.reference, counter, count() + more, state},
                             by == nullptr ? key.get() : by));
  }
  std::string unseal_by(const std::vector<Approval>& approvals) {
    return unseal(blob, {.approved = approved, .approvals = approvals});
  }

  PrivateKey key = new_key();
  SealPolicy::Approved approved{get(approver_area(cs::test::public_key(key.get()))),
                                get(cs::tpm::approval_reference("gw-1", "policy"))};
  Bytes blob;
};

TEST_F(ApprovalTest, AStateApprovedAheadOpensWhenItComes) {
  const std::vector<Approval> ahead{approve(later(7))};
  EXPECT_TRUE(contains(unseal_by({}), "there is no approval"));
  EXPECT_TRUE(contains(unseal_by(ahead), "approval 1: PCR sha256:23 is 0000"));
  extend(23, 7);
  EXPECT_EQ(unseal_by(ahead), secret);
  extend(23, 8);
  EXPECT_TRUE(contains(unseal_by(ahead), "approval 1: PCR sha256:23 is "));
}

TEST_F(ApprovalTest, OneOfSeveralIsEnough) {
  EXPECT_EQ(unseal_by({approve(later(7)), approve(now()), approve(later(8))}), secret);
}

TEST_F(ApprovalTest, TheEventAfterTheApprovedStateIsNamed) {
  cs::test::ImaListMaker list(cs::tpm::HashAlgorithm::sha256);
  const auto measure = [&](std::string_view file) {
    list.add("ima-ng",
             {cs::test::ima_digest_part("sha256:", Bytes(32, 7)), cs::test::ima_name_part(file)},
             false, 23);
    auto log = get(cs::tpm::ImaLog::open(cs::tpm::Input(list.binary)));
    cs::tpm::ImaEntry last;
    while (get(log.next(last))) {
    }
    cs::tpm::Hasher hasher(cs::tpm::HashAlgorithm::sha256);
    get(extend_pcr(device, 23, {hasher.hash({last.hashed})}));
  };
  measure("/sbin/init");
  const std::vector<Approval> given{approve(now())};
  measure("/bin/surprise");
  measure("/bin/another");
  const std::string why =
      unseal(blob, {.approved = approved, .approvals = given, .logs = {.ima = list.binary}});
  EXPECT_TRUE(contains(why, "before entry 1 of the IMA list (/bin/surprise)")) << why;
}

TEST_F(ApprovalTest, CountingOnRetiresIt) {
  const std::vector<Approval> old{approve(now())};
  const std::vector<Approval> longer{approve(now(), nullptr, 1)};
  EXPECT_EQ(unseal_by(old), secret);
  get(count_on(device, counter));
  EXPECT_TRUE(contains(unseal_by(old), "it is retired: it held up to"));
  EXPECT_EQ(unseal_by(longer), secret);
}

// The software's checks are for good errors: without them the TPM refuses just as well.
TEST_F(ApprovalTest, TheTpmItselfEnforcesTheCounter) {
  const auto session = get(cs::tpm::Session::policy(device));
  const std::uint64_t at = count();
  get(policy_counter(device, session, counter, at));
  const auto above = policy_counter(device, session, counter, at - 1);
  ASSERT_FALSE(above.ok());
  EXPECT_EQ(above.error().kind(), ErrorKind::denied);
}

TEST_F(ApprovalTest, OnlyItsApproverAndPurposeCount) {
  const PrivateKey stranger = new_key();
  EXPECT_TRUE(contains(unseal_by({approve(now(), stranger.get())}),
                       "was not signed by the approver's key"));
  const auto elsewhere = get(make_approval(
      {get(cs::tpm::approval_reference("gw-2", "policy")), counter, count(), now()}, key.get()));
  EXPECT_TRUE(contains(unseal_by({elsewhere}), "for another gateway or purpose"));
  const SealPolicy::Approved other{get(approver_area(cs::test::public_key(stranger.get()))),
                                   approved.reference};
  EXPECT_TRUE(contains(unseal(blob, {.approved = other, .approvals = {}}), "not sealed to states"));
  EXPECT_TRUE(contains(unseal(blob), "not sealed to states"));
  const Bytes plain = seal(secret, {.policy = {.state = now()}});
  EXPECT_TRUE(contains(unseal(plain, {.approved = approved}), "not sealed to states"));
}

TEST_F(ApprovalTest, NoByteOfItCanBeChanged) {
  const Bytes file = approve(now()).encode();
  for (std::size_t i = 0; i < file.size(); ++i) {
    Bytes changed = file;
    changed[i] ^= 1;
    const auto parsed = Approval::parse(changed);
    ASSERT_FALSE(parsed.ok() && parsed->verify(approved.approver, approved.reference).ok()) << i;
    ASSERT_FALSE(Approval::parse(ByteView(file).first(i)).ok()) << i;
  }
  EXPECT_TRUE(get(Approval::parse(file)).verify(approved.approver, approved.reference).ok());
  EXPECT_EQ(get(Approval::parse(file)).encode(), file);
}

TEST_F(ApprovalTest, ItDoesNotReplaceTheAuthValue) {
  blob = seal(secret,
              {.policy = {.approved = approved, .auth_value = true}, .auth = auth_of("right")});
  const std::vector<Approval> given{approve(now())};
  const UnsealTerms with{.approved = approved, .approvals = given, .auth = auth_of("right")};
  EXPECT_EQ(unseal(blob, with), secret);
  const UnsealTerms wrong{.approved = approved, .approvals = given, .auth = auth_of("wrong")};
  EXPECT_TRUE(contains(unseal(blob, wrong), "authorisation does not match"));
  EXPECT_TRUE(contains(unseal_by(given), "it takes an auth value"));
}

TEST_F(ApprovalTest, OnlyAKeyOnP256Approves) {
  const PrivateKey large = new_key("P-384");
  EXPECT_FALSE(approver_area(cs::test::public_key(large.get())).ok());
  EXPECT_FALSE(make_approval({approved.reference, counter, 1, now()}, large.get()).ok());
  EXPECT_FALSE(make_approval({approved.reference, 0x01800000, 1, now()}, key.get()).ok());
  EXPECT_FALSE(cs::tpm::approval_reference("", "policy").ok());
}

TEST_F(ApprovalTest, TheCounterOnlyGrowsAndIsOurs) {
  const std::uint64_t first = count();
  get(define_counter(device, counter));
  EXPECT_EQ(count(), first);
  get(count_on(device, counter));
  EXPECT_EQ(count(), first + 1);
  const auto* const key_for_salt = get(srk.handle(device));
  EXPECT_EQ(read_counter(device, *key_for_salt, counter + 1).error().kind(), ErrorKind::not_found);
  EXPECT_FALSE(read_counter(device, *key_for_salt, 0x01800000).ok());
}

TEST_F(ApprovalTest, AForeignIndexInItsPlaceIsRefused) {
  constexpr auto foreign = counter + 2;
  { const cs::tpm::Device closed = std::move(device); }
  get(swtpm->tool({"tpm2_nvdefine", std::to_string(foreign), "-C", "o", "-s", "8", "-a",
                   "ownerread|ownerwrite|authread|nt=counter"}));
  get(swtpm->tool({"tpm2_nvincrement", std::to_string(foreign), "-C", "o"}));
  device = get(cs::tpm::Device::open(options()));
  EXPECT_EQ(define_counter(device, foreign).error().kind(), ErrorKind::exists);
  const auto read = read_counter(device, *get(srk.handle(device)), foreign);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().kind(), ErrorKind::unverified);
}

}  // namespace
