// SPDX-License-Identifier: GPL-3.0-or-later
// A session's hello, for tests: every field has bytes of its own, so that two that are mixed up
// show.
#pragma once

#include "keyms/session/hello.h"
#include "tests/support/unwrap.h"
#include "tests/unit/signer_messages.h"

namespace cs::test {

inline keyms::EndpointStatement endpoint_statement() {
  return {"berlin-1", counted<32>(0xc0), 1'700'000'000, 1'700'086'400};
}

inline keyms::SessionHello session_hello() {
  keyms::SessionHello hello;
  hello.from = "berlin-1";
  hello.to = "hamburg-1";
  hello.nonce = counted<32>(0x10);
  hello.core_properties = counted<32>(0x30);
  hello.policy_version = 7;
  hello.share = counted<65>(4);
  hello.ak_public.assign(90, 0x51);
  hello.statement = get(encode(endpoint_statement()));
  hello.signature.assign(72, 0x52);
  hello.wants_proof = true;
  hello.key_id = 0x11223344;
  return hello;
}

}  // namespace cs::test
