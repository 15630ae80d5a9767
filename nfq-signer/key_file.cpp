// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/key_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "base/hex.h"
#include "base/rfc3339.h"
#include "base/unique_fd.h"
#include "nfq-signer/key_text.h"

namespace cs {

namespace {

constexpr std::array<std::string_view, 4> suite_names{"p256-16", "p256-32", "ed25519-16",
                                                      "ed25519-32"};
constexpr std::uint64_t max_lifetime = std::uint64_t{10} * 366 * 24 * 3600;

std::size_t public_size(Suite suite) {
  return suite == Suite::p256_node16 || suite == Suite::p256_node32 ? 65 : 32;
}

template <std::size_t size>
Result<std::array<std::uint8_t, size>> fixed(const KeyText& text, std::string_view field) {
  CS_TRY(const auto bytes, text.hex(field, size));
  std::array<std::uint8_t, size> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

Result<LaneRange> read_lanes(const KeyText& text) {
  CS_TRY(const auto ends, text.pair("lanes"));
  if (ends[0] > ends[1] || ends[1] > std::numeric_limits<std::uint16_t>::max()) {
    return KeyText::wrong("lanes", "it must be the first and the last lane, at most 65535");
  }
  return LaneRange{static_cast<std::uint16_t>(ends[0]), static_cast<std::uint16_t>(ends[1])};
}

Result<KeyScope> read_scope(const KeyText& text) {
  KeyScope scope;
  CS_TRY(const auto id, text.number("key_id", 0, std::numeric_limits<std::uint32_t>::max()));
  CS_TRY(const auto direction, text.number("direction", 0, 1));
  CS_TRY(const auto name, text.text("suite"));
  CS_TRY(scope.session, fixed<32>(text, "session"));
  CS_TRY(scope.pcr_digest, fixed<32>(text, "pcr_digest"));
  const auto suite = suite_from_name(name);
  if (!suite) {
    return KeyText::wrong("suite", "it must be p256-16, p256-32, ed25519-16 or ed25519-32");
  }
  scope.key = static_cast<std::uint32_t>(id);
  scope.direction = static_cast<std::uint8_t>(direction);
  scope.suite = *suite;
  return scope;
}

Result<KeyRecord> read_record(const KeyText& text) {
  CS_CHECK([&]() -> Result<void> {
    CS_TRY(const auto version, text.number("version", 1, 1));
    static_cast<void>(version);
    return {};
  }());
  KeyRecord record;
  CS_TRY(record.scope, read_scope(text));
  CS_TRY(record.lanes, read_lanes(text));
  CS_TRY(const auto not_after, text.text("not_after"));
  CS_TRY(record.not_after, parse_rfc3339(not_after).context("field \"not_after\""));
  if (text.has("lifetime_seconds")) {
    CS_TRY(const auto seconds, text.number("lifetime_seconds", 1, max_lifetime));
    record.lifetime = std::chrono::seconds(seconds);
  }
  return record;
}

// A file as it lies on the disk, in memory that is wiped.
struct Contents {
  SecretBytes bytes;
  struct stat about;

  [[nodiscard]] std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size()};
  }
};

Result<void> read_exactly(int fd, ByteSpan out) {
  std::size_t had = 0;
  while (had < out.size()) {
    const ssize_t n = ::read(fd, out.data() + had, out.size() - had);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return from_errno(errno, "reading it");
    if (n == 0) return Error(ErrorKind::truncated, "it became shorter while it was read");
    had += static_cast<std::size_t>(n);
  }
  return {};
}

Result<Contents> read_contents(const std::string& path) {
  // Not blocking: a FIFO would wait for its writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return from_errno(errno, "opening it");
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return from_errno(errno, "looking at it (fstat)");
  if (!S_ISREG(about.st_mode)) return Error(ErrorKind::invalid, "it is not a regular file");
  if (about.st_size == 0) return Error(ErrorKind::truncated, "it is empty");
  if (about.st_size > static_cast<off_t>(max_key_file)) {
    return Error(ErrorKind::limit, "it has " + std::to_string(about.st_size) +
                                       " bytes; a key file has at most " +
                                       std::to_string(max_key_file));
  }
  CS_TRY(SecretBytes bytes, SecretBytes::create(static_cast<std::size_t>(about.st_size)));
  CS_CHECK(read_exactly(fd.get(), bytes.bytes()));
  return Contents{std::move(bytes), about};
}

Result<void> check_private(const struct stat& about, const std::string& path) {
  if (about.st_uid != ::geteuid()) {
    return Error(ErrorKind::denied, "it holds a private key and belongs to user " +
                                        std::to_string(about.st_uid) + ", not to user " +
                                        std::to_string(::geteuid()) + " who reads it")
        .with_hint("make it yours: chown " + std::to_string(::geteuid()) + " " + path);
  }
  if ((about.st_mode & (S_IRWXG | S_IRWXO | S_IXUSR)) != 0) {
    return Error(ErrorKind::denied, "it holds a private key and others may use the file")
        .with_hint("chmod 600 " + path);
  }
  return {};
}

template <class File>
Result<File> read_file(const std::string& path, Result<File> (*parse)(std::string_view),
                       bool is_private) {
  const auto context = [&] { return "the key file " + path; };
  auto contents = read_contents(path).context(context);
  CS_TRY(const Contents file, std::move(contents));
  if (is_private) CS_CHECK(check_private(file.about, path).context(context));
  return parse(file.text()).context(context);
}

}  // namespace

