// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/clear.h"

#include <algorithm>
#include <limits>

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/ne_id.h"

namespace cs::keyms {

namespace {

constexpr std::string_view what = "the store's clear part";
constexpr std::uint64_t version = 1;
constexpr std::size_t most_blob = 2048;
constexpr std::size_t digest_size = 32;

bool less(const tpm::Digest& a, const tpm::Digest& b) {
  return std::ranges::lexicographical_compare(a.bytes(), b.bytes());
}

Result<tpm::Digest> read_digest(CborReader& in, std::string_view name) {
  CS_TRY(const ByteView bytes, in.exactly(name, digest_size));
  return tpm::Digest::from(tpm::HashAlgorithm::sha256, bytes);
}

Result<std::vector<std::uint8_t>> read_blob(CborReader& in, std::string_view name) {
  CS_TRY(const ByteView bytes, in.bytes(name, most_blob));
  return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
}

Result<std::vector<tpm::Digest>> read_core_properties(CborReader& in) {
  CS_TRY(const std::size_t count, in.array("the core properties values", most_policies));
  std::vector<tpm::Digest> digests;
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(const tpm::Digest digest, read_digest(in, "a core properties value"));
    if (!digests.empty() && !less(digests.back(), digest)) {
      return in.wrong("a core properties value", "is not above the one before it");
    }
    digests.push_back(digest);
  }
  return digests;
}

}  // namespace

Result<std::vector<std::uint8_t>> Clear::encode() const {
  CborWriter out(most_encoded);
  out.map(7).key(0).number(version).key(1).text(ne_id).key(2).number(counter);
  out.key(3).bytes(attestation_key.public_part).key(4).bytes(attestation_key.private_part);
  out.key(5).bytes(configuration.bytes()).key(6).array(core_properties.size());
  for (const tpm::Digest& digest : core_properties) out.bytes(digest.bytes());
  CS_TRY(auto bytes, out.finish(what));
  // What could not be read again must not be written.
  auto again = decode(bytes);
  if (!again.ok()) return std::move(again).error();
  return bytes;
}

Result<Clear> Clear::decode(ByteView bytes) {
  if (bytes.size() > most_encoded)
    return Error(ErrorKind::limit, std::string(what) + " is too long");
  CborReader in(bytes, what);
  Clear clear;
  CS_CHECK(in.begin_map("it", 7));
  CS_CHECK(in.key(0, "the version"));
  CS_TRY(const std::uint64_t found, in.number("the version"));
  if (found != version) return in.wrong("the version", "is not 1");
  CS_CHECK(in.key(1, "the NeID"));
  CS_TRY(clear.ne_id, in.text("the NeID", max_ne_id));
  if (!is_ne_id(clear.ne_id)) return in.wrong("the NeID", "is none");
  CS_CHECK(in.key(2, "the counter"));
  constexpr std::uint64_t most_index = std::numeric_limits<std::uint32_t>::max();
  CS_TRY(const std::uint64_t index, in.number("the counter", most_index));
  clear.counter = static_cast<std::uint32_t>(index);
  CS_CHECK(in.key(3, "the attestation key"));
  CS_TRY(clear.attestation_key.public_part, read_blob(in, "the attestation key"));
  CS_CHECK(in.key(4, "the attestation key's private part"));
  CS_TRY(clear.attestation_key.private_part, read_blob(in, "the attestation key's private part"));
  CS_CHECK(in.key(5, "the configuration"));
  CS_TRY(clear.configuration, read_digest(in, "the configuration"));
  CS_CHECK(in.key(6, "the core properties values"));
  CS_TRY(clear.core_properties, read_core_properties(in));
  CS_CHECK(in.end_map("it"));
  CS_CHECK(in.end());
  return clear;
}

}  // namespace cs::keyms
