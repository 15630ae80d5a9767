// SPDX-License-Identifier: GPL-3.0-or-later
#include <utility>

#include "keyms/store/store.h"

namespace cs::keyms {

namespace {

Result<void> check_kind(const RowName& name) {
  switch (name.kind) {
    case RowKind::peer_memory:
    case RowKind::acknowledgement:
    case RowKind::note:
      return {};
    case RowKind::book:
    case RowKind::session_key:
      break;
  }
  return Error(ErrorKind::internal, "a row of the store that has functions of its own");
}

Error spent() {
  return Error(ErrorKind::closed, "the store must be unlocked anew: writing it has failed")
      .with_retry(Retry::anew);
}

}  // namespace

Result<void> Unlocked::write(tpm::Device& device, tpm::VolatileObject& srk, Contents contents) {
  // Whatever fails: which key the rows are under is known only once it is unlocked anew.
  if (!std::exchange(usable_, false)) return spent();
  CS_TRY(key_, store_->write(device, srk, contents, &key_));
  CS_CHECK(store_->load());
  book_ = std::move(contents.book);
  usable_ = true;
  return {};
}

Result<void> Unlocked::keep_key(const KeyCertificate& certificate,
                                const SecretBytes& private_part) {
  CS_TRY(const tpm::Unsealed plain, encode_key(certificate, private_part));
  return put({RowKind::session_key, std::to_string(certificate.key)}, plain.bytes());
}

Result<std::vector<KeyCertificate>> Unlocked::certificates() const {
  std::vector<KeyCertificate> certificates;
  CS_TRY(const auto keys, names(RowKind::session_key));
  for (const std::string& name : keys) {
    CS_TRY(KeptKey kept, kept_key(name));
    certificates.push_back(std::move(kept.certificate));
  }
  return certificates;
}

Result<KeptKey> Unlocked::kept_key(std::string_view name) const {
  CS_TRY(const tpm::Unsealed plain, store_->get(key_, {RowKind::session_key, name}));
  return decode_key(plain.bytes());
}

Result<void> Unlocked::drop_key(std::uint32_t key) {
  return remove({RowKind::session_key, std::to_string(key)});
}

// Without reading them: a row that was tampered with goes, too.
Result<void> Unlocked::drop_keys() {
  if (!usable_) return spent();
  Database& database = *store_->database_;
  return database.transaction([&]() -> Result<void> {
    CS_TRY(Query remove, database.prepare("DELETE FROM entry WHERE kind=?"));
    return remove.bind(static_cast<std::int64_t>(RowKind::session_key)).run();
  });
}

Result<void> Unlocked::keep(const RowName& name, ByteView value) {
  CS_CHECK(check_kind(name));
  if (value.size() <= most_value) return put(name, value);
  return Error(ErrorKind::limit, "keeping " + std::to_string(value.size()) +
                                     " bytes in the store: at most " + std::to_string(most_value));
}

Result<tpm::Unsealed> Unlocked::get(const RowName& name) const {
  CS_CHECK(check_kind(name));
  if (!usable_) return spent();
  return store_->get(key_, name);
}

Result<std::vector<std::string>> Unlocked::names(RowKind kind) const {
  if (!usable_) return spent();
  CS_TRY(Query select,
         store_->database_->prepare("SELECT name FROM entry WHERE kind=? ORDER BY name"));
  select.bind(static_cast<std::int64_t>(kind));
  std::vector<std::string> names;
  for (;;) {
    CS_TRY(const bool row, select.step());
    if (!row) return names;
    if (names.size() >= most_rows) return Error(ErrorKind::limit, "the store has too many rows");
    names.emplace_back(select.text(0));
  }
}

Result<void> Unlocked::drop(const RowName& name) {
  CS_CHECK(check_kind(name));
  return remove(name);
}

Result<void> Unlocked::remove(const RowName& name) {
  if (!usable_) return spent();
  Database& database = *store_->database_;
  return database.transaction([&]() -> Result<void> {
    CS_TRY(Query remove, database.prepare("DELETE FROM entry WHERE kind=? AND name=?"));
    return remove.bind(static_cast<std::int64_t>(name.kind)).bind(name.name).run();
  });
}

Result<void> Unlocked::put(const RowName& name, ByteView plain) {
  if (!usable_) return spent();
  Database& database = *store_->database_;
  return database.transaction([&]() -> Result<void> {
    CS_CHECK(store_->put(key_, name, plain));
    CS_TRY(const std::int64_t rows, database.number("SELECT count(*) FROM entry"));
    if (rows <= static_cast<std::int64_t>(most_rows)) return {};
    return Error(ErrorKind::limit, "the store has " + std::to_string(most_rows) + " rows already");
  });
}

}  // namespace cs::keyms
