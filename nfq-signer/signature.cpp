// SPDX-License-Identifier: GPL-3.0-or-later
// EC_GROUP's tables for a generator of one's own are deprecated without a successor; they halve the
// cost of a verification. EC_KEY signs without the way through DER.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "nfq-signer/signature.h"

#include <gmp.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "base/openssl.h"
#include "base/panic.h"
#include "nfq-signer/hash.h"

namespace cs {

namespace {

using Bn = Openssl<BIGNUM, BN_free>;
using SecretBn = Openssl<BIGNUM, BN_clear_free>;
using BnContext = Openssl<BN_CTX, BN_CTX_free>;
using Group = Openssl<EC_GROUP, EC_GROUP_free>;
using Point = Openssl<EC_POINT, EC_POINT_free>;
using EcKey = Openssl<EC_KEY, EC_KEY_free>;
using EcdsaSig = Openssl<ECDSA_SIG, ECDSA_SIG_free>;

constexpr std::size_t scalar_size = 32;
constexpr std::size_t point_size = 65;

bool is_p256(Suite suite) {
  return suite == Suite::p256_node16 || suite == Suite::p256_node32;
}

Error openssl_error(const std::string& tried) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return {ErrorKind::internal,
          tried + ": OpenSSL says: " + (reason == nullptr ? "nothing" : reason)};
}

const EC_GROUP* p256() {
  static const Group group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  if (!group) panic("OpenSSL without P-256");
  return group.get();
}

const BIGNUM* p256_order() {
  return EC_GROUP_get0_order(p256());
}

// Half of the order, rounded down: the largest s allowed.
const BIGNUM* largest_s() {
  static const Bn half = [] {
    Bn value(BN_dup(p256_order()));
    if (!value || BN_rshift1(value.get(), value.get()) != 1) panic("OpenSSL cannot halve a number");
    return value;
  }();
  return half.get();
}

Result<std::vector<std::uint8_t>> p256_public_of(const BIGNUM* scalar) {
  const Point point(EC_POINT_new(p256()));
  std::vector<std::uint8_t> out(point_size);
  if (!point || EC_POINT_mul(p256(), point.get(), scalar, nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(p256(), point.get(), POINT_CONVERSION_UNCOMPRESSED, out.data(), out.size(),
                         nullptr) != out.size()) {
    return openssl_error("computing a P-256 public key");
  }
  return out;
}

Result<EcKey> p256_private(const BIGNUM* scalar, ByteView public_key) {
  EcKey key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  if (!key || EC_KEY_set_private_key(key.get(), scalar) != 1 ||
      EC_KEY_oct2key(key.get(), public_key.data(), public_key.size(), nullptr) != 1) {
    return openssl_error("loading a P-256 private key");
  }
  return key;
}

}  // namespace

void lower_s(Signature& signature) noexcept {
  std::uint8_t* const at = signature.data() + scalar_size;
  const Bn s(BN_bin2bn(at, scalar_size, nullptr));
  if (!s) panic("out of memory");
  if (BN_cmp(s.get(), largest_s()) <= 0 || BN_cmp(s.get(), p256_order()) >= 0) return;
  if (BN_sub(s.get(), p256_order(), s.get()) != 1 || BN_bn2binpad(s.get(), at, scalar_size) < 0) {
    panic("OpenSSL cannot subtract");
  }
}

// Signing.

struct SigningKey::State {
  std::vector<std::uint8_t> public_key;
  EcKey p256;                          // null: Ed25519
  std::optional<SecretBytes> ed25519;  // libsodium's form: seed, then public key
};

SigningKey::SigningKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

namespace {

Result<void> check_private_size(const SecretBytes& key) {
  if (key.size() == SigningKey::private_size) return {};
  return Error(ErrorKind::invalid, "loading a private key: it has " + std::to_string(key.size()) +
                                       " bytes, a P-256 or Ed25519 one has 32");
}

}  // namespace

Result<SigningKey> SigningKey::load(Suite suite, const SecretBytes& private_key) {
  CS_CHECK(check_private_size(private_key));
  auto state = std::make_unique<State>();
  if (!is_p256(suite)) {
    CS_TRY(SecretBytes expanded, SecretBytes::create(crypto_sign_SECRETKEYBYTES));
    state->public_key.resize(crypto_sign_PUBLICKEYBYTES);
    crypto_sign_seed_keypair(state->public_key.data(), expanded.bytes().data(),
                             private_key.bytes().data());
    state->ed25519 = std::move(expanded);
    return SigningKey(std::move(state));
  }
  const SecretBn scalar(BN_secure_new());
  if (!scalar || BN_bin2bn(private_key.bytes().data(), scalar_size, scalar.get()) == nullptr) {
    return openssl_error("reading a P-256 private key");
  }
  if (BN_is_zero(scalar.get()) != 0 || BN_cmp(scalar.get(), p256_order()) >= 0) {
    return Error(ErrorKind::invalid,
                 "loading a P-256 private key: it is not between 1 and the group's order");
  }
  CS_TRY(state->public_key, p256_public_of(scalar.get()));
  CS_TRY(state->p256, p256_private(scalar.get(), state->public_key));
  return SigningKey(std::move(state));
}

Result<Signature> SigningKey::sign(ByteView statement) const {
  if (state_->ed25519) {
    Signature out{};
    crypto_sign_detached(out.data(), nullptr, statement.data(), statement.size(),
                         state_->ed25519->bytes().data());
    return out;
  }
  const Digest digest = sha256(statement);
  const EcdsaSig made(
      ECDSA_do_sign(digest.data(), static_cast<int>(digest.size()), state_->p256.get()));
  Signature out{};
  if (!made || BN_bn2binpad(ECDSA_SIG_get0_r(made.get()), out.data(), scalar_size) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(made.get()), out.data() + scalar_size, scalar_size) < 0) {
    return openssl_error("signing a batch");
  }
  lower_s(out);
  return out;
}

