// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/digest_list.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include "base/hex.h"
#include "base/openssl.h"

namespace cs::keyms {

namespace {

using Key = Openssl<EVP_PKEY, EVP_PKEY_free>;
using Context = Openssl<EVP_MD_CTX, EVP_MD_CTX_free>;

constexpr std::string_view first_line = "countersign digest list v1\n";
constexpr std::string_view algorithm_line = "algorithm sha256\n";
constexpr std::string_view key_word = "\nkey ";
constexpr std::size_t hex_digits = 2 * sizeof(Hash);
constexpr std::size_t max_key = 256;        // of a SubjectPublicKeyInfo
constexpr std::size_t max_signature = 128;  // DER, or the 64 bytes of Ed25519

Error wrong(ErrorKind kind, const std::string& why) {
  return {kind, "reading a digest list: " + why};
}

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Hash sha256(ByteView bytes) {
  Hash hash{};
  const auto digest = tpm::Hasher(tpm::HashAlgorithm::sha256).hash({bytes});
  std::ranges::copy(digest.bytes(), hash.begin());
  return hash;
}

bool is_name(std::string_view name) {
  const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
  return !name.empty() && name.size() <= max_digest_list_name &&
         std::ranges::all_of(name, printable);
}

bool is_path(std::string_view path) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return path.size() <= max_digest_list_path && std::ranges::none_of(path, control);
}

bool is_ed25519(const EVP_PKEY* key) {
  return EVP_PKEY_is_a(key, "ED25519") == 1;
}

Result<void> check_kind(const EVP_PKEY* key) {
  if (is_ed25519(key) || (EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_bits(key) == 256)) {
    return {};
  }
  return Error(ErrorKind::unsupported, "the key of a digest list is neither Ed25519 nor on P-256")
      .with_hint("make one: openssl genpkey -algorithm ed25519 -out list.key");
}

// Of all before the line with the signature.
Result<void> verify(std::string_view text, ByteView spki, ByteView signature) {
  const unsigned char* at = spki.data();
  const Key key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (!key || at != spki.data() + spki.size()) {
    ERR_clear_error();
    return wrong(ErrorKind::invalid, "its key cannot be read");
  }
  CS_CHECK(check_kind(key.get()));
  const Context context(EVP_MD_CTX_new());
  const EVP_MD* const hash = is_ed25519(key.get()) ? nullptr : EVP_sha256();
  const bool good = context &&
                    EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key.get()) == 1 &&
                    EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                                     bytes_of(text).data(), text.size()) == 1;
  ERR_clear_error();
  if (good) return {};
  return wrong(ErrorKind::unverified, "its signature does not hold")
      .with_hint("somebody has changed it since it was signed: get it anew from who signs it");
}

}  // namespace

// Line by line; the text stays where it is.
class DigestList::Reader {
 public:
  explicit Reader(DigestList& list) : list_(list), text_(list.text_) {}

  Result<void> read() {
    if (!cut(first_line)) return wrong(ErrorKind::invalid, "it does not begin as one");
    CS_TRY(const std::string_view name, value_of("name "));
    if (!is_name(name)) return wrong(ErrorKind::invalid, "a name that is none");
    list_.name_ = name;
    CS_TRY(list_.version_, number_of("version "));
    if (!cut(algorithm_line)) return wrong(ErrorKind::unsupported, "its algorithm is not sha256");
    CS_TRY(const std::uint64_t entries, number_of("entries "));
    if (entries > max_digest_list_entries) {
      return wrong(ErrorKind::limit,
                   "more than " + std::to_string(max_digest_list_entries) + " entries");
    }
    // Only as many as there can be: the number is believed by nobody else.
    list_.entries_.reserve(std::min<std::size_t>(entries, text_.size() / hex_digits));
    for (std::uint64_t i = 0; i < entries; ++i) CS_CHECK(read_entry());
    return text_.size() == at_ ? Result<void>() : read_signature();
  }

