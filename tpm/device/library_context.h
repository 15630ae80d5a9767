// SPDX-License-Identifier: GPL-3.0-or-later
// tpm2-tss 3 makes an OpenSSL library context for each hash, and with it loads OpenSSL's provider
// anew, which is most of what an attestation costs the processor (tests/bench/keymsd_figures.py). A
// program that has this file gives it one context that stays.
#pragma once

#include <cstdint>

namespace cs::tpm {

// How often one was asked for.
[[nodiscard]] std::uint64_t library_contexts_asked_for() noexcept;

}  // namespace cs::tpm
