// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits>

#include "keyms/session/message_bodies.h"
#include "keyms/session/vouchers.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t most_u32 = std::numeric_limits<std::uint32_t>::max();

Result<SignedAttestation> read_attestation(CborReader& in, std::uint64_t first) {
  SignedAttestation out;
  CS_CHECK(in.key(first, "an attestation"));
  CS_TRY(out.attest, read_bytes(in, "an attestation", most_attest));
  CS_CHECK(in.key(first + 1, "its signature"));
  CS_TRY(out.signature, read_bytes(in, "its signature", most_attest));
  return out;
}

void write(CborWriter& out, const tpm::PcrValues& values) {
  std::size_t count = 0;
  for (const auto& [algorithm, bank] : values.banks()) {
    count += static_cast<std::size_t>(
        std::ranges::count_if(bank, [](const auto& value) { return value.has_value(); }));
  }
  out.array(count);
  for (const auto& [algorithm, bank] : values.banks()) {
    for (std::size_t pcr = 0; pcr < bank.size(); ++pcr) {
      if (!bank.at(pcr)) continue;
      out.array(3).number(static_cast<std::uint16_t>(algorithm)).number(pcr);
      out.bytes(bank.at(pcr)->bytes());
    }
  }
}

// In ascending order of algorithm and PCR, so that there is one way to write them.
Result<tpm::PcrValues> read_values(CborReader& in) {
  CS_TRY(const std::size_t count, in.array("the PCR values", most_pcr_values));
  tpm::PcrValues values;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(const std::size_t fields, in.array("a PCR value", 3));
    if (fields != 3) return in.wrong("a PCR value", "has not three parts");
    CS_TRY(const std::uint64_t algorithm, in.number("a PCR's bank", 0xffff));
    CS_TRY(const std::uint64_t pcr, in.number("a PCR", tpm::pcr_count - 1));
    const std::uint64_t place = (algorithm << 8U) | pcr;
    if (i > 0 && place <= before) return in.wrong("a PCR", "is not in its place");
    before = place;
    const auto known = tpm::hash_algorithm(static_cast<std::uint16_t>(algorithm));
    if (!known) return in.wrong("a PCR's bank", "is unknown");
    CS_TRY(const ByteView bytes, in.exactly("a PCR's value", tpm::digest_size(*known)));
    CS_TRY(const tpm::Digest digest, tpm::Digest::from(*known, bytes));
    CS_CHECK(values.set(static_cast<std::uint32_t>(pcr), digest));
  }
  return values;
}

void write(CborWriter& out, const NvEvidence& nv) {
  out.map(4).key(0).bytes(nv.index);
  out.key(1).bytes(nv.certified.attest).key(2).bytes(nv.certified.signature);
  out.key(3).bytes(nv.contents);
}

Result<NvEvidence> read_nv(CborReader& in) {
  NvEvidence nv;
  CS_CHECK(in.begin_map("the event register", 4));
  CS_CHECK(in.key(0, "its public area"));
  CS_TRY(nv.index, read_bytes(in, "its public area", most_attest));
  CS_TRY(nv.certified, read_attestation(in, 1));
  CS_CHECK(in.key(3, "its contents"));
  CS_TRY(nv.contents, read_bytes(in, "its contents", tpm::Digest::most));
  CS_CHECK(in.end_map("the event register"));
  return nv;
}

void write(CborWriter& out, const KeyEvidence& key) {
  out.map(3).key(0).bytes(key.area);
  out.key(1).bytes(key.certified.attest).key(2).bytes(key.certified.signature);
}

Result<KeyEvidence> read_key(CborReader& in) {
  KeyEvidence key;
  CS_CHECK(in.begin_map("the signing key", 3));
  CS_CHECK(in.key(0, "its public area"));
  CS_TRY(key.area, read_bytes(in, "its public area", most_attest));
  CS_TRY(key.certified, read_attestation(in, 1));
  CS_CHECK(in.end_map("the signing key"));
  return key;
}

void write(CborWriter& out, const CredentialFor& credential) {
  out.map(2).key(0).bytes(credential.id_object).key(1).bytes(credential.encrypted_secret);
}

Result<CredentialFor> read_credential(CborReader& in) {
  CredentialFor credential;
  CS_CHECK(in.begin_map("the credential", 2));
  CS_CHECK(in.key(0, "its id object"));
  CS_TRY(credential.id_object, read_bytes(in, "its id object", most_attest));
  CS_CHECK(in.key(1, "its secret"));
  CS_TRY(credential.encrypted_secret, read_bytes(in, "its secret", most_attest));
  CS_CHECK(in.end_map("the credential"));
  return credential;
}

