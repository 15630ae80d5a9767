// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/store.h"

#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/stores.h"

namespace {

using cs::ErrorKind;
using cs::keyms::KeyCertificate;
using cs::keyms::KeyValidity;
using cs::keyms::RowKind;
using cs::keyms::Store;
using cs::keyms::Unlocked;
using cs::test::contains;
using cs::test::digest_of;
using cs::test::get;
using cs::test::sample_certificate;
using cs::test::sample_private;
using cs::test::StoreTest;
using cs::test::text_of;
using cs::test::view_of;

TEST_F(StoreTest, WhatIsWrittenIsThereAfterItIsOpenedAnew) {
  {
    Store store = create();
    Unlocked unlocked = unlock(store);
    get(unlocked.keep_key(sample_certificate(), sample_private()));
    get(unlocked.keep({RowKind::peer_memory, "berlin"}, view_of("has rebooted twice")));
    get(unlocked.keep({RowKind::note, "empty"}, {}));
    get(unlocked.write(device, srk, contents(2)));
  }
  Store store = open();
  EXPECT_EQ(store.clear().ne_id, "amsterdam");
  EXPECT_EQ(store.clear().core_properties, std::vector{digest_of(2)});
  EXPECT_EQ(store.clear().attestation_key.private_part, (std::vector<std::uint8_t>{4, 5, 6, 7}));
  EXPECT_EQ(get(store.sealed_to()).at(0).state.composite(), state.composite());
  Unlocked unlocked = unlock(store);
  EXPECT_EQ(version_of(unlocked.book()), 2);
  EXPECT_EQ(unlocked.book().policies().size(), 2);
  EXPECT_EQ(unlocked.book().approvals().size(), 1);
  EXPECT_EQ(get(unlocked.certificates()), std::vector{sample_certificate()});
  EXPECT_EQ(text_of(get(unlocked.get({RowKind::peer_memory, "berlin"})).bytes()),
            "has rebooted twice");
  EXPECT_TRUE(get(unlocked.get({RowKind::note, "empty"})).bytes().empty());
  EXPECT_EQ(get(unlocked.names(RowKind::peer_memory)), std::vector<std::string>{"berlin"});
  get(unlocked.drop({RowKind::peer_memory, "berlin"}));
  EXPECT_EQ(unlocked.get({RowKind::peer_memory, "berlin"}).error().kind(), ErrorKind::not_found);
  get(unlocked.drop_key(7));
  EXPECT_TRUE(get(unlocked.certificates()).empty());
}

TEST_F(StoreTest, NothingSecretLiesInTheFile) {
  {
    Store store = create();
    Unlocked unlocked = unlock(store);
    get(unlocked.keep_key(sample_certificate(), sample_private()));
    get(unlocked.keep({RowKind::note, "n"}, view_of("a very secret note")));
  }
  const std::string file = directory.read("store.db");
  EXPECT_FALSE(contains(file, std::string(32, '\x5a')));
  EXPECT_FALSE(contains(file, "a very secret note"));
  EXPECT_FALSE(contains(file, "berlin"));
  EXPECT_FALSE(contains(file, std::string(100, '\x01')));  // of the agreement
}

TEST_F(StoreTest, TheFileIsItsOwnersAlone) {
  Store store = create();
  get(unlock(store).keep({RowKind::note, "n"}, view_of("x")));
  for (const std::string& name : {path, path + "-journal"}) {
    struct stat file {};
    ASSERT_EQ(::stat(name.c_str(), &file), 0) << name;
    EXPECT_EQ(file.st_mode & 0777U, 0600U);
  }
}

TEST_F(StoreTest, AFileThatOthersMayWriteIsRefused) {
  create();
  std::filesystem::permissions(path, std::filesystem::perms(0620));
  EXPECT_TRUE(contains(refusal(), "not this user's alone; chown it"));
}

TEST_F(StoreTest, ThereIsOneStoreAndOneProcessThatHasIt) {
  const Store store = create();
  const auto second = Store::open(place());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
  EXPECT_TRUE(contains(second.error().message(),
                       "in use by store_test (process " + std::to_string(::getpid()) + ")"))
      << second.error().message();
}

TEST_F(StoreTest, IsNotMadeASecondTime) {
  create();
  EXPECT_EQ(Store::create(device, srk, place(), contents(1)).error().kind(), ErrorKind::exists);
}

TEST_F(StoreTest, WhatWasCutOffBeforeItWasMadeIsMadeAnew) {
  EXPECT_EQ(Store::open(place()).error().kind(), ErrorKind::not_found);
  directory.write("store.db", "");
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  const auto opened = Store::open(place());
  EXPECT_EQ(opened.error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(contains(opened.error().message(), "countersign init"));
  Store store = create();
  unlock(store);
}

// MIMOS, step 406.
TEST_F(StoreTest, AKeyIsFetchedOnlyWhileItsCertificateIsValid) {
  Store store = create();
  get(unlock(store).keep_key(sample_certificate(), sample_private()));
  const auto fetch = [&] { return get(store.fetch_key(device, srk, {.registers = registers}, 7)); };
  const auto set = [&](std::uint64_t to) {
    clock.set_wall(cs::from_time_t(static_cast<std::time_t>(to)));
  };
  const KeyCertificate certificate = sample_certificate();

  for (const std::uint64_t valid : {certificate.not_before, certificate.not_after - 1}) {
    set(valid);
    const auto fetched = fetch();
    EXPECT_EQ(fetched.validity, KeyValidity::valid);
    EXPECT_EQ(fetched.certificate, certificate);
    EXPECT_TRUE(std::ranges::equal(fetched.private_part->bytes(), sample_private().bytes()));
  }
  set(certificate.not_before - 1);
  EXPECT_EQ(fetch().validity, KeyValidity::not_yet);
  EXPECT_FALSE(fetch().private_part);
  set(certificate.not_after);
  EXPECT_EQ(fetch().validity, KeyValidity::expired);
  EXPECT_FALSE(fetch().private_part);
  EXPECT_EQ(store.fetch_key(device, srk, {.registers = registers}, 8).error().kind(),
            ErrorKind::not_found);
}

TEST_F(StoreTest, EachFetchAsksTheTpmSoThatNoneSucceedsAfterDrift) {
  Store store = create();
  get(unlock(store).keep_key(sample_certificate(), sample_private()));
  EXPECT_TRUE(store.fetch_key(device, srk, {.registers = registers}, 7).ok());
  extend(23, 0xdd);
  const auto fetched = store.fetch_key(device, srk, {.registers = registers}, 7);
  EXPECT_EQ(fetched.error().kind(), ErrorKind::denied);
  EXPECT_TRUE(contains(fetched.error().message(), "PCR sha256:23 is "))
      << fetched.error().message();
}

TEST_F(StoreTest, IsSealedToTheStateThatIsAndTheOneToCome) {
  Store store = create();
  auto both = contents(2);
  both.sealed_to.push_back({.state = later(0xaa)});
  Unlocked unlocked = unlock(store);
  get(unlocked.write(device, srk, both));
  EXPECT_EQ(version_of(unlock(store).book()), 2);
  extend(23, 0xaa);
  EXPECT_EQ(version_of(unlock(store).book()), 2);
  extend(23, 0xbb);
  const auto denied = try_unlock(store);
  EXPECT_EQ(denied.error().kind(), ErrorKind::denied);
  EXPECT_TRUE(contains(denied.error().message(), "; or unsealing: PCR sha256:23"))
      << denied.error().message();
}

TEST_F(StoreTest, OpensInAStateThatWasApprovedForIt) {
  const auto approver_key = cs::test::new_key();
  const cs::tpm::SealPolicy::Approved approved{
      get(cs::tpm::approver_area(cs::test::public_key(approver_key.get()))),
      get(cs::tpm::approval_reference("amsterdam", "store"))};
  auto sealed = contents(1);
  sealed.sealed_to.push_back({.approved = approved});
  Store store = get(Store::create(device, srk, place(), sealed));
  const cs::keyms::UnlockTerms terms{.registers = registers, .approved = approved};
  extend(23, 0xdd);  // drift
  EXPECT_EQ(store.unlock(device, srk, terms).error().kind(), ErrorKind::denied);
  const auto approval = get(cs::tpm::make_approval(
      {approved.reference, counter, count() + 1, now()}, approver_key.get()));
  get(store.keep_approvals(std::vector{approval}));
  EXPECT_EQ(get(store.approvals()).size(), 1);
  EXPECT_TRUE(store.unlock(device, srk, terms).ok());
  // To states that somebody else approves: not what is configured.
  const auto other = store.unlock(device, srk, {.registers = registers});
  EXPECT_EQ(other.error().kind(), ErrorKind::unverified);
}

TEST_F(StoreTest, AKeySealedToLessThanConfiguredIsRefused) {
  Store store = create();
  const auto less = get(cs::tpm::PcrSelection::parse("sha256:4,16,22,23"));
  const auto unlocked = store.unlock(device, srk, {.registers = less});
  EXPECT_EQ(unlocked.error().kind(), ErrorKind::unverified);
  EXPECT_TRUE(contains(unlocked.error().message(), "other registers than configured"));
}

TEST_F(StoreTest, AnOlderCopyIsRefused) {
  create();
  const std::string old = directory.read("store.db");
  {
    Store store = open();
    Unlocked unlocked = unlock(store);
    get(unlocked.write(device, srk, contents(2)));
  }
  const std::uint64_t at = count();
  directory.write("store.db", old);
  EXPECT_TRUE(contains(refusal(), "was rolled back: generation " + std::to_string(at - 1) +
                                      ", the TPM counts " + std::to_string(at)))
      << refusal();
  EXPECT_EQ(count(), at);
}

TEST_F(StoreTest, AnotherTpmOpensNothing) {
  create();
  auto other = get(cs::test::Swtpm::start());
  cs::tpm::Device second = get(cs::tpm::Device::open({.tcti = other.tcti()}));
  cs::tpm::VolatileObject second_srk = cs::tpm::storage_root_key();
  const auto unlock_there = [&] {
    Store store = open();
    const auto unlocked = store.unlock(second, second_srk, {.registers = registers});
    return unlocked.ok() ? "unlocked" : unlocked.error().message();
  };
  EXPECT_TRUE(contains(unlock_there(), "the TPM has not got the NV counter")) << unlock_there();
  get(define_counter(second, counter));
  const std::uint64_t here = count();
  while (get(read_counter(second, *get(second_srk.handle(second)), counter)) < here) {
    get(count_on(second, counter));
  }
  EXPECT_TRUE(contains(unlock_there(), "under another storage root key")) << unlock_there();
}

TEST_F(StoreTest, AFileThatIsGoneIsSaid) {
  Store store = create();
  Unlocked unlocked = unlock(store);
  std::filesystem::rename(path, path + ".away");
  const auto kept = unlocked.keep({RowKind::note, "n"}, view_of("x"));
  EXPECT_EQ(kept.error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(contains(kept.error().message(), "removed or replaced meanwhile"));
  std::filesystem::rename(path + ".away", path);
  get(unlocked.keep({RowKind::note, "n"}, view_of("x")));
}

TEST_F(StoreTest, ADamagedFileIsRefusedAndStays) {
  create();
  std::string file = directory.read("store.db");
  const auto refused = [&](std::string_view damaged) {
    directory.write("store.db", damaged);
    const auto opened = Store::open(place());
    EXPECT_TRUE(contains(opened.error().message(), "damaged") &&
                contains(opened.error().message(), "countersign recover"))
        << opened.error().message();
    EXPECT_EQ(directory.read("store.db"), damaged);
  };
  refused("this is no database, and was never one; it is long enough to look at it for a while");
  refused(file.substr(0, file.size() - 4096));
  std::fill_n(file.begin() + 4096, 4096, '\xff');
  refused(file);
}

TEST_F(StoreTest, LimitsAreKept) {
  Store store = create();
  Unlocked unlocked = unlock(store);
  const std::vector<std::uint8_t> much(Unlocked::most_value + 1);
  EXPECT_EQ(unlocked.keep({RowKind::note, "n"}, much).error().kind(), ErrorKind::limit);
  get(unlocked.keep({RowKind::note, "n"}, cs::ByteView(much).first(Unlocked::most_value)));
  EXPECT_EQ(unlocked.keep({RowKind::note, std::string(65, 'x')}, {}).error().kind(),
            ErrorKind::limit);
  EXPECT_EQ(unlocked.keep({RowKind::note, ""}, {}).error().kind(), ErrorKind::limit);
  EXPECT_EQ(unlocked.keep({RowKind::book, "book"}, {}).error().kind(), ErrorKind::internal);
  EXPECT_EQ(unlocked.drop({RowKind::book, "book"}).error().kind(), ErrorKind::internal);
  auto many = contents(2);
  many.sealed_to.assign(5, {.state = state});
  EXPECT_EQ(unlocked.write(device, srk, many).error().kind(), ErrorKind::invalid);
  // It has not failed halfway, but nobody needs to know that.
  EXPECT_EQ(unlocked.keep({RowKind::note, "n"}, {}).error().kind(), ErrorKind::closed);
}

}  // namespace
