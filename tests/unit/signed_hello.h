// SPDX-License-Identifier: GPL-3.0-or-later
// A hello that holds, by an attestation key in software.
#pragma once

#include "keyms/session/hello.h"
#include "tests/unit/attester.h"
#include "tests/unit/hellos.h"
#include "tpm/evidence/name.h"

namespace cs::test {

class SignedHello {
 public:
  static constexpr std::uint32_t attributes =
      tpm::attribute::fixed_tpm | tpm::attribute::fixed_parent |
      tpm::attribute::sensitive_data_origin | tpm::attribute::restricted | tpm::attribute::sign;

  [[nodiscard]] tpm::PublicArea area(std::uint32_t with = attributes) const {
    return key_.area(with);
  }
  [[nodiscard]] tpm::Name name() const { return tpm::name_of(area()); }
  void sign(keyms::SessionHello& hello, const keyms::EndpointStatement& statement) const {
    const auto key = get(tpm::PublicKey::from(area()));
    hello.statement = get(encode(statement));
    hello.signature =
        get(tpm::read_signature(key_.sign(keyms::signed_endpoint(hello.statement)), key))
            .signature.encode();
  }
  // As session_hello() of hellos.h, but true.
  [[nodiscard]] keyms::SessionHello hello() const {
    keyms::SessionHello hello = session_hello();
    hello.ak_public = area().encode();
    sign(hello, endpoint_statement());
    return hello;
  }

 private:
  Forger key_;
};

}  // namespace cs::test