std::vector<std::uint8_t> SigningKey::public_key() const {
  return state_->public_key;
}

// Verifying. ECDSA as FIPS 186-5 has it: R = u1 G + u2 Q, each with a table of its own.

namespace {

// A number that is public: GMP divides by one faster than OpenSSL, and not in constant time.
class Number {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): this initialises it
  Number() noexcept { mpz_init2(value_, std::size_t{2} * 8 * scalar_size); }
  explicit Number(const BIGNUM* of) noexcept : Number() {
    std::array<std::uint8_t, scalar_size> bytes{};
    if (BN_bn2binpad(of, bytes.data(), scalar_size) < 0) panic("a number larger than P-256's");
    set(bytes);
  }
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  Number(Number&&) = delete;
  Number& operator=(Number&&) = delete;
  ~Number() { mpz_clear(value_); }

  void set(ByteView bytes) noexcept { mpz_import(value_, bytes.size(), 1, 1, 1, 0, bytes.data()); }
  // At most scalar_size bytes. False: out of memory.
  [[nodiscard]] bool copy_to(BIGNUM* out) const noexcept {
    std::array<std::uint8_t, scalar_size> bytes{};
    std::size_t size = 0;
    mpz_export(bytes.data(), &size, 1, 1, 1, 0, value_);
    return BN_bin2bn(bytes.data(), static_cast<int>(size), out) != nullptr;
  }
  [[nodiscard]] mpz_ptr get() noexcept { return value_; }
  [[nodiscard]] mpz_srcptr get() const noexcept { return value_; }

 private:
  mpz_t value_;
};

}  // namespace

struct VerifyingKey::State {
  std::array<std::uint8_t, crypto_sign_PUBLICKEYBYTES> ed25519{};
  Group with_key;  // P-256 with the peer's key for a generator, and its table; null: Ed25519
  BnContext context;
  Point by_base, by_key;
  Bn r, e, x, z, u1, u2;
  // n: the order; most_s: half of it.
  Number n{p256_order()}, most_s{largest_s()}, number_r, number_s, number_e;

  [[nodiscard]] bool read_scalars(const Digest& digest, ByteView signature) noexcept;
  [[nodiscard]] bool is_x(const BIGNUM* candidate) const noexcept;
  [[nodiscard]] bool verifies_p256(ByteView statement, ByteView signature) noexcept;
};

VerifyingKey::VerifyingKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
VerifyingKey::VerifyingKey(VerifyingKey&&) noexcept = default;
VerifyingKey& VerifyingKey::operator=(VerifyingKey&&) noexcept = default;
VerifyingKey::~VerifyingKey() = default;

