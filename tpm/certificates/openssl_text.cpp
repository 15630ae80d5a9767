// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/openssl_text.h"

#include <openssl/bio.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <vector>

#include "base/hex.h"
#include "base/panic.h"

namespace cs::tpm {

namespace {

constexpr unsigned long escaped =
    ASN1_STRFLGS_ESC_CTRL | ASN1_STRFLGS_ESC_MSB | ASN1_STRFLGS_UTF8_CONVERT;

// Collects what OpenSSL prints.
class Printed {
 public:
  Printed() : bio_(BIO_new(BIO_s_mem())) {
    if (!bio_) panic("no memory");
  }
  [[nodiscard]] BIO* bio() const { return bio_.get(); }
  [[nodiscard]] std::string text() const {
    const char* data = nullptr;
    const long size = BIO_get_mem_data(bio_.get(), &data);
    return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
  }

 private:
  Openssl<BIO, BIO_free> bio_;
};

}  // namespace

std::string text_of(const asn1_string_st* value) {
  const Printed printed;
  if (value == nullptr || ASN1_STRING_print_ex(printed.bio(), value, escaped) < 0) return {};
  return printed.text();
}

std::string text_of(const X509_NAME* name) {
  const Printed printed;
  if (name == nullptr ||
      X509_NAME_print_ex(printed.bio(), name, 0, escaped | XN_FLAG_SEP_CPLUS_SPC) < 0) {
    return {};
  }
  return printed.text();
}

std::string text_of(const ASN1_OBJECT* object) {
  std::array<char, 128> text{};
  if (object == nullptr || OBJ_obj2txt(text.data(), text.size(), object, 1) <= 0) return "?";
  return text.data();
}

std::string text_of_time(const ASN1_TIME* time) {
  std::tm fields{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &fields) != 1) return {};
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &fields);
  return {text.data(), size};
}

std::string hex_of(const ASN1_INTEGER* number) {
  const Openssl<BIGNUM, BN_free> value(number == nullptr ? nullptr
                                                         : ASN1_INTEGER_to_BN(number, nullptr));
  if (!value) return {};
  const int size = std::max(1, BN_num_bytes(value.get()));
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  BN_bn2binpad(value.get(), bytes.data(), size);
  std::string text = hex_encode(bytes);
  if (BN_is_negative(value.get()) != 0) text.insert(text.begin(), '-');
  return text;
}

std::string entry_of(const X509_NAME* name, const char* object) {
  const Openssl<ASN1_OBJECT, ASN1_OBJECT_free> wanted(OBJ_txt2obj(object, 1));
  if (!wanted || name == nullptr) return {};
  const int index = X509_NAME_get_index_by_OBJ(name, wanted.get(), -1);
  if (index < 0) return {};
  return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
}

std::string short_name(const X509_NAME* name) {
  std::string common = entry_of(name, "2.5.4.3");
  return common.empty() ? text_of(name) : common;
}

const X509_NAME* directory_name(const GENERAL_NAMES* names) {
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    if (type == GEN_DIRNAME) return static_cast<const X509_NAME*>(value);
  }
  return nullptr;
}

}  // namespace cs::tpm
