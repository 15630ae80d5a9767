// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/attest.h"

#include <string_view>

#include "base/hex.h"

namespace cs::tpm {

namespace {

constexpr std::string_view what = "an attestation";
constexpr std::size_t most_nv_contents = 2048;

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

Result<ClockInfo> read_clock(ByteReader& in) {
  ClockInfo clock;
  std::uint8_t safe = 0;
  if (!in.u64be(clock.clock) || !in.u32be(clock.reset_count) || !in.u32be(clock.restart_count) ||
      !in.u8(safe)) {
    return in.failure(what);
  }
  if (safe > 1) {
    return Error(ErrorKind::invalid, "reading an attestation: at offset " +
                                         std::to_string(in.position() - 1) + " " +
                                         std::to_string(safe) + " is neither yes nor no");
  }
  clock.safe = safe == 1;
  return clock;
}

Result<Attest::Quote> read_quote(ByteReader& in) {
  Attest::Quote quote;
  CS_TRY(quote.selection, read_pcr_selection(in));
  ByteView digest;
  if (!in.vec16be(Digest::most, digest)) return in.failure(what);
  quote.digest = copy(digest);
  return quote;
}

Result<Attest::Certify> read_certify(ByteReader& in) {
  Attest::Certify certify;
  CS_TRY(certify.name, read_name(in, what));
  CS_TRY(certify.qualified_name, read_name(in, what));
  return certify;
}

Result<Attest::Nv> read_nv(ByteReader& in) {
  Attest::Nv nv;
  CS_TRY(nv.index, read_name(in, what));
  ByteView contents;
  if (!in.u16be(nv.offset) || !in.vec16be(most_nv_contents, contents)) return in.failure(what);
  nv.contents = copy(contents);
  return nv;
}

Result<Attest::NvDigest> read_nv_digest(ByteReader& in) {
  Attest::NvDigest nv;
  CS_TRY(nv.index, read_name(in, what));
  ByteView digest;
  if (!in.vec16be(Digest::most, digest)) return in.failure(what);
  nv.digest = copy(digest);
  return nv;
}

Result<void> read_attested(ByteReader& in, Attest& attest) {
  switch (attest.type) {
    case AttestType::quote: {
      CS_TRY(attest.attested, read_quote(in));
      return {};
    }
    case AttestType::certify: {
      CS_TRY(attest.attested, read_certify(in));
      return {};
    }
    case AttestType::nv: {
      CS_TRY(attest.attested, read_nv(in));
      return {};
    }
    case AttestType::nv_digest: {
      CS_TRY(attest.attested, read_nv_digest(in));
      return {};
    }
  }
  static_cast<void>(in.rest());
  return {};
}

}  // namespace

std::string to_string(AttestType type) {
  switch (type) {
    case AttestType::nv:
      return "certified NV contents";
    case AttestType::certify:
      return "a certified key";
    case AttestType::quote:
      return "a quote";
    case AttestType::nv_digest:
      return "a digest of certified NV contents";
  }
  const auto number = static_cast<std::uint16_t>(type);
  const std::array<std::uint8_t, 2> bytes{static_cast<std::uint8_t>(number >> 8U),
                                          static_cast<std::uint8_t>(number)};
  return "type 0x" + hex_encode(bytes);
}

Result<Attest> Attest::parse(ByteView bytes) {
  ByteReader in(bytes);
  Attest attest;
  std::uint16_t type = 0;
  if (!in.u32be(attest.magic) || !in.u16be(type)) return in.failure(what);
  attest.type = static_cast<AttestType>(type);
  CS_TRY(attest.signer, read_name(in, what));
  ByteView extra_data;
  if (!in.vec16be(most_data, extra_data)) return in.failure(what);
  attest.extra_data = copy(extra_data);
  CS_TRY(attest.clock, read_clock(in));
  if (!in.u64be(attest.firmware)) return in.failure(what);
  CS_CHECK(read_attested(in, attest));
  if (!in.expect_end()) return in.failure(what);
  return attest;
}

}  // namespace cs::tpm