Result<void> read_sizes(CborReader& in, EvidenceMessage& evidence) {
  CS_CHECK(in.key(6, "the sizes"));
  CS_TRY(const std::size_t count, in.array("the sizes", log_count));
  if (count != log_count) return in.wrong("the sizes", "are not five");
  for (std::uint64_t& size : evidence.sizes) {
    CS_TRY(size, in.number("a size"));
  }
  return {};
}

Result<Log> read_log(CborReader& in) {
  CS_CHECK(in.key(0, "the log"));
  CS_TRY(const std::uint64_t log, in.number("the log", log_count - 1));
  return static_cast<Log>(log);
}

}  // namespace

void write(CborWriter& out, const EvidenceMessage& evidence) {
  const auto one = [](bool there) { return there ? std::size_t{1} : 0; };
  out.map(5 + one(evidence.event_register.has_value()) + one(evidence.signing_key.has_value()) +
          one(!evidence.endorsement_key.empty()) + one(evidence.credential.has_value()) +
          one(!evidence.vouchers.empty()));
  out.key(0).bytes(evidence.statement);
  out.key(1).bytes(evidence.quote.attest).key(2).bytes(evidence.quote.signature);
  write(out.key(3), evidence.values);
  if (evidence.event_register) write(out.key(4), *evidence.event_register);
  if (evidence.signing_key) write(out.key(5), *evidence.signing_key);
  out.key(6).array(log_count);
  for (const std::uint64_t size : evidence.sizes) out.number(size);
  if (!evidence.endorsement_key.empty()) out.key(7).bytes(evidence.endorsement_key);
  if (evidence.credential) write(out.key(8), *evidence.credential);
  if (!evidence.vouchers.empty()) write_vouchers(out.key(9), evidence.vouchers);
}

Result<Sealed> read_evidence(CborReader& in) {
  EvidenceMessage evidence;
  CS_CHECK(in.begin_map("the body", 10));
  CS_CHECK(in.key(0, "the statement"));
  CS_TRY(evidence.statement, read_bytes(in, "the statement", most_attest));
  CS_TRY(evidence.quote, read_attestation(in, 1));
  CS_CHECK(in.key(3, "the PCR values"));
  CS_TRY(evidence.values, read_values(in));
  if (in.has_key(4)) {
    CS_TRY(evidence.event_register, read_nv(in));
  }
  if (in.has_key(5)) {
    CS_TRY(evidence.signing_key, read_key(in));
  }
  CS_CHECK(read_sizes(in, evidence));
  if (in.has_key(7)) {
    CS_TRY(evidence.endorsement_key, read_bytes(in, "the endorsement key", most_attest));
  }
  if (in.has_key(8)) {
    CS_TRY(evidence.credential, read_credential(in));
  }
  if (in.has_key(9)) {
    CS_TRY(evidence.vouchers, read_vouchers(in));
  }
  CS_CHECK(in.end_map("the body"));
  return Sealed(std::move(evidence));
}

void write(CborWriter& out, const Get& get) {
  out.map(3).key(0).number(static_cast<std::uint8_t>(get.log));
  out.key(1).number(get.offset).key(2).number(get.length);
}

Result<Sealed> read_get(CborReader& in) {
  Get get;
  CS_CHECK(in.begin_map("the body", 3));
  CS_TRY(get.log, read_log(in));
  CS_CHECK(in.key(1, "the offset"));
  CS_TRY(get.offset, in.number("the offset"));
  CS_CHECK(in.key(2, "the length"));
  CS_TRY(const std::uint64_t length, in.number("the length", most_get));
  if (length == 0) return in.wrong("the length", "is 0");
  get.length = static_cast<std::uint32_t>(length);
  CS_CHECK(in.end_map("the body"));
  return Sealed(get);
}

void write(CborWriter& out, const Part& part) {
  out.map(3).key(0).number(static_cast<std::uint8_t>(part.log));
  out.key(1).number(part.offset).key(2).bytes(part.bytes);
}

Result<Sealed> read_part(CborReader& in) {
  Part part;
  CS_CHECK(in.begin_map("the body", 3));
  CS_TRY(part.log, read_log(in));
  CS_CHECK(in.key(1, "the offset"));
  CS_TRY(part.offset, in.number("the offset"));
  CS_CHECK(in.key(2, "the bytes"));
  CS_TRY(part.bytes, in.bytes("the bytes", most_part));
  if (part.bytes.empty()) return in.wrong("the bytes", "are none");
  CS_CHECK(in.end_map("the body"));
  return Sealed(part);
}

