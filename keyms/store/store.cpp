// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/store.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/unique_fd.h"
#include "keyms/store/byte_list.h"
#include "keyms/store/schema.h"
#include "tpm/seal/disk.h"
#include "tpm/seal/gcm.h"
#include "tpm/seal/nv_counter.h"

namespace cs::keyms {

namespace {

using tpm::SealedBlob;
using Bytes = std::vector<std::uint8_t>;

constexpr std::string_view clear_part = "clear";
constexpr std::string_view keys_part = "keys";
constexpr std::string_view approvals_part = "approvals";
constexpr RowName book_row{RowKind::book, "book"};

Result<SecretBytes> new_key() {
  CS_TRY(SecretBytes key, SecretBytes::create(tpm::gcm_key_size));
  const ByteSpan bytes = key.bytes();
  if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1) return key;
  return Error(ErrorKind::io, "drawing the store's key: OpenSSL has no random bytes");
}

// An empty file of this user alone, whose name stays, if there is none.
Result<void> make_file(const std::string& path) {
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  const UniqueFd made(::open(path.c_str(), flags, S_IRUSR | S_IWUSR));
  if (!made && errno == EEXIST) return {};
  if (!made) return from_errno(errno, "making " + path);
  return tpm::sync_directory_of(tpm::kernel_disk(), path);
}

Result<Bytes> read_part(Database& database, std::string_view name) {
  CS_TRY(Query select, database.prepare("SELECT value FROM part WHERE name=?"));
  CS_TRY(const bool row, select.bind(name).step());
  if (!row) {
    return Error(ErrorKind::invalid, "opening " + database.path() + ": the part '" +
                                         std::string(name) + "' is missing");
  }
  const ByteView value = select.bytes(0);
  return Bytes(value.begin(), value.end());
}

Result<void> write_part(Database& database, std::string_view name, ByteView value) {
  CS_TRY(Query insert, database.prepare("INSERT OR REPLACE INTO part VALUES(?,?)"));
  return insert.bind(name).bind(value).run();
}

// The same key for each state, all of one generation.
Result<std::vector<Bytes>> seal_key(tpm::Device& device, tpm::VolatileObject& srk,
                                    const SecretBytes& key, std::uint64_t generation,
                                    const std::vector<tpm::SealPolicy>& policies) {
  if (policies.empty() || policies.size() > Contents::most_states) {
    return Error(ErrorKind::invalid, "writing the store: it is sealed to 1 to 4 states");
  }
  std::vector<Bytes> sealed;
  for (const tpm::SealPolicy& policy : policies) {
    CS_TRY(sealed.emplace_back(), tpm::seal(device, srk, key.bytes(), {policy, {}, generation}));
  }
  return sealed;
}

// What the configuration says it must be sealed to. Seal errors name what the file says instead.
Result<void> check_policy(const tpm::SealPolicy& policy, const UnlockTerms& terms) {
  if (policy.approved || policy.state.selection() == terms.registers) return {};
  return Error(ErrorKind::unverified, "its key is sealed to other registers than configured")
      .with_hint(
          "somebody may have put it there; if the configuration was changed, change it back,"
          " and seal the store to the new registers first");
}

std::string row_text(const RowName& name) {
  return "row '" + std::string(name.name) + "' of kind " +
         std::to_string(static_cast<unsigned>(name.kind));
}

KeyValidity validity_of(const KeyCertificate& certificate, WallTime now) {
  if (now < from_time_t(static_cast<std::time_t>(certificate.not_before)))
    return KeyValidity::not_yet;
  const auto end = from_time_t(static_cast<std::time_t>(certificate.not_after));
  return now >= end ? KeyValidity::expired : KeyValidity::valid;
}

}  // namespace

Result<Store> Store::create(tpm::Device& device, tpm::VolatileObject& srk, Place place,
                            Contents contents) {
  CS_CHECK(make_file(place.path));
  CS_TRY(auto database, Database::open(place.path));
  CS_TRY(const bool blank, is_blank(*database));
  if (!blank)
    return Error(ErrorKind::exists, "making " + place.path + ": there is a store already");
  Store store(std::move(place), std::move(database));
  store.clear_.counter = contents.clear.counter;
  CS_TRY(const SecretBytes key, store.write(device, srk, contents, nullptr));
  CS_CHECK(store.load());
  return store;
}

