// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/agreement_file.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keyms/policy/encode.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/unit/policy_samples.h"
#include "tpm/device/attestation_key.h"
#include "tpm/device/authorization.h"
#include "tpm/device/nv.h"
#include "tpm/evidence/name.h"

namespace {

using cs::ByteView;
using cs::test::get;
using cs::test::hash_of;
using cs::test::sample_policy;
using namespace cs::keyms;
using cs::tpm::AttestationKey;
using cs::tpm::PublicArea;

using Bytes = std::vector<std::uint8_t>;

// Both attestation keys, in one TPM: who holds which is not what is looked at here.
class Agreement : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cs::test::require::programs({"swtpm"}); }

  void SetUp() override {
    for (std::size_t i = 0; i < 2; ++i) {
      const AttestationKey::Options options{cs::tpm::KeyType::p256, nullptr, {}};
      auto blobs = get(AttestationKey::create(device, session, options));
      const ByteView area = cs::tpm::without_size(blobs.public_part);
      areas.at(i).assign(area.begin(), area.end());
      keys.at(i).emplace(std::move(blobs), options, session);
      policy.gateways.at(i).attestation_key = cs::tpm::name_of(get(PublicArea::parse(areas.at(i))));
    }
    file.policy = get(encode(policy));
  }

  PolicySignature sign(std::size_t who, ByteView of) {
    return {areas.at(who), get(keys.at(who)->sign(device, signed_document(of)))};
  }
  std::string refused() {
    const auto verdict = read_agreed(get(encode(file)));
    return verdict.ok() ? "" : verdict.error().message();
  }

  cs::test::Swtpm swtpm = get(cs::test::Swtpm::start());
  cs::tpm::Device device = get(cs::tpm::Device::open({.tcti = swtpm.tcti()}));
  cs::tpm::SaltedSession session{cs::tpm::storage_root_key()};
  std::array<std::optional<AttestationKey>, 2> keys;
  std::array<Bytes, 2> areas;
  CorePolicy policy = sample_policy();
  AgreementFile file;
};

TEST_F(Agreement, TakesBothSignatures) {
  EXPECT_EQ(refused(),
            "the core policy 'berlin-hamburg' is not agreed: berlin-1 has not signed it, "
            "and hamburg-1 has not signed it");
  file.signatures[1] = sign(1, file.policy);
  EXPECT_EQ(refused(),
            "the core policy 'berlin-hamburg' is not agreed: berlin-1 has not signed it");
  file.signatures[0] = sign(0, file.policy);
  const auto verdict = get(read_agreed(get(encode(file))));
  EXPECT_EQ(verdict.policy, policy);
  EXPECT_EQ(verdict.value, core_properties_value(file.policy));
  EXPECT_EQ(verdict.signatures[0].key, policy.gateways[0].attestation_key);
  EXPECT_EQ(get(decode_agreement(get(encode(file)))), file);
}

TEST_F(Agreement, ASignatureOfSomethingElseIsRefused) {
  file.signatures = {sign(0, file.policy), sign(1, file.policy)};
  const AgreementFile good = file;
  // Of another policy.
  CorePolicy other = policy;
  other.attestation.silence += std::chrono::seconds(1);
  file.policy = get(encode(other));
  EXPECT_NE(refused().find("berlin-1 does not hold: it is not of this policy"), std::string::npos);
  EXPECT_NE(refused().find("hamburg-1 does not hold"), std::string::npos);
  // Of the other gateway, in this one's place.
  file = good;
  file.signatures[1] = good.signatures[0];
  EXPECT_NE(refused().find("hamburg-1 does not hold: it is of the key 000b"), std::string::npos);
  // Of the policy alone, without the words in front.
  file = good;
  file.signatures[0]->signature = get(keys[0]->sign(device, file.policy));
  EXPECT_NE(refused().find("berlin-1 does not hold: it is not of this policy"), std::string::npos);
  // Every bit counts.
  for (std::size_t at = 0; at < good.signatures[0]->signature.size(); ++at) {
    file = good;
    file.signatures[0]->signature[at] ^= 1;
    EXPECT_NE(refused(), "") << at;
  }
  for (std::size_t at = 0; at < areas[0].size(); ++at) {
    file = good;
    file.signatures[0]->key[at] ^= 1;
    EXPECT_NE(refused(), "") << at;
  }
}

// Where an authority says who a gateway is, a key is taken for one only if a TPM holds it to that.
TEST_F(Agreement, OfAnAuthoritysGatewayAnyAttestationKeyButNoOther) {
  policy.gateways[0].attestation_key.reset();
  policy.gateways[0].authority = hash_of(1);
  file.policy = get(encode(policy));
  file.signatures = {sign(0, file.policy), sign(1, file.policy)};
  EXPECT_EQ(refused(), "");
  PublicArea unrestricted = get(PublicArea::parse(areas[0]));
  unrestricted.attributes &= ~cs::tpm::attribute::restricted;
  file.signatures[0]->key = unrestricted.encode();
  EXPECT_NE(refused().find("its key is no attestation key"), std::string::npos) << refused();
}

TEST(AgreementFile, ItsFormIsOne) {
  AgreementFile file{get(encode(sample_policy())), {}};
  file.signatures[1] = PolicySignature{{1, 2}, {3}};
  Bytes bytes = get(encode(file));
  EXPECT_EQ(get(decode_agreement(bytes)), file);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_agreement(ByteView(bytes).first(size)).ok());
  }
  bytes.push_back(0);
  EXPECT_FALSE(decode_agreement(bytes).ok());
  file.signatures[0] = PolicySignature{Bytes(max_key_area + 1), {}};
  EXPECT_FALSE(decode_agreement(get(encode(file))).ok());
  file.policy = {1};
  EXPECT_FALSE(verify(file).ok());
}

TEST(AgreementFile, EventIndicesAreThoseThatAreMade) {
  CorePolicy policy = sample_policy();
  for (const auto& [index, good] : {std::pair{cs::tpm::ExtendIndex::first, true},
                                    {cs::tpm::ExtendIndex::last, true},
                                    {cs::tpm::ExtendIndex::first - 1, false},
                                    {cs::tpm::ExtendIndex::last + 1, false}}) {
    policy.gateways[0].event_register = {cs::tpm::CelRegister::Kind::nv_index, index};
    EXPECT_EQ(validate(policy).ok(), good) << index;
  }
}

}  // namespace
