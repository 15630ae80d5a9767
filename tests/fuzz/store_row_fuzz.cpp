// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a row of the store that was decrypted: what is accepted is what we would have
// written. And as one that is still to be.
#include <algorithm>

#include "keyms/store/book.h"
#include "keyms/store/row.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using cs::fuzz::expect;
  const cs::ByteView bytes(data, size);
  const cs::tpm::Digest clear(cs::tpm::HashAlgorithm::sha256);
  if (const auto book = cs::keyms::Book::decode(bytes, clear); book.ok()) {
    const auto again = book->encode(clear);
    expect(again.ok() && std::ranges::equal(*again, bytes), "a book is written otherwise");
    for (const auto& kept : book->policies()) {
      const auto* const run = book->in_force(kept.peer);
      expect(run == nullptr || run->version == book->highest_run(kept.peer),
             "what is in force is not the highest that was");
    }
  }
  if (const auto key = cs::keyms::decode_key(bytes); key.ok()) {
    const auto again = cs::keyms::encode_key(key->certificate, key->private_part);
    expect(again.ok() && std::ranges::equal(again->bytes(), bytes), "a key is written otherwise");
  }
  static const auto secret = cs::SecretBytes::create(32);
  expect(
      secret.ok() && !cs::keyms::decrypt_row(*secret, {cs::keyms::RowKind::note, "n"}, bytes).ok(),
      "somebody has guessed a tag");
  return 0;
}
