// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/session_messages.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/cbor_writer.h"
#include "base/hex.h"
#include "base/hkdf.h"
#include "keyms/session/messages.h"
#include "tests/unit/exact_buffer.h"

namespace cs::keyms {
namespace {

using test::get;

SecretBytes key() {
  return test::secret<32>(0x50);
}

Bytes seal(const Sealed& message, Numbering numbering = {5, 7}) {
  return get(seal_message(message, numbering, key()));
}

// What a reader makes of it, HMAC apart.
std::string why_not(ByteView message) {
  const test::ExactBuffer exact(message);
  const auto envelope = open_envelope(exact.view());
  if (!envelope.ok()) return envelope.error().message();
  if (envelope->type == MessageType::refuse) {
    const auto refuse = decode_refuse(*envelope);
    return refuse.ok() ? "accepted" : refuse.error().message();
  }
  const auto decoded = decode_sealed(*envelope);
  return decoded.ok() ? "accepted" : decoded.error().message();
}

TEST(SessionMessages, ComeBackAsTheyWere) {
  for (const Sealed& message : test::sealed_samples()) {
    const Bytes bytes = seal(message);
    const std::string name(to_string(type_of(message)));
    EXPECT_LE(bytes.size(), max_session_message);
    const Envelope envelope = get(open_envelope(bytes));
    EXPECT_EQ(envelope.type, type_of(message));
    EXPECT_EQ(envelope.numbering.number, 7U);
    EXPECT_EQ(envelope.numbering.epoch, is_of_link(envelope.type) ? 5U : 0U);
    EXPECT_TRUE(verify_envelope(envelope, key()).ok()) << name;
    const Sealed again = get(decode_sealed(envelope));
    EXPECT_EQ(again.index(), message.index());
    EXPECT_EQ(seal(again), bytes) << name << ": another encoding";
  }
}

// Written by hand from docs/PROTOCOL.md.
TEST(SessionMessages, HaveTheDocumentsBytes) {
  const auto body = [](const Sealed& message) {
    const Bytes bytes = seal(message);
    return hex_encode(ByteView(bytes).first(bytes.size() - hmac_size));
  };
  EXPECT_EQ(body(Get{Log::events, 256, 65536}), "830407a3000201190100021a00010000");
  EXPECT_EQ(body(Part{Log::boot, 0, Bytes{0xab}}),
            "830507a30000010002"
            "41ab");
  EXPECT_EQ(body(ResultMessage{}), "830607a0");
  EXPECT_EQ(body(ResultMessage{{}, CredentialFor{{1}, {2}}}),
            "830607a101a20041010141"
            "02");
  EXPECT_EQ(body(FinalMessage{test::counted<32>(0)}),
            "830707a1005820" + hex_encode(test::counted<32>(0)));
  EXPECT_EQ(body(Denied{{{"c_1", "t"}}}),
            "830807a1008182"
            "63635f31"
            "6174");
  EXPECT_EQ(body(Ready{}), "84100507a0");
  EXPECT_EQ(body(Alive{}), "84110507a0");
  EXPECT_EQ(body(Sas{{{0x01020304, 2, 50, "a", test::counted<32>(0)}}}),
            "84120507a1008185"
            "1a01020304"
            "02"
            "1832"
            "6161"
            "5820" +
                hex_encode(test::counted<32>(0)));
  EXPECT_EQ(body(SasGone{{{256, 1}}}),
            "84130507a1008182"
            "190100"
            "01");
  EXPECT_EQ(body(Notice{NoticeKind::again, "t"}),
            "84140507a2000401"
            "6174");
  EXPECT_EQ(body(Deny{{{"c", "t"}}}),
            "84150507a1008182"
            "6163"
            "6174");
  EXPECT_EQ(hex_encode(get(encode_refuse({{"c", "t"}}))),
            "820082"
            "6163"
            "6174");
}

TEST(SessionMessages, EvidenceHasTheDocumentsBytes) {
  EvidenceMessage evidence = test::whole_evidence();
  evidence.statement = {0x99};
  evidence.values = {};
  get(evidence.values.set(10, tpm::Digest(tpm::HashAlgorithm::sha256)));
  get(evidence.values.set(9, tpm::Digest(tpm::HashAlgorithm::sha1)));
  const Bytes bytes = seal(evidence);
  EXPECT_EQ(hex_encode(ByteView(bytes).first(bytes.size() - hmac_size)),
            "830307aa"
            "004199"
            "0141a1"
            "0241a2"
            "0382"
            "83040954" +
                std::string(40, '0') + "830b0a5820" + std::string(64, '0') +
                "04a40041b10141b20241b30341b4"
                "05a30041c10141c20241c3"
                "068501190100"
                "1a00010000"
                "1b0000000100000000"
                "00"
                "0741d1"
                "08a20041e10141e2"
                "0982a200010141f1"
                "a2001bffffffffffffffff0141f2");
  const EvidenceStatement statement = test::evidence_statement();
  EXPECT_EQ(hex_encode(get(encode(statement))), "a90002015841" + hex_encode(statement.public_key) +
                                                    "021a11223344"
                                                    "031a6b49d200"
                                                    "041a000927c0"
                                                    "05190100"
                                                    "0619013f"
                                                    "075820" +
                                                    hex_encode(statement.measurement) +
                                                    "081a6b49ce18");
  EXPECT_EQ(get(decode_statement(get(encode(statement)))), statement);
}

TEST(SessionMessages, TheHmacIsOfAllThatStandsBeforeIt) {
  const Bytes bytes = seal(Get{Log::boot, 0, 1});
  Bytes expected(hmac_size);
  get(hmac_sha256(key().bytes(), {ByteView(bytes).first(bytes.size() - hmac_size)}, expected));
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes.end() - hmac_size));
  EXPECT_FALSE(verify_envelope(get(open_envelope(bytes)), test::secret<32>(0x51)).ok());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    Bytes changed = bytes;
    changed.at(at) ^= 1U;
    const auto envelope = open_envelope(changed);
    EXPECT_FALSE(envelope.ok() && verify_envelope(*envelope, key()).ok()) << at;
  }
}

