// SPDX-License-Identifier: GPL-3.0-or-later
// For tests of what is sealed: a TPM, a storage root key, registers of which some can be reset.
#pragma once

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/openssl.h"
#include "tests/support/manual_clock.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/seal/nv_counter.h"
#include "tpm/seal/seal.h"

namespace cs::test {

inline ByteView view_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string text_of(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

using PrivateKey = Openssl<EVP_PKEY, EVP_PKEY_free>;
inline PrivateKey new_key(const char* curve = "P-256") {
  return PrivateKey(EVP_EC_gen(curve));
}
inline tpm::PublicKey public_key(EVP_PKEY* key) {
  const Openssl<BIO, BIO_free> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return get(tpm::PublicKey::from_pem({text, static_cast<std::size_t>(size)}));
}
inline tpm::Auth auth_of(std::string_view text) {
  return std::make_shared<const SecretBytes>(get(SecretBytes::copy_of(view_of(text))));
}

// One TPM for a suite; each test opens it anew, with PCR 16 and 23 at zero.
class SealingTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t counter = tpm::first_counter_index;

  static void SetUpTestSuite() {
    require::programs({"swtpm"});
    swtpm.emplace(get(Swtpm::start()));
  }
  static void TearDownTestSuite() { swtpm.reset(); }

  SealingTest() : device(get(tpm::Device::open(options()))) {
    get(reset_pcr(device, 16));
    get(reset_pcr(device, 23));
  }

  void TearDown() override { tap.decide({}); }  // what it knows goes before the device does

  tpm::DeviceOptions options() {
    auto given = tap.options(swtpm->tcti());
    given.clock = &clock;
    return given;
  }

  void extend(std::uint32_t pcr, std::uint8_t with) {
    get(extend_pcr(device, pcr, {tpm::Digest(tpm::HashAlgorithm::sha256, with)}));
  }
  tpm::PcrState now() {
    return get(tpm::PcrState::of(registers, get(read_pcrs(device, registers))));
  }
  // As after PCR 23 will have been extended by this.
  tpm::PcrState later(std::uint8_t with) {
    tpm::PcrValues values = get(read_pcrs(device, registers));
    tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
    tpm::Digest value = *values.find(tpm::HashAlgorithm::sha256, 23);
    tpm::extend(hasher, value, tpm::Digest(tpm::HashAlgorithm::sha256, with));
    get(values.set(23, value));
    return get(tpm::PcrState::of(registers, values));
  }

  tpm::Bytes seal(std::string_view data, const tpm::SealTerms& terms) {
    return get(tpm::seal(device, srk, view_of(data), terms));
  }
  // What was sealed, or why not.
  std::string unseal(ByteView blob, const tpm::UnsealTerms& terms = {}) {
    const auto parsed = tpm::SealedBlob::parse(blob);
    if (!parsed.ok()) return parsed.error().message();
    const auto data = tpm::unseal(device, srk, *parsed, terms);
    return data.ok() ? text_of(data->bytes()) : data.error().message();
  }

  static inline std::optional<Swtpm> swtpm;
  ManualClock clock;
  TctiTap tap;
  tpm::Device device;
  tpm::VolatileObject srk = tpm::storage_root_key();
  const tpm::PcrSelection registers = get(tpm::PcrSelection::parse("sha256:4,16,23"));
};

}  // namespace cs::test
