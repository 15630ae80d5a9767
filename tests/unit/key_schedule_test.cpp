// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/key_schedule.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <set>

#include "base/constant_time.h"
#include "tests/unit/signer_messages.h"

namespace cs::keyms {
namespace {

using test::get;

Hash sha256(const Bytes& bytes) {
  Hash out{};
  SHA256(bytes.data(), bytes.size(), out.data());
  return out;
}

// Bytes put together by hand, as docs/PROTOCOL.md says.
struct Joined {
  Bytes bytes;
  Joined& text(std::string_view words) {
    bytes.insert(bytes.end(), words.begin(), words.end());
    return *this;
  }
  Joined& add(ByteView more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return *this;
  }
  Joined& byte(std::uint8_t value) { return add(std::array{value}); }
};

QuoteContext context() {
  return {Role::responder,
          test::counted<32>(1),
          {test::counted<32>(2), test::counted<32>(3)},
          test::counted<32>(4),
          {test::counted<32>(5), test::counted<32>(6)}};
}

TEST(KeySchedule, HashesWhatTheDocumentSays) {
  const Bytes secret{1, 2, 3};
  EXPECT_EQ(channel_of(secret),
            sha256(Joined().text("countersign channel v1").byte(0).add(secret).bytes));
  const Bytes first(258, 7);
  const Bytes second{9};
  const Hash th1 = begin_transcript(first, second);
  EXPECT_EQ(th1, sha256(Joined()
                            .text("countersign transcript v1")
                            .byte(0)
                            .add(Bytes{0, 0, 1, 2})
                            .add(first)
                            .add(Bytes{0, 0, 0, 1})
                            .add(second)
                            .bytes));
  EXPECT_EQ(continue_transcript(th1, second),
            sha256(Joined().add(th1).add(Bytes{0, 0, 0, 1}).add(second).bytes));
  const QuoteContext of = context();
  const Hash qualifying = qualifying_data(of, second);
  EXPECT_EQ(qualifying, sha256(Joined()
                                   .text("countersign quote v1")
                                   .byte(0)
                                   .byte(2)
                                   .add(of.transcript)
                                   .add(of.nonces[0])
                                   .add(of.nonces[1])
                                   .add(of.channel)
                                   .add(of.certificates[0])
                                   .add(of.certificates[1])
                                   .add(sha256(second))
                                   .bytes));
  EXPECT_EQ(certify_qualifying_data(qualifying),
            sha256(Joined().text("countersign certify v1").byte(0).add(qualifying).bytes));
}

TEST(KeySchedule, EachInputChangesTheQualifyingData) {
  std::set<Hash> seen{qualifying_data(context(), Bytes{1})};
  const auto with = [&](auto&& change) {
    QuoteContext changed = context();
    change(changed);
    EXPECT_TRUE(seen.insert(qualifying_data(changed, Bytes{1})).second);
  };
  with([](QuoteContext& c) { c.role = Role::initiator; });
  with([](QuoteContext& c) { c.transcript[31] ^= 1U; });
  with([](QuoteContext& c) { std::swap(c.nonces[0], c.nonces[1]); });
  with([](QuoteContext& c) { c.channel[0] ^= 1U; });
  with([](QuoteContext& c) { std::swap(c.certificates[0], c.certificates[1]); });
  EXPECT_TRUE(seen.insert(qualifying_data(context(), Bytes{2})).second);
}

// HKDF of RFC 5869 in so many words, over HMAC alone.
Hash hmac(ByteView key, ByteView data) {
  Hash out{};
  get(hmac_sha256(key, {data}, out));
  return out;
}
Bytes expand(const Hash& pseudorandom, std::string_view label, std::size_t size) {
  const Hash block = hmac(pseudorandom, Joined().text(label).byte(1).bytes);
  return {block.begin(), block.begin() + static_cast<std::ptrdiff_t>(size)};
}
Bytes bytes_of(const SecretBytes& secret) {
  return {secret.bytes().begin(), secret.bytes().end()};
}

TEST(KeySchedule, DerivesTheDocumentsKeysAndAllDiffer) {
  const SecretBytes agreed = test::secret<32>(0x21);
  const Hash th1 = test::counted<32>(0x40);
  const Hash th3 = test::counted<32>(0x60);
  const Hash early = hmac(th1, agreed.bytes());
  const Hash late = hmac(th3, agreed.bytes());
  const KeyPair run = get(run_keys(th1, agreed));
  EXPECT_EQ(bytes_of(run[0]), expand(early, "cs run i", 32));
  EXPECT_EQ(bytes_of(run[1]), expand(early, "cs run r", 32));
  const LateKeys keys = get(late_keys(th3, agreed));
  EXPECT_EQ(Bytes(keys.session_id.begin(), keys.session_id.end()), expand(late, "cs session", 32));
  EXPECT_EQ(bytes_of(keys.confirm[0]), expand(late, "cs confirm i", 32));
  EXPECT_EQ(bytes_of(keys.confirm[1]), expand(late, "cs confirm r", 32));
  EXPECT_EQ(bytes_of(keys.gate[0]), expand(late, "cs gate i", 16));
  EXPECT_EQ(bytes_of(keys.gate[1]), expand(late, "cs gate r", 16));
  EXPECT_EQ(bytes_of(keys.link[0]), expand(late, "cs link i", 32));
  EXPECT_EQ(bytes_of(keys.link[1]), expand(late, "cs link r", 32));
  const Bytes secret(32, 5);
  EXPECT_EQ(get(proof_of(secret, th3)),
            hmac(secret, Joined().text("countersign proof v1").byte(0).add(th3).bytes));
}

TEST(EphemeralKey, TwoAgreeAndAThirdDoesNot) {
  const EphemeralKey one = get(EphemeralKey::create());
  const EphemeralKey two = get(EphemeralKey::create());
  const EphemeralKey three = get(EphemeralKey::create());
  const Bytes shared = bytes_of(get(one.agree(two.share())));
  EXPECT_EQ(shared, bytes_of(get(two.agree(one.share()))));
  EXPECT_NE(shared, bytes_of(get(three.agree(one.share()))));
  EXPECT_EQ(shared.size(), 32U);
}

// Points of another curve would tell an attacker the key bit by bit.
TEST(EphemeralKey, WhatIsNoPointOfTheCurveIsRefused) {
  const EphemeralKey key = get(EphemeralKey::create());
  const Share good = get(EphemeralKey::create()).share();
  const auto refused = [&](auto&& change) {
    Share share = good;
    change(share);
    return !key.agree(share).ok();
  };
  EXPECT_FALSE(refused([](Share&) {}));
  EXPECT_TRUE(refused([](Share& s) { s[64] ^= 1U; })) << "beside the curve";
  EXPECT_TRUE(refused([](Share& s) { std::fill(s.begin() + 1, s.end(), 0); })) << "zero";
  EXPECT_TRUE(refused([](Share& s) { std::fill(s.begin() + 1, s.end(), 0xff); })) << "above p";
  for (const std::uint8_t form : Bytes{0, 2, 3, 5, 6, 7})
    EXPECT_TRUE(refused([&](Share& s) { s[0] = form; })) << int{form};
  EXPECT_TRUE(refused([&](Share& s) { s = key.share(); })) << "our own, reflected";
}

TEST(SessionKey, WhatNfqSignerWouldRefuseIsRefused) {
  const Share good = get(EphemeralKey::create()).share();
  for (const std::uint8_t suite : Bytes{1, 2}) {
    EXPECT_TRUE(check_session_key(suite, good).ok());
    Share bad = good;
    bad[64] ^= 1U;
    EXPECT_FALSE(check_session_key(suite, bad).ok());
  }
  Bytes ed25519(32, 0x66);  // the group's generator
  ed25519[0] = 0x58;
  for (const std::uint8_t suite : Bytes{3, 4}) {
    EXPECT_TRUE(check_session_key(suite, ed25519).ok());
    Bytes small(32, 0);  // of small order: whatever is signed verifies
    small[0] = 1;
    EXPECT_FALSE(check_session_key(suite, small).ok());
    EXPECT_FALSE(check_session_key(suite, Bytes(32, 0)).ok());
    EXPECT_FALSE(check_session_key(suite, Bytes(32, 0xff)).ok());
  }
}

TEST(Nonce, IsDrawn) {
  EXPECT_NE(get(draw_nonce()), get(draw_nonce()));
}

}  // namespace
}  // namespace cs::keyms