std::string_view suite_name(Suite suite) noexcept {
  return suite_names.at(static_cast<std::size_t>(suite) - 1);
}

std::optional<Suite> suite_from_name(std::string_view name) noexcept {
  const auto* const at = std::find(suite_names.begin(), suite_names.end(), name);
  if (at == suite_names.end()) return std::nullopt;
  return static_cast<Suite>(at - suite_names.begin() + 1);
}

KeyEnd KeyRecord::end(const Now& now) const noexcept {
  return {not_after, lifetime ? now.boot + *lifetime : BootTime::max()};
}

Result<PrivateKeyFile> parse_private_key_file(std::string_view text) {
  CS_TRY(const KeyText fields, KeyText::parse(text));
  if (fields.has("public_key")) {
    return KeyText::wrong("public_key", "here the private key is wanted, not the .pub file");
  }
  CS_TRY(KeyRecord record, read_record(fields));
  CS_TRY(SecretBytes gate, fields.secret("gate_secret", Gate::secret_size));
  CS_TRY(SecretBytes key, fields.secret("private_key", SigningKey::private_size));
  return PrivateKeyFile{record, std::move(gate), std::move(key)};
}

Result<PublicKeyFile> parse_public_key_file(std::string_view text) {
  CS_TRY(const KeyText fields, KeyText::parse(text));
  if (fields.has("private_key")) {
    return KeyText::wrong("private_key", "here the public key is wanted: the .pub file");
  }
  CS_TRY(KeyRecord record, read_record(fields));
  CS_TRY(SecretBytes gate, fields.secret("gate_secret", Gate::secret_size));
  CS_TRY(auto key, fields.hex("public_key", public_size(record.scope.suite)));
  return PublicKeyFile{record, std::move(gate), std::move(key)};
}

Result<PrivateKeyFile> read_private_key_file(const std::string& path) {
  return read_file<PrivateKeyFile>(path, parse_private_key_file, true);
}

Result<PublicKeyFile> read_public_key_file(const std::string& path) {
  return read_file<PublicKeyFile>(path, parse_public_key_file, false);
}

Result<OutboundKey> make_outbound_key(PrivateKeyFile file, std::uint16_t lane, const Now& now) {
  const LaneRange& lanes = file.record.lanes;
  if (!lanes.contains(lane)) {
    return Error(ErrorKind::invalid, "lane " + std::to_string(lane) + ": key " +
                                         std::to_string(file.record.scope.key) +
                                         " may sign in lanes " + std::to_string(lanes.first) +
                                         " to " + std::to_string(lanes.last));
  }
  return OutboundKey(file.record.scope, Gate(std::move(file.gate_secret)), lane,
                     file.record.end(now));
}

Result<InboundKey> make_inbound_key(PublicKeyFile file, const Now& now) {
  const KeyRecord& record = file.record;
  CS_TRY(VerifyingKey verifying, VerifyingKey::load(record.scope.suite, file.public_key));
  return InboundKey{record.scope, std::move(verifying), Gate(std::move(file.gate_secret)),
                    record.lanes, record.end(now)};
}

namespace {

// Text that is wiped; it never outgrows its memory, which would leave a copy behind.
class SecretText {
 public:
  SecretText() { text_.reserve(4096); }
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  SecretText(SecretText&&) = delete;
  SecretText& operator=(SecretText&&) = delete;
  ~SecretText() { explicit_bzero(text_.data(), text_.size()); }

