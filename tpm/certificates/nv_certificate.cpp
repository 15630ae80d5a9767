// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/nv_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "base/hex.h"
#include "base/openssl.h"
#include "tpm/certificates/der.h"

namespace cs::tpm {

namespace {

using Found = std::vector<EncodedCertificate>;

std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool begins_with(ByteView bytes, std::initializer_list<std::uint8_t> with) {
  return bytes.size() >= with.size() && std::equal(with.begin(), with.end(), bytes.begin());
}

bool is_padding(std::uint8_t byte) {
  return byte == 0x00 || byte == 0xff;
}

Error is_none(ErrorKind kind, std::string what, std::string hint) {
  return Error(kind, "no certificate: " + std::move(what)).with_hint(std::move(hint));
}

// What vendors put where a certificate should be, and what else gets there.
Error not_a_certificate(ByteView bytes) {
  if (bytes.empty()) {
    return is_none(ErrorKind::not_found, "there is nothing",
                   "get the certificate from the vendor of the TPM or of the machine");
  }
  if (std::ranges::all_of(bytes, is_padding)) {
    return is_none(ErrorKind::not_found, "only padding, the NV index was never written",
                   "get the certificate from the vendor of the TPM or of the machine");
  }
  if (begins_with(bytes, {0x1f, 0x8b}) || begins_with(bytes, {0x78, 0x01}) ||
      begins_with(bytes, {0x78, 0x9c}) || begins_with(bytes, {0x78, 0xda})) {
    return is_none(ErrorKind::unsupported, "compressed data (zlib or gzip)",
                   "unpack it first: zlib-flate -uncompress, or gunzip");
  }
  if (bytes.front() == '{') {
    return is_none(ErrorKind::unsupported, "JSON, as the EK service of Intel answers",
                   "decode its member \"certificate\" (base64url) and give that");
  }
  if (as_text(bytes).starts_with("http")) {
    return is_none(ErrorKind::unsupported, "a URL", "fetch the certificate from there");
  }
  return is_none(
      ErrorKind::invalid,
      "it begins with " + hex_encode(bytes.first(std::min<std::size_t>(4, bytes.size()))),
      "give DER, PEM, or the contents of an NV index");
}

// An attribute certificate has its version, its holder and then its issuer under [0], where X.509
// has [0] at once (its version), or its serial number and two sequences.
Result<CertificateForm> form_of(const DerElement& certificate) {
  ByteReader inside = certificate.inside;
  CS_TRY(DerElement body, read_der(inside, der_tag::sequence, "the signed part"));
  CS_TRY(const DerElement first, read_der(body.inside, "the version"));
  if (first.tag != der_tag::integer) return CertificateForm::public_key;
  CS_TRY(const DerElement second, read_der(body.inside, "the holder"));
  CS_TRY(const DerElement third, read_der(body.inside, "the issuer"));
  static_cast<void>(second);
  return third.tag == der_tag::context0 ? CertificateForm::attribute : CertificateForm::public_key;
}

std::size_t skip_padding(ByteReader& reader) {
  std::size_t skipped = 0;
  std::uint8_t byte = 0;
  for (ByteReader ahead = reader; ahead.u8(byte) && is_padding(byte); reader = ahead) ++skipped;
  return skipped;
}

Result<void> add(EncodedCertificate&& certificate, Found& found) {
  if (found.size() == most_certificates) {
    return Error(ErrorKind::limit,
                 "more than " + std::to_string(most_certificates) + " certificates in one input")
        .with_hint("give them in several files");
  }
  found.push_back(std::move(certificate));
  return {};
}

// The header of TCG_PCCLIENT_STORED_CERT (PC Client 1.2): its tag, a type, a size, and for a full
// certificate another tag. The size is not believed: DER has its own.
Result<bool> skip_stored_header(ByteReader& reader) {
  ByteReader ahead = reader;
  std::uint16_t tag = 0;
  std::uint8_t type = 0;
  std::uint16_t size = 0;
  std::uint16_t kind = 0;
  if (!ahead.u16be(tag) || tag != 0x1001) return false;
  if (!ahead.u8(type) || !ahead.u16be(size) || !ahead.u16be(kind)) {
    return ahead.failure("the header of a stored certificate");
  }
  if (type != 0 || kind != 0x1002) {
    return Error(ErrorKind::unsupported,
                 "a stored certificate of the partial kind, which holds no X.509 certificate");
  }
  reader = ahead;
  return true;
}

// One after the other, until nothing but padding is left.
Result<void> read_all_der(ByteView bytes, Found& found) {
  ByteReader reader(bytes);
  CS_TRY(const bool header, skip_stored_header(reader));
  std::size_t padding = 0;
  do {
    CS_TRY(const DerElement element, read_der(reader, der_tag::sequence, "a certificate"));
    EncodedCertificate certificate;
    certificate.der.assign(element.whole.begin(), element.whole.end());
    CS_TRY(certificate.form, form_of(element));
    if (header && element.offset == 7) {
      certificate.forgiven.emplace_back("a header of TPM 1.2 (7 bytes) stands before it");
    }
    padding = skip_padding(reader);
    if (padding != 0) {
      certificate.forgiven.push_back(std::to_string(padding) + " bytes of padding after it");
    }
    CS_CHECK(add(std::move(certificate), found));
  } while (reader.remaining() != 0);
  return {};
}

struct FreeMemory {
  template <class T>
  void operator()(T* memory) const noexcept {
    OPENSSL_free(memory);
  }
};

// One block of PEM: 0 when there is no more, 1 for one.
Result<bool> read_pem_block(BIO* bio, std::string& name, std::vector<std::uint8_t>& data) {
  char* raw_name = nullptr;
  char* raw_header = nullptr;
  unsigned char* raw_data = nullptr;
  long size = 0;
  const int got = PEM_read_bio(bio, &raw_name, &raw_header, &raw_data, &size);
  if (got != 1) {
    const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (end) return false;
    return Error(ErrorKind::invalid, "a block of PEM is cut off or is no base64");
  }
  const std::unique_ptr<char, FreeMemory> free_name(raw_name);
  const std::unique_ptr<char, FreeMemory> free_header(raw_header);
  const std::unique_ptr<unsigned char, FreeMemory> free_data(raw_data);
  name = raw_name;
  data.assign(raw_data, raw_data + size);
  return true;
}

Result<void> read_all_pem(ByteView bytes, Found& found) {
  const Openssl<BIO, BIO_free> bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  std::string name;
  std::vector<std::uint8_t> data;
  for (;;) {
    CS_TRY(const bool more, read_pem_block(bio.get(), name, data));
    if (!more) return {};
    if (name != "CERTIFICATE" && name != "X509 CERTIFICATE" && name != "ATTRIBUTE CERTIFICATE") {
      return Error(ErrorKind::invalid, "a block of PEM that holds '" + name.substr(0, 40) +
                                           "', where a certificate is wanted");
    }
    CS_CHECK(read_all_der(data, found).context([&] {
      return "certificate " + std::to_string(found.size() + 1) + " in PEM";
    }));
  }
}

}  // namespace

Result<std::vector<EncodedCertificate>> find_certificates(ByteView bytes) {
  if (bytes.size() > most_certificate_bytes) {
    return Error(ErrorKind::limit, "no certificate: " + std::to_string(bytes.size()) +
                                       " bytes, at most " + std::to_string(most_certificate_bytes));
  }
  Found found;
  const bool is_der = bytes.size() >= 2 && bytes[0] == der_tag::sequence && bytes[1] >= 0x80;
  if (is_der || begins_with(bytes, {0x10, 0x01})) {
    CS_CHECK(read_all_der(bytes, found));
  } else if (as_text(bytes).find("-----BEGIN ") != std::string_view::npos) {
    CS_CHECK(read_all_pem(bytes, found));
  }
  if (found.empty()) return not_a_certificate(bytes);
  return found;
}

}  // namespace cs::tpm
