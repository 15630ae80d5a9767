// SPDX-License-Identifier: GPL-3.0-or-later
// The other side of what a verifier does: a real TPM that attests, by tpm2-tools, and a forger with
// a key in software, who signs what no TPM would.
#pragma once

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/openssl.h"
#include "tests/support/swtpm.h"
#include "tests/support/unwrap.h"
#include "tpm/evidence/public_key.h"

namespace cs::test {

inline tpm::Bytes read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline tpm::Bytes unhex(std::string_view text) {
  return get(hex_decode(text, 4096));
}

// A TPM with endorsement keys and attestation keys below the RSA one, all persistent.
class Attester {
 public:
  static constexpr auto ek_rsa = "0x81010001";
  static constexpr auto ak_ecdsa = "0x81010010";
  static constexpr auto ak_rsassa = "0x81010011";
  static constexpr auto ak_rsapss = "0x81010012";

  Attester() : tpm_(get(Swtpm::start())) {
    tool({"tpm2_createek", "-Q", "-c", ek_rsa, "-G", "rsa", "-u", file("ek.pub")});
    make_ak(ak_ecdsa, "ecc", "ecdsa");
    make_ak(ak_rsassa, "rsa", "rsassa");
    make_ak(ak_rsapss, "rsa", "rsapss");
  }

  // Frees the TPM's three slots too, which the tools leave full.
  std::string tool(std::vector<std::string> argv, const std::string& input = {}) const {
    return get(try_tool(std::move(argv), input));
  }
  [[nodiscard]] Result<std::string> try_tool(std::vector<std::string> argv,
                                             const std::string& input = {}) const {
    auto output = tpm_.tool(std::move(argv), input);
    get(tpm_.tool({"tpm2_flushcontext", "-t"}));
    return output;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return tpm_.file(name); }
  [[nodiscard]] tpm::Bytes read(const std::string& name) const { return read_file(file(name)); }

  [[nodiscard]] tpm::PublicArea area(const std::string& object) const {
    tool({"tpm2_readpublic", "-Q", "-c", object, "-o", file("area")});
    return get(tpm::PublicArea::parse(tpm::without_size(read("area"))));
  }
  [[nodiscard]] tpm::PublicKey key(const std::string& object) const {
    return get(tpm::PublicKey::from(area(object)));
  }
  // Into "attest" and "signature".
  void quote(const std::string& ak, const std::string& selection, const std::string& nonce,
             const std::string& format = "tss") const {
    const std::string scheme = ak == ak_ecdsa ? "ecdsa" : ak == ak_rsapss ? "rsapss" : "rsassa";
    tool({"tpm2_quote", "-Q", "-c", ak, "-l", selection, "-q", nonce, "-g", "sha256", "--scheme",
          scheme, "-f", format, "-m", file("attest"), "-s", file("signature")});
  }

 private:
  void make_ak(const std::string& handle, const std::string& algorithm,
               const std::string& scheme) const {
    tool({"tpm2_createak", "-Q", "-C", ek_rsa, "-c", file("ak"), "-G", algorithm, "-g", "sha256",
          "-s", scheme, "-u", file("ak.pub")});
    tool({"tpm2_evictcontrol", "-Q", "-c", file("ak"), handle});
  }

  Swtpm tpm_;
};

inline std::string pem_of(const EVP_PKEY* key) {
  const Openssl<BIO, BIO_free> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

// P-256 in software.
class Forger {
 public:
  Forger() : key_(EVP_EC_gen("P-256")) {}

  [[nodiscard]] std::string pem() const { return pem_of(key_.get()); }
  [[nodiscard]] tpm::PublicArea area(std::uint32_t attributes) const {
    tpm::PublicArea area;
    area.attributes = attributes;
    area.scheme = {tpm::Algorithm::ecdsa, tpm::HashAlgorithm::sha256};
    area.curve = tpm::Curve::p256;
    area.unique = coordinate(OSSL_PKEY_PARAM_EC_PUB_X);
    area.unique_y = coordinate(OSSL_PKEY_PARAM_EC_PUB_Y);
    return area;
  }
  [[nodiscard]] tpm::Bytes sign(ByteView message, const EVP_MD* hash = EVP_sha256()) const {
    const Openssl<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
    tpm::Bytes der(128);
    std::size_t size = der.size();
    EVP_DigestSignInit(context.get(), nullptr, hash, nullptr, key_.get());
    if (EVP_DigestSign(context.get(), der.data(), &size, message.data(), message.size()) != 1) {
      throw std::runtime_error("OpenSSL cannot sign");
    }
    der.resize(size);
    return der;
  }

 private:
  [[nodiscard]] tpm::Bytes coordinate(const char* name) const {
    BIGNUM* number = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &number);
    const Openssl<BIGNUM, BN_free> owner(number);
    tpm::Bytes bytes(32);
    BN_bn2binpad(number, bytes.data(), 32);
    return bytes;
  }

  Openssl<EVP_PKEY, EVP_PKEY_free> key_;
};

}  // namespace cs::test
