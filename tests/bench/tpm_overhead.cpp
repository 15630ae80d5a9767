// SPDX-License-Identifier: GPL-3.0-or-later
// What tpm/ adds to ESYS: the same work on one swtpm, by the library and by a loop of bare calls,
// in turns. tpm-overhead [SECONDS]; exit code 1 if it adds more than it may.
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <vector>

#include "tests/support/swtpm.h"
#include "tests/support/unwrap.h"
#include "tpm/device/attestation_key.h"
#include "tpm/device/esys.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/signing_key.h"

namespace cs::test {
namespace {

using Steady = std::chrono::steady_clock;

constexpr double most = 1.05;
constexpr std::chrono::milliseconds turn{500};
constexpr TPMT_SIG_SCHEME as_the_key_says{TPM2_ALG_NULL, {}};
constexpr TPMT_TK_HASHCHECK no_ticket{TPM2_ST_HASHCHECK, TPM2_RH_NULL, {}};

void need(TSS2_RC rc) {
  if (rc != TSS2_RC_SUCCESS) throw std::runtime_error("ESYS answers " + std::to_string(rc));
}

// A connection without anything of ours.
class Bare {
 public:
  explicit Bare(const std::string& tcti) {
    need(Tss2_TctiLdr_Initialize(tcti.c_str(), &tcti_));
    need(Esys_Initialize(&esys_, tcti_, nullptr));
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  Bare(Bare&&) = delete;
  Bare& operator=(Bare&&) = delete;
  ~Bare() {
    for (ESYS_TR handle : handles_) Esys_FlushContext(esys_, handle);
    Esys_Finalize(&esys_);
    Tss2_TctiLdr_Finalize(&tcti_);
  }
  ESYS_CONTEXT* esys() { return esys_; }

  ESYS_TR session(TPM2_SE type) {
    TPMT_SYM_DEF symmetric{};
    symmetric.algorithm = TPM2_ALG_AES;
    symmetric.keyBits.aes = 128;
    symmetric.mode.aes = TPM2_ALG_CFB;
    ESYS_TR made = ESYS_TR_NONE;
    need(Esys_StartAuthSession(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               ESYS_TR_NONE, nullptr, type, &symmetric, TPM2_ALG_SHA256, &made));
    handles_.push_back(made);
    return made;
  }
  // ECDSA P-256.
  ESYS_TR key(TPMA_OBJECT attributes, const TPM2B_AUTH& auth, const TPM2B_DIGEST& policy) {
    TPM2B_PUBLIC shape{};
    shape.publicArea.type = TPM2_ALG_ECC;
    shape.publicArea.nameAlg = TPM2_ALG_SHA256;
    shape.publicArea.objectAttributes = attributes | TPMA_OBJECT_FIXEDTPM |
                                        TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                        TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA;
    shape.publicArea.authPolicy = policy;
    auto& parameters = shape.publicArea.parameters.eccDetail;
    parameters.symmetric.algorithm = TPM2_ALG_NULL;
    parameters.scheme.scheme = TPM2_ALG_ECDSA;
    parameters.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
    parameters.curveID = TPM2_ECC_NIST_P256;
    parameters.kdf.scheme = TPM2_ALG_NULL;
    TPM2B_SENSITIVE_CREATE sensitive{};
    sensitive.sensitive.userAuth = auth;
    constexpr TPM2B_DATA outside{};
    constexpr TPML_PCR_SELECTION no_pcrs{};
    ESYS_TR made = ESYS_TR_NONE;
    tpm::Out<TPM2B_PUBLIC> area;
    tpm::Out<TPM2B_CREATION_DATA> data;
    tpm::Out<TPM2B_DIGEST> hash;
    tpm::Out<TPMT_TK_CREATION> ticket;
    need(Esys_CreatePrimary(esys_, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                            ESYS_TR_NONE, &sensitive, &shape, &outside, &no_pcrs, &made, area.out(),
                            data.out(), hash.out(), ticket.out()));
    handles_.push_back(made);
    need(Esys_TR_SetAuth(esys_, made, &auth));
    return made;
  }

 private:
  TSS2_TCTI_CONTEXT* tcti_ = nullptr;
  ESYS_CONTEXT* esys_ = nullptr;
  std::vector<ESYS_TR> handles_;
};

// Seconds that one takes.
double time_of(const std::function<void()>& work) {
  work();  // what is made once is made
  std::size_t done = 0;
  const auto begin = Steady::now();
  for (; Steady::now() - begin < turn; ++done) work();
  return std::chrono::duration<double>(Steady::now() - begin).count() / static_cast<double>(done);
}

class Overhead {
 public:
  double sign_by_library() {
    tpm::Device device = get(tpm::Device::open({.tcti = swtpm_.tcti()}));
    tpm::SaltedSession session(tpm::storage_root_key());
    const tpm::SigningKey::Policy policy{selection_, composite(device)};
    tpm::SigningKey key(get(tpm::SigningKey::create(device, session, policy)), policy);
    return time_of([&] { get(key.sign(device, digest_)); });
  }
  double sign_bare() {
    const TPM2B_DIGEST state = get_sized(composite_now());
    Bare bare(swtpm_.tcti());
    const ESYS_TR trial = bare.session(TPM2_SE_TRIAL);
    policy_pcr(bare, trial, state);
    TPM2B_DIGEST policy{};
    {
      tpm::Out<TPM2B_DIGEST> found;
      need(Esys_PolicyGetDigest(bare.esys(), trial, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                found.out()));
      policy = *found;
    }
    const ESYS_TR key = bare.key(0, {}, policy);
    const ESYS_TR session = bare.session(TPM2_SE_POLICY);
    need(Esys_TRSess_SetAttributes(bare.esys(), session, TPMA_SESSION_CONTINUESESSION, 0xff));
    const TPM2B_DIGEST digest = get_sized(digest_);
    return time_of([&] {
      policy_pcr(bare, session, state);
      tpm::Out<TPMT_SIGNATURE> signature;
      need(Esys_Sign(bare.esys(), key, session, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                     &as_the_key_says, &no_ticket, signature.out()));
    });
  }