TEST(SessionMessages, WhatIsCutOrLongerIsRefused) {
  for (const Sealed& message : test::sealed_samples()) {
    const Bytes whole = seal(message);
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 200);
    for (std::size_t size = 0; size < whole.size(); size += step)
      EXPECT_NE(why_not(ByteView(whole).first(size)), "accepted");
    Bytes longer = whole;
    longer.insert(longer.end() - hmac_size, 0);
    EXPECT_NE(why_not(longer).find("should end"), std::string::npos) << why_not(longer);
  }
  Bytes largest = seal(Alive{});
  largest.resize(max_session_message + 1);
  EXPECT_NE(why_not(largest).find("at most 32768"), std::string::npos);
}

using Body = std::function<void(CborWriter&)>;

// A message by hand: its front, this body, and room for the HMAC.
Bytes by_hand(MessageType type, const Body& body) {
  CborWriter out(max_session_message);
  out.array(is_of_link(type) ? 4 : type == MessageType::refuse ? 2 : 3);
  out.number(static_cast<std::uint8_t>(type));
  if (is_of_link(type)) out.number(0);
  if (type != MessageType::refuse) out.number(0);
  body(out);
  Bytes bytes = get(out.finish("a message"));
  if (type != MessageType::refuse) bytes.resize(bytes.size() + hmac_size);
  return bytes;
}

struct Broken {
  std::string why;
  MessageType type;
  Body body;
};

void expect_refused(const std::vector<Broken>& all) {
  for (const Broken& one : all) {
    const std::string said = why_not(by_hand(one.type, one.body));
    EXPECT_NE(said.find(one.why), std::string::npos)
        << one.why << " in " << to_string(one.type) << ": " << said;
  }
}

TEST(SessionMessages, TheEnvelopeKeepsItsRules) {
  const auto said = [](std::string_view hex) { return why_not(get(hex_decode(hex, 100))); };
  const std::string mac(64, '0');
  EXPECT_NE(said("820082"
                 "6163"
                 "617400")
                .find("should end"),
            std::string::npos);
  EXPECT_NE(said("8309"
                 "00a0" +
                 mac)
                .find("is unknown"),
            std::string::npos)
      << "a type between";
  EXPECT_NE(said("841600"
                 "00a0" +
                 mac)
                .find("is unknown"),
            std::string::npos)
      << "a later one";
  EXPECT_NE(said("84060000a0" + mac).find("parts of its type"), std::string::npos);
  EXPECT_NE(said("831000a0" + mac).find("parts of its type"), std::string::npos);
  EXPECT_NE(said("8206a0" + mac).find("parts of its type"), std::string::npos);
  EXPECT_NE(said("8300008261636174").find("parts of its type"), std::string::npos);
  EXPECT_NE(said("85100000a000" + mac).find("at most 4"), std::string::npos);
  EXPECT_NE(said("83061800a0" + mac).find("shortest form"), std::string::npos);
  EXPECT_NE(said("9f0600a0ff" + mac).find("definite length"), std::string::npos);
  EXPECT_NE(said("84101b000000010000000000a0" + mac).find("epoch"), std::string::npos);
  EXPECT_NE(said("830600a0" + mac.substr(2)), "accepted");
  EXPECT_NE(said("830600").find("no HMAC"), std::string::npos);
  EXPECT_EQ(said("830600a0" + mac), "accepted");
  EXPECT_NE(said("c0830600a0" + mac).find("a tag"), std::string::npos);
}

