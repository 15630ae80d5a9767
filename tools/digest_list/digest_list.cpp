// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/digest_list/digest_list.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <system_error>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/openssl.h"
#include "keyms/evidence/digest_list.h"
#include "tpm/small_file.h"

namespace cs::digest_list {

namespace {

namespace fs = std::filesystem;
using keyms::AcceptedFile;
using keyms::DigestList;

Result<keyms::Hash> hash_file(const std::string& path) {
  CS_TRY(const UniqueFd fd, tpm::open_regular_file(path));
  tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
  hasher.start();
  std::array<std::uint8_t, 65536> part{};
  for (;;) {
    const ssize_t n = ::read(fd.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return from_errno(errno, "reading " + path);
    if (n == 0) break;
    hasher.add(ByteView(part).first(static_cast<std::size_t>(n)));
  }
  keyms::Hash hash{};
  std::ranges::copy(hasher.finish().bytes(), hash.begin());
  return hash;
}

Error cannot_walk(const std::error_code& code, const std::string& directory) {
  return from_errno(code.value(), "looking through " + directory);
}

Result<std::vector<AcceptedFile>> hash_all(const std::string& directory, const std::string& as) {
  std::vector<AcceptedFile> files;
  std::error_code code;
  const std::string root = fs::absolute(directory, code).lexically_normal().string();
  const std::string prefix = as.empty() ? root : as;
  fs::recursive_directory_iterator at(root, code);
  for (const fs::recursive_directory_iterator end; !code && at != end; at.increment(code)) {
    if (at->is_symlink(code) || !at->is_regular_file(code)) continue;
    if (files.size() == keyms::max_digest_list_entries) {
      return Error(ErrorKind::limit, directory + ": more than " +
                                         std::to_string(keyms::max_digest_list_entries) + " files")
          .with_hint("make several lists");
    }
    CS_TRY(const keyms::Hash hash, hash_file(at->path().string()));
    files.push_back({hash, (fs::path(prefix) / at->path().lexically_relative(root)).string()});
  }
  if (code) return cannot_walk(code, directory);
  return files;
}

Result<std::string> read_text(const std::string& path, std::size_t limit) {
  CS_TRY(const auto bytes, tpm::read_small_file(path, limit));
  return std::string(bytes.begin(), bytes.end());
}

Result<std::string> signed_list(const SignOptions& options) {
  CS_TRY(const UniqueFd fd, tpm::open_regular_file(options.key));
  const Openssl<BIO, BIO_free> file(BIO_new_fd(fd.get(), BIO_NOCLOSE));
  const Openssl<EVP_PKEY, EVP_PKEY_free> key(
      PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  if (!key) {
    return openssl_error(ErrorKind::invalid, "reading the private key " + options.key)
        .with_hint("make one: openssl genpkey -algorithm ed25519 -out list.key");
  }
  CS_TRY(std::string text, read_text(options.list, keyms::max_digest_list));
  return keyms::sign_digest_list(std::move(text), key.get());
}

Outcome failed(const Error& error, std::ostream& out, std::ostream& err, bool json = false) {
  const bool refused = error.kind() == ErrorKind::unverified;
  return inspect::fail(error, refused ? Outcome::refused : Outcome::unreadable, json, out, err);
}

Outcome written(const Result<std::string>& text, std::ostream& out, std::ostream& err) {
  if (!text.ok()) return failed(text.error(), out, err);
  out << *text;
  return Outcome::good;
}

}  // namespace

Outcome make(const MakeOptions& options, std::ostream& out, std::ostream& err) {
  auto files = hash_all(options.directory, options.as);
  if (!files.ok()) return failed(files.error(), out, err);
  return written(keyms::format_digest_list(options.name, options.version, std::move(files).value()),
                 out, err);
}

Outcome sign(const SignOptions& options, std::ostream& out, std::ostream& err) {
  return written(signed_list(options), out, err);
}

Outcome check(const CheckOptions& options, std::ostream& out, std::ostream& err) {
  auto text = read_text(options.list, keyms::max_digest_list);
  if (!text.ok()) return failed(text.error(), out, err, options.json);
  const auto list = DigestList::parse(std::move(text).value());
  if (!list.ok()) return failed(list.error(), out, err, options.json);
  const std::string key = list->key() ? hex_encode(*list->key()) : "";
  const auto outcome = list->key() ? Outcome::good : Outcome::refused;
  if (options.json) {
    nlohmann::ordered_json json{{"schema", inspect::schema_version},
                                {"name", list->name()},
                                {"version", list->version()},
                                {"entries", list->entries()},
                                {"signed", list->key().has_value()}};
    if (list->key()) json["key"] = key;
    out << json.dump(2) << "\n";
    return outcome;
  }
  out << list->name() << ", version " << list->version() << ": " << list->entries() << " files\n"
      << (list->key() ? "signed by " + key
                      : "signed by nobody: no policy accepts it (countersign digest-list sign)")
      << "\n";
  return outcome;
}

}  // namespace cs::digest_list
