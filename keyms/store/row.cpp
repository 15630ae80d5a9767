// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/row.h"

#include <openssl/rand.h>

#include <utility>

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/ne_id.h"
#include "tpm/seal/gcm.h"

namespace cs::keyms {

namespace {

constexpr std::string_view domain = "countersign store row v1";
constexpr std::string_view what = "a session key of the store";
constexpr std::size_t most_certificate = 512;

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Result<std::vector<std::uint8_t>> associated_with(const RowName& name) {
  if (name.name.empty() || name.name.size() > RowName::most) {
    return Error(ErrorKind::limit, "the name of a row has 1 to 64 bytes");
  }
  ByteBuilder out(domain.size() + 2 + RowName::most);
  out.bytes(bytes_of(domain)).u8(static_cast<std::uint8_t>(name.kind)).vec8(bytes_of(name.name));
  return out.finish("the name of a row");
}

Result<std::vector<std::uint8_t>> encode_certificate(const KeyCertificate& certificate) {
  CborWriter out(most_certificate);
  out.map(6).key(0).number(certificate.key).key(1).text(certificate.peer);
  out.key(2).number(static_cast<std::uint64_t>(certificate.suite));
  out.key(3).bytes(certificate.public_key).key(4).number(certificate.not_before);
  return out.key(5).number(certificate.not_after).finish(what);
}

Result<KeyCertificate> decode_certificate(ByteView bytes) {
  CborReader in(bytes, what);
  KeyCertificate certificate;
  CS_CHECK(in.begin_map("it", 6));
  CS_CHECK(in.key(0, "the key's number"));
  CS_TRY(const std::uint64_t key, in.number("the key's number", 0xffffffff));
  certificate.key = static_cast<std::uint32_t>(key);
  CS_CHECK(in.key(1, "the peer"));
  CS_TRY(certificate.peer, in.text("the peer", max_ne_id));
  if (!is_ne_id(certificate.peer)) return in.wrong("the peer", "is no NeID");
  CS_CHECK(in.key(2, "the suite"));
  CS_TRY(const std::uint64_t suite, in.number("the suite"));
  if (suite < 1 || suite > static_cast<std::uint64_t>(Suite::ed25519_node32)) {
    return in.wrong("the suite", "is not known");
  }
  certificate.suite = static_cast<Suite>(suite);
  CS_CHECK(in.key(3, "the public key"));
  CS_TRY(const ByteView key_bytes,
         in.exactly("the public key", public_key_size(certificate.suite)));
  certificate.public_key.assign(key_bytes.begin(), key_bytes.end());
  CS_CHECK(in.key(4, "its begin"));
  CS_TRY(certificate.not_before, in.number("its begin", max_not_after));
  CS_CHECK(in.key(5, "its end"));
  CS_TRY(certificate.not_after, in.number("its end", max_not_after));
  if (certificate.not_after < certificate.not_before) return in.wrong("its end", "is before");
  CS_CHECK(in.end_map("it"));
  CS_CHECK(in.end());
  return certificate;
}

}  // namespace

Result<std::vector<std::uint8_t>> encrypt_row(const SecretBytes& key, const RowName& name,
                                              ByteView plain) {
  if (plain.size() > most_row) return Error(ErrorKind::limit, "a row of the store is too long");
  CS_TRY(const auto associated, associated_with(name));
  std::vector<std::uint8_t> row(tpm::gcm_nonce_size + plain.size() + tpm::gcm_tag_size);
  const ByteSpan all(row);
  const ByteSpan nonce = all.first(tpm::gcm_nonce_size);
  if (RAND_bytes(nonce.data(), static_cast<int>(nonce.size())) != 1) {
    return Error(ErrorKind::io, "drawing a nonce for the store: OpenSSL has no random bytes");
  }
  CS_CHECK(tpm::gcm_encrypt({key, nonce, associated}, plain,
                            all.subspan(nonce.size(), plain.size()), all.last(tpm::gcm_tag_size)));
  return row;
}

Result<tpm::Unsealed> decrypt_row(const SecretBytes& key, const RowName& name, ByteView row) {
  CS_TRY(const auto associated, associated_with(name));
  ByteReader in(row);
  ByteView nonce;
  ByteView tag;
  if (!in.take(tpm::gcm_nonce_size, nonce) || !in.take_last(tpm::gcm_tag_size, tag)) {
    return in.failure("a row of the store");
  }
  const ByteView ciphertext = in.rest();
  if (ciphertext.size() > most_row)
    return Error(ErrorKind::limit, "a row of the store is too long");
  tpm::Unsealed plain(ciphertext.size());
  CS_CHECK(tpm::gcm_decrypt({key, nonce, associated}, ciphertext, tag, plain.bytes()));
  return plain;
}

Result<tpm::Unsealed> encode_key(const KeyCertificate& certificate,
                                 const SecretBytes& private_part) {
  if (private_part.size() == 0 || private_part.size() > most_private_part) {
    return Error(ErrorKind::limit, "keeping a session key: its private part has 1 to 2048 bytes");
  }
  CS_TRY(const auto rest, encode_certificate(certificate));
  auto again = decode_certificate(rest);
  if (!again.ok()) return std::move(again).error();
  tpm::Unsealed bytes(2 + private_part.size() + rest.size());
  ByteWriter out(bytes.bytes());
  out.vec16be(private_part.bytes()).bytes(rest);
  CS_TRY(const ByteView written, out.finish(what));
  if (written.size() == bytes.bytes().size()) return bytes;
  return Error(ErrorKind::internal, "keeping a session key: its size is wrong");
}

Result<KeptKey> decode_key(ByteView bytes) {
  ByteReader in(bytes);
  ByteView private_part;
  if (!in.vec16be(most_private_part, private_part)) return in.failure(what);
  CS_TRY(KeyCertificate certificate, decode_certificate(in.rest()));
  CS_TRY(SecretBytes secret, SecretBytes::copy_of(private_part));
  return KeptKey{std::move(certificate), std::move(secret)};
}

}  // namespace cs::keyms