 private:
  [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }
  bool cut(std::string_view expected) {
    if (!rest().starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }
  Result<std::string_view> line() {
    const auto size = rest().find('\n');
    if (size == std::string_view::npos) return wrong(ErrorKind::truncated, "it ends in a line");
    const std::string_view found = rest().substr(0, size);
    at_ += size + 1;
    return found;
  }
  Result<std::string_view> value_of(std::string_view word) {
    if (cut(word)) return line();
    return wrong(ErrorKind::invalid, "no '" + std::string(word) + "' where it should be");
  }
  Result<std::uint64_t> number_of(std::string_view word) {
    CS_TRY(const std::string_view digits, value_of(word));
    std::uint64_t number = 0;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failure == std::errc() && std::to_string(number) == digits) return number;
    return wrong(ErrorKind::invalid, "no number behind '" + std::string(word) + "'");
  }
  Result<void> read_entry() {
    const std::string number = std::to_string(list_.entries_.size());
    const std::size_t start = at_;
    CS_TRY(const std::string_view found, line());
    const auto digest = hex_decode(found.substr(0, hex_digits), sizeof(Hash));
    if (found.size() < hex_digits || !digest.ok() ||
        hex_encode(*digest) != found.substr(0, hex_digits)) {
      return wrong(ErrorKind::invalid, "entry " + number + " has no SHA-256 in lower-case hex");
    }
    Entry entry;
    std::ranges::copy(*digest, entry.digest.begin());
    std::string_view path = found.substr(hex_digits);
    if (!path.empty()) {
      if (!path.starts_with("  ") || path.size() == 2 || !is_path(path.substr(2))) {
        return wrong(ErrorKind::invalid, "entry " + number + " has no path behind two spaces");
      }
      entry.path = start + hex_digits + 2;
      entry.size = path.size() - 2;
    }
    if (!list_.entries_.empty()) {
      const Entry& last = list_.entries_.back();
      if (std::pair(last.digest, text_.substr(last.path, last.size)) >=
          std::pair(entry.digest, text_.substr(entry.path, entry.size))) {
        return wrong(ErrorKind::invalid, "entry " + number + " is not behind the last in order");
      }
    }
    list_.entries_.push_back(entry);
    return {};
  }
  Result<void> read_signature() {
    CS_TRY(const std::string_view key, value_of("key "));
    const std::string_view covered = text_.substr(0, at_);
    CS_TRY(const std::string_view value, value_of("signature "));
    if (at_ != text_.size()) return wrong(ErrorKind::invalid, "it goes on behind its signature");
    CS_TRY(const auto spki, hex_decode(key, max_key));
    CS_TRY(const auto signature, hex_decode(value, max_signature));
    if (hex_encode(spki) != key || hex_encode(signature) != value) {
      return wrong(ErrorKind::invalid, "key or signature are not in lower-case hex");
    }
    CS_CHECK(verify(covered, spki, signature));
    list_.key_ = sha256(spki);
    return {};
  }

  DigestList& list_;
  std::string_view text_;
  std::size_t at_ = 0;
};

Result<DigestList> DigestList::parse(std::string text) {
  if (text.size() > max_digest_list) {
    return wrong(ErrorKind::limit, "more than " + std::to_string(max_digest_list) + " bytes");
  }
  DigestList list;
  list.text_ = std::move(text);
  CS_CHECK(Reader(list).read());
  list.hash_ = sha256(bytes_of(list.text_));
  return list;
}

bool DigestList::accepts(ByteView digest, std::string_view path) const noexcept {
  if (digest.size() != sizeof(Hash)) return false;
  const auto before = [](const Entry& entry, ByteView wanted) {
    return std::ranges::lexicographical_compare(entry.digest, wanted);
  };
  auto entry = std::lower_bound(entries_.begin(), entries_.end(), digest, before);
  for (; entry != entries_.end() && std::ranges::equal(entry->digest, digest); ++entry) {
    const std::string_view listed = std::string_view(text_).substr(entry->path, entry->size);
    if (listed.empty() || listed == path) return true;
  }
  return false;
}

Result<std::string> format_digest_list(std::string_view name, std::uint64_t version,
                                       std::vector<AcceptedFile> files) {
  const auto refuse = [](ErrorKind kind, const std::string& why) {
    return Error(kind, "writing a digest list: " + why);
  };
  if (!is_name(name)) {
    return refuse(ErrorKind::invalid, "'" + std::string(name) + "' is no name")
        .with_hint("1 to 64 printable characters without a space, as debian-12-gateway");
  }
  std::ranges::sort(files, [](const AcceptedFile& a, const AcceptedFile& b) {
    return std::tie(a.digest, a.path) < std::tie(b.digest, b.path);
  });
  files.erase(std::unique(files.begin(), files.end()), files.end());
  if (files.size() > max_digest_list_entries) {
    return refuse(ErrorKind::limit, std::to_string(files.size()) + " files, at most " +
                                        std::to_string(max_digest_list_entries))
        .with_hint("make several lists");
  }
  std::string text(first_line);
  text += "name " + std::string(name) + "\nversion " + std::to_string(version) + "\n";
  text += std::string(algorithm_line) + "entries " + std::to_string(files.size()) + "\n";
  for (const AcceptedFile& file : files) {
    if (!is_path(file.path)) {
      return refuse(ErrorKind::invalid, "the path " + file.path.substr(0, 80) +
                                            " is too long or has a control character in it");
    }
    text += hex_encode(file.digest) + (file.path.empty() ? "" : "  " + file.path) + "\n";
  }
  return text;
}

Result<std::string> sign_digest_list(std::string text, evp_pkey_st* key) {
  CS_CHECK(check_kind(key));
  CS_TRY(const DigestList list, DigestList::parse(text));
  // No entry can begin with a word: their digits are lower-case hex.
  if (list.key()) text.resize(text.rfind(key_word) + 1);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return openssl_error(ErrorKind::internal, "writing the key of a digest list");
  text += "key " + hex_encode(ByteView(der, static_cast<std::size_t>(size))) + "\n";
  OPENSSL_free(der);

  const Context context(EVP_MD_CTX_new());
  std::array<std::uint8_t, max_signature> signature{};
  std::size_t length = signature.size();
  const EVP_MD* const hash = is_ed25519(key) ? nullptr : EVP_sha256();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, hash, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &length, bytes_of(text).data(),
                     text.size()) != 1) {
    return openssl_error(ErrorKind::internal, "signing a digest list");
  }
  return text + "signature " + hex_encode(ByteView(signature).first(length)) + "\n";
}

}  // namespace cs::keyms
