// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/certificate_repair.h"

#include <algorithm>
#include <array>

#include "tpm/certificates/der.h"

namespace cs::tpm {

namespace {

constexpr std::size_t most_serial = 64;  // RFC 5280 says 20

// The contents of the identifiers 1.2.840.113549.1.1.7, and the whole algorithm .1 that it becomes.
constexpr std::array<std::uint8_t, 9> rsaes_oaep{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                 0x0d, 0x01, 0x01, 0x07};
constexpr std::array<std::uint8_t, 15> rsa_encryption{
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

using Bytes = std::vector<std::uint8_t>;

Bytes as_it_came(const DerElement& element) {
  return {element.whole.begin(), element.whole.end()};
}

class Repair {
 public:
  Result<RepairedCertificate> run(ByteView der);

 private:
  // The next element; remembers the first that says its length in too many bytes.
  Result<DerElement> next(ByteReader& reader, std::uint8_t tag, std::string_view what);
  Result<Bytes> serial(ByteReader& body);
  Result<Bytes> key(ByteReader& body);
  Result<Bytes> body(ByteReader inside);

  RepairedCertificate out_;
  bool changed_ = false;
  bool told_of_length_ = false;
};

Result<DerElement> Repair::next(ByteReader& reader, std::uint8_t tag, std::string_view what) {
  CS_TRY(DerElement element, read_der(reader, tag, what));
  if (!element.minimal && !told_of_length_) {
    out_.forgiven.push_back("the length at offset " + std::to_string(element.offset + 1) +
                            " is not minimally encoded");
    told_of_length_ = true;
  }
  return element;
}

Result<Bytes> Repair::serial(ByteReader& body) {
  CS_TRY(DerElement element, next(body, der_tag::integer, "the serial number"));
  ByteView digits = element.inside.rest();
  if (digits.empty() || digits.size() > most_serial) {
    return Error(ErrorKind::invalid, "the serial number: it has " + std::to_string(digits.size()) +
                                         " bytes, where 1 to " + std::to_string(most_serial) +
                                         " are allowed");
  }
  const auto superfluous = [&] {
    const bool negative = digits.size() > 1 && digits[1] >= 0x80;
    return digits.size() > 1 && digits[0] == (negative ? 0xff : 0x00);
  };
  if (!superfluous()) return as_it_came(element);
  while (superfluous()) digits = digits.subspan(1);
  out_.forgiven.emplace_back("the serial number is not minimally encoded");
  changed_ = true;
  return make_der(der_tag::integer, {digits});
}

Result<Bytes> Repair::key(ByteReader& body) {
  CS_TRY(DerElement element, next(body, der_tag::sequence, "the public key"));
  ByteReader inside = element.inside;
  CS_TRY(DerElement algorithm, next(inside, der_tag::sequence, "the public key's algorithm"));
  CS_TRY(DerElement id, next(algorithm.inside, der_tag::object, "the public key's algorithm"));
  if (!std::ranges::equal(id.inside.rest(), rsaes_oaep)) return as_it_came(element);
  out_.forgiven.emplace_back("the algorithm of the RSA key is rsaesOaep, read as rsaEncryption");
  changed_ = true;
  return make_der(der_tag::sequence, {rsa_encryption, inside.rest()});
}

// What is signed, with its repairs.
Result<Bytes> Repair::body(ByteReader inside) {
  Bytes version;
  if (ByteReader peek = inside; read_der(peek, der_tag::context0, "the version").ok()) {
    CS_TRY(const DerElement element, next(inside, der_tag::context0, "the version"));
    version = as_it_came(element);
  }
  CS_TRY(const Bytes number, serial(inside));
  Bytes middle;
  for (const std::string_view what :
       {"the signature's algorithm", "the issuer", "the validity", "the subject"}) {
    CS_TRY(const DerElement element, next(inside, der_tag::sequence, what));
    middle.insert(middle.end(), element.whole.begin(), element.whole.end());
  }
  CS_TRY(const Bytes public_key, key(inside));
  return make_der(der_tag::sequence, {version, number, middle, public_key, inside.rest()});
}

Result<RepairedCertificate> Repair::run(ByteView der) {
  ByteReader reader(der);
  CS_TRY(DerElement certificate, next(reader, der_tag::sequence, "the certificate"));
  if (!reader.expect_end()) return reader.failure("the certificate");
  CS_TRY(const DerElement signed_part,
         next(certificate.inside, der_tag::sequence, "the signed part"));
  CS_TRY(const Bytes repaired, body(signed_part.inside));
  out_.signed_part = as_it_came(signed_part);
  out_.der = changed_ ? make_der(der_tag::sequence, {repaired, certificate.inside.rest()})
                      : Bytes(der.begin(), der.end());
  return std::move(out_);
}

}  // namespace

Result<RepairedCertificate> repair_certificate(ByteView der) {
  return Repair().run(der);
}

}  // namespace cs::tpm
