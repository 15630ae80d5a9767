// SPDX-License-Identifier: GPL-3.0-or-later
// What stands in a core policy, in the words people write it in: docs/POLICY.md. Each text that is
// made here is read back as the same value.
#pragma once

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "keyms/policy/core_policy.h"

namespace cs::keyms {

template <class T>
using Word = std::pair<std::string_view, T>;

inline constexpr std::array proof_words{Word<Proof>{"required", Proof::required},
                                        Word<Proof>{"optional", Proof::optional}};
inline constexpr std::array after_drift_words{
    Word<AfterDrift>{"healed", AfterDrift::healed},
    Word<AfterDrift>{"acknowledged", AfterDrift::acknowledged},
    Word<AfterDrift>{"reboot", AfterDrift::reboot}};
inline constexpr std::array on_failure_words{Word<OnFailure>{"report", OnFailure::report},
                                             Word<OnFailure>{"restrict", OnFailure::restrict},
                                             Word<OnFailure>{"cut", OnFailure::cut}};
inline constexpr std::array signing_mode_words{Word<SigningMode>{"session", SigningMode::session},
                                               Word<SigningMode>{"tpm", SigningMode::tpm}};
inline constexpr std::array suite_words{Word<Suite>{"p256-16", Suite::p256_node16},
                                        Word<Suite>{"p256-32", Suite::p256_node32},
                                        Word<Suite>{"ed25519-16", Suite::ed25519_node16},
                                        Word<Suite>{"ed25519-32", Suite::ed25519_node32}};
inline constexpr std::array inbound_words{
    Word<Mode>{"off", Mode::off}, Word<Mode>{"sign-only", Mode::sign_only},
    Word<Mode>{"audit", Mode::audit}, Word<Mode>{"enforce", Mode::enforce}};
inline constexpr std::array tunnel_mode_words{Word<xfrm::Mode>{"tunnel", xfrm::Mode::tunnel},
                                              Word<xfrm::Mode>{"transport", xfrm::Mode::transport}};
inline constexpr std::array ipsec_words{Word<std::uint8_t>{"esp", std::uint8_t{50}},
                                        Word<std::uint8_t>{"ah", std::uint8_t{51}}};
inline constexpr std::array use_words{Word<xfrm::Use>{"forbidden", xfrm::Use::forbidden},
                                      Word<xfrm::Use>{"allowed", xfrm::Use::allowed},
                                      Word<xfrm::Use>{"required", xfrm::Use::required}};
inline constexpr std::array action_words{Word<xfrm::Action>{"allow", xfrm::Action::allow},
                                         Word<xfrm::Action>{"block", xfrm::Action::block}};

// The word for one of them; "?" for what is none of them.
template <class T, std::size_t n>
[[nodiscard]] std::string word_for(const std::array<Word<T>, n>& words, T value) {
  for (const auto& [word, meant] : words) {
    if (meant == value) return std::string(word);
  }
  return "?";
}

// "90s", "10m", "24h", "7d"; at most max_duration.
Result<std::chrono::seconds> parse_duration(std::string_view text);
[[nodiscard]] std::string text(std::chrono::seconds duration);

// "0x10000/0x10000", also in decimal; alone, with a mask of all ones; "none".
Result<xfrm::Mark> parse_mark(std::string_view text);
[[nodiscard]] std::string mark_text(const xfrm::Mark& mark);

// "10.1.0.0/16", "10.1.0.7", "10.1.0.0/16[tcp/443]", "10.1.0.0/16[udp]", "::/0[17/0x4000:0xc000]".
Result<xfrm::Traffic> parse_traffic(std::string_view text);
[[nodiscard]] std::string text(const xfrm::Traffic& traffic);
// What stands in its brackets.
Result<void> parse_ports(std::string_view text, xfrm::Traffic& out);

// "192.0.2.1:4739", "[2001:db8::1]:4739"; without a port keymsd's own.
Result<Endpoint> parse_endpoint(std::string_view text);
[[nodiscard]] std::string text(const Endpoint& endpoint);

// "pcr:13", "nv:0x1d10300".
Result<tpm::CelRegister> parse_register(std::string_view text);
[[nodiscard]] std::string text(const tpm::CelRegister& of);

// 64 hexadecimal digits.
Result<Hash> parse_hash(std::string_view text);
Result<tpm::Digest> parse_digest(std::string_view text);
// A TPM's Name in hexadecimal.
Result<tpm::Name> parse_name(std::string_view text);

// A whole number, decimal or after 0x hexadecimal.
Result<std::uint64_t> parse_number(std::string_view text, std::uint64_t most);

inline constexpr std::uint16_t keymsd_port = 4739;

}  // namespace cs::keyms
