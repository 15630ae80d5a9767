// SPDX-License-Identifier: GPL-3.0-or-later
// Which files it uses, and the key that it shows.
#include "tests/unit/verifier.h"

namespace {

using cs::keyms::Criterion;
using cs::keyms::Expectations;
using cs::keyms::PeerMemory;
using cs::keyms::SigningMode;
using cs::test::Bytes;
using cs::test::Codes;
using cs::test::drift;
using cs::test::get;
using cs::test::Shown;
using cs::test::ShownGateway;
using cs::test::Verifier;
using cs::tpm::CelEvent;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;

TEST_F(Verifier, AFileThatIsInNoList) {
  ask_for_ima();
  gateway().file("/usr/bin/ip", 2);
  gateway().file("/var/log/anything", 9);
  const PeerMemory good = remembered();
  ASSERT_TRUE(good.ima);
  gateway().file("/tmp/ip", 2);
  auto found = judge(gateway().show());
  EXPECT_EQ(failing(found), Codes{"ima_file"}) << "its content is accepted, but not there";
  EXPECT_EQ(found.of(Criterion::ima_file).where, "/tmp/ip");
  ASSERT_TRUE(found.memory);
  EXPECT_EQ(wrong(gateway().show(), &*found.memory), Codes{"ima_file"}) << "nor at the next time";
  EXPECT_FALSE(found.memory->ima) << "what was refused is not passed over";
  found = judge(gateway().show(), &good);
  EXPECT_EQ(found.memory->ima, good.ima);
  for (int i = 0; i < 20; ++i) gateway().file("/tmp/x" + std::to_string(i), 3);
  found = judge(gateway().show());
  EXPECT_TRUE(found.of(Criterion::ima_file).sentence.ends_with("; and 16 more"));
  const Expectations expected = [&] {
    lists.clear();
    return expectations(gateway().show());
  }();
  EXPECT_EQ(failing(judge(gateway().show(), expected)), (Codes{"digest_list", "ima_file"}));
}

TEST_F(Verifier, OnlyWhatIsNewOfAListHasToBeSent) {
  ask_for_ima();
  const auto first = judge(gateway().show());
  ASSERT_TRUE(first.granted()) << all(first);
  gateway().file("/usr/bin/ip", 2);
  const std::uint64_t offset = first.memory->ima->offset;
  const Shown rest = gateway().show("a nonce", offset);
  EXPECT_EQ(wanted_ima_offset(rest.view(), expectations(rest), &*first.memory), offset);
  const auto second = judge(rest, &*first.memory);
  EXPECT_TRUE(second.granted()) << all(second);
  EXPECT_EQ(second.memory->ima->entries, 3U);
  EXPECT_EQ(second.memory->ima, judge(gateway().show()).memory->ima) << "as from the whole list";
  const Shown nothing = gateway().show("a nonce", second.memory->ima->offset);
  EXPECT_TRUE(judge(nothing, &*second.memory).granted());
  EXPECT_EQ(judge(nothing, &*second.memory).memory->ima, second.memory->ima);

  EXPECT_EQ(wrong(rest), Codes{"ima_part"});
  EXPECT_EQ(wrong(rest, &*second.memory), Codes{"ima_part"});
  // Judged by other rules, all of it is judged again.
  PeerMemory memory = *first.memory;
  memory.ima->rules = filled(1);
  EXPECT_EQ(wanted_ima_offset(rest.view(), expectations(rest), &memory), 0U);
  EXPECT_EQ(wrong(rest, &memory), Codes{"ima_part"});
  // A reset that nobody tells of: the quote does.
  gateway().reboot();
  gateway().boot();
  gateway().file("/usr/bin/ip", 2);
  const Shown hidden = gateway().show("a nonce", offset);
  EXPECT_EQ(wanted_ima_offset(hidden.view(), expectations(hidden), &*first.memory), 0U);
  EXPECT_EQ(wrong(hidden, &*first.memory), Codes{"ima_part"});
}

TEST_F(Verifier, AListOfFilesThatPcr10DoesNotBearOut) {
  ask_for_ima();
  Shown shown = gateway().show();
  shown.ima.clear();
  EXPECT_EQ(wrong(shown), Codes{"ima_log"});
  shown.ima =
      Bytes(gateway().ima.binary.begin(),
            gateway().ima.binary.begin() + static_cast<std::ptrdiff_t>(gateway().ima.borders[1]));
  EXPECT_EQ(wrong(shown), Codes{"ima_log"}) << "shorter";
  shown = gateway().show();
  gateway().file("/tmp/later", 9);
  shown.ima = gateway().ima.binary;
  EXPECT_EQ(wrong(shown), Codes()) << "longer: judged at the next time";
  shown.ima = cs::test::bytes_of(gateway().ima.text);
  EXPECT_EQ(wrong(shown), Codes{"ima_log"});
}

TEST_F(Verifier, AListOfAnotherBoot) {
  ask_for_ima();
  get(extend_pcr(gateway().device, 5, {Digest(HashAlgorithm::sha256, 1)}));
  EXPECT_EQ(wrong(gateway().show()), Codes{"ima_boot_aggregate"});
}

TEST_F(Verifier, AFileThatWasWrittenWhileItWasMeasured) {
  ask_for_ima();
  gateway().ima.violation("/usr/sbin/keymsd");
  gateway().extend_ima();
  const auto found = judge(gateway().show());
  EXPECT_EQ(failing(found), Codes{"ima_violation"});
  EXPECT_EQ(found.of(Criterion::ima_violation).where, "/usr/sbin/keymsd");
  gateway().gateway().ima->accept_violations = true;
  EXPECT_EQ(wrong(gateway().show()), Codes());
}

TEST_F(Verifier, ASessionKeyOfTheWrongKind) {
  const Shown good = gateway().show();
  Shown shown = good;
  shown.evidence.session_key.suite = 2;
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
  shown.evidence.session_key.suite = 9;
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
  shown = good;
  shown.evidence.session_key.not_after += 61;
  EXPECT_EQ(wrong(shown), Codes{"session_key_lifetime"});
  shown.evidence.session_key.not_after = ~std::uint64_t{0};
  EXPECT_EQ(wrong(shown), Codes{"session_key_lifetime"});
  shown = good;
  shown.evidence.session_key.lifetime_ms += 1;
  EXPECT_EQ(wrong(shown), Codes{"session_key_lifetime"});
  gateway().policy.signing.mode = SigningMode::tpm;
  EXPECT_EQ(wrong(good), (Codes{"session_key", "session_key_resident"}));
}

TEST_F(Verifier, ASessionKeyThatIsNoPointOfItsCurve) {
  auto& g = gateway();
  Shown shown = g.show();
  shown.session_key.back() ^= 1U;
  // It has quoted with that key in mind.
  shown.collected =
      get(cs::keyms::collect(g.device, g.sources(), ShownGateway::qualifying(shown, "a nonce")));
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
  shown.session_key.pop_back();
  shown.collected =
      get(cs::keyms::collect(g.device, g.sources(), ShownGateway::qualifying(shown, "a nonce")));
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
}

TEST_F(Verifier, ASessionKeyThatIsNotBoundToTheRegisters) {
  auto& g = gateway();
  g.sign_in_tpm({{{HashAlgorithm::sha256, 1U << 15U}}});
  EXPECT_EQ(wrong(g.show()), Codes{"session_key_resident"}) << "not to those of the boot";
  g.sign_in_tpm(signing_registers(g.gateway()));
  const Shown good = g.show();
  EXPECT_EQ(wrong(good), Codes());
  Shown shown = good;
  shown.collected.session_key->certified = g.show("another").collected.session_key->certified;
  EXPECT_EQ(wrong(shown), Codes{"session_key_resident"});
  shown = good;
  shown.collected.session_key->area = shown.key_area;
  EXPECT_EQ(wrong(shown), Codes{"session_key_resident"});
  g.log_both(CelEvent::drift, drift);
  EXPECT_EQ(wrong(g.show()), (Codes{"drift_open", "session_key_resident"})) << "it is of no use";
}

}  // namespace