void write(CborWriter& out, const ResultMessage& result) {
  out.map((result.proof ? 1U : 0U) + (result.credential ? 1U : 0U));
  if (result.proof) out.key(0).bytes(*result.proof);
  if (result.credential) write(out.key(1), *result.credential);
}

Result<Sealed> read_result(CborReader& in) {
  ResultMessage result;
  CS_CHECK(in.begin_map("the body", 2));
  if (in.has_key(0)) {
    CS_TRY(result.proof, read_hash(in, "the proof"));
  }
  if (in.has_key(1)) {
    CS_TRY(result.credential, read_credential(in));
  }
  CS_CHECK(in.end_map("the body"));
  return Sealed(std::move(result));
}

void write(CborWriter& out, const FinalMessage& final) {
  out.map(final.proof ? 1 : 0);
  if (final.proof) out.key(0).bytes(*final.proof);
}

Result<Sealed> read_final(CborReader& in) {
  FinalMessage final;
  CS_CHECK(in.begin_map("the body", 1));
  if (in.has_key(0)) {
    CS_TRY(final.proof, read_hash(in, "the proof"));
  }
  CS_CHECK(in.end_map("the body"));
  return Sealed(final);
}

std::string_view to_string(Log log) noexcept {
  constexpr std::array<std::string_view, log_count> names{"the boot log", "the static log",
                                                          "the event log", "the IMA list",
                                                          "the endorsement certificates"};
  return names.at(static_cast<std::size_t>(log));
}

Result<Bytes> encode(const EvidenceStatement& statement) {
  CborWriter out(most_attest);
  out.map(9).key(0).number(statement.suite).key(1).bytes(statement.public_key);
  out.key(2).number(statement.key_id).key(3).number(statement.not_after);
  out.key(4).number(statement.lifetime_ms).key(5).number(statement.first_lane);
  out.key(6).number(statement.last_lane).key(7).bytes(statement.measurement);
  out.key(8).number(statement.wall_clock);
  return out.finish("an evidence statement");
}

Result<EvidenceStatement> decode_statement(ByteView bytes) {
  CborReader in(bytes, "an evidence statement");
  EvidenceStatement out;
  CS_CHECK(in.begin_map("it", 9));
  const auto number = [&in](std::uint64_t key, std::string_view what,
                            std::uint64_t most) -> Result<std::uint64_t> {
    CS_CHECK(in.key(key, what));
    return in.number(what, most);
  };
  CS_TRY(const std::uint64_t suite, number(0, "the suite", 4));
  if (suite == 0) return in.wrong("the suite", "is 0");
  CS_CHECK(in.key(1, "the public key"));
  const std::size_t size = suite <= 2 ? 65 : 32;  // P-256, Ed25519
  CS_TRY(const ByteView key, in.exactly("the public key", size));
  if (size == 65 && key[0] != 4) return in.wrong("the public key", "does not begin with 4");
  CS_TRY(const std::uint64_t id, number(2, "the key id", most_u32));
  if (id == 0) return in.wrong("the key id", "is 0");
  CS_TRY(out.not_after, number(3, "not after", 253402300799));
  CS_TRY(const std::uint64_t lifetime, number(4, "the lifetime", most_u32));
  if (lifetime == 0) return in.wrong("the lifetime", "is 0");
  CS_TRY(const std::uint64_t first, number(5, "the first lane", 0xffff));
  CS_TRY(const std::uint64_t last, number(6, "the last lane", 0xffff));
  if (last < first) return in.wrong("the last lane", "is before the first");
  CS_CHECK(in.key(7, "the measurement"));
  CS_TRY(out.measurement, read_hash(in, "the measurement"));
  CS_TRY(out.wall_clock, number(8, "the wall clock", 253402300799));
  CS_CHECK(in.end_map("it"));
  CS_CHECK(in.end());
  out.suite = static_cast<std::uint8_t>(suite);
  out.public_key.assign(key.begin(), key.end());
  out.key_id = static_cast<std::uint32_t>(id);
  out.lifetime_ms = static_cast<std::uint32_t>(lifetime);
  out.first_lane = static_cast<std::uint16_t>(first);
  out.last_lane = static_cast<std::uint16_t>(last);
  return out;
}

}  // namespace cs::keyms