Result<VerifyingKey> VerifyingKey::load(Suite suite, ByteView public_key) {
  const std::size_t wanted = is_p256(suite) ? point_size : crypto_sign_PUBLICKEYBYTES;
  if (public_key.size() != wanted) {
    return Error(ErrorKind::invalid, "loading a public key: it has " +
                                         std::to_string(public_key.size()) +
                                         " bytes, one of its suite has " + std::to_string(wanted));
  }
  auto state = std::make_unique<State>();
  if (!is_p256(suite)) {
    if (crypto_core_ed25519_is_valid_point(public_key.data()) != 1) {
      return Error(ErrorKind::invalid,
                   "loading an Ed25519 public key: it is no point of the group");
    }
    std::copy(public_key.begin(), public_key.end(), state->ed25519.begin());
    return VerifyingKey(std::move(state));
  }
  const Point point(EC_POINT_new(p256()));
  // Refuses what is not on the curve; the cofactor is 1, so what is on it is in the group.
  if (!point ||
      EC_POINT_oct2point(p256(), point.get(), public_key.data(), public_key.size(), nullptr) != 1) {
    ERR_clear_error();
    return Error(ErrorKind::invalid,
                 "loading a P-256 public key: it is no point of the curve in uncompressed form");
  }
  state->with_key.reset(EC_GROUP_dup(p256()));
  state->context.reset(BN_CTX_new());
  for (Point* made : {&state->by_base, &state->by_key}) made->reset(EC_POINT_new(p256()));
  for (Bn* made : {&state->r, &state->e, &state->x, &state->z, &state->u1, &state->u2})
    made->reset(BN_new());
  if (!state->with_key || !state->context || !state->by_base || !state->by_key || !state->r ||
      !state->e || !state->x || !state->z || !state->u1 || !state->u2 ||
      EC_GROUP_set_generator(state->with_key.get(), point.get(), p256_order(), BN_value_one()) !=
          1 ||
      EC_GROUP_precompute_mult(state->with_key.get(), state->context.get()) != 1) {
    return openssl_error("making the table of a P-256 public key");
  }
  return VerifyingKey(std::move(state));
}

// u1 = e / s and u2 = r / s modulo the order.
bool VerifyingKey::State::read_scalars(const Digest& digest, ByteView signature) noexcept {
  number_r.set(signature.first(scalar_size));
  number_s.set(signature.last(scalar_size));
  number_e.set(digest);
  const bool in_range = mpz_sgn(number_r.get()) > 0 && mpz_cmp(number_r.get(), n.get()) < 0 &&
                        mpz_sgn(number_s.get()) > 0 && mpz_cmp(number_s.get(), most_s.get()) <= 0;
  // The order is a prime, so every s in range has an inverse.
  if (!in_range || mpz_invert(number_s.get(), number_s.get(), n.get()) == 0) return false;
  if (!number_r.copy_to(r.get())) return false;
  for (Number* number : {&number_e, &number_r}) {
    mpz_mul(number->get(), number->get(), number_s.get());
    mpz_mod(number->get(), number->get(), n.get());
  }
  return number_e.copy_to(u1.get()) && number_r.copy_to(u2.get());
}

bool VerifyingKey::State::verifies_p256(ByteView statement, ByteView signature) noexcept {
  if (!read_scalars(sha256(statement), signature)) return false;
  BN_CTX* temporary = context.get();
  // From here on only memory can run out; then the answer is no.
  const bool computed =
      EC_POINT_mul(p256(), by_base.get(), u1.get(), nullptr, nullptr, temporary) == 1 &&
      EC_POINT_mul(with_key.get(), by_key.get(), u2.get(), nullptr, nullptr, temporary) == 1 &&
      EC_POINT_add(p256(), by_base.get(), by_base.get(), by_key.get(), temporary) == 1 &&
      EC_POINT_is_at_infinity(p256(), by_base.get()) == 0 &&
      EC_POINT_get_Jprojective_coordinates_GFp(p256(), by_base.get(), x.get(), nullptr, z.get(),
                                               temporary) == 1 &&
      BN_mod_sqr(z.get(), z.get(), EC_GROUP_get0_field(p256()), temporary) == 1;
  if (!computed) ERR_clear_error();
  return computed &&
         (is_x(r.get()) || (BN_add(r.get(), r.get(), p256_order()) == 1 && is_x(r.get())));
}

// Whether the point's x, which is x / z² (z holds the square by now), is this. Without the
// division, which costs as much as half a multiplication of a point. x is below the prime, r and r
// + n are the only numbers that are r modulo the order.
bool VerifyingKey::State::is_x(const BIGNUM* candidate) const noexcept {
  const BIGNUM* p = EC_GROUP_get0_field(p256());
  return BN_cmp(candidate, p) < 0 &&
         BN_mod_mul(e.get(), candidate, z.get(), p, context.get()) == 1 &&
         BN_cmp(e.get(), x.get()) == 0;
}

bool VerifyingKey::verifies(ByteView statement, ByteView signature) const noexcept {
  if (signature.size() != signature_size) return false;
  if (state_->with_key) return state_->verifies_p256(statement, signature);
  return crypto_sign_verify_detached(signature.data(), statement.data(), statement.size(),
                                     state_->ed25519.data()) == 0;
}

}  // namespace cs