TEST(SessionMessages, BodiesOfTheRunKeepTheirRules) {
  const Hash hash{};
  const Bytes long_bytes(1025, 1);
  const Bytes part(most_part + 1, 1);
  expect_refused({
      {"the log", MessageType::get, [](auto& o) { o.map(3).key(0).number(5); }},
      {"the length at offset 10 is 0", MessageType::get,
       [](auto& o) { o.map(3).key(0).number(0).key(1).number(0).key(2).number(0); }},
      {"at most 262144", MessageType::get,
       [](auto& o) { o.map(3).key(0).number(0).key(1).number(0).key(2).number(262145); }},
      {"at most 3", MessageType::get, [](auto& o) { o.map(4); }},
      {"(key 2) is missing", MessageType::get,
       [](auto& o) { o.map(2).key(0).number(0).key(1).number(0); }},
      {"(key 1) is missing", MessageType::get,
       [](auto& o) { o.map(3).key(0).number(0).key(0).number(0); }},
      {"are none", MessageType::part,
       [](auto& o) { o.map(3).key(0).number(0).key(1).number(0).key(2).bytes({}); }},
      {"at most 16384", MessageType::part,
       [&](auto& o) { o.map(3).key(0).number(0).key(1).number(0).key(2).bytes(part); }},
      {"has 31 bytes", MessageType::result,
       [&](auto& o) { o.map(1).key(0).bytes(ByteView(hash).first(31)); }},
      {"unknown there", MessageType::result, [](auto& o) { o.map(1).key(2).number(0); }},
      {"its id object at offset 8 is empty", MessageType::result,
       [](auto& o) { o.map(1).key(1).map(2).key(0).bytes({}); }},
      {"at most 1024", MessageType::result,
       [&](auto& o) { o.map(1).key(1).map(2).key(0).bytes(long_bytes); }},
      {"at most 1024", MessageType::result,
       [&](auto& o) { o.map(1).key(1).map(2).key(0).bytes(hash).key(1).bytes(long_bytes); }},
      {"unknown there", MessageType::final, [](auto& o) { o.map(1).key(1).number(0); }},
      {"at most 32 is", MessageType::final,
       [&](auto& o) { o.map(1).key(0).bytes(ByteView(long_bytes).first(33)); }},
      {"are none", MessageType::denied, [](auto& o) { o.map(1).key(0).array(0); }},
      {"at most 16", MessageType::denied, [](auto& o) { o.map(1).key(0).array(17); }},
  });
}

TEST(SessionMessages, CodesAndTextsKeepTheirRules) {
  const auto reason = [](const std::string& code, const std::string& text) {
    return [code, text](CborWriter& o) { o.map(1).key(0).array(1).array(2).text(code).text(text); };
  };
  for (const MessageType type : {MessageType::denied, MessageType::deny}) {
    EXPECT_EQ(why_not(by_hand(type, reason("a", "b"))), "accepted");
    expect_refused({
        {"code at offset", type, reason("", "x")},
        {"is none", type, reason("Code", "x")},
        {"is none", type, reason("a-b", "x")},
        {"is none", type, reason("a b", "x")},
        {"at most 48", type, reason(std::string(49, 'a'), "x")},
        {"is empty", type, reason("a", "")},
        {"printable ASCII", type, reason("a", "x\n")},
        {"printable ASCII", type, reason("a", "\xc3\xa4")},
        {"at most 512", type, reason("a", std::string(513, 'x'))},
        {"two parts", type, [](auto& o) { o.map(1).key(0).array(1).array(1).text("a"); }},
    });
  }
  expect_refused(
      {{"two parts", MessageType::refuse, [](auto& o) { o.array(1).text("a"); }},
       {"is none", MessageType::refuse, [](auto& o) { o.array(2).text("A").text("b"); }}});
}