  void add(std::string_view part) { text_ += part; }
  void add_hex(ByteView bytes) {
    const std::size_t at = text_.size();
    text_.resize(at + bytes.size() * 2 + 1);  // the function ends it with a zero
    sodium_bin2hex(text_.data() + at, bytes.size() * 2 + 1, bytes.data(), bytes.size());
    text_.pop_back();
  }
  [[nodiscard]] std::string_view view() const { return text_; }

 private:
  std::string text_;
};

void add_record(SecretText& out, const KeyRecord& record, const SecretBytes& gate_secret) {
  const KeyScope& scope = record.scope;
  out.add("{\n  \"version\": 1,\n  \"key_id\": " + std::to_string(scope.key));
  out.add(",\n  \"session\": \"" + hex_encode(scope.session));
  out.add("\",\n  \"direction\": " + std::to_string(scope.direction));
  out.add(",\n  \"suite\": \"" + std::string(suite_name(scope.suite)));
  out.add("\",\n  \"pcr_digest\": \"" + hex_encode(scope.pcr_digest));
  out.add("\",\n  \"gate_secret\": \"");
  out.add_hex(gate_secret.bytes());
  out.add("\",\n  \"lanes\": [" + std::to_string(record.lanes.first) + ", " +
          std::to_string(record.lanes.last));
  out.add("],\n  \"not_after\": \"" + format_rfc3339(record.not_after) + "\"");
  if (record.lifetime)
    out.add(",\n  \"lifetime_seconds\": " + std::to_string(record.lifetime->count()));
}

void add_key(SecretText& out, std::string_view field, ByteView key) {
  out.add(",\n  \"");
  out.add(field);
  out.add("\": \"");
  out.add_hex(key);
  out.add("\"\n}\n");
}

Result<void> sync_folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return from_errno(errno, "syncing the folder " + folder);
  return {};
}

Result<void> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return from_errno(errno, "writing it");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(fd) != 0) return from_errno(errno, "bringing it to the disk (fsync)");
  return {};
}

Result<void> write_new_file(const std::string& path, std::string_view text) {
  const auto context = [&] { return "making the key file " + path; };
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                           S_IRUSR | S_IWUSR));
  if (!fd) {
    Error error = from_errno(errno, "creating it").context(context());
    if (error.kind() == ErrorKind::exists)
      return std::move(error).with_hint("a key file is never overwritten: choose another name");
    return error;
  }
  auto written = write_all(fd.get(), text);
  if (written.ok()) written = sync_folder_of(path);
  if (!written.ok()) ::unlink(path.c_str());
  return std::move(written).context(context);
}

// One scalar in 2^32 is not below the order of P-256: then another is drawn.
Result<SecretBytes> draw_private_key(Suite suite) {
  CS_TRY(SecretBytes key, SecretBytes::create(SigningKey::private_size));
  constexpr int tries = 8;
  for (int i = 0; i < tries; ++i) {
    randombytes_buf(key.bytes().data(), key.size());
    auto loaded = SigningKey::load(suite, key);
    if (loaded.ok()) return key;
    if (loaded.error().kind() != ErrorKind::invalid) return std::move(loaded).error();
  }
  return Error(ErrorKind::internal, "drawing a private key: none of 8 is usable");
}

}  // namespace

Result<void> make_key_files(const KeyRecord& record, const std::string& path) {
  if (sodium_init() < 0) return Error(ErrorKind::internal, "starting libsodium");
  CS_TRY(const SecretBytes private_key, draw_private_key(record.scope.suite));
  CS_TRY(const SigningKey signing, SigningKey::load(record.scope.suite, private_key));
  CS_TRY(SecretBytes gate_secret, SecretBytes::create(Gate::secret_size));
  randombytes_buf(gate_secret.bytes().data(), gate_secret.size());

  SecretText private_text;
  add_record(private_text, record, gate_secret);
  add_key(private_text, "private_key", private_key.bytes());
  SecretText public_text;
  add_record(public_text, record, gate_secret);
  add_key(public_text, "public_key", signing.public_key());

  CS_CHECK(write_new_file(path, private_text.view()));
  auto written = write_new_file(path + ".pub", public_text.view());
  if (!written.ok()) ::unlink(path.c_str());
  return written;
}

}  // namespace cs
