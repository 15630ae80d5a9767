// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "tests/unit/boot_logs.h"
#include "tests/unit/sealing.h"
#include "tpm/device/capability.h"
#include "tpm/logs/cel.h"
#include "tpm/seal/seal.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::test::auth_of;
using cs::test::Fate;
using cs::test::get;
using cs::test::Swtpm;
using cs::test::text_of;
using cs::test::view_of;
using cs::tpm::Bytes;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::SealedBlob;
using cs::tpm::SealTerms;

constexpr std::string_view secret = "what nobody else may read";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class SealTest : public cs::test::SealingTest {
 protected:
  SealTerms to_now() { return {.policy = {.state = now()}}; }
};

TEST_F(SealTest, DataOfAnySizeComeBack) {
  for (const std::size_t size : {0UL, 1UL, 5000UL, cs::tpm::most_sealed_data}) {
    const std::string data(size, 'x');
    const Bytes blob = seal(data, to_now());
    EXPECT_FALSE(size > 100 && contains(text_of(blob), data.substr(0, 100)));
    EXPECT_TRUE(unseal(blob) == data) << size;
  }
  const Bytes large(cs::tpm::most_sealed_data + 1);
  EXPECT_EQ(cs::tpm::seal(device, srk, large, to_now()).error().kind(), ErrorKind::limit);
}

TEST_F(SealTest, TheKeyNeverPassesTheBusInClear) {
  std::string seen;
  tap.decide([&](unsigned /*number*/, ByteView command) {
    seen.append(command.begin(), command.end());
    return Fate{};
  });
  const Bytes blob = seal(secret, {.policy = {.state = now(), .auth_value = true},
                                   .auth = auth_of("an auth value, long enough")});
  EXPECT_FALSE(contains(seen, "an auth value"));
  EXPECT_EQ(unseal(blob, {.auth = auth_of("an auth value, long enough")}), secret);
  EXPECT_FALSE(contains(seen, "an auth value"));
}

TEST_F(SealTest, AStateThatIsNotThereYetCanBeSealedTo) {
  const Bytes blob = seal(secret, {.policy = {.state = later(7)}});
  EXPECT_TRUE(contains(unseal(blob), "PCR sha256:23 is 0000000000000000…"));
  extend(23, 7);
  EXPECT_EQ(unseal(blob), secret);
}

TEST_F(SealTest, AllPcrsThatDifferAreNamedAndNoOther) {
  const Bytes blob = seal(secret, to_now());
  EXPECT_EQ(unseal(blob), secret);
  extend(16, 1);
  extend(23, 2);
  const std::string why = unseal(blob);
  EXPECT_TRUE(contains(why, "PCR sha256:16 is ")) << why;
  EXPECT_TRUE(contains(why, ", PCR sha256:23 is ")) << why;
  EXPECT_FALSE(contains(why, "sha256:4")) << why;
  EXPECT_FALSE(contains(why, secret));
}

TEST_F(SealTest, AWrongAuthValueIsTriedOnce) {
  const Bytes blob =
      seal(secret, {.policy = {.state = now(), .auth_value = true}, .auth = auth_of("right")});
  EXPECT_EQ(unseal(blob, {.auth = auth_of("right")}), secret);
  EXPECT_TRUE(contains(unseal(blob), "it takes an auth value"));
  const auto before = get(read_lockout(device)).failures;
  EXPECT_TRUE(contains(unseal(blob, {.auth = auth_of("wrong")}), "authorisation does not match"));
  EXPECT_TRUE(contains(unseal(blob, {.auth = auth_of("wrong")}), "has failed for the same object"));
  EXPECT_EQ(get(read_lockout(device)).failures, before + 1);
  EXPECT_EQ(unseal(blob, {.auth = auth_of("right")}), secret);
  EXPECT_TRUE(contains(unseal(seal(secret, to_now()), {.auth = auth_of("right")}),
                       "an auth value where it takes none"));
}

TEST_F(SealTest, AnotherTpmIsToldFromChangedData) {
  const Bytes blob = seal(secret, to_now());
  const Swtpm other = get(Swtpm::start());
  cs::tpm::Device other_device = get(cs::tpm::Device::open({.tcti = other.tcti()}));
  auto other_srk = cs::tpm::storage_root_key();
  const auto there = cs::tpm::unseal(other_device, other_srk, get(SealedBlob::parse(blob)), {});
  ASSERT_FALSE(there.ok());
  EXPECT_TRUE(contains(there.error().message(), "another storage root key than this TPM's"));
  EXPECT_EQ(there.error().kind(), ErrorKind::unverified);
}

