// SPDX-License-Identifier: GPL-3.0-or-later
// For tests of the verifier: a gateway that is as it should be, and what was found of it.
#pragma once

#include <set>
#include <sstream>

#include "tests/unit/attester.h"
#include "tests/unit/shown_gateway.h"

namespace cs::test {

using Codes = std::set<std::string_view>;

inline constexpr tpm::CelRegister nv{tpm::CelRegister::Kind::nv_index, ShownGateway::event_index};
inline constexpr std::string_view drift = "policy_missing lan: it is not in the kernel";

// Every code that some test has seen fail: in the end that must be all of them.
inline Codes& seen() {
  static Codes codes;
  return codes;
}

class Verifier : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    require::programs({"swtpm", "tpm2_changeauth"});
    roots.emplace();
  }
  static void TearDownTestSuite() { roots.reset(); }

  ShownGateway& gateway() {
    if (!made) made.emplace();
    return *made;
  }
  keyms::Expectations expectations(const Shown& shown, std::string_view nonce = "a nonce") {
    return {.policy = gateway().policy,
            .core_properties = hash_of("the policy"),
            .of = xfrm::End::right,
            .qualifying = ShownGateway::qualifying(shown, nonce),
            .channel_certificate = hash_of(ShownGateway::certificate),
            .roots = roots->read(),
            .lists = lists,
            .clock = gateway().clock};
  }
  keyms::Appraisal judge(const Shown& shown, const keyms::PeerMemory* memory = nullptr) {
    return judge(shown, expectations(shown), memory);
  }
  static keyms::Appraisal judge(const Shown& shown, const keyms::Expectations& expected,
                                const keyms::PeerMemory* memory = nullptr) {
    keyms::Appraisal found = appraise(shown.view(), expected, memory);
    if (found.endorsed) found.activated();
    failing(found);
    return found;
  }
  // What is wrong, told or refused; not what could not be checked because of it.
  static Codes failing(const keyms::Appraisal& found) {
    Codes codes;
    for (const auto& reason : keyms::criteria()) {
      if (found.of(reason.criterion).verdict == tpm::Verdict::fails) codes.insert(reason.code);
    }
    seen().insert(codes.begin(), codes.end());
    return codes;
  }
  Codes wrong(const Shown& shown, const keyms::PeerMemory* memory = nullptr) {
    return failing(judge(shown, memory));
  }
  static std::string all(const keyms::Appraisal& found) {
    std::ostringstream text;
    for (const auto& reason : keyms::criteria()) {
      const auto& finding = found.of(reason.criterion);
      text << reason.code << ": " << to_string(finding.verdict) << ": " << finding.where << ": "
           << finding.sentence << "\n";
    }
    return text.str();
  }
  // A list of the files that keymsd's gateway uses, signed.
  void ask_for_ima() {
    const auto key = make_ec_key();
    const auto text = get(keyms::format_digest_list(
        "gateway", 1, {{filled(1), "/usr/sbin/keymsd"}, {filled(2), "/usr/bin/ip"}}));
    lists.push_back(get(keyms::DigestList::parse(get(keyms::sign_digest_list(text, key.get())))));
    gateway().gateway().ima.emplace();
    gateway().gateway().ima->list_keys = {*lists.back().key()};
    gateway().gateway().ima->ignored = {"/var/log/"};
  }
  static keyms::Hash filled(std::uint8_t with) {
    keyms::Hash hash{};
    hash.fill(with);
    return hash;
  }
  // Of the gateway as it is now.
  keyms::PeerMemory remembered() {
    const auto found = judge(gateway().show());
    EXPECT_TRUE(found.granted()) << all(found);
    return found.memory.value_or(keyms::PeerMemory{});
  }

  static inline std::optional<Roots> roots;
  std::optional<ShownGateway> made;
  std::vector<keyms::DigestList> lists;
};

}  // namespace cs::test
