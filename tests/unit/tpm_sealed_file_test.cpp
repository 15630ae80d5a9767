// SPDX-License-Identifier: GPL-3.0-or-later
#include <sys/mount.h>

#include "tests/unit/power_cut.h"
#include "tests/unit/sealing.h"
#include "tests/unit/temporary_directory.h"
#include "tpm/seal/sealed_file.h"

namespace {

using cs::ErrorKind;
using cs::test::FailingDisk;
using cs::test::get;
using cs::test::Lost;
using cs::test::PowerCut;
using cs::test::text_of;
using cs::test::view_of;
using cs::tpm::SealedFile;
using cs::tpm::SealTerms;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class SealedFileTest : public cs::test::SealingTest {
 protected:
  SealedFileTest() {
    get(define_counter(device, counter));
    get(store("first"));
  }

  void switch_off_and_on() {
    swtpm->kill();
    EXPECT_FALSE(read_pcrs(device, registers).ok());
    get(swtpm->power_on());
    get(device.recover());
  }
  cs::Result<void> store(std::string_view data, cs::tpm::Disk& disk = cs::tpm::kernel_disk()) {
    const SealedFile file({.path = path, .counter = counter, .disk = &disk});
    return file.store(device, srk, view_of(data), {.policy = {.state = state}});
  }
  std::string load() {
    const SealedFile file({.path = path, .counter = counter});
    const auto data = file.load(device, srk, {});
    return data.ok() ? text_of(data->bytes()) : data.error().message();
  }
  std::uint64_t count() { return get(read_counter(device, *get(srk.handle(device)), counter)); }

  const cs::tpm::PcrState state = now();
  cs::test::TemporaryDirectory directory;
  std::string path = directory.file("policy.sealed");
};

TEST_F(SealedFileTest, TheNewestIsLoadedAndNoOther) {
  EXPECT_EQ(load(), "first");
  const std::string first = directory.read("policy.sealed");
  get(store("second"));
  EXPECT_EQ(load(), "second");
  const std::uint64_t at = count();
  directory.write("policy.sealed", first);
  const std::string why = load();
  EXPECT_TRUE(contains(why, "was rolled back: generation " + std::to_string(at - 1) +
                                ", the TPM counts " + std::to_string(at)))
      << why;
  get(store("third"));
  EXPECT_EQ(load(), "third");
}

TEST_F(SealedFileTest, AGenerationTheTpmHasNotReachedIsRefused) {
  const SealTerms terms{.policy = {.state = now()}, .generation = count() + 2};
  const auto blob = seal("of the future", terms);
  directory.write("policy.sealed", text_of(blob));
  EXPECT_TRUE(contains(load(), "of a future or of another TPM"));
}

// The counter must not move for what anybody can write into a file.
TEST_F(SealedFileTest, OnlyWhatUnsealsCompletesAStore) {
  const std::uint64_t before = count();
  auto blob = seal("x", {.policy = {.state = now()}, .generation = before + 1});
  blob.back() ^= 1;
  directory.write("policy.sealed", text_of(blob));
  EXPECT_TRUE(contains(load(), "were changed"));
  EXPECT_EQ(count(), before);
  EXPECT_EQ(store("y").error().kind(), ErrorKind::exists);
}

TEST_F(SealedFileTest, WhereverThePowerFailsThereIsTheOldOrTheNew) {
  std::string before = "first";
  bool all = false;
  unsigned attempt = 0;
  for (std::size_t after = 0; !all; ++after) {
    bool can_lose = false;
    bool at_command = false;
    for (const Lost lost : {Lost::nothing, Lost::data, Lost::names}) {
      for (const bool answered : {false, true}) {
        if ((lost != Lost::nothing && !can_lose) || (answered && !at_command)) continue;
        const std::string next = std::to_string(after) + "." + std::to_string(++attempt);
        PowerCut power(after);
        FailingDisk disk(power, 200);
        tap.decide(cut_at(power, answered));
        const bool stored = store(next, disk).ok();
        all = !power.over();
        can_lose = power.wrote;
        at_command = power.at_command;
        disk.lose(lost);
        tap.decide({});
        switch_off_and_on();
        const std::string found = load();
        ASSERT_TRUE(found == next || (!stored && found == before))
            << after << " " << answered << ": " << found;
        before = found;
      }
    }
  }
  EXPECT_EQ(load(), before);
}

TEST_F(SealedFileTest, AFullDiskLeavesTheOld) {
  const std::string small = directory.file("small");
  std::filesystem::create_directory(small);
  ASSERT_EQ(mount("tmpfs", small.c_str(), "tmpfs", 0, "size=64k"), 0) << "run as root";
  path = small + "/policy.sealed";
  get(store("fits"));
  const auto full = store(std::string(100000, 'x'));
  const std::string found = load();
  const bool cleaned = !std::filesystem::exists(path + ".new");
  umount2(small.c_str(), MNT_DETACH);
  ASSERT_FALSE(full.ok());
  EXPECT_TRUE(contains(full.error().message(), "ENOSPC"));
  EXPECT_EQ(found, "fits");
  EXPECT_TRUE(cleaned);
}

}  // namespace
