// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>

#include "xfrm/agreement/agreement.h"

namespace cs::xfrm {
namespace {

enum class Kind : std::uint8_t { aead, encryption, authentication };

struct Word {
  std::string_view word;
  Kind kind;
  std::string_view name;
  std::uint32_t key_bits;  // with the salt, which the kernel counts as key
  std::uint32_t icv_bits;
};

constexpr std::string_view gcm = "rfc4106(gcm(aes))";
constexpr std::string_view gmac = "rfc4543(gcm(aes))";
constexpr std::string_view ccm = "rfc4309(ccm(aes))";
constexpr std::string_view ctr = "rfc3686(ctr(aes))";

constexpr std::array known_words{
    Word{"aes128gcm16", Kind::aead, gcm, 160, 128},
    Word{"aes192gcm16", Kind::aead, gcm, 224, 128},
    Word{"aes256gcm16", Kind::aead, gcm, 288, 128},
    Word{"aes128gcm12", Kind::aead, gcm, 160, 96},
    Word{"aes256gcm12", Kind::aead, gcm, 288, 96},
    Word{"aes128gcm8", Kind::aead, gcm, 160, 64},
    Word{"aes256gcm8", Kind::aead, gcm, 288, 64},
    Word{"aes128ccm16", Kind::aead, ccm, 152, 128},
    Word{"aes256ccm16", Kind::aead, ccm, 280, 128},
    Word{"aes128gmac", Kind::aead, gmac, 160, 128},
    Word{"aes256gmac", Kind::aead, gmac, 288, 128},
    Word{"chacha20poly1305", Kind::aead, "rfc7539esp(chacha20,poly1305)", 288, 128},
    Word{"aes128", Kind::encryption, "cbc(aes)", 128, 0},
    Word{"aes192", Kind::encryption, "cbc(aes)", 192, 0},
    Word{"aes256", Kind::encryption, "cbc(aes)", 256, 0},
    Word{"aes128ctr", Kind::encryption, ctr, 160, 0},
    Word{"aes256ctr", Kind::encryption, ctr, 288, 0},
    Word{"camellia128", Kind::encryption, "cbc(camellia)", 128, 0},
    Word{"camellia256", Kind::encryption, "cbc(camellia)", 256, 0},
    Word{"sha1", Kind::authentication, "hmac(sha1)", 160, 96},
    Word{"sha256", Kind::authentication, "hmac(sha256)", 256, 128},
    Word{"sha384", Kind::authentication, "hmac(sha384)", 384, 192},
    Word{"sha512", Kind::authentication, "hmac(sha512)", 512, 256},
    Word{"sha256_96", Kind::authentication, "hmac(sha256)", 256, 96},
    Word{"aesxcbc", Kind::authentication, "xcbc(aes)", 128, 96},
    Word{"aescmac", Kind::authentication, "cmac(aes)", 128, 96},
};

Result<void> add(std::string_view word, Proposal& proposal) {
  for (const Word& known : known_words) {
    if (known.word != word) continue;
    std::optional<Algorithm>& place = known.kind == Kind::aead         ? proposal.aead
                                      : known.kind == Kind::encryption ? proposal.encryption
                                                                       : proposal.authentication;
    if (place) {
      return Error(ErrorKind::invalid,
                   "reading a proposal: '" + std::string(word) + "' is the second of its kind");
    }
    place = Algorithm{std::string(known.name), known.key_bits, known.icv_bits};
    return {};
  }
  return Error(ErrorKind::unsupported, "reading a proposal: '" +
                                           std::string(word.substr(0, max_name)) +
                                           "' is no algorithm this program knows")
      .with_hint("as in aes256gcm16, chacha20poly1305 or aes256-sha384, without a group");
}

}  // namespace

Result<Proposal> parse_proposal(std::string_view words) {
  Proposal proposal;
  while (true) {
    const std::size_t dash = words.find('-');
    CS_CHECK(add(words.substr(0, dash), proposal));
    if (dash == std::string_view::npos) break;
    words.remove_prefix(dash + 1);
  }
  if (proposal.aead && (proposal.encryption || proposal.authentication)) {
    return Error(ErrorKind::invalid,
                 "reading a proposal: an AEAD algorithm stands with another beside it");
  }
  return proposal;
}

std::optional<std::string> words_of(const Proposal& proposal) {
  std::string words;
  for (const auto* one : {&proposal.aead, &proposal.encryption, &proposal.authentication}) {
    if (!*one) continue;
    const auto* known = std::ranges::find_if(known_words, [&](const Word& word) {
      return word.name == (*one)->name && word.key_bits == (*one)->key_bits &&
             word.icv_bits == (*one)->icv_bits;
    });
    if (known == known_words.end()) return std::nullopt;
    words += (words.empty() ? "" : "-") + std::string(known->word);
  }
  return words;
}

std::uint32_t default_icv_bits(std::string_view name) noexcept {
  constexpr std::array<std::pair<std::string_view, std::uint32_t>, 8> defaults{{
      {"hmac(md5)", 96},
      {"hmac(sha1)", 96},
      {"hmac(sha256)", 96},  // a draft's, not RFC 4868's 128
      {"hmac(sha384)", 192},
      {"hmac(sha512)", 256},
      {"hmac(rmd160)", 96},
      {"xcbc(aes)", 96},
      {"cmac(aes)", 96},
  }};
  for (const auto& [known, bits] : defaults) {
    if (known == name) return bits;
  }
  return 0;
}

}  // namespace cs::xfrm