TEST(SessionMessages, BodiesOfTheLinkKeepTheirRules) {
  const Hash hash{};
  const auto sa = [&](std::uint64_t spi, std::uint64_t sense, std::uint64_t protocol,
                      const std::string& algorithms) {
    return [=](CborWriter& o) {
      o.map(1).key(0).array(1).array(5).number(spi).number(sense).number(protocol);
      o.text(algorithms).bytes(hash);
    };
  };
  EXPECT_EQ(why_not(by_hand(MessageType::sas, sa(256, 1, 50, "x"))), "accepted");
  expect_refused({
      {"is below 256", MessageType::sas, sa(255, 1, 50, "x")},
      {"4294967296", MessageType::sas, sa(0x100000000, 1, 50, "x")},
      {"sense", MessageType::sas, sa(256, 0, 50, "x")},
      {"sense", MessageType::sas, sa(256, 3, 50, "x")},
      {"neither ESP nor AH", MessageType::sas, sa(256, 1, 49, "x")},
      {"at most 51", MessageType::sas, sa(256, 1, 52, "x")},
      {"is empty", MessageType::sas, sa(256, 1, 51, "")},
      {"are none", MessageType::sas, [](auto& o) { o.map(1).key(0).array(0); }},
      {"at most 64", MessageType::sas, [](auto& o) { o.map(1).key(0).array(65); }},
      {"as many parts", MessageType::sas, [](auto& o) { o.map(1).key(0).array(1).array(2); }},
      {"are none", MessageType::sas_gone, [](auto& o) { o.map(1).key(0).array(0); }},
      {"is below 256", MessageType::sas_gone,
       [](auto& o) { o.map(1).key(0).array(1).array(2).number(255).number(1); }},
      {"is 0", MessageType::notice, [](auto& o) { o.map(2).key(0).number(0).key(1).text("x"); }},
      {"at most 5", MessageType::notice, [](auto& o) { o.map(2).key(0).number(6); }},
      {"is empty", MessageType::notice, [](auto& o) { o.map(2).key(0).number(1).key(1).text(""); }},
      {"at most 0", MessageType::ready, [](auto& o) { o.map(1).key(0).number(0); }},
      {"at most 0", MessageType::alive, [](auto& o) { o.map(1).key(0).number(0); }},
  });
}

// Evidence up to a field, and from there as said.
Body evidence_from(int key, const Body& rest) {
  return [key, rest](CborWriter& o) {
    const Bytes one(1, 1);
    o.map(10);
    for (int at = 0; at < key && at < 3; ++at) o.key(static_cast<std::uint64_t>(at)).bytes(one);
    if (key > 3) o.key(3).array(0);
    if (key > 6) {
      o.key(6).array(5);
      for (int i = 0; i < 5; ++i) o.number(0);
    }
    o.key(static_cast<std::uint64_t>(key));
    rest(o);
  };
}

TEST(SessionMessages, EvidenceKeepsItsRules) {
  const auto with = [](std::string why, int key, const Body& rest) {
    return Broken{std::move(why), MessageType::evidence, evidence_from(key, rest)};
  };
  const Bytes over(1025, 1);
  const Bytes one(1, 1);
  const Bytes sha1(20, 0);
  const auto value = [&](CborWriter& o, std::uint64_t bank, std::uint64_t pcr) {
    o.array(3).number(bank).number(pcr).bytes(sha1);
  };
  expect_refused({
      with("is empty", 0, [](auto& o) { o.bytes({}); }),
      with("at most 1024", 0, [&](auto& o) { o.bytes(over); }),
      with("at most 1024", 1, [&](auto& o) { o.bytes(over); }),
      with("at most 1024", 2, [&](auto& o) { o.bytes(over); }),
      with("at most 96", 3, [](auto& o) { o.array(97); }),
      with("three parts", 3, [](auto& o) { o.array(1).array(2); }),
      with("at most 23", 3, [&](auto& o) { value(o.array(1), 4, 24); }),
      with("bank at offset", 3, [&](auto& o) { value(o.array(1), 5, 0); }),
      with("not in its place", 3, [&](auto& o) { value(o.array(2), 4, 1), value(o, 4, 1); }),
      with("not in its place", 3, [&](auto& o) { value(o.array(2), 4, 1), value(o, 4, 0); }),
      with("has 20 bytes, not 32", 3, [&](auto& o) { value(o.array(1), 11, 0); }),
      with("at most 64", 4,
           [&](auto& o) {
             o.map(4).key(0).bytes(one).key(1).bytes(one).key(2).bytes(one);
             o.key(3).bytes(Bytes(65, 1));
           }),
      with("(key 3) is missing", 4,
           [&](auto& o) { o.map(3).key(0).bytes(one).key(1).bytes(one).key(2).bytes(one); }),
      with("(key 1) is missing", 5, [&](auto& o) { o.map(1).key(0).bytes(one); }),
      with("not five", 6, [](auto& o) { o.array(4); }),
      with("at most 5", 6, [](auto& o) { o.array(6); }),
      with("is empty", 7, [](auto& o) { o.bytes({}); }),
      with("at most 1024", 7, [&](auto& o) { o.bytes(over); }),
      with("(key 1) is missing", 8, [&](auto& o) { o.map(1).key(0).bytes(one); }),
      with("empty array", 9, [](auto& o) { o.array(0); }),
      with("at most 4", 9, [](auto& o) { o.array(5); }),
      with("at most 6144", 9,
           [](auto& o) { o.array(1).map(2).key(0).number(1).key(1).bytes(Bytes(6145, 1)); }),
      with("unknown there", 10, [](auto& o) { o.number(0); }),
  });
}