Result<Store> Store::open(Place place) {
  CS_TRY(auto database, Database::open(place.path));
  CS_TRY(const bool blank, is_blank(*database));
  if (blank) {
    return Error(ErrorKind::not_found,
                 "opening " + place.path + ": it is empty, making it was cut off")
        .with_hint("countersign init makes it anew");
  }
  CS_CHECK(database->transaction([&] { return migrate(*database, store_versions); }));
  Store store(std::move(place), std::move(database));
  CS_CHECK(store.load());
  return store;
}

Result<void> Store::load() {
  CS_TRY(const Bytes clear, read_part(*database_, clear_part));
  CS_TRY(clear_, Clear::decode(clear).context(place_.path));
  clear_digest_ = tpm::Hasher(tpm::HashAlgorithm::sha256).hash({clear});
  CS_TRY(const Bytes keys, read_part(*database_, keys_part));
  CS_TRY(sealed_keys_, decode_list(keys, "the store's sealed key").context(place_.path));
  if (!sealed_keys_.empty()) return {};
  return Error(ErrorKind::invalid, "opening " + place_.path + ": its sealed key is missing");
}

Result<std::vector<tpm::SealPolicy>> Store::sealed_to() const {
  std::vector<tpm::SealPolicy> policies;
  for (const Bytes& sealed : sealed_keys_) {
    CS_TRY(const SealedBlob blob, SealedBlob::parse(sealed).context(place_.path));
    policies.push_back(blob.header.policy);
  }
  return policies;
}

Result<std::vector<tpm::Approval>> Store::approvals() const {
  CS_TRY(const Bytes part, read_part(*database_, approvals_part));
  CS_TRY(const auto list, decode_list(part, "the store's approvals").context(place_.path));
  std::vector<tpm::Approval> approvals;
  for (const Bytes& one : list) {
    CS_TRY(tpm::Approval approval, tpm::Approval::parse(one).context(place_.path));
    approvals.push_back(std::move(approval));
  }
  return approvals;
}

Result<void> Store::keep_approvals(std::span<const tpm::Approval> approvals) {
  std::vector<Bytes> list;
  for (const tpm::Approval& approval : approvals) list.push_back(approval.encode());
  CS_TRY(const Bytes part, encode_list(list, "the store's approvals"));
  return database_->transaction([&] { return write_part(*database_, approvals_part, part); });
}

Result<SecretBytes> Store::unseal(tpm::Device& device, tpm::VolatileObject& srk,
                                  const UnlockTerms& terms) const {
  CS_TRY(const std::vector<tpm::Approval> kept, approvals());
  std::string why;
  for (const Bytes& sealed : sealed_keys_) {
    CS_TRY(const SealedBlob blob, SealedBlob::parse(sealed));
    CS_CHECK(check_policy(blob.header.policy, terms));
    tpm::UnsealTerms wanted{.logs = terms.logs};
    if (blob.header.policy.approved) {
      wanted.approved = terms.approved;
      wanted.approvals = kept;
    }
    auto key = tpm::unseal(device, srk, blob, wanted);
    if (key.ok()) return SecretBytes::copy_of(key->bytes());
    if (key.error().kind() != ErrorKind::denied || sealed_keys_.size() == 1) return key.error();
    why += (why.empty() ? "" : "; or ") + std::move(key).error().with_hint({}).message();
  }
  return Error(ErrorKind::denied, why)
      .with_hint("go back to a state it was sealed to, or have this one approved");
}

Result<Unlocked> Store::unlock(tpm::Device& device, tpm::VolatileObject& srk,
                               const UnlockTerms& terms) {
  CS_CHECK(load());
  CS_TRY(const SealedBlob first, SealedBlob::parse(sealed_keys_.front()).context(place_.path));
  CS_TRY(const bool counted, tpm::is_counted(device, srk, guard(), first.header.generation));
  CS_TRY(SecretBytes key, unseal(device, srk, terms).context("opening " + place_.path));
  CS_TRY(const tpm::Unsealed bytes, get(key, book_row));
  CS_TRY(Book book, Book::decode(bytes.bytes(), clear_digest_).context(place_.path));
  // Only now it is known that the generation, and the counter it was held against, are ours.
  if (!counted) CS_CHECK(tpm::complete(device, guard()));
  return Unlocked(*this, std::move(key), std::move(book));
}

