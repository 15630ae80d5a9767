// SPDX-License-Identifier: GPL-3.0-or-later
// A message of a session that runs: read or refused in words; what is read has one form. Its HMAC
// is another's business: an attacker has keys too.
#include <algorithm>

#include "keyms/session/messages.h"
#include "tests/fuzz/fuzz.h"

namespace {

using cs::fuzz::expect;
using namespace cs::keyms;  // NOLINT(google-build-using-namespace): a target for just that

template <class T>
bool told(const cs::Result<T>& result) {
  if (!result.ok()) expect(!result.error().message().empty(), "a refusal without words");
  return result.ok();
}

void sealed(const Envelope& envelope) {
  static const cs::SecretBytes key = cs::SecretBytes::create(32).value();
  expect(envelope.mac.size() == 32, "a message without an HMAC");
  const auto message = decode_sealed(envelope);
  if (!told(message)) return;
  const auto again = seal_message(*message, envelope.numbering, key);
  expect(again.ok(), "what may not be sent was read");
  expect(std::ranges::equal(cs::ByteView(*again).first(again->size() - 32), envelope.authenticated),
         "what has another form was read");
  if (const auto* const evidence = std::get_if<EvidenceMessage>(&*message)) {
    const auto statement = decode_statement(evidence->statement);
    if (!told(statement)) return;
    const auto encoded = encode(*statement);
    expect(encoded.ok() && *encoded == evidence->statement, "a statement of another form was read");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto envelope = open_envelope(bytes);
  if (!told(envelope)) return 0;
  if (!envelope->mac.empty()) {
    sealed(*envelope);
  } else if (envelope->type == MessageType::refuse) {
    const auto refuse = decode_refuse(*envelope);
    if (!told(refuse)) return 0;
    const auto again = encode_refuse(*refuse);
    expect(again.ok() && std::ranges::equal(*again, bytes), "a refusal of another form was read");
  }
  return 0;
}
