// SPDX-License-Identifier: GPL-3.0-or-later
// Whatever happens to power, disk, TPM and process: there is the old store or the new.
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "keyms/store/byte_list.h"
#include "keyms/store/store.h"
#include "tests/unit/power_cut.h"
#include "tests/unit/recording_vfs.h"
#include "tests/unit/stores.h"

namespace {

using cs::ErrorKind;
using cs::keyms::Database;
using cs::keyms::RowKind;
using cs::keyms::Store;
using cs::keyms::Unlocked;
using cs::test::contains;
using cs::test::DiskStep;
using cs::test::Files;
using cs::test::get;
using cs::test::Loss;
using cs::test::RecordingVfs;
using cs::test::sample_certificate;
using cs::test::sample_private;
using cs::test::StoreTest;
using cs::test::view_of;

constexpr std::uint32_t nv_increment = 0x134;

// In memory: syncing takes no time, and it is full soon.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directory(path_);
    if (::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=256k") != 0) {
      throw std::runtime_error("mounting a tmpfs: run as root");
    }
  }
  ~SmallFileSystem() { ::umount2(path_.c_str(), MNT_DETACH); }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;
  SmallFileSystem(SmallFileSystem&&) = delete;
  SmallFileSystem& operator=(SmallFileSystem&&) = delete;
  [[nodiscard]] bool make_read_only() const {
    return ::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }
  [[nodiscard]] bool make_room() const {
    return ::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT, "size=2m") == 0;
  }

 private:
  std::string path_;
};

class StorePowerTest : public StoreTest {
 protected:
  // What a store does, one thing after the other, each on a store opened before.
  using Act = std::function<void(Store&, Unlocked&)>;
  std::vector<Act> acts() {
    const auto write = [this](std::uint64_t version, std::uint8_t next) {
      return [=, this](Store&, Unlocked& unlocked) {
        auto with = contents(version);
        with.sealed_to.push_back({.state = later(next)});
        get(unlocked.write(device, srk, with));
      };
    };
    const auto keep = [](std::uint32_t key) {
      return [key](Store&, Unlocked& unlocked) {
        get(unlocked.keep_key(sample_certificate(key), sample_private()));
      };
    };
    const auto drop = [](std::uint32_t key) {
      return [key](Store&, Unlocked& unlocked) { get(unlocked.drop_key(key)); };
    };
    const auto remember = [](Store&, Unlocked& unlocked) {
      const std::vector<std::uint8_t> much(20000, 1);
      get(unlocked.keep({RowKind::peer_memory, "berlin"}, much));
    };
    return {keep(1), remember, write(2, 2), keep(2), drop(1), write(3, 3), drop(2), remember};
  }
  void record_counting(RecordingVfs& vfs) {
    tap.decide([&vfs](unsigned, cs::ByteView command) {
      if (cs::test::command_code(command) == nv_increment) vfs.note_counted();
      return cs::test::Fate{};
    });
  }
  // In a file system in memory; in place of what was there.
  void lay_out(const Files& files) {
    for (const char* end : {"", "-journal"}) {
      std::filesystem::remove(cut_path + end);
      const auto found = files.find(std::string("store.db") + end);
      if (found == files.end()) continue;
      std::ofstream(cut_path + end, std::ios::binary) << found->second;
      std::filesystem::permissions(cut_path + end, std::filesystem::perms(0600));
    }
  }
  // All that is in it, as one text; "none" where a store was never made.
  std::string read_all(const Files& files) {
    lay_out(files);
    const auto store = Store::open({.path = cut_path, .clock = &clock});
    if (!store.ok()) {
      return store.error().kind() == ErrorKind::not_found ? "none" : store.error().message();
    }
    return "store";
  }
  std::string dump(const Files& files) {
    std::string kind = read_all(files);
    if (kind != "store") return kind;
    const auto database = get(Database::open(cut_path));
    std::string all;
    for (const char* rows : {"SELECT 0, name, value FROM part ORDER BY name",
                             "SELECT kind, name, value FROM entry ORDER BY kind, name"}) {
      auto select = get(database->prepare(rows));
      while (get(select.step())) {
        all += std::to_string(select.number(0)) + std::string(select.text(1)) + "=" +
               std::string(select.text(2)) + ";";
      }
    }
    return all;
  }
  // `ends`: how many steps were done when each act returned.
  void check_all_cuts(const Files& before, const std::vector<DiskStep>& steps,
                      const std::vector<std::size_t>& ends);

