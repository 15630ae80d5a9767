// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/sign_command.h"

#include <algorithm>

#include "base/byte_writer.h"
#include "tpm/hash.h"

namespace cs::tpm {
namespace {

constexpr std::uint16_t st_sessions = 0x8002;
constexpr std::uint16_t st_hashcheck = 0x8024;
constexpr std::uint32_t cc_sign = 0x0000015d;
constexpr std::uint32_t rh_null = 0x40000007;
constexpr std::uint8_t continue_session = 1;
constexpr std::uint16_t alg_ecdsa = 0x0018;
constexpr std::uint16_t alg_sha256 = static_cast<std::uint16_t>(HashAlgorithm::sha256);
constexpr std::size_t scalar_size = 32;

using Scalar = std::array<std::uint8_t, scalar_size>;

// Of P-256.
constexpr Scalar order{0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                       0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                       0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

constexpr Scalar minus(const Scalar& from, const Scalar& what) {
  Scalar difference{};
  unsigned borrow = 0;
  for (std::size_t i = scalar_size; i-- > 0;) {
    const unsigned digit = 0x100U + from.at(i) - what.at(i) - borrow;
    difference.at(i) = static_cast<std::uint8_t>(digit);
    borrow = digit < 0x100 ? 1 : 0;
  }
  return difference;
}

// Up to what follows the header.
Result<ByteReader> open_answer(ByteView answer) {
  ByteReader in(answer);
  std::uint16_t tag = 0;
  std::uint32_t size = 0;
  std::uint32_t code = 0;
  if (!in.u16be(tag) || !in.u32be(size) || !in.u32be(code)) return in.failure("a TPM's answer");
  if (tag == st_sessions && size == answer.size() && code == 0) return in;
  return Error(ErrorKind::invalid,
               "reading a TPM's answer: at offset 0 it does not begin as that to this command");
}

// A TPM leaves zeros in front away, or it does not.
Result<Scalar> read_scalar(ByteReader& in, std::string_view what) {
  const std::size_t at = in.position();
  ByteView bytes;
  if (!in.vec16be(scalar_size, bytes)) return in.failure(what);
  Scalar value{};
  std::ranges::copy(bytes, value.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  if (value != Scalar{} && value < order) return value;
  return Error(ErrorKind::invalid, "reading " + std::string(what) + ": at offset " +
                                       std::to_string(at) + " it is not between 1 and the order");
}

Result<EcdsaSignature> read_signature(ByteReader& in) {
  const std::size_t at = in.position();
  std::uint16_t scheme = 0;
  std::uint16_t hash = 0;
  if (!in.u16be(scheme) || !in.u16be(hash)) return in.failure("a TPM's signature");
  if (scheme != alg_ecdsa || hash != alg_sha256) {
    return Error(ErrorKind::invalid, "reading a TPM's signature: at offset " + std::to_string(at) +
                                         " it is not ECDSA with SHA-256");
  }
  CS_TRY(const Scalar r, read_scalar(in, "a signature's r"));
  CS_TRY(Scalar s, read_scalar(in, "a signature's s"));
  s = std::min(s, minus(order, s));
  EcdsaSignature signature{};
  std::ranges::copy(s, std::ranges::copy(r, signature.begin()).out);
  return signature;
}

Result<void> read_session(ByteReader& in) {
  const std::size_t at = in.position();
  ByteView nonce;
  ByteView hmac;
  std::uint8_t attributes = 0;
  if (!in.vec16be(Digest::most, nonce) || !in.u8(attributes) || !in.vec16be(0, hmac) ||
      !in.expect_end()) {
    return in.failure("an answer's session");
  }
  if (attributes == continue_session) return {};
  return Error(ErrorKind::invalid, "reading an answer's session: at offset " + std::to_string(at) +
                                       " it has other attributes than the command's");
}

}  // namespace

std::array<std::uint8_t, 73> sign_command(const SignCommand& command) {
  std::array<std::uint8_t, 73> bytes{};
  ByteWriter out(bytes);
  out.u16be(st_sessions).u32be(bytes.size()).u32be(cc_sign).u32be(command.key);
  constexpr std::uint32_t authorization_size = 9;  // without nonce and HMAC
  out.u32be(authorization_size).u32be(command.session).u16be(0).u8(continue_session).u16be(0);
  out.vec16be(command.digest).u16be(alg_ecdsa).u16be(alg_sha256);
  out.u16be(st_hashcheck).u32be(rh_null).u16be(0);
  return bytes;
}

Result<EcdsaSignature> read_sign_answer(ByteView answer) {
  CS_TRY(ByteReader in, open_answer(answer));
  std::uint32_t size = 0;
  ByteReader parameters;
  if (!in.u32be(size) || !in.nested(size, parameters)) return in.failure("an answer's parameters");
  CS_TRY(const EcdsaSignature signature, read_signature(parameters));
  if (!parameters.expect_end()) return parameters.failure("a TPM's signature");
  CS_CHECK(read_session(in));
  return signature;
}

}  // namespace cs::tpm
