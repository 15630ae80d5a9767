// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/certificate_maker.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string_view>

#include "tests/support/unwrap.h"
#include "tpm/certificates/der.h"
#include "tpm/certificates/openssl_text.h"

namespace cs::test {

namespace {

using tpm::make_der;
using Certificate = Openssl<X509, X509_free>;
using Name = Openssl<X509_NAME, X509_NAME_free>;

constexpr std::uint8_t sequence = 0x30;
constexpr std::uint8_t set = 0x31;

void must(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

void add_entry(X509_NAME* name, const char* object, std::string_view text) {
  must(X509_NAME_add_entry_by_txt(name, object, MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(text.data()),
                                  static_cast<int>(text.size()), -1, 0) == 1,
       object);
}

Name make_name(const std::string& common_name) {
  Name name(X509_NAME_new());
  if (!common_name.empty()) add_entry(name.get(), "CN", common_name);
  return name;
}

void add_tpm_attributes(X509* x509) {
  const Openssl<GENERAL_NAMES, GENERAL_NAMES_free> names(sk_GENERAL_NAME_new_null());
  GENERAL_NAME* const name = GENERAL_NAME_new();
  X509_NAME* const directory = X509_NAME_new();
  add_entry(directory, "2.23.133.2.1", "id:494E5443");
  add_entry(directory, "2.23.133.2.2", "Test TPM");
  add_entry(directory, "2.23.133.2.3", "id:00010002");
  GENERAL_NAME_set0_value(name, GEN_DIRNAME, directory);
  sk_GENERAL_NAME_push(names.get(), name);
  must(X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), 1, 0) == 1, "alternative name");
}

Bytes to_der(X509* x509) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(x509, &bytes);
  must(size > 0, "i2d_X509");
  Bytes der(bytes, bytes + size);
  OPENSSL_free(bytes);
  return der;
}

Bytes sign(ByteView body, EVP_PKEY* key, const EVP_MD* digest) {
  const Openssl<EVP_MD_CTX, EVP_MD_CTX_free> state(EVP_MD_CTX_new());
  std::size_t size = 1024;
  Bytes signature(size + 1);
  must(EVP_DigestSignInit(state.get(), nullptr, digest, nullptr, key) == 1 &&
           EVP_DigestSign(state.get(), signature.data() + 1, &size, body.data(), body.size()) == 1,
       "signing");
  signature.resize(size + 1);  // the first byte: no unused bits
  return make_der(0x03, {signature});
}

Bytes text(std::string_view value) {
  return make_der(0x0c,
                  {ByteView(reinterpret_cast<const std::uint8_t*>(value.data()), value.size())});
}

Bytes names_of(const std::string& common_name) {
  unsigned char* bytes = nullptr;
  const Name name = make_name(common_name);
  const int size = i2d_X509_NAME(name.get(), &bytes);
  const Bytes der(bytes, bytes + size);
  OPENSSL_free(bytes);
  return make_der(sequence, {make_der(0xa4, {der})});
}

Bytes integer(long value) {
  Bytes digits;
  for (int shift = 56; shift >= 0; shift -= 8) {
    const auto byte = static_cast<std::uint8_t>(value >> shift);
    if (!digits.empty() || byte != 0 || shift == 0) digits.push_back(byte);
  }
  if (digits.front() >= 0x80) digits.insert(digits.begin(), 0);
  return make_der(0x02, {digits});
}

Bytes time(std::string_view value) {
  return make_der(0x18,
                  {ByteView(reinterpret_cast<const std::uint8_t*>(value.data()), value.size())});
}

Bytes algorithm(const EVP_MD* digest) {  // ecdsa-with-SHA1 or -SHA256
  const Bytes strong{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
  const Bytes weak{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01};
  return make_der(sequence, {make_der(0x06, {EVP_MD_is_a(digest, "SHA1") == 1 ? weak : strong})});
}

Bytes platform_names() {
  const auto entry = [](std::uint8_t last, std::string_view value) {
    const Bytes id = make_der(0x06, {Bytes{0x67, 0x81, 0x05, 0x05, 0x01, last}});
    return make_der(set, {make_der(sequence, {id, text(value)})});
  };
  const Bytes name = make_der(
      sequence, {entry(1, "ACME"), entry(4, "Gateway 9"), entry(5, "1.0"), entry(6, "SN-0815")});
  return make_der(sequence, {make_der(0xa4, {name})});
}

Bytes extension(ByteView id, bool critical, ByteView value) {
  const Bytes flag = critical ? Bytes{0x01, 0x01, 0xff} : Bytes{};
  return make_der(sequence, {make_der(0x06, {id}), flag, make_der(0x04, {value})});
}

}  // namespace

Key make_rsa_key(unsigned bits) {
  return Key(EVP_RSA_gen(bits));
}

Key make_ec_key(const char* group) {
  return Key(EVP_EC_gen(group));
}