  const SmallFileSystem memory{directory.file("memory")};
  const std::string cut_path = directory.file("memory/cut.db");
  std::size_t cuts = 0;
};

void StorePowerTest::check_all_cuts(const Files& before, const std::vector<DiskStep>& steps,
                                    const std::vector<std::size_t>& ends) {
  std::size_t begin = 0;
  std::string old = dump(before);
  for (const std::size_t end : ends) {
    const std::string next = dump(after_power_cut(before, steps, end, Loss::nothing, 0));
    ASSERT_TRUE(next != old);
    bool counted = false;
    for (std::size_t done = begin; done <= end; ++done) {
      if (done > begin) counted = counted || steps[done - 1].kind == DiskStep::Kind::counted;
      // What was reported as done, and what the TPM has counted, stays.
      const bool may_be_old = !counted && done < end;
      for (const Loss loss : {Loss::nothing, Loss::all, Loss::torn, Loss::some}) {
        const bool by_chance = loss == Loss::torn || loss == Loss::some;
        for (std::uint32_t seed = 0; seed < (by_chance ? 8 : 1); ++seed, ++cuts) {
          const std::string found = dump(after_power_cut(before, steps, done, loss, seed));
          ASSERT_TRUE(found == next || (may_be_old && found == old))
              << "step " << done << " of " << begin << " to " << end << ", loss "
              << static_cast<int>(loss) << (found == old ? ": the old" : ": neither");
        }
      }
    }
    old = next;
    begin = end;
  }
}

TEST_F(StorePowerTest, WhereverItFailsThereIsTheOldOrTheNew) {
  Files before;
  std::vector<DiskStep> steps;
  std::vector<std::size_t> ends;
  {
    create();
    before["store.db"] = directory.read("store.db");
    RecordingVfs vfs;
    record_counting(vfs);
    {
      Store store = open();
      for (const Act& act : acts()) {
        Unlocked unlocked = unlock(store);
        act(store, unlocked);
        ends.push_back(vfs.steps().size());
      }
    }
    steps = vfs.steps();
    tap.decide({});
  }
  check_all_cuts(before, steps, ends);
  EXPECT_GE(cuts, 500);
}

TEST_F(StorePowerTest, WhereverItFailsWhileTheStoreIsMadeThereIsNoneOrAllOfIt) {
  std::vector<DiskStep> steps;
  {
    RecordingVfs vfs;
    record_counting(vfs);
    create();
    steps = vfs.steps();
    tap.decide({});
  }
  // Its name is synced before SQLite sees it.
  check_all_cuts({{"store.db", ""}}, steps, {steps.size()});
}

TEST_F(StorePowerTest, WhereverTheTpmIsCutOffUnlockingCompletesOrFindsTheOld) {
  create(1);
  std::uint64_t version = 1;
  bool all = false;
  for (std::size_t after = 0; !all; ++after) {
    for (const bool answered : {false, true}) {
      cs::test::PowerCut power(after);
      bool written = false;
      const std::uint64_t counted = count();
      {
        Store store = open();
        Unlocked unlocked = unlock(store);
        ASSERT_EQ(version_of(unlocked.book()), version);
        tap.decide(cut_at(power, answered));
        written = unlocked.write(device, srk, contents(version + 1)).ok();
        EXPECT_EQ(unlocked.certificates().ok(), written) << "of no use once it has failed";
        all = !power.over();
        tap.decide({});
        swtpm->kill();
        EXPECT_FALSE(read_pcrs(device, registers).ok());
        get(swtpm->power_on());
        get(device.recover());
      }
      Store store = open();
      const std::uint64_t found = version_of(unlock(store).book());
      ASSERT_TRUE(found == version + 1 || (!written && found == version)) << after;
      ASSERT_EQ(count(), counted + (found - version)) << after;
      version = found;
    }
  }
}