Result<FetchedKey> Store::fetch_key(tpm::Device& device, tpm::VolatileObject& srk,
                                    const UnlockTerms& terms, std::uint32_t key) {
  CS_TRY(const Unlocked unlocked, unlock(device, srk, terms));
  CS_TRY(KeptKey kept, unlocked.kept_key(std::to_string(key)));
  FetchedKey fetched{std::move(kept.certificate), KeyValidity::valid, {}};
  fetched.validity = validity_of(fetched.certificate, place_.clock->wall());
  if (fetched.validity == KeyValidity::valid) fetched.private_part = std::move(kept.private_part);
  return fetched;
}

// Sealed before, counted after the transaction: see docs/SEALING.md, "Counters".
Result<SecretBytes> Store::write(tpm::Device& device, tpm::VolatileObject& srk, Contents& contents,
                                 const SecretBytes* former) {
  if (contents.clear.counter != clear_.counter) {
    return Error(ErrorKind::invalid, "writing " + place_.path + ": another counter than its own");
  }
  contents.clear.core_properties = contents.book.core_properties();
  CS_TRY(const Bytes clear, contents.clear.encode());
  CS_TRY(const Bytes book,
         contents.book.encode(tpm::Hasher(tpm::HashAlgorithm::sha256).hash({clear})));
  std::optional<std::uint64_t> kept;
  if (former != nullptr) {
    CS_TRY(const SealedBlob old, SealedBlob::parse(sealed_keys_.front()));
    kept = old.header.generation;
  }
  CS_TRY(const std::uint64_t generation, tpm::next_generation(device, srk, guard(), kept));
  CS_TRY(SecretBytes key, new_key());
  CS_TRY(const auto sealed, seal_key(device, srk, key, generation, contents.sealed_to));
  CS_TRY(const Bytes keys, encode_list(sealed, "the store's sealed key"));
  CS_CHECK(database_->transaction([&]() -> Result<void> {
    if (former == nullptr) {
      CS_CHECK(migrate(*database_, store_versions));
      CS_TRY(const Bytes none, encode_list({}, "the store's approvals"));
      CS_CHECK(write_part(*database_, approvals_part, none));
    } else {
      CS_CHECK(change_key(*former, key));
    }
    CS_CHECK(write_part(*database_, clear_part, clear));
    CS_CHECK(write_part(*database_, keys_part, keys));
    return put(key, book_row, book);
  }));
  CS_CHECK(tpm::count_on(device, contents.clear.counter, place_.owner));
  return key;
}

// Of all rows but the book, so that what was dropped cannot come back from an older copy.
Result<void> Store::change_key(const SecretBytes& former, const SecretBytes& key) {
  std::vector<std::pair<RowKind, std::string>> rows;
  {
    CS_TRY(Query select, database_->prepare("SELECT kind, name FROM entry WHERE kind<>?"));
    select.bind(static_cast<std::int64_t>(RowKind::book));
    for (;;) {
      CS_TRY(const bool row, select.step());
      if (!row) break;
      if (rows.size() >= Unlocked::most_rows) {
        return Error(ErrorKind::limit, "writing " + place_.path + ": it has too many rows");
      }
      rows.emplace_back(static_cast<RowKind>(select.number(0)), select.text(1));
    }
  }
  for (const auto& [kind, name] : rows) {
    CS_TRY(const tpm::Unsealed plain, get(former, {kind, name}));
    CS_CHECK(put(key, {kind, name}, plain.bytes()));
  }
  return {};
}

Result<tpm::Unsealed> Store::get(const SecretBytes& key, const RowName& name) const {
  CS_TRY(Query select, database_->prepare("SELECT value FROM entry WHERE kind=? AND name=?"));
  select.bind(static_cast<std::int64_t>(name.kind)).bind(name.name);
  CS_TRY(const bool row, select.step());
  if (!row) {
    return Error(ErrorKind::not_found, place_.path + ": there is no " + row_text(name));
  }
  auto plain = decrypt_row(key, name, select.bytes(0));
  if (plain.ok()) return plain;
  return std::move(plain)
      .error()
      .context(place_.path + ": " + row_text(name))
      .with_hint("somebody has changed the file; countersign recover tells what can be kept");
}

Result<void> Store::put(const SecretBytes& key, const RowName& name, ByteView plain) {
  CS_TRY(const Bytes row, encrypt_row(key, name, plain));
  CS_TRY(Query insert, database_->prepare("INSERT OR REPLACE INTO entry VALUES(?,?,?)"));
  return insert.bind(static_cast<std::int64_t>(name.kind)).bind(name.name).bind(row).run();
}

}  // namespace cs::keyms
