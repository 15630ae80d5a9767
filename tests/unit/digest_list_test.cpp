// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/digest_list.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/openssl.h"
#include "tests/support/unwrap.h"

namespace {

using cs::ErrorKind;
using cs::keyms::AcceptedFile;
using cs::keyms::DigestList;
using cs::keyms::format_digest_list;
using cs::keyms::Hash;
using cs::keyms::sign_digest_list;
using cs::test::get;

using Key = cs::Openssl<EVP_PKEY, EVP_PKEY_free>;

Hash filled(std::uint8_t with) {
  Hash hash{};
  hash.fill(with);
  return hash;
}

const std::vector<AcceptedFile> files{{filled(2), "/usr/bin/b"},
                                      {filled(1), ""},
                                      {filled(2), "/usr/bin/a file"},
                                      {filled(2), "/usr/bin/b"}};

std::string unsigned_list() {
  return get(format_digest_list("debian-12", 3, files));
}
std::string replaced(std::string text, std::string_view what, std::string_view with) {
  return text.replace(text.find(what), what.size(), with);
}
std::string refusal(const std::string& text) {
  const auto list = DigestList::parse(text);
  return list.ok() ? "accepted" : list.error().message();
}
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(DigestList, IsWrittenAsTheDocumentSays) {
  const std::string one(64, '1');
  std::string ones;
  std::string twos;
  for (int i = 0; i < 32; ++i) {
    ones += "01";
    twos += "02";
  }
  EXPECT_EQ(unsigned_list(),
            "countersign digest list v1\nname debian-12\nversion 3\nalgorithm sha256\nentries 3\n" +
                ones + "\n" + twos + "  /usr/bin/a file\n" + twos + "  /usr/bin/b\n");
}

TEST(DigestList, AcceptsWhatIsInIt) {
  const auto list = get(DigestList::parse(unsigned_list()));
  EXPECT_EQ(list.name(), "debian-12");
  EXPECT_EQ(list.version(), 3U);
  EXPECT_EQ(list.entries(), 3U);
  EXPECT_FALSE(list.key());
  EXPECT_TRUE(list.accepts(filled(1), "/anywhere"));
  EXPECT_TRUE(list.accepts(filled(2), "/usr/bin/b"));
  EXPECT_FALSE(list.accepts(filled(2), "/usr/bin/c"));
  EXPECT_FALSE(list.accepts(filled(3), "/usr/bin/b"));
  EXPECT_FALSE(list.accepts(cs::ByteView(filled(1)).first(20), "/anywhere"));
}

TEST(DigestList, IsSignedByEitherKindOfKey) {
  for (const Key& key :
       {Key(EVP_EC_gen("P-256")), Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))}) {
    const std::string text = get(sign_digest_list(unsigned_list(), key.get()));
    const auto list = get(DigestList::parse(text));
    ASSERT_TRUE(list.key());
    EXPECT_TRUE(list.accepts(filled(2), "/usr/bin/b"));
    // Every character is under the signature.
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::string changed = text;
      changed[i] = changed[i] == '3' ? '4' : '3';
      EXPECT_FALSE(DigestList::parse(changed).ok()) << i;
    }
    // By another key, in place of the first.
    const Key other(EVP_EC_gen("P-256"));
    const auto again = get(DigestList::parse(get(sign_digest_list(text, other.get()))));
    EXPECT_NE(again.key(), list.key());
    EXPECT_NE(again.hash(), list.hash());
  }
  const Key rsa(EVP_RSA_gen(2048));
  const auto refused = sign_digest_list(unsigned_list(), rsa.get());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unsupported);
  const Key wide(EVP_EC_gen("P-384"));
  EXPECT_FALSE(sign_digest_list(unsigned_list(), wide.get()).ok());
}

TEST(DigestList, CutAnywhereItIsRefused) {
  const std::string text = unsigned_list();
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(DigestList::parse(text.substr(0, size)).ok()) << size;
  }
}

TEST(DigestList, RefusesWhatIsWrittenOtherwise) {
  const std::string good = unsigned_list();
  EXPECT_TRUE(has(refusal(replaced(good, "v1", "v2")), "does not begin as one"));
  EXPECT_TRUE(has(refusal(replaced(good, "debian-12", "debian 12")), "a name"));
  EXPECT_TRUE(has(refusal(replaced(good, "version 3", "version 03")), "no number"));
  EXPECT_TRUE(has(refusal(replaced(good, "sha256", "sha512")), "algorithm"));
  EXPECT_TRUE(has(refusal(replaced(good, "entries 3", "entries 2")), "no 'key '"));
  EXPECT_TRUE(has(refusal(replaced(good, "entries 3", "entries 4")), "it ends in a line"));
  EXPECT_TRUE(has(refusal(replaced(good, "entries 3", "entries 300000")), "more than"));
  EXPECT_TRUE(has(refusal(replaced(good, "  /usr/bin/b", " /usr/bin/b")), "two spaces"));
  EXPECT_TRUE(has(refusal(replaced(good, "  /usr/bin/b", "  ")), "two spaces"));
  EXPECT_TRUE(has(refusal(replaced(good, "/usr/bin/b", "/usr/\tbin")), "two spaces"));
  EXPECT_TRUE(has(refusal(replaced(good, "/usr/bin/b", "/usr/bin/A")), "in order"));
  EXPECT_TRUE(has(refusal(replaced(good, "0101", "0G01")), "no SHA-256"));
  EXPECT_TRUE(has(refusal(good + "key 00\n"), "it ends in a line") ||
              has(refusal(good + "key 00\n"), "signature"));
  EXPECT_TRUE(has(refusal(good + "key 00\nsignature 00\n"), "cannot be read"));
}

TEST(DigestList, RefusesToWriteWhatNobodyCouldRead) {
  EXPECT_FALSE(format_digest_list("two words", 1, {}).ok());
  EXPECT_FALSE(format_digest_list("", 1, {}).ok());
  EXPECT_FALSE(format_digest_list("name", 1, {{filled(1), "/a\nb"}}).ok());
  EXPECT_FALSE(format_digest_list("name", 1, {{filled(1), std::string(4097, 'a')}}).ok());
  EXPECT_EQ(get(DigestList::parse(get(format_digest_list("name", 1, {})))).entries(), 0U);
}

}  // namespace