TEST_F(StorePowerTest, WhateverWriteFailsOnceTheStoreGoesOn) {
  create(1);
  std::uint64_t version = 1;
  for (const int code : {SQLITE_FULL, SQLITE_IOERR_FSYNC}) {
    bool refused = true;
    for (std::size_t number = 0; refused; ++number) {
      RecordingVfs vfs;
      Store store = open();
      {
        Unlocked unlocked = unlock(store);
        vfs.refuse(number, code);
        const auto written = unlocked.write(device, srk, contents(version + 1));
        refused = vfs.refused();
        if (!refused) vfs.refuse(1000000, code);
        ASSERT_EQ(written.ok(), !refused) << number;
        if (refused && code == SQLITE_FULL) {
          EXPECT_TRUE(contains(written.error().message(), "there is no room"))
              << written.error().message();
        }
      }
      Unlocked unlocked = unlock(store);
      const std::uint64_t found = version_of(unlocked.book());
      ASSERT_TRUE(found == version + 1 || (refused && found == version)) << number;
      version = found;
      get(unlocked.keep({RowKind::note, "n"}, view_of(std::to_string(number))));
    }
  }
}

TEST_F(StorePowerTest, KilledAnywhereItOpensAgain) {
  create(1);
  std::uint64_t version = 1;
  for (unsigned round = 0; round < 12; ++round) {
    std::array<int, 2> told{};
    ASSERT_EQ(::pipe(told.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // A connection of its own, which the TPM takes when the parent's is idle.
      Store store = open();
      for (std::uint64_t next = version + 1;; ++next) {
        Unlocked unlocked = unlock(store);
        get(unlocked.write(device, srk, contents(next)));
        if (::write(told[1], &next, sizeof(next)) != sizeof(next)) _exit(1);
      }
    }
    ::close(told[1]);
    std::uint64_t written = version;
    ASSERT_EQ(::read(told[0], &written, sizeof(written)), sizeof(written));
    ::usleep(round * 3000);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    while (::read(told[0], &written, sizeof(written)) == sizeof(written)) {
    }
    ::close(told[0]);
    swtpm->kill();
    EXPECT_FALSE(read_pcrs(device, registers).ok());
    get(swtpm->power_on());
    get(device.recover());
    Store store = open();
    const std::uint64_t found = version_of(unlock(store).book());
    ASSERT_TRUE(found == written || found == written + 1) << found << ", told " << written;
    version = found;
  }
}

TEST_F(StorePowerTest, AFullDiskLosesNothing) {
  const SmallFileSystem small(directory.file("small"));
  path = directory.file("small/store.db");
  create(1);
  Store store = open();
  const std::vector<std::uint8_t> much(30000, 1);
  unsigned kept = 0;
  cs::Result<void> full;
  {
    Unlocked unlocked = unlock(store);
    for (; kept < 20 && full.ok(); ++kept) {
      full = unlocked.keep({RowKind::note, std::to_string(kept)}, much);
    }
    ASSERT_FALSE(full.ok());
    EXPECT_EQ(full.error().kind(), ErrorKind::limit);
    EXPECT_TRUE(contains(full.error().message(), "no room")) << full.error().message();
    EXPECT_FALSE(unlocked.write(device, srk, contents(2)).ok());
  }
  Unlocked unlocked = unlock(store);
  EXPECT_EQ(version_of(unlocked.book()), 1);
  EXPECT_EQ(get(unlocked.names(RowKind::note)).size(), kept - 1);
  ASSERT_TRUE(small.make_room());
  get(unlocked.write(device, srk, contents(2)));
  get(unlocked.keep({RowKind::note, "again"}, much));
}

TEST_F(StorePowerTest, AReadOnlyFileSystemIsSaid) {
  const SmallFileSystem small(directory.file("small"));
  path = directory.file("small/store.db");
  create(1);
  ASSERT_TRUE(small.make_read_only());
  const auto opened = Store::open(place());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind(), ErrorKind::denied);
  EXPECT_TRUE(contains(opened.error().message(), "mounted read-only?")) << opened.error().message();
}

}  // namespace
