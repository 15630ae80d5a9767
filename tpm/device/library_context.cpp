// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/library_context.h"

#include <dlfcn.h>
#include <openssl/crypto.h>

#include <atomic>

namespace {

// The same for all: nobody in our programs loads a provider into one of their own. Without
// OpenSSL's own function there is none, which who asks takes for a lack of memory.
OSSL_LIB_CTX* the_one() noexcept {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): whoever asks changes it
  static OSSL_LIB_CTX* const one = [] {
    using Make = OSSL_LIB_CTX* (*)();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): how dlsym gives a function
    const auto make = reinterpret_cast<Make>(::dlsym(RTLD_NEXT, "OSSL_LIB_CTX_new"));
    return make != nullptr ? make() : nullptr;
  }();
  return one;
}

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): it counts
std::atomic<std::uint64_t> asked_for = 0;

}  // namespace

// The loader prefers a program's own functions to a library's.
extern "C" {

[[gnu::visibility("default")]] OSSL_LIB_CTX* OSSL_LIB_CTX_new() {
  ++asked_for;
  return the_one();
}

[[gnu::visibility("default")]] void OSSL_LIB_CTX_free(OSSL_LIB_CTX* /*stays*/) {}

}  // extern "C"

namespace cs::tpm {

std::uint64_t library_contexts_asked_for() noexcept {
  return asked_for;
}

}  // namespace cs::tpm
