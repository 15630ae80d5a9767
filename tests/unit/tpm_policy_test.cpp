// SPDX-License-Identifier: GPL-3.0-or-later
// Policies and Names as a TPM computes them too.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/require.h"
#include "tests/unit/attester.h"
#include "tpm/evidence/name.h"
#include "tpm/evidence/policy.h"

namespace {

using cs::test::Attester;
using cs::test::get;
using cs::test::unhex;
using cs::tpm::Bytes;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::Name;
using cs::tpm::NvOperation;
using cs::tpm::PcrSelection;
using cs::tpm::PcrValues;
using cs::tpm::Policy;
using cs::tpm::PublicArea;

class TpmPolicy : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!attester) attester = std::make_unique<Attester>();
  }

  // A trial session.
  void SetUp() override { attester->tool({"tpm2_startauthsession", "-S", session()}); }
  void TearDown() override { attester->tool({"tpm2_flushcontext", session()}); }

  static std::string session() { return attester->file("session"); }
  static void restart() { attester->tool({"tpm2_policyrestart", "-S", session()}); }
  // The digest that the TPM has after one more policy command.
  static Bytes after(std::vector<std::string> argv) {
    argv.insert(argv.begin() + 1, {"-S", session(), "-L", attester->file("policy")});
    attester->tool(argv);
    return attester->read("policy");
  }
  static void write(const std::string& name, const Bytes& bytes) {
    std::ofstream(attester->file(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

  inline static std::unique_ptr<Attester> attester;
};

Policy policy() {
  return Policy(HashAlgorithm::sha256);
}

Bytes bytes(const Policy& of) {
  return {of.digest().bytes().begin(), of.digest().bytes().end()};
}

PcrSelection selected(std::string_view text) {
  return get(PcrSelection::parse(text));
}

Digest composite_of_zeros(const PcrSelection& selection) {
  PcrValues values;
  for (std::uint32_t index = 0; index < 16; ++index) {
    get(values.set(index, Digest(HashAlgorithm::sha256)));
    get(values.set(index, Digest(HashAlgorithm::sha1)));
  }
  return get(values.composite(selection, HashAlgorithm::sha256));
}

TEST_F(TpmPolicy, PcrThenAuthValueThenCommandCode) {
  const auto selection = selected("sha1:3+sha256:0,2,15");
  Policy ours = policy();
  ours.pcr(selection, composite_of_zeros(selection));
  EXPECT_EQ(bytes(ours), after({"tpm2_policypcr", "-l", "sha1:3+sha256:0,2,15"}));
  EXPECT_EQ(bytes(ours.auth_value()), after({"tpm2_policyauthvalue"}));
  EXPECT_EQ(bytes(ours.command_code(0x15d)), after({"tpm2_policycommandcode", "TPM2_CC_Sign"}));
  restart();
  EXPECT_EQ(bytes(policy().auth_value()), after({"tpm2_policypassword"}));
}

TEST_F(TpmPolicy, SecretOfTheEndorsementHierarchyIsTheEksOwn) {
  const Policy ours = policy().secret(Name::of_handle(cs::tpm::endorsement_hierarchy));
  EXPECT_EQ(bytes(ours), after({"tpm2_policysecret", "-c", "e"}));
  EXPECT_EQ(bytes(ours), attester->area(Attester::ek_rsa).policy);
  restart();
  EXPECT_EQ(bytes(policy().secret(Name::of_handle(cs::tpm::owner_hierarchy), unhex("c0ffee"))),
            after({"tpm2_policysecret", "-c", "o", "-q", "c0ffee"}));
}

TEST_F(TpmPolicy, AnyOf) {
  const Digest one = policy().auth_value().digest();
  const Digest two = policy().command_code(0x15d).digest();
  write("one", {one.bytes().begin(), one.bytes().end()});
  write("two", {two.bytes().begin(), two.bytes().end()});
  Policy ours = policy();
  get(ours.any_of(std::array{one, two}));
  EXPECT_EQ(bytes(ours), after({"tpm2_policyor", "-l",
                                "sha256:" + attester->file("one") + "," + attester->file("two")}));
  EXPECT_FALSE(ours.any_of(std::array{one}).ok());
  EXPECT_FALSE(ours.any_of(std::vector<Digest>(9, one)).ok());
  EXPECT_FALSE(ours.any_of(std::array{one, Digest(HashAlgorithm::sha1)}).ok());
}

TEST_F(TpmPolicy, NvWithEachOperation) {
  attester->tool({"tpm2_nvdefine", "-Q", "0x01500001", "-C", "o", "-s", "8", "-a",
                  "ownerwrite|ownerread|authread|policyread"});
  attester->tool({"tpm2_nvwrite", "-Q", "0x01500001", "-C", "o", "-i", "-"}, "7 digits");
  cs::tpm::NvPublic index;
  index.index = 0x01500001;
  index.attributes = 0x200e0002;  // written, policyread, authread, ownerread, ownerwrite
  index.size = 8;
  const Name name = name_of(index);
  EXPECT_NE(attester->tool({"tpm2_nvreadpublic", "0x01500001"}).find(name.hex()),
            std::string::npos);
  EXPECT_EQ(get(cs::tpm::NvPublic::parse(index.encode())), index);

  const std::vector<std::pair<std::string, NvOperation>> operations{
      {"eq", NvOperation::equal},
      {"neq", NvOperation::not_equal},
      {"ugt", NvOperation::unsigned_greater},
      {"ult", NvOperation::unsigned_less},
      {"uge", NvOperation::unsigned_at_least},
      {"ule", NvOperation::unsigned_at_most},
      {"bs", NvOperation::bits_set},
      {"bc", NvOperation::bits_clear}};
  Policy ours = policy();
  write("operand", unhex("0001"));
  for (const auto& [word, operation] : operations) {
    EXPECT_EQ(bytes(ours.nv(name, unhex("0001"), 2, operation)),
              after({"tpm2_policynv", "-C", "o", "-i", attester->file("operand"), "--offset", "2",
                     "0x01500001", word}))
        << word;
  }
}

TEST_F(TpmPolicy, AuthorizeForgetsWhatCameBefore) {
  const Name name = name_of(attester->area(Attester::ak_rsassa));
  write("name", name.bytes);
  write("approved", after({"tpm2_policyauthvalue"}));
  const Policy ours = policy().auth_value().authorize(name, unhex("0102"));
  EXPECT_EQ(ours.digest(), policy().authorize(name, unhex("0102")).digest());
  EXPECT_NE(ours.digest(), policy().authorize(name).digest());
  EXPECT_EQ(bytes(ours), after({"tpm2_policyauthorize", "-i", attester->file("approved"), "-n",
                                attester->file("name"), "-q", "0102"}));
}

// A trial session takes any signature.
TEST_F(TpmPolicy, Signed) {
  write("signature", Bytes(256, 1));
  const Name name = name_of(attester->area(Attester::ak_rsassa));
  EXPECT_EQ(bytes(policy().signed_by(name, unhex("0102"))),
            after({"tpm2_policysigned", "-g", "sha256", "-f", "rsassa", "-s",
                   attester->file("signature"), "-c", Attester::ak_rsassa, "-q", "0102"}));
}

TEST_F(TpmPolicy, NamesOfKeys) {
  for (const auto* handle : {Attester::ek_rsa, Attester::ak_ecdsa, Attester::ak_rsapss}) {
    attester->tool({"tpm2_readpublic", "-Q", "-c", handle, "-o", attester->file("public"), "-n",
                    attester->file("name"), "-q", attester->file("qualified")});
    const PublicArea area = get(PublicArea::parse(cs::tpm::without_size(attester->read("public"))));
    EXPECT_EQ(name_of(area).bytes, attester->read("name")) << handle;
    const Name endorsement = Name::of_handle(cs::tpm::endorsement_hierarchy);
    const Name ek = qualified_name(attester->area(Attester::ek_rsa), endorsement);
    const bool is_ek = std::string_view(handle) == Attester::ek_rsa;
    EXPECT_EQ(qualified_name(area, is_ek ? endorsement : ek).bytes, attester->read("qualified"));
    EXPECT_NE(attester->tool({"tpm2_readpublic", "-c", handle})
                  .find("value: " + cs::tpm::attribute_words(area.attributes)),
              std::string::npos)
        << cs::tpm::attribute_words(area.attributes);
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cs::test::require::programs({"swtpm", "tpm2_policypcr"});
  return RUN_ALL_TESTS();
}
