// SPDX-License-Identifier: GPL-3.0-or-later
// Prints packets that nfq-signer's code signed, for the other implementation to verify: lines of
// "record" (key id, session, direction, suite, public key, PCR digest, gate secret) and "packet"
// (signed, original), all in hex.
#include <cstdio>
#include <exception>

#include "base/hex.h"
#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

void print_samples(Suite suite, std::mt19937& random) {
  const Ends ends(suite, 0x01020300U + static_cast<std::uint32_t>(suite));
  const KeyScope& scope = ends.scope;
  std::printf("record %u %s %u %u %s %s %s\n", scope.key, hex_encode(scope.session).c_str(),
              scope.direction, static_cast<unsigned>(suite),
              hex_encode(ends.signing().public_key()).c_str(), hex_encode(scope.pcr_digest).c_str(),
              hex_encode(ends.gate.bytes()).c_str());
  OutboundKey key = ends.outbound(3);
  const SigningKey signing = ends.signing();
  for (const std::size_t count : {1U, 2U, 7U, 64U, 65U}) {
    std::vector<Packet> plain;
    for (std::size_t i = 0; i < count; ++i) {
      plain.push_back(
          make_packet(all_shapes.at(random() % all_shapes.size()), random() % 200, random));
    }
    const std::vector<Packet> wire = sign(key, signing, plain);
    for (std::size_t i = 0; i < count; ++i) {
      std::printf("packet %s %s\n", hex_encode(wire[i]).c_str(), hex_encode(plain[i]).c_str());
    }
  }
}

}  // namespace
}  // namespace cs::test

int main() {
  try {
    std::mt19937 random(21);
    using cs::Suite;
    for (const Suite suite :
         {Suite::p256_node16, Suite::p256_node32, Suite::ed25519_node16, Suite::ed25519_node32}) {
      cs::test::print_samples(suite, random);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    return 1;
  }
}
