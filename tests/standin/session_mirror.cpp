// SPDX-License-Identifier: GPL-3.0-or-later
// What this project's own code makes of messages and keys of the attestation session, for a second
// implementation to compare with: `vectors` writes samples and whole runs, `judge` answers yes or
// no for each line: m, s or e (message, evidence statement, endpoint statement), a space, hex.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/hex.h"
#include "keyms/session/hello.h"
#include "tests/unit/hellos.h"
#include "tests/unit/session_duel.h"
#include "tests/unit/session_messages.h"

namespace {

using namespace cs::keyms;  // NOLINT(google-build-using-namespace): a program of just that
using cs::hex_encode;
using cs::test::Duel;
using cs::test::get;
using nlohmann::json;

json pair_of(const KeyPair& keys) {
  return {hex_encode(keys[0].bytes()), hex_encode(keys[1].bytes())};
}

// The victim is honest, and so is the attacker this time: it is there because it knows Z.
json a_run(Role victims_role, bool wants_proof) {
  Duel duel(victims_role, wants_proof);
  while (const auto message = duel.attacker.next()) duel.deliver(*message);
  json run;
  run["z"] = hex_encode(duel.attacker.agreed().bytes());
  run["channel_secret"] = hex_encode(cs::test::counted<32>(0x70));
  for (const auto& [role, message] : duel.said)
    run["messages"].push_back({static_cast<int>(role), hex_encode(message)});
  run["secrets"] = json::array();
  for (const auto* const tpm : {&duel.tpm, &duel.victim.tpm}) {
    for (const Bytes& secret : tpm->recovered) run["secrets"].push_back(hex_encode(secret));
  }
  const LateKeys& keys = duel.victim.grants.at(0).keys;
  run["session"] = hex_encode(keys.session_id);
  run["confirm"] = pair_of(keys.confirm);
  run["gate"] = pair_of(keys.gate);
  run["link"] = pair_of(keys.link);
  return run;
}

json vectors() {
  json out;
  const cs::SecretBytes key = cs::test::secret<32>(0x50);
  for (const Sealed& message : cs::test::sealed_samples())
    out["messages"].push_back(hex_encode(get(seal_message(message, {5, 7}, key))));
  out["messages"].push_back(hex_encode(get(encode_refuse({{"code", "text"}}))));
  SessionHello hello = cs::test::session_hello();
  out["messages"].push_back(hex_encode(get(encode(hello))));
  hello.role = Role::responder;
  hello.vouchers = {{1, {2}}, {~std::uint64_t{0}, Bytes(max_voucher, 3)}};
  out["messages"].push_back(hex_encode(get(encode(hello))));
  out["key"] = hex_encode(key.bytes());
  out["statements"] = {hex_encode(get(encode(cs::test::evidence_statement())))};
  EvidenceStatement ed25519 = cs::test::evidence_statement();
  ed25519.suite = 3;
  ed25519.public_key.resize(32);
  out["statements"].push_back(hex_encode(get(encode(ed25519))));
  out["endpoints"] = {hex_encode(get(encode(cs::test::endpoint_statement())))};
  for (const Role role : {Role::initiator, Role::responder}) {
    for (int i = 0; i < 8; ++i) out["runs"].push_back(a_run(role, i % 2 == 0));
  }
  return out;
}

bool is_good_message(cs::ByteView bytes) {
  const auto envelope = open_envelope(bytes);
  if (!envelope.ok()) return false;
  if (envelope->type == MessageType::refuse) return decode_refuse(*envelope).ok();
  if (envelope->type <= MessageType::responder_hello) return decode_hello(bytes).ok();
  return decode_sealed(*envelope).ok();
}

bool judge(const std::string& line) {
  const Bytes bytes = get(cs::hex_decode(std::string_view(line).substr(2), 70'000));
  if (line[0] == 's') return decode_statement(bytes).ok();
  if (line[0] == 'e') return decode_endpoint_statement(bytes).ok();
  return is_good_message(bytes);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (std::string_view(argv[1]) == "vectors") {
    std::cout << vectors() << '\n';
    return 0;
  }
  for (std::string line; std::getline(std::cin, line);)
    std::cout << (judge(line) ? "yes\n" : "no\n");
  return 0;
}
