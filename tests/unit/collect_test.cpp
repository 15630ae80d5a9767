// SPDX-License-Identifier: GPL-3.0-or-later
// What a gateway gathers of itself; that it is good evidence holds verifier_test.cpp.
#include "keyms/evidence/collect.h"

#include "tests/unit/shown_gateway.h"

namespace {

using cs::ErrorKind;
using cs::keyms::read_endorsement;
using cs::keyms::read_ima_list;
using cs::test::get;
using cs::test::make_certificate;
using cs::test::ShownGateway;
using cs::test::TemporaryDirectory;
using cs::test::Vendor;

class Collect : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cs::test::require::programs({"swtpm", "tpm2_nvdefine"}); }
};

// Into a TPM that nobody else is connected to.
void put(const cs::test::Swtpm& tpm, const std::string& index, const cs::tpm::Bytes& bytes) {
  get(tpm.tool({"tpm2_nvdefine", index, "-s", std::to_string(bytes.size()), "-a",
                "ownerread|ownerwrite|authread|no_da"}));
  get(tpm.tool({"tpm2_nvwrite", index, "-C", "o", "-i", "-"}, {bytes.begin(), bytes.end()}));
}

cs::tpm::Bytes certificate_of(const cs::tpm::PublicKey& key, bool rsa) {
  auto wanted = rsa ? Vendor::get().rsa_ek() : Vendor::get().ec_ek();
  wanted.key = key.openssl();
  return make_certificate(wanted);
}

TEST_F(Collect, TheEndorsementKeyThatHasACertificate) {
  const auto tpm = get(cs::test::Swtpm::start());
  const auto open = [&tpm] { return get(cs::tpm::Device::open({.tcti = tpm.tcti()})); };
  cs::tpm::Bytes area;
  {
    auto device = open();
    const auto none = read_endorsement(device);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
    auto key = cs::tpm::endorsement_key(cs::tpm::KeyType::p256);
    area = get(read_public_area(device, key));
  }
  const auto parsed = get(cs::tpm::PublicArea::parse(area));
  // The RSA key's is of another TPM, as after an exchange of mainboards.
  put(tpm, "0x01c00002", make_certificate(Vendor::get().rsa_ek()));
  auto padded = certificate_of(get(cs::tpm::PublicKey::from(parsed)), false);
  const auto der = padded;
  padded.insert(padded.end(), 64, 0xff);
  put(tpm, "0x01c0000a", padded);
  const auto intermediate = make_certificate(Vendor::get().intermediate());
  const auto half = intermediate.begin() + static_cast<std::ptrdiff_t>(intermediate.size() / 2);
  put(tpm, "0x01c00100", {intermediate.begin(), half});
  put(tpm, "0x01c00101", {half, intermediate.end()});

  auto device = open();
  const auto shown = get(read_endorsement(device));
  EXPECT_EQ(shown.type, cs::tpm::KeyType::p256);
  EXPECT_EQ(shown.key, area);
  auto expected = der;
  expected.insert(expected.end(), intermediate.begin(), intermediate.end());
  EXPECT_EQ(shown.certificates, expected);
  cs::test::ManualClock clock;
  cs::test::Roots roots;
  EXPECT_TRUE(
      cs::keyms::find_endorsement(shown.key, shown.certificates, *roots.read(), clock).ok());
}

TEST_F(Collect, AListFromAnOffsetOn) {
  const TemporaryDirectory directory;
  directory.write("list", "0123456789");
  const auto read = [&](std::uint64_t offset) {
    return cs::test::text_of(get(read_ima_list(directory.file("list"), offset)));
  };
  EXPECT_EQ(read(0), "0123456789");
  EXPECT_EQ(read(7), "789");
  EXPECT_EQ(read(10), "");
  EXPECT_EQ(read(11), "");
  EXPECT_EQ(cs::test::text_of(get(read_ima_list(directory.file("none"), 0))), "");
  EXPECT_FALSE(read_ima_list(directory.file("list"), ~std::uint64_t{0}).ok());
  EXPECT_FALSE(read_ima_list(directory.path(), 0).ok());
}

TEST_F(Collect, AMachineWithoutABootLog) {
  ShownGateway gateway;
  auto sources = gateway.sources();
  sources.boot_log = gateway.directory.file("none");
  EXPECT_TRUE(get(cs::keyms::collect(gateway.device, sources, {})).boot.empty());
  sources.boot_log = gateway.directory.path();
  EXPECT_FALSE(cs::keyms::collect(gateway.device, sources, {}).ok());
}

}  // namespace