TEST(EvidenceStatement, KeepsItsRules) {
  using Break = std::function<void(EvidenceStatement&)>;
  const auto why = [](const Break& spoil) {
    EvidenceStatement statement = test::evidence_statement();
    spoil(statement);
    const auto again = decode_statement(get(encode(statement)));
    return again.ok() ? "accepted" : again.error().message();
  };
  constexpr std::uint64_t after_9999 = 253402300800;
  const std::vector<std::pair<std::string, Break>> breaks{
      {"accepted", [](EvidenceStatement&) {}},
      {"suite", [](auto& s) { s.suite = 0; }},
      {"suite", [](auto& s) { s.suite = 5; }},
      {"at most 32 is", [](auto& s) { s.suite = 3; }},
      {"has 64 bytes", [](auto& s) { s.public_key.pop_back(); }},
      {"begin with 4", [](auto& s) { s.public_key[0] = 2; }},
      {"key id", [](auto& s) { s.key_id = 0; }},
      {"not after", [](auto& s) { s.not_after = after_9999; }},
      {"lifetime", [](auto& s) { s.lifetime_ms = 0; }},
      {"before the first", [](auto& s) { s.last_lane = 255; }},
      {"wall clock", [](auto& s) { s.wall_clock = after_9999; }},
  };
  for (const auto& [expected, spoil] : breaks)
    EXPECT_NE(why(spoil).find(expected), std::string::npos) << expected << ": " << why(spoil);
  Bytes bytes = get(encode(test::evidence_statement()));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_statement(ByteView(bytes).first(size)).ok());
  bytes.push_back(0);
  EXPECT_FALSE(decode_statement(bytes).ok());
}

// Ours are held to the same rules before they go out.
TEST(SessionMessages, WhatWouldBeRefusedIsNotSent) {
  const auto sent = [](const Sealed& message) { return seal_message(message, {}, key()).ok(); };
  EXPECT_TRUE(sent(Alive{}));
  EXPECT_FALSE(sent(Get{Log::boot, 0, 0}));
  EXPECT_FALSE(sent(Get{Log::boot, 0, most_get + 1}));
  EXPECT_FALSE(sent(Part{Log::boot, 0, {}}));
  EXPECT_FALSE(sent(Denied{}));
  EXPECT_FALSE(sent(Denied{{{"Code", "text"}}}));
  EXPECT_FALSE(sent(Sas{{{255, 1, 50, "x", {}}}}));
  EXPECT_FALSE(sent(SasGone{}));
  EXPECT_FALSE(sent(Notice{NoticeKind{0}, "x"}));
  EXPECT_FALSE(sent(EvidenceMessage{}));
  EvidenceMessage large = test::whole_evidence();
  large.vouchers.assign(5, Voucher{1, {1}});
  EXPECT_FALSE(sent(large));
  Sas sas;
  sas.sas.assign(most_sas, {256, 1, 50, std::string(most_text, 'x'), {}});
  EXPECT_FALSE(sent(sas)) << "above the size of a message";
}

TEST(SessionMessages, WordsBecomeATextAnybodyReads) {
  EXPECT_EQ(as_text("a\nb\x7f\xc3"), "a?b??");
  EXPECT_EQ(as_text(std::string(1000, 'x')).size(), most_text);
  EXPECT_EQ(as_text(""), "no reason given");
}

}  // namespace
}  // namespace cs::keyms
