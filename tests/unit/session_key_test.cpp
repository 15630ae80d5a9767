// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/session_key.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include "base/openssl.h"
#include "tests/support/unwrap.h"

namespace cs::keyms {
namespace {

using test::get;
using Bytes = std::vector<std::uint8_t>;

// From the private part alone: the scalar times the base point.
Bytes p256_public(const SecretBytes& secret) {
  const Openssl<EC_GROUP, EC_GROUP_free> group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const Openssl<BIGNUM, BN_free> scalar(
      BN_bin2bn(secret.bytes().data(), static_cast<int>(secret.size()), nullptr));
  const Openssl<EC_POINT, EC_POINT_free> point(EC_POINT_new(group.get()));
  EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, nullptr);
  Bytes out(public_key_size(Suite::p256_node16));
  EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, out.data(),
                     out.size(), nullptr);
  return out;
}
Bytes ed25519_public(const SecretBytes& secret) {
  const Openssl<EVP_PKEY, EVP_PKEY_free> key(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_ED25519, nullptr, secret.bytes().data(), secret.size()));
  Bytes out(public_key_size(Suite::ed25519_node16));
  std::size_t size = out.size();
  EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size);
  return out;
}

TEST(SessionKey, ThePublicKeyIsThePrivateOnes) {
  for (const Suite suite : {Suite::p256_node16, Suite::p256_node32, Suite::ed25519_node16}) {
    const MadeKey one = get(make_session_key(suite));
    EXPECT_EQ(one.private_part.size(), private_key_size);
    EXPECT_EQ(one.public_key, suite == Suite::ed25519_node16 ? ed25519_public(one.private_part)
                                                             : p256_public(one.private_part));
    EXPECT_NE(get(make_session_key(suite)).public_key, one.public_key) << "each is a new one";
  }
}

}  // namespace
}  // namespace cs::keyms
