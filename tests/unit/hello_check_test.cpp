// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/hello_check.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/manual_clock.h"
#include "tests/unit/signed_hello.h"

namespace cs::keyms {
namespace {

using test::SignedHello;

class HelloCheck : public testing::Test {
 protected:
  [[nodiscard]] std::optional<HelloFault> fault(const SessionHello& hello) const {
    return find_fault(hello, expected_);
  }
  SignedHello maker_;
  tpm::Name name_ = maker_.name();
  std::vector<std::array<std::uint8_t, 32>> values_{test::counted<32>(0x80),
                                                    test::counted<32>(0x30)};
  HelloExpectations expected_{Role::initiator,
                              "hamburg-1",
                              "berlin-1",
                              values_,
                              &name_,
                              test::endpoint_statement().certificate,
                              from_time_t(1'700'000'000)};
};

TEST_F(HelloCheck, AGoodOneHolds) {
  EXPECT_EQ(fault(maker_.hello()), std::nullopt);
  expected_.now = from_time_t(1'700'086'400);
  EXPECT_EQ(fault(maker_.hello()), std::nullopt) << "its last second";
  expected_.attestation_key = nullptr;
  EXPECT_EQ(fault(maker_.hello()), std::nullopt) << "a key that is not known before";
}

TEST_F(HelloCheck, EachLieHasItsName) {
  using Lie = std::function<void(SessionHello&)>;
  const SignedHello other;
  const std::vector<std::pair<HelloFault, Lie>> lies{
      {HelloFault::role, [](SessionHello& h) { h.role = Role::responder; }},
      {HelloFault::receiver, [](SessionHello& h) { h.to = "munich-1"; }},
      {HelloFault::sender, [](SessionHello& h) { h.from = "munich-1"; }},
      {HelloFault::core_properties, [](SessionHello& h) { h.core_properties[31] ^= 1U; }},
      {HelloFault::ak_public, [](SessionHello& h) { h.ak_public.pop_back(); }},
      {HelloFault::ak_public,
       [&](SessionHello& h) { h.ak_public = maker_.area(tpm::attribute::sign).encode(); }},
      {HelloFault::ak_name, [&](SessionHello& h) { h = other.hello(); }},
      {HelloFault::statement, [](SessionHello& h) { h.statement.push_back(0); }},
      {HelloFault::statement,
       [&](SessionHello& h) {
         maker_.sign(h, {"munich-1", {}, 0, 1});
       }},
      {HelloFault::statement_signature, [](SessionHello& h) { h.signature.back() ^= 1U; }},
      {HelloFault::statement_signature, [](SessionHello& h) { h.signature.pop_back(); }},
      {HelloFault::statement_signature,
       [&](SessionHello& h) { h.signature = other.hello().signature; }},
  };
  for (const auto& [wanted, lie] : lies) {
    SessionHello hello = maker_.hello();
    lie(hello);
    EXPECT_EQ(fault(hello), wanted) << static_cast<int>(wanted);
  }
}

TEST_F(HelloCheck, AStatementIsOfThisCertificateAndOfNow) {
  const SessionHello good = maker_.hello();
  expected_.certificate[0] ^= 1U;
  EXPECT_EQ(fault(good), HelloFault::statement_certificate);
  expected_.certificate[0] ^= 1U;
  for (const std::time_t now :
       {std::time_t{1'699'999'999}, std::time_t{1'700'086'401}, std::time_t{-1}}) {
    expected_.now = from_time_t(now);
    EXPECT_EQ(fault(good), HelloFault::statement_dates) << now;
  }
}

}  // namespace
}  // namespace cs::keyms
