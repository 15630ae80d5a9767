// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/signer_protocol.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/support/manual_clock.h"
#include "tests/unit/exact_buffer.h"
#include "tests/unit/signer_messages.h"

// Its assertions are the test that both folders mean the same numbers.
#include "nfq-signer/key_from_keyms.h"

namespace cs::keyms {
namespace {

using test::encoded;
using Bytes = std::vector<std::uint8_t>;

// What decoding and encoding again makes of some bytes, or the error's words.
struct Outcome {
  bool accepted = false;
  Bytes bytes;
  std::string error;
};

template <class Variant>
Outcome outcome_of(const Result<Variant>& decoded) {
  if (!decoded.ok()) return {false, {}, decoded.error().message()};
  return {true, std::visit([](const auto& message) { return encoded(message); }, *decoded), {}};
}

Outcome from_signer(const Bytes& bytes) {
  const test::ExactBuffer exact(bytes);
  return outcome_of(decode_from_signer(exact.view()));
}
Outcome from_keymsd(const Bytes& bytes) {
  const test::ExactBuffer exact(bytes);
  return outcome_of(decode_from_keymsd(exact.view()));
}

struct Sample {
  std::string name;
  Bytes bytes;
  std::function<Outcome(const Bytes&)> decode;
  std::function<Outcome(const Bytes&)> decode_at_other_end;
};

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto up = [&all](std::string name, const auto& message) {
    all.push_back({std::move(name), encoded(message), from_signer, from_keymsd});
  };
  const auto down = [&all](std::string name, const auto& message) {
    all.push_back({std::move(name), encoded(message), from_keymsd, from_signer});
  };
  up("hello", Hello{1, 4, test::counted<16>(0x20)});
  up("sign_request", SignRequest{0x0102030405060708, 0xa1a2a3a4, test::counted<153>(0x30)});
  up("status", Status{1, 2, 3, 4, 0xf102030405060708});
  up("applied", Applied{0x01020304});
  down("welcome", Welcome{});
  down("peer", test::peer());
  down("peer without addresses", Peer{7, Mode::off, {}});
  down("peer with all addresses", Peer{7, Mode::enforce, std::vector<Address>(max_addresses)});
  down("session key", test::session_key());
  down("remote key", test::remote_key());
  down("remote key, Ed25519", test::remote_key(Suite::ed25519_node16));
  down("inbound key", test::inbound_key());
  down("inbound key, Ed25519", test::inbound_key(Suite::ed25519_node32));
  down("remove_key", RemoveKey{0x01020304, Table::inbound});
  down("remove_peer", RemovePeer{0x01020304});
  down("end_of_state", EndOfState{});
  down("sign_reply", test::signed_reply());
  down("sign_reply without signature", SignReply{9, SignStatus::busy, {}});
  return all;
}

TEST(SignerProtocol, EveryMessageComesBackAsItWas) {
  for (const Sample& sample : samples()) {
    const Outcome outcome = sample.decode(sample.bytes);
    EXPECT_TRUE(outcome.accepted) << sample.name << ": " << outcome.error;
    EXPECT_EQ(outcome.bytes, sample.bytes) << sample.name;
    EXPECT_LE(sample.bytes.size(), max_message) << sample.name;
  }
}

TEST(SignerProtocol, EveryOtherLengthIsRefused) {
  for (const Sample& sample : samples()) {
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      const Bytes shorter(sample.bytes.begin(),
                          sample.bytes.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(sample.decode(shorter).accepted) << sample.name << " of " << size;
    }
    Bytes longer = sample.bytes;
    longer.push_back(0);
    EXPECT_FALSE(sample.decode(longer).accepted) << sample.name;
  }
}

TEST(SignerProtocol, NoMessageGoesTheOtherWay) {
  for (const Sample& sample : samples()) {
    EXPECT_NE(sample.decode_at_other_end(sample.bytes).error.find("does not send"),
              std::string::npos)
        << sample.name;
  }
}

TEST(SignerProtocol, RefusesMoreThanAMessageMayHave) {
  for (const std::uint8_t type : std::to_array<std::uint8_t>({0x01, 0x82})) {
    const Bytes bytes(max_message + 1, type);
    EXPECT_EQ(from_signer(bytes).error, "a message of 1025 bytes: at most 1024");
    EXPECT_EQ(from_keymsd(bytes).error, "a message of 1025 bytes: at most 1024");
  }
}

// The first byte that is a number of docs/PROTOCOL.md, and no other.
TEST(SignerProtocol, KnowsTheDocumentsTypes) {
  int known = 0;
  for (int type = 0; type < 256; ++type) {
    for (const auto& decode : {from_signer, from_keymsd}) {
      const Outcome outcome = decode({static_cast<std::uint8_t>(type)});
      if (outcome.error.find("does not send") == std::string::npos) ++known;
    }
  }
  EXPECT_EQ(known, 12);
}

struct Field {
  std::string name;
  Bytes message;
  std::size_t offset;
  std::uint8_t first;
  std::uint8_t last;
  Outcome (*decode)(const Bytes&);
};

constexpr std::size_t direction_at = 1 + 4 + 32 + 32 + 4;
constexpr std::size_t kind_at = direction_at + 1 + 1 + 16 + 2 + 2 + 8 + 4;

TEST(SignerProtocol, EveryNumberOfAListIsCheckedWhole) {
  const SignReply busy{9, SignStatus::busy, {}};
  const std::vector<Field> fields{
      {"mode", encoded(test::peer()), 5, 0, 3, from_keymsd},
      {"direction", encoded(test::session_key()), direction_at, 0, 1, from_keymsd},
      {"direction", encoded(test::inbound_key()), direction_at, 0, 1, from_keymsd},
      {"suite", encoded(test::session_key()), direction_at + 1, 1, 4, from_keymsd},
      {"suite", encoded(test::remote_key()), direction_at + 1, 1, 2, from_keymsd},
      {"suite", encoded(test::inbound_key(Suite::ed25519_node16)), direction_at + 1, 3, 4,
       from_keymsd},
      {"kind", encoded(test::session_key()), kind_at, 0, 0, from_keymsd},
      {"kind", encoded(test::remote_key()), kind_at, 1, 1, from_keymsd},
      {"form of the key", encoded(test::remote_key()), kind_at + 2, 4, 4, from_keymsd},
      {"form of the key", encoded(test::inbound_key()), kind_at + 1, 4, 4, from_keymsd},
      {"table", encoded(RemoveKey{1, Table::outbound}), 5, 0, 1, from_keymsd},
      {"status", encoded(busy), 9, 1, 11, from_keymsd},
      {"address size", encoded(Peer{1, Mode::off, {Address{}}}), 7, 4, 4, from_keymsd},
      {"address count", encoded(Peer{1, Mode::off, {}}), 6, 0, 0, from_keymsd},
  };
  for (const Field& field : fields) {
    for (int value = 0; value < 256; ++value) {
      Bytes changed = field.message;
      changed[field.offset] = static_cast<std::uint8_t>(value);
      EXPECT_EQ(field.decode(changed).accepted, value >= field.first && value <= field.last)
          << field.name << " " << value;
    }
  }
}

TEST(SignerProtocol, RefusesNumbersOutOfBounds) {
  const auto refused = [](const auto& message) {
    std::array<std::uint8_t, max_message> memory{};
    return encode(message, memory).error().message();
  };
  EXPECT_EQ(refused(Hello{1, 0, {}}), "hello: the number of workers is 0, it must be 1 to 256");
  EXPECT_EQ(refused(Hello{1, 257, {}}), "hello: the number of workers is 257, it must be 1 to 256");
  EXPECT_EQ(refused(Peer{1, Mode::off, std::vector<Address>(17)}),
            "peer: the number of addresses is 17, it must be at most 16");

  OutboundKey key = test::session_key();
  key.record.lanes = {5, 4};
  EXPECT_EQ(refused(key), "outbound_key: the first lane is 5, which is above the last, 4");
  key = test::session_key();
  key.record.end.lifetime_ms = 0;
  EXPECT_EQ(refused(key), "outbound_key: the lifetime is 0, and a key that has ended is not sent");
  key.record.end = {max_not_after + 1, 1};
  EXPECT_EQ(refused(key), "outbound_key: the end is 253402300800, which is beyond the year 9999");
  key.record.end.not_after = max_not_after;
  EXPECT_TRUE(from_keymsd(encoded(key)).accepted);
  key.record.gate_secret = test::secret<15>(1);
  EXPECT_EQ(refused(key), "outbound_key: the size of the gate secret is 15, it must be 16");
  key = test::session_key();
  key.signer = SessionKey{test::secret<31>(1)};
  EXPECT_EQ(refused(key), "outbound_key: the size of the private key is 31, it must be 32");
  InboundKey inbound = test::inbound_key();
  inbound.public_key.pop_back();
  EXPECT_EQ(refused(inbound), "inbound_key: the size of the public key is 64, its suite has 65");
}

// The same bounds, in bytes that come in.
TEST(SignerProtocol, RefusesNumbersOutOfBoundsThatComeIn) {
  Bytes hello = encoded(Hello{});
  hello[4] = 0;
  EXPECT_FALSE(from_signer(hello).accepted);
  constexpr std::size_t lanes_at = direction_at + 2 + 16;
  for (const bool outbound : {true, false}) {
    const Bytes key = outbound ? encoded(test::session_key()) : encoded(test::inbound_key());
    Bytes crossed = key;
    crossed[lanes_at] = 0xff;
    EXPECT_NE(from_keymsd(crossed).error.find("the first lane"), std::string::npos);
    Bytes late = key;
    late[lanes_at + 4] = 0x80;
    EXPECT_NE(from_keymsd(late).error.find("beyond the year 9999"), std::string::npos);
    Bytes over = key;
    std::fill_n(over.begin() + lanes_at + 12, 4, std::uint8_t{0});
    EXPECT_NE(from_keymsd(over).error.find("the lifetime is 0"), std::string::npos);
  }
}

// Written down by hand from docs/PROTOCOL.md.
TEST(SignerProtocol, BytesAreThoseOfTheDocument) {
  EXPECT_EQ(encoded(Hello{1, 4, test::counted<16>(0x20)}),
            (Bytes{0x01, 0,    1,    0,    4,    0x20, 0x21, 0x22, 0x23, 0x24, 0x25,
                   0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f}));
  EXPECT_EQ(encoded(Welcome{}), (Bytes{0x81, 0, 1}));
  EXPECT_EQ(encoded(Peer{0x01020304, Mode::sign_only, {Address{{192, 0, 2, 9}, 4}}}),
            (Bytes{0x82, 1, 2, 3, 4, 1, 1, 4, 192, 0, 2, 9}));
  EXPECT_EQ(encoded(RemoveKey{0x01020304, Table::inbound}), (Bytes{0x85, 1, 2, 3, 4, 1}));
  EXPECT_EQ(encoded(RemovePeer{0x01020304}), (Bytes{0x86, 1, 2, 3, 4}));
  EXPECT_EQ(encoded(EndOfState{}), (Bytes{0x87}));
  EXPECT_EQ(encoded(SignReply{0x0102, SignStatus::batch_repeated, {}}),
            (Bytes{0x88, 0, 0, 0, 0, 0, 0, 1, 2, 11}));
}

TEST(SignerProtocol, AVersionThatIsNotOursIsStillRead) {
  EXPECT_TRUE(from_signer(encoded(Hello{0xffff, 1, {}})).accepted);
  EXPECT_TRUE(from_keymsd(encoded(Welcome{0xffff})).accepted);
}

TEST(SignerProtocol, StatusesHaveNamesOfTheirOwn) {
  std::vector<std::string_view> names;
  for (int status = 0; status <= static_cast<int>(SignStatus::count); ++status)
    names.push_back(to_string(static_cast<SignStatus>(status)));
  EXPECT_EQ(names.back(), "unknown");
  EXPECT_EQ(names.at(11), "batch_repeated");
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(KeyFromKeyms, TakesOverEveryField) {
  const test::ManualClock clock;
  const keyms::KeyRecord record = test::key_record(Suite::ed25519_node32);
  const cs::KeyScope scope = scope_from(record.scope);
  EXPECT_EQ(scope.session, record.scope.session);
  EXPECT_EQ(scope.pcr_digest, record.scope.pcr_digest);
  EXPECT_EQ(scope.key, record.scope.key);
  EXPECT_EQ(scope.direction, 1);
  EXPECT_EQ(scope.suite, cs::Suite::ed25519_node32);
  EXPECT_TRUE(lanes_from(record.lanes).contains(0x0102));
  EXPECT_TRUE(lanes_from(record.lanes).contains(0x0305));
  EXPECT_FALSE(lanes_from(record.lanes).contains(0x0306));
  const cs::KeyEnd end = end_from({0xc1c2c3c4, 1500}, clock);
  EXPECT_EQ(to_time_t(end.not_after), 0xc1c2c3c4);
  EXPECT_EQ(end.deadline, clock.boot() + std::chrono::milliseconds(1500));
}

}  // namespace
}  // namespace cs::keyms
