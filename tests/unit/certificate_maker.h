// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates for tests: a vendor's root, its intermediate, endorsement certificates of RSA and EC
// keys, and a platform certificate; as they should be, or wrong in one point.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace cs::test {

using Bytes = std::vector<std::uint8_t>;

struct FreeKey {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
[[nodiscard]] Key make_rsa_key(unsigned bits = 2048);
[[nodiscard]] Key make_ec_key(const char* group = "P-256");

inline constexpr std::time_t year = 365 * 24 * 3600;
inline constexpr std::time_t now = 1'700'000'000;  // what a ManualClock shows

struct Extension {
  int id;             // NID
  std::string value;  // as openssl.cnf writes it
};

struct Wanted {
  std::string name;  // common name; none where it is empty
  EVP_PKEY* key = nullptr;
  std::string issuer;  // common name
  EVP_PKEY* issuer_key = nullptr;
  std::vector<Extension> extensions{};
  bool tpm_attributes = false;
  long serial = 0x1234;
  std::time_t not_before = now - year;
  std::time_t not_after = now + year;
  const EVP_MD* digest = EVP_sha256();
};
[[nodiscard]] Bytes make_certificate(const Wanted& wanted);
[[nodiscard]] std::string as_pem(ByteView der, const char* label = "CERTIFICATE");

// The parts of what is signed, changed; then signed anew. For what OpenSSL would not make.
using Parts = std::vector<Bytes>;
[[nodiscard]] Bytes change_signed(ByteView der, EVP_PKEY* issuer_key,
                                  const std::function<void(Parts&)>& change);

// Everything once: keys take their time.
struct Vendor {
  Key root_key = make_ec_key();
  Key intermediate_key = make_ec_key();
  Key rsa_key = make_rsa_key();
  Key ec_key = make_ec_key();

  [[nodiscard]] Wanted root() const;
  [[nodiscard]] Wanted intermediate() const;
  [[nodiscard]] Wanted rsa_ek() const;
  [[nodiscard]] Wanted ec_ek() const;
  static const Vendor& get();
};

struct WantedPlatform {
  std::string holder_issuer = "Intermediate 01";
  long holder_serial = 0x1234;
  std::string issuer = "Machine Maker";
  EVP_PKEY* issuer_key = nullptr;
  std::string not_before = "20230101000000Z";
  std::string not_after = "20400101000000Z";
  Bytes credential_type{0x67, 0x81, 0x05, 0x08, 0x02};
  std::vector<std::pair<Bytes, bool>> extensions{};  // more: identifier, critical
  std::uint8_t version = 1;
  const EVP_MD* digest = EVP_sha256();
};
[[nodiscard]] Bytes make_platform_certificate(const WantedPlatform& wanted);

}  // namespace cs::test
