// SPDX-License-Identifier: GPL-3.0-or-later
// The sealed store: what a gateway has agreed to, its session keys, and what it remembers, in one
// file that only its TPM opens, and only in the states of the machine it was sealed to.
// docs/STORE.md is the norm.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "keyms/store/book.h"
#include "keyms/store/clear.h"
#include "keyms/store/database.h"
#include "keyms/store/row.h"
#include "tpm/seal/generation.h"
#include "tpm/seal/seal.h"

namespace cs::keyms {

// What is written together.
struct Contents {
  static constexpr std::size_t most_states = 4;

  Clear clear;
  Book book;
  // Any of these opens it, 1 to most_states: the state that is, and the one that it will be in
  // after a reboot, say.
  std::vector<tpm::SealPolicy> sealed_to;
};

struct UnlockTerms {
  // From the configuration, for whoever can write the file can seal it to less: the registers that
  // a state must be of, and the approver and reference of approved states.
  tpm::PcrSelection registers = {};
  std::optional<tpm::SealPolicy::Approved> approved = {};
  tpm::PcrLogs logs = {};  // for errors to say what has changed the PCRs
};

enum class KeyValidity : std::uint8_t { valid, not_yet, expired };

struct FetchedKey {
  KeyCertificate certificate;
  KeyValidity validity = KeyValidity::expired;
  std::optional<SecretBytes> private_part;  // only of a certificate that is valid
};

class Unlocked;

// The file is this process's alone for as long as this lives. Not for two threads at a time.
class Store {
 public:
  struct Place {
    std::string path;
    tpm::Auth owner = {};  // the owner hierarchy's auth value
    const Clock* clock;    // must outlive it
  };
  // `contents.clear.counter`: define_counter() has made it. Refused (exists): there is a store.
  // What was cut off while it was made is no store, and is made anew.
  [[nodiscard]] static Result<Store> create(tpm::Device& device, tpm::VolatileObject& srk,
                                            Place place, Contents contents);
  // Refused, besides what Database::open() refuses: not_found, also where making it was cut off;
  // unsupported, it is of a later version. A former version becomes this one.
  [[nodiscard]] static Result<Store> open(Place place);

  // As somebody has written it, until it is unlocked.
  [[nodiscard]] const Clear& clear() const noexcept { return clear_; }
  [[nodiscard]] Result<std::vector<tpm::SealPolicy>> sealed_to() const;

  // Approvals by others than the approver open nothing, so they need no lock; at most 16.
  [[nodiscard]] Result<std::vector<tpm::Approval>> approvals() const;
  [[nodiscard]] Result<void> keep_approvals(std::span<const tpm::Approval> approvals);

  // Asks the TPM for the key, each time. Completes a write that was cut off before it counted.
  // Refused, each with a sentence: unverified, the file was rolled back, changed, or is of another
  // TPM; denied, PCRs differ (which, since which event) or no approval holds.
  [[nodiscard]] Result<Unlocked> unlock(tpm::Device& device, tpm::VolatileObject& srk,
                                        const UnlockTerms& terms);
  // A session key, for use now: its certificate is held against the clock before the private part
  // is handed out, and the TPM is asked each time. Refused: not_found, and as unlock().
  [[nodiscard]] Result<FetchedKey> fetch_key(tpm::Device& device, tpm::VolatileObject& srk,
                                             const UnlockTerms& terms, std::uint32_t key);

 private:
  friend class Unlocked;
  explicit Store(Place place, std::unique_ptr<Database> database)
      : place_(std::move(place)), database_(std::move(database)) {}
  [[nodiscard]] tpm::Guard guard() const { return {place_.path, clear_.counter, place_.owner}; }
  [[nodiscard]] Result<void> load();
  [[nodiscard]] Result<SecretBytes> unseal(tpm::Device& device, tpm::VolatileObject& srk,
                                           const UnlockTerms& terms) const;
  [[nodiscard]] Result<SecretBytes> write(tpm::Device& device, tpm::VolatileObject& srk,
                                          Contents& contents, const SecretBytes* former);
  [[nodiscard]] Result<void> change_key(const SecretBytes& former, const SecretBytes& key);
  [[nodiscard]] Result<tpm::Unsealed> get(const SecretBytes& key, const RowName& name) const;
  [[nodiscard]] Result<void> put(const SecretBytes& key, const RowName& name, ByteView plain);

  Place place_;
  std::unique_ptr<Database> database_;
  // As of the last load().
  Clear clear_;
  tpm::Digest clear_digest_{tpm::HashAlgorithm::sha256};
  std::vector<std::vector<std::uint8_t>> sealed_keys_;
};

// The store with its key, which is wiped when this goes: for as long as an operation takes. The
// store must outlive it and stay where it is.
class Unlocked {
 public:
  [[nodiscard]] const Book& book() const noexcept { return book_; }
  // All of it, under a new key, as a generation that the counter then counts; to be sealed to other
  // states, too. NV memory wears out: for what a person decides. When it fails it is written or it
  // is not: this is of no use then, unlocking anew tells.
  [[nodiscard]] Result<void> write(tpm::Device& device, tpm::VolatileObject& srk,
                                   Contents contents);

  // The rows below come and go without the counter: who can write the file can put back what a row
  // was within this generation, or take it away.
  [[nodiscard]] Result<void> keep_key(const KeyCertificate& certificate,
                                      const SecretBytes& private_part);
  // Of all session keys, expired ones too.
  [[nodiscard]] Result<std::vector<KeyCertificate>> certificates() const;
  [[nodiscard]] Result<void> drop_key(std::uint32_t key);
  [[nodiscard]] Result<void> drop_keys();

  // `name.kind`: peer_memory, acknowledgement or note. In place of what was there; at most
  // most_value bytes, at most most_rows rows in all.
  static constexpr std::size_t most_value = std::size_t{1} * 1024 * 1024;
  static constexpr std::size_t most_rows = 1024;
  [[nodiscard]] Result<void> keep(const RowName& name, ByteView value);
  [[nodiscard]] Result<tpm::Unsealed> get(const RowName& name) const;
  [[nodiscard]] Result<std::vector<std::string>> names(RowKind kind) const;
  // Nothing if there is none.
  [[nodiscard]] Result<void> drop(const RowName& name);

 private:
  friend class Store;
  Unlocked(Store& store, SecretBytes key, Book book)
      : store_(&store), key_(std::move(key)), book_(std::move(book)) {}
  [[nodiscard]] Result<KeptKey> kept_key(std::string_view name) const;
  [[nodiscard]] Result<void> put(const RowName& name, ByteView plain);
  [[nodiscard]] Result<void> remove(const RowName& name);

  Store* store_;
  SecretBytes key_;
  Book book_;
  bool usable_ = true;
};

}  // namespace cs::keyms