TEST_F(SealTest, NoByteCanBeChanged) {
  const Bytes blob = seal(secret, to_now());
  for (std::size_t i = 0; i < blob.size(); ++i) {
    Bytes changed = blob;
    changed[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    const std::string why = unseal(changed);
    ASSERT_NE(why, secret) << i;
    ASSERT_FALSE(contains(why, "internal") || contains(why, "PCR sha256")) << i << ": " << why;
  }
  EXPECT_EQ(unseal(blob), secret);
}

TEST_F(SealTest, NoByteCanBeMissingOrTooMany) {
  Bytes blob = seal(secret, to_now());
  for (std::size_t size = 0; size < blob.size(); ++size) {
    const auto cut = SealedBlob::parse(ByteView(blob).first(size));
    ASSERT_FALSE(cut.ok()) << size;
    ASSERT_EQ(cut.error().kind(), ErrorKind::truncated) << size << cut.error().message();
  }
  blob.push_back(0);
  EXPECT_EQ(SealedBlob::parse(blob).error().kind(), ErrorKind::invalid);
}

// Whoever can write the file could have made an object that gives its key for a password.
TEST_F(SealTest, AnObjectThatOpensOtherwiseIsRefused) {
  const Bytes blob = seal(secret, to_now());
  auto header = get(SealedBlob::parse(blob)).header;
  header.object.attributes |= cs::tpm::attribute::user_with_auth;
  const Bytes changed = get(header.encode(0));
  const auto parsed = SealedBlob::parse(changed);
  ASSERT_FALSE(parsed.ok());
  EXPECT_TRUE(contains(parsed.error().message(), "fixedtpm|fixedparent|userwithauth"));
}

TEST_F(SealTest, TheTpmMayBeSwitchedOffBetween) {
  const Bytes blob = seal(secret, to_now());
  swtpm->kill();
  EXPECT_FALSE(read_pcrs(device, registers).ok());
  get(swtpm->power_on());
  get(device.recover());
  EXPECT_EQ(unseal(blob), secret);
}

TEST_F(SealTest, APcrThatIsExtendedMeanwhileDoesNoHarm) {
  const Bytes blob = seal(secret, to_now());
  unsigned disturbed = 0;
  tap.decide([&](unsigned /*number*/, ByteView command) {
    constexpr std::uint32_t unseal_command = 0x15e;
    if (cs::test::command_code(command) != unseal_command || disturbed == 2) return Fate{};
    ++disturbed;
    constexpr std::uint32_t pcr_changed = 0x128;
    return Fate{Fate::Kind::answer, pcr_changed};
  });
  EXPECT_EQ(unseal(blob), secret);
  EXPECT_EQ(disturbed, 2U);
}

// The firmware's log as it was extended, and as it is after one more event.
TEST_F(SealTest, TheEventThatMadeThemDifferIsNamed) {
  using Type = cs::tpm::BootEventType;
  auto log = cs::test::BootLogMaker::agile({{0x000b, 32}});
  const auto measure = [&](std::string_view data) {
    log.add(4, Type::ipl, data);
    get(extend_pcr(device, 4, {cs::tpm::Hasher(HashAlgorithm::sha256).hash({view_of(data)})}));
  };
  measure("shim");
  const Bytes blob = seal(secret, to_now());
  measure("a kernel nobody knows");
  const std::string why = unseal(blob, {.logs = {.boot = log.bytes}});
  EXPECT_TRUE(contains(why, "it was sealed to the state before event 2 of the boot log (EV_IPL)"))
      << why;
  log.add(4, Type::ipl, "never extended");
  EXPECT_TRUE(contains(unseal(blob, {.logs = {.boot = log.bytes}}), "does not replay to what"));
}

TEST_F(SealTest, SoIsTheEventOfOurOwnLog) {
  using cs::tpm::CelEvent;
  const cs::tpm::CelRegister of{cs::tpm::CelRegister::Kind::pcr, 23};
  const std::array banks{HashAlgorithm::sha256};
  Bytes log;
  std::uint64_t number = 0;
  const auto measure = [&](CelEvent event, ByteView content) {
    const auto record = get(write_cel_record(number++, of, banks, event, content));
    const std::size_t before = log.size();
    log.insert(log.end(), record.begin(), record.end());
    auto reader = get(cs::tpm::CelLog::open(log));
    cs::tpm::CelRecord last;
    while (reader.good_until() <= before && get(reader.next(last))) {
    }
    get(extend_pcr(device, 23, {get(Digest::from(HashAlgorithm::sha256, last.digests[0]))}));
  };
  measure(CelEvent::core_properties, Bytes(32, 1));
  const Bytes blob = seal(secret, to_now());
  measure(CelEvent::drift, view_of("eth0: disable_xfrm is 1"));
  const std::string why = unseal(blob, {.logs = {.own = log}});
  EXPECT_TRUE(contains(why, "it was sealed to the state before event 1 of our own log (drift)"))
      << why;
}

}  // namespace