Bytes make_certificate(const Wanted& wanted) {
  const Certificate x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), wanted.serial);
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), wanted.not_before);
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), wanted.not_after);
  X509_set_subject_name(x509.get(), make_name(wanted.name).get());
  X509_set_issuer_name(x509.get(), make_name(wanted.issuer).get());
  X509_set_pubkey(x509.get(), wanted.key);
  for (const Extension& one : wanted.extensions) {
    const Openssl<X509_EXTENSION, X509_EXTENSION_free> made(
        X509V3_EXT_conf_nid(nullptr, nullptr, one.id, one.value.c_str()));
    must(made && X509_add_ext(x509.get(), made.get(), -1) == 1, one.value.c_str());
  }
  if (wanted.tpm_attributes) add_tpm_attributes(x509.get());
  must(X509_sign(x509.get(), wanted.issuer_key, wanted.digest) > 0, "X509_sign");
  return to_der(x509.get());
}

std::string as_pem(ByteView der, const char* label) {
  const Openssl<BIO, BIO_free> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), label, "", der.data(), static_cast<long>(der.size()));
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Bytes change_signed(ByteView der, EVP_PKEY* issuer_key, const std::function<void(Parts&)>& change) {
  ByteReader reader(der);
  tpm::DerElement certificate = get(tpm::read_der(reader, "certificate"));
  tpm::DerElement body = get(tpm::read_der(certificate.inside, "body"));
  const tpm::DerElement signed_with = get(tpm::read_der(certificate.inside, "algorithm"));
  Parts parts;
  while (body.inside.remaining() != 0) {
    const tpm::DerElement part = get(tpm::read_der(body.inside, "part"));
    parts.emplace_back(part.whole.begin(), part.whole.end());
  }
  change(parts);
  Bytes inside;
  for (const Bytes& part : parts) inside.insert(inside.end(), part.begin(), part.end());
  const Bytes changed = make_der(sequence, {inside});
  return make_der(sequence, {changed, signed_with.whole, sign(changed, issuer_key, EVP_sha256())});
}

Wanted Vendor::root() const {
  return {.name = "Vendor Root",
          .key = root_key.get(),
          .issuer = "Vendor Root",
          .issuer_key = root_key.get(),
          .extensions = {{NID_basic_constraints, "critical,CA:TRUE"},
                         {NID_key_usage, "critical,keyCertSign"}}};
}

Wanted Vendor::intermediate() const {
  return {.name = "Intermediate 01",
          .key = intermediate_key.get(),
          .issuer = "Vendor Root",
          .issuer_key = root_key.get(),
          .extensions = {{NID_basic_constraints, "critical,CA:TRUE"},
                         {NID_key_usage, "critical,keyCertSign"}}};
}

Wanted Vendor::rsa_ek() const {
  return {.name = "",
          .key = rsa_key.get(),
          .issuer = "Intermediate 01",
          .issuer_key = intermediate_key.get(),
          .extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                         {NID_key_usage, "critical,keyEncipherment"},
                         {NID_ext_key_usage, "2.23.133.8.1"},
                         {NID_info_access, "caIssuers;URI:http://vendor.example/int01.crt"}},
          .tpm_attributes = true};
}

Wanted Vendor::ec_ek() const {
  Wanted wanted = rsa_ek();
  wanted.key = ec_key.get();
  wanted.extensions.at(1).value = "critical,keyAgreement";
  return wanted;
}

const Vendor& Vendor::get() {
  static const Vendor vendor;
  return vendor;
}

Bytes make_platform_certificate(const WantedPlatform& wanted) {
  const Bytes holder = make_der(
      sequence, {make_der(0xa0, {names_of(wanted.holder_issuer), integer(wanted.holder_serial)})});
  const Bytes issuer = make_der(0xa0, {names_of(wanted.issuer)});
  const Bytes validity = make_der(sequence, {time(wanted.not_before), time(wanted.not_after)});
  const Bytes type = make_der(sequence, {make_der(0x06, {wanted.credential_type})});
  const Bytes attribute = make_der(
      sequence, {make_der(0x06, {Bytes{0x67, 0x81, 0x05, 0x02, 0x19}}), make_der(set, {type})});
  Bytes extensions = extension(Bytes{0x55, 0x1d, 0x11}, true, platform_names());
  for (const auto& [id, critical] : wanted.extensions) {
    const Bytes one = extension(id, critical, Bytes{0x30, 0x00});
    extensions.insert(extensions.end(), one.begin(), one.end());
  }
  const Bytes body = make_der(
      sequence, {integer(wanted.version), holder, issuer, algorithm(wanted.digest), integer(77),
                 validity, make_der(sequence, {attribute}), make_der(sequence, {extensions})});
  return make_der(sequence,
                  {body, algorithm(wanted.digest), sign(body, wanted.issuer_key, wanted.digest)});
}

}  // namespace cs::test