  double quote_by_library() {
    tpm::Device device = get(tpm::Device::open({.tcti = swtpm_.tcti()}));
    tpm::SaltedSession session(tpm::storage_root_key());
    const tpm::AttestationKey::Options options{tpm::KeyType::p256, secret_auth(), {}};
    tpm::AttestationKey key(get(tpm::AttestationKey::create(device, session, options)), options,
                            session);
    return time_of([&] { get(key.quote(device, selection_, digest_.bytes())); });
  }
  double quote_bare() {
    Bare bare(swtpm_.tcti());
    constexpr TPM2B_AUTH auth{6, {'s', 'e', 'c', 'r', 'e', 't'}};
    const ESYS_TR key = bare.key(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_USERWITHAUTH, auth, {});
    const ESYS_TR session = bare.session(TPM2_SE_HMAC);
    need(Esys_TRSess_SetAttributes(bare.esys(), session, TPMA_SESSION_CONTINUESESSION, 0xff));
    const TPML_PCR_SELECTION registers = get(tpm::to_tpm(selection_));
    const auto nonce = get(tpm::sized<TPM2B_DATA>(digest_.bytes(), "a nonce"));
    return time_of([&] {
      UINT32 updates = 0;
      tpm::Out<TPML_PCR_SELECTION> read;
      tpm::Out<TPML_DIGEST> values;
      need(Esys_PCR_Read(bare.esys(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &registers,
                         &updates, read.out(), values.out()));
      tpm::Out<TPM2B_ATTEST> attest;
      tpm::Out<TPMT_SIGNATURE> signature;
      need(Esys_Quote(bare.esys(), key, session, ESYS_TR_NONE, ESYS_TR_NONE, &nonce,
                      &as_the_key_says, &registers, attest.out(), signature.out()));
    });
  }

 private:
  tpm::Digest composite(tpm::Device& device) {
    return get(
        get(read_pcrs(device, selection_)).composite(selection_, tpm::HashAlgorithm::sha256));
  }
  tpm::Digest composite_now() {
    tpm::Device device = get(tpm::Device::open({.tcti = swtpm_.tcti()}));
    return composite(device);
  }
  static tpm::Auth secret_auth() {
    constexpr std::array<std::uint8_t, 6> secret{'s', 'e', 'c', 'r', 'e', 't'};
    return std::make_shared<const SecretBytes>(get(SecretBytes::copy_of(secret)));
  }
  static TPM2B_DIGEST get_sized(const tpm::Digest& digest) {
    return get(tpm::sized<TPM2B_DIGEST>(digest.bytes(), "a digest"));
  }
  void policy_pcr(Bare& bare, ESYS_TR session, const TPM2B_DIGEST& state) {
    const TPML_PCR_SELECTION registers = get(tpm::to_tpm(selection_));
    need(Esys_PolicyPCR(bare.esys(), session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &state,
                        &registers));
  }

  Swtpm swtpm_ = get(Swtpm::start());
  const tpm::PcrSelection selection_ = get(tpm::PcrSelection::parse("sha256:0,1,2,3,4,5,6,7"));
  const tpm::Digest digest_{tpm::HashAlgorithm::sha256, 7};
};

// The median of what the turns say.
bool report(const char* what, int turns, const std::function<double()>& library,
            const std::function<double()>& bare) {
  std::vector<double> ratios;
  for (int i = 0; i < turns; ++i) ratios.push_back(library() / bare());
  std::ranges::sort(ratios);
  const double ratio = ratios[ratios.size() / 2];
  std::printf("%-6s library / bare ESYS %.3f (%.3f to %.3f), at most %.2f: %s\n", what, ratio,
              ratios.front(), ratios.back(), most, ratio <= most ? "met" : "MISSED");
  return ratio <= most;
}

int overhead(int argc, char** argv) {
  const long seconds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 20;
  if (argc > 2 || seconds <= 0 || seconds > 3600) {
    std::fputs("usage: tpm-overhead [SECONDS]\n", stderr);
    return 2;
  }
  const int turns = std::max(1, static_cast<int>(std::chrono::seconds(seconds) / turn / 4));
  Overhead work;
  const bool sign = report(
      "sign", turns, [&] { return work.sign_by_library(); }, [&] { return work.sign_bare(); });
  const bool quote = report(
      "quote", turns, [&] { return work.quote_by_library(); }, [&] { return work.quote_bare(); });
  return sign && quote ? 0 : 1;
}

}  // namespace
}  // namespace cs::test

int main(int argc, char** argv) {
  try {
    return cs::test::overhead(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tpm-overhead: %s\n", error.what());
    return 1;
  }
}
