// SPDX-License-Identifier: GPL-3.0-or-later
// For tests: a sealed store with a TPM of its own, and what to put into it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keyms/store/store.h"
#include "tests/unit/sealing.h"
#include "tests/unit/temporary_directory.h"

namespace cs::test {

inline tpm::Digest digest_of(std::uint8_t fill) {
  return tpm::Digest(tpm::HashAlgorithm::sha256, fill);
}

inline keyms::KeptPolicy sample_policy(std::uint64_t version, std::string peer = "berlin") {
  return {.peer = std::move(peer),
          .version = version,
          .core_properties = digest_of(static_cast<std::uint8_t>(version)),
          .agreement = std::vector<std::uint8_t>(300, static_cast<std::uint8_t>(version))};
}

inline keyms::Book sample_book(std::uint64_t version) {
  keyms::Book book;
  get(book.agree(sample_policy(version)));
  get(book.put_in_force("berlin", version));
  get(book.agree(sample_policy(version + 1)));
  get(book.note_approval({digest_of(9), from_time_t(1'700'000'000)}));
  return book;
}

inline keyms::Clear sample_clear(std::uint32_t counter = tpm::first_counter_index) {
  return {.ne_id = "amsterdam",
          .counter = counter,
          .attestation_key = {{1, 2, 3}, {4, 5, 6, 7}},
          .configuration = digest_of(0xcc)};
}

// Valid for an hour around the ManualClock's beginning.
inline keyms::KeyCertificate sample_certificate(std::uint32_t key = 7) {
  return {.key = key,
          .peer = "berlin",
          .suite = keyms::Suite::p256_node32,
          .public_key = std::vector<std::uint8_t>(65, 4),
          .not_before = 1'700'000'000 - 1800,
          .not_after = 1'700'000'000 + 1800};
}

inline SecretBytes sample_private(std::uint8_t fill = 0x5a) {
  return get(SecretBytes::copy_of(std::vector<std::uint8_t>(32, fill)));
}

// The store's key is sealed to the registers as they are when the test begins.
class StoreTest : public SealingTest {
 protected:
  using Kind = keyms::RowKind;

  StoreTest() { get(define_counter(device, counter)); }

  keyms::Store::Place place() { return {.path = path, .clock = &clock}; }
  keyms::Contents contents(std::uint64_t version) {
    return {sample_clear(), sample_book(version), {{.state = state}}};
  }
  keyms::Store create(std::uint64_t version = 1) {
    return get(keyms::Store::create(device, srk, place(), contents(version)));
  }
  keyms::Store open() { return get(keyms::Store::open(place())); }
  Result<keyms::Unlocked> try_unlock(keyms::Store& store) {
    return store.unlock(device, srk, {.registers = registers});
  }
  keyms::Unlocked unlock(keyms::Store& store) { return get(try_unlock(store)); }
  // Why it is refused; "unlocked" if it is not.
  std::string refusal() {
    auto store = keyms::Store::open(place());
    if (!store.ok()) return store.error().message();
    const auto unlocked = try_unlock(*store);
    return unlocked.ok() ? "unlocked" : unlocked.error().message();
  }
  std::uint64_t count() { return get(read_counter(device, *get(srk.handle(device)), counter)); }
  static std::uint64_t version_of(const keyms::Book& book) {
    return book.in_force("berlin")->version;
  }
  // SQL of somebody else's.
  void run_sql(std::string_view sql) { get(get(keyms::Database::open(path))->run(sql)); }

  const tpm::PcrState state = now();
  TemporaryDirectory directory;
  std::string path = directory.file("store.db");
};

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace cs::test
