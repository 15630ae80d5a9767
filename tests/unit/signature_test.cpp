// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

Packet from_hex(std::string_view text) {
  Packet out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(
        static_cast<std::uint8_t>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

// OpenSSL's own verification, which shares neither tables nor arithmetic with ours.
bool openssl_verifies(ByteView public_key, ByteView message, ByteView signature) {
  EVP_PKEY* key = nullptr;
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
  OSSL_PARAM_BLD* builder = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, public_key.data(),
                                   public_key.size());
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_fromdata_init(context);
  bool good = EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
  ECDSA_SIG* sig = ECDSA_SIG_new();
  ECDSA_SIG_set0(sig, BN_bin2bn(signature.data(), 32, nullptr),
                 BN_bin2bn(signature.data() + 32, 32, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(sig, &der);
  if (good) {
    EVP_MD_CTX* digest = EVP_MD_CTX_new();
    good = EVP_DigestVerifyInit(digest, nullptr, EVP_sha256(), nullptr, key) == 1 &&
           EVP_DigestVerify(digest, der, static_cast<std::size_t>(size), message.data(),
                            message.size()) == 1;
    EVP_MD_CTX_free(digest);
  }
  OPENSSL_free(der);
  ECDSA_SIG_free(sig);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(builder);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(key);
  return good;
}

TEST(Signature, BothAlgorithmsVerifyWhatTheySigned) {
  for (const Suite suite :
       {Suite::p256_node16, Suite::p256_node32, Suite::ed25519_node16, Suite::ed25519_node32}) {
    const Ends ends(suite);
    const SigningKey signing = ends.signing();
    const VerifyingKey verifying = get(VerifyingKey::load(suite, signing.public_key()));
    const Packet statement(statement_size, 9);
    const Signature signature = get(signing.sign(statement));
    EXPECT_TRUE(verifying.verifies(statement, signature));
    for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
      Signature changed = signature;
      changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      EXPECT_FALSE(verifying.verifies(statement, changed)) << bit;
    }
    for (std::size_t bit = 0; bit < statement.size() * 8; bit += 3) {
      Packet changed = statement;
      changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      EXPECT_FALSE(verifying.verifies(changed, signature)) << bit;
    }
    EXPECT_FALSE(verifying.verifies(statement, ByteView(signature).first(63)));
    EXPECT_FALSE(verifying.verifies(statement, {}));
  }
}

// RFC 6979, A.2.5: the key, and the signatures of "sample" and "test" with SHA-256, s made low.
TEST(Signature, AgreesWithRfc6979) {
  const Packet key = from_hex(
      "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
      "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
  const VerifyingKey verifying = get(VerifyingKey::load(Suite::p256_node16, key));
  const struct {
    std::string message, signature;
  } vectors[] = {{"sample",
                  "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                  "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
                 {"test",
                  "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
                  "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"}};
  for (const auto& vector : vectors) {
    const Packet message(vector.message.begin(), vector.message.end());
    Signature signature{};
    const Packet bytes = from_hex(vector.signature);
    std::copy(bytes.begin(), bytes.end(), signature.begin());
    EXPECT_TRUE(openssl_verifies(key, message, signature));
    lower_s(signature);
    EXPECT_TRUE(verifying.verifies(message, signature)) << vector.message;
  }
}

TEST(Signature, RefusesTheHigherSAndNumbersOutOfRange) {
  const Ends ends;
  const SigningKey signing = ends.signing();
  const VerifyingKey verifying = get(VerifyingKey::load(Suite::p256_node16, signing.public_key()));
  const Packet statement(statement_size, 3);
  const Signature good = get(signing.sign(statement));
  const Packet order = from_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  BIGNUM* n = BN_bin2bn(order.data(), 32, nullptr);
  BIGNUM* s = BN_bin2bn(good.data() + 32, 32, nullptr);
  BN_sub(s, n, s);
  Signature high = good;
  BN_bn2binpad(s, high.data() + 32, 32);
  BN_free(s);
  BN_free(n);
  EXPECT_TRUE(openssl_verifies(signing.public_key(), statement, high));
  EXPECT_FALSE(verifying.verifies(statement, high));
  lower_s(high);
  EXPECT_EQ(high, good);

  for (const std::size_t half : {0U, 32U}) {
    for (const Packet& value : {Packet(32, 0), order, Packet(32, 0xff)}) {
      Signature changed = good;
      std::copy(value.begin(), value.end(), changed.begin() + static_cast<std::ptrdiff_t>(half));
      EXPECT_FALSE(verifying.verifies(statement, changed));
    }
  }
}

// Against OpenSSL's own on random keys and on what is nearly right.
TEST(Signature, AgreesWithOpenSslOnRandomAndHostileInput) {
  std::mt19937 random(42);
  for (int round = 0; round < 20; ++round) {
    const Ends ends(Suite::p256_node16, 1, static_cast<std::uint8_t>(1 + random() % 200));
    const SigningKey signing = ends.signing();
    const Packet key = signing.public_key();
    const VerifyingKey verifying = get(VerifyingKey::load(Suite::p256_node16, key));
    for (int i = 0; i < 25; ++i) {
      Packet message(random() % 200 + 1);
      for (auto& b : message) b = static_cast<std::uint8_t>(random());
      Signature signature = get(signing.sign(message));
      if (i % 5 == 1) signature[random() % 64] ^= static_cast<std::uint8_t>(1U << (random() % 8));
      if (i % 5 == 2)
        std::fill(signature.begin(), signature.begin() + 31, std::uint8_t{0});  // tiny r
      if (i % 5 == 3) std::fill(signature.begin() + 32, signature.begin() + 63, std::uint8_t{0});
      if (i % 5 == 4) message.back() ^= 1;
      Signature low = signature;
      lower_s(low);
      EXPECT_EQ(verifying.verifies(message, signature),
                low == signature && openssl_verifies(key, message, signature));
    }
  }
}

TEST(Signature, RefusesKeysThatAreNone) {
  EXPECT_FALSE(VerifyingKey::load(Suite::p256_node16, Packet(65, 4)).ok());
  EXPECT_FALSE(VerifyingKey::load(Suite::p256_node16, Packet{0}).ok());
  EXPECT_FALSE(VerifyingKey::load(Suite::ed25519_node16, Packet(32, 0)).ok());  // small order
  EXPECT_FALSE(VerifyingKey::load(Suite::ed25519_node16, Packet(31, 1)).ok());
  Packet compressed = Ends().signing().public_key();
  compressed.resize(33);
  compressed[0] = 2;
  EXPECT_FALSE(VerifyingKey::load(Suite::p256_node16, compressed).ok());
  EXPECT_FALSE(SigningKey::load(Suite::p256_node16, get(SecretBytes::create(32))).ok());
  EXPECT_FALSE(
      SigningKey::load(Suite::p256_node16, get(SecretBytes::copy_of(Packet(32, 0xff)))).ok());
  EXPECT_FALSE(SigningKey::load(Suite::p256_node16, get(SecretBytes::create(31))).ok());
}

// SipHash-2-4 has a published vector: key 00..0f, message 00..0e. The gate's own message is longer,
// so this is the library's; what we give it is in the vectors of tests/vectors.
// Against libsodium's SipHash, in runs of every length, of one size and of mixed ones.
TEST(Gate, ManyTagsAtOnceAreThoseOfEachAlone) {
  std::mt19937 random(5);
  const std::array<Ends, 2> ends{Ends(Suite::p256_node16, 1), Ends(Suite::p256_node16, 2)};
  const std::array<Gate, 2> gates{ends[0].make_gate(), ends[1].make_gate()};
  for (std::size_t count = 0; count <= 30; ++count) {
    for (const std::size_t sizes : {1U, 3U}) {
      std::vector<Packet> extensions(count);
      std::vector<Digest> digests(count);
      std::vector<Gate::Job> jobs;
      for (std::size_t i = 0; i < count; ++i) {
        extensions[i].resize(112 + 16 * (count % 5) + 4 * (random() % sizes));
        for (std::uint8_t& byte : extensions[i]) byte = static_cast<std::uint8_t>(random());
        for (std::uint8_t& byte : digests[i]) byte = static_cast<std::uint8_t>(random());
        jobs.push_back({&gates[i % 2], &digests[i], extensions[i]});
      }
      Gate::make_tags(jobs);
      for (std::size_t i = 0; i < count; ++i) {
        Packet message(digests[i].begin(), digests[i].end());
        message.insert(message.end(), extensions[i].begin(), extensions[i].end() - 10);
        message.insert(message.end(), extensions[i].end() - 2, extensions[i].end());
        Tag wanted{};
        crypto_shorthash_siphash24(wanted.data(), message.data(), message.size(),
                                   ends[i % 2].gate.bytes().data());
        EXPECT_EQ(jobs[i].tag, wanted) << i << " of " << count;
      }
    }
  }
}

TEST(Gate, TagDependsOnEveryByteAndNotOnItself) {
  const Ends ends;
  const Gate gate = ends.make_gate();
  Packet extension(144, 5);
  const Tag tag = gate.tag({}, extension);
  for (std::size_t i = 0; i < extension.size(); ++i) {
    Packet changed = extension;
    changed[i] ^= 1;
    const bool in_tag = i >= extension.size() - 10 && i < extension.size() - 2;
    EXPECT_EQ(gate.tag({}, changed) == tag, in_tag) << i;
  }
  Digest digest{};
  digest[31] = 1;
  EXPECT_NE(gate.tag(digest, extension), tag);
  Packet tagged = extension;
  std::copy(tag.begin(), tag.end(), tagged.end() - 10);
  const Digest none{};
  const auto is_right = [&](ByteView of) {
    Gate::Job job{&gate, &none, of};
    Gate::make_tags({&job, 1});
    return job.is_right();
  };
  EXPECT_TRUE(is_right(tagged));
  tagged[tagged.size() - 3] ^= 1;
  EXPECT_FALSE(is_right(tagged));
  EXPECT_NE(Ends(Suite::p256_node16, 7, 2).make_gate().tag({}, extension), tag);
}

}  // namespace
}  // namespace cs::test
