// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/secret.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <ranges>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

#if __has_include(<fmt/format.h>)
#include <fmt/format.h>
static_assert(!fmt::is_formattable<cs::SecretBytes>::value, "a log line could print a secret");
#endif

namespace {

// The last moment to look at a secret is when its pages go back to the kernel: this munmap replaces
// libc's in this program, and looks.
struct Watch {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  bool unmapped = false;
  bool was_zero = false;
};
Watch watch;  // NOLINT: munmap has no other way to be told

}  // namespace

// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved ones.
extern "C" int munmap(void* address, std::size_t length) noexcept {
  const auto* begin = static_cast<const std::uint8_t*>(address);
  if (watch.data >= begin && watch.data < begin + length) {
    watch.was_zero =
        std::all_of(watch.data, watch.data + watch.size, [](auto byte) { return byte == 0; });
    watch.unmapped = true;
    watch.data = nullptr;
  }
  return static_cast<int>(::syscall(SYS_munmap, address, length));
}

namespace cs {
namespace {

template <class T>
concept Streamable = requires(T value) {
  std::cout << value;
};
template <class T>
concept Comparable = requires(T one, T other) {
  one == other;
};

static_assert(!std::is_copy_constructible_v<SecretBytes> &&
              !std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes> &&
              std::is_nothrow_move_assignable_v<SecretBytes>);
static_assert(!std::is_default_constructible_v<SecretBytes>);
static_assert(Streamable<int> && !Streamable<SecretBytes> && !Streamable<const SecretBytes&>);
static_assert(Comparable<int> && !Comparable<SecretBytes>);
static_assert(!std::ranges::range<SecretBytes>, "range printers, gtest's too, would show it");
static_assert(!std::is_convertible_v<SecretBytes, ByteView> &&
              !std::is_convertible_v<SecretBytes, std::string>);
static_assert(!std::is_constructible_v<std::string, SecretBytes>);

SecretBytes counted(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return SecretBytes::copy_of(bytes).value();
}

void watch_pages_of(const SecretBytes& secret) {
  watch = {secret.bytes().data(), secret.size(), false, false};
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; });
}

// The lines of /proc/self/smaps about the mapping that holds `address`: what the kernel thinks.
struct Mapping {
  std::string permissions;
  std::string flags;
};
Mapping mapping_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  Mapping found;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::string permissions;
    if (words >> std::hex >> begin >> dash >> end >> permissions && dash == '-') {
      inside = begin <= wanted && wanted < end;
      if (inside) found.permissions = permissions;
    } else if (inside && line.starts_with("VmFlags:")) {
      found.flags = line.substr(8) + " ";
    }
  }
  return found;
}

long locked_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) return std::stol(line.substr(6));
  }
  return -1;
}

// What `child` returns, from a forked process; empty if that died.
std::string in_child(const std::function<std::string()>& child) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return "pipe2 failed";
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const std::string told = child();
    ::_exit(::write(writing.get(), told.data(), told.size()) < 0 ? 1 : 0);
  }
  writing.reset();
  std::string told;
  std::array<char, 512> part{};
  for (ssize_t n = 0; (n = ::read(reading.get(), part.data(), part.size())) > 0;) {
    told.append(part.data(), static_cast<std::size_t>(n));
  }
  ::waitpid(pid, nullptr, 0);
  return told;
}

TEST(SecretBytes, StartsAsZerosAndHoldsWhatIsPutIn) {
  auto secret = SecretBytes::create(48).value();
  EXPECT_EQ(secret.size(), 48U);
  EXPECT_TRUE(all_zero(secret.bytes()));
  std::fill(secret.bytes().begin(), secret.bytes().end(), std::uint8_t{0xa5});
  EXPECT_EQ(std::as_const(secret).bytes()[47], 0xa5);
}

TEST(SecretBytes, HasEverySizeAndEveryAlignment) {
  for (const std::size_t size : {1U, 15U, 16U, 17U, 4095U, 4096U, 4097U, 65536U}) {
    SecretBytes secret = counted(size);
    EXPECT_EQ(secret.size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(secret.bytes().data()) % 16, 0U) << size;
    EXPECT_EQ(secret.bytes()[size - 1], static_cast<std::uint8_t>(size));
  }
}

TEST(SecretBytes, RefusesSizesThatAreNoKey) {
  EXPECT_EQ(SecretBytes::create(0).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(SecretBytes::copy_of({}).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(SecretBytes::create(SecretBytes::max_size + 1).error().kind(), ErrorKind::limit);
  EXPECT_EQ(SecretBytes::create(static_cast<std::size_t>(-1)).error().kind(), ErrorKind::limit);
}

TEST(SecretBytes, IsLockedWhileItLives) {
  const long before = locked_kilobytes();
  {
    const SecretBytes secret = counted(5000);
    EXPECT_GE(locked_kilobytes() - before, 5);
    EXPECT_NE(mapping_of(secret.bytes().data()).flags.find(" lo "), std::string::npos);
  }
  EXPECT_EQ(locked_kilobytes(), before);
}

TEST(SecretBytes, IsLeftOutOfCoreDumps) {
  const SecretBytes secret = counted(32);
  EXPECT_NE(mapping_of(secret.bytes().data()).flags.find(" dd "), std::string::npos);
}

TEST(SecretBytes, LiesBetweenPagesNobodyMayTouch) {
  const SecretBytes secret = counted(32);
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::uint8_t* data = secret.bytes().data();
  EXPECT_EQ(mapping_of(data).permissions, "rw-p");
  EXPECT_EQ(mapping_of(data + 32).permissions, "---p") << "guard right behind its end";
  EXPECT_EQ(mapping_of(data - page).permissions, "---p");
}

TEST(SecretBytes, WipesOnDemand) {
  SecretBytes secret = counted(100);
  ASSERT_FALSE(all_zero(secret.bytes()));
  secret.wipe();
  EXPECT_EQ(secret.size(), 100U);
  EXPECT_TRUE(all_zero(secret.bytes()));
}

TEST(SecretBytes, IsWipedBeforeItsPagesGoBack) {
  {
    const SecretBytes secret = counted(100);
    watch_pages_of(secret);
    ASSERT_FALSE(watch.unmapped);
  }
  EXPECT_TRUE(watch.unmapped);
  EXPECT_TRUE(watch.was_zero);
}

TEST(SecretBytes, IsWipedWhenAnotherIsMovedOntoIt) {
  SecretBytes secret = counted(100);
  SecretBytes other = counted(7);
  watch_pages_of(secret);
  secret = std::move(other);
  EXPECT_TRUE(watch.unmapped);
  EXPECT_TRUE(watch.was_zero);
  EXPECT_EQ(secret.size(), 7U);
  EXPECT_EQ(secret.bytes()[6], 7);
}

TEST(SecretBytes, MovesItsMemoryNotItsBytes) {
  SecretBytes first = counted(64);
  const ByteView view = first.bytes();
  SecretBytes second(std::move(first));
  EXPECT_EQ(second.bytes().data(), view.data());
  EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): what a move leaves is promised
  first.wipe();
  SecretBytes& same = second;
  second = std::move(same);
  EXPECT_EQ(second.bytes()[63], 64);
}

TEST(SecretBytes, IsZeroInAForkedChild) {
  const SecretBytes secret = counted(100);
  EXPECT_NE(mapping_of(secret.bytes().data()).flags.find(" wf "), std::string::npos);
  EXPECT_EQ(
      in_child([&] { return std::string(all_zero(secret.bytes()) ? "zeros" : "the secret"); }),
      "zeros");
  EXPECT_EQ(secret.bytes()[99], 100) << "the parent keeps it";
}

// For a process that may lock nothing. CAP_IPC_LOCK would lift the limit: the child gives it up.
std::string lock_without_allowance() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) return "cannot drop CAP_IPC_LOCK";
  const rlimit nothing{0, 0};
  if (::setrlimit(RLIMIT_MEMLOCK, &nothing) != 0) return "cannot set RLIMIT_MEMLOCK";
  const auto result = SecretBytes::create(100);
  if (result.ok()) return "made a secret that is not locked";
  return std::string(to_string(result.error().kind())) + "|" + result.error().message();
}

TEST(SecretBytes, SaysWhatToDoWhenItMayNotLockMemory) {
  const auto page = std::to_string(sysconf(_SC_PAGESIZE));
  EXPECT_EQ(in_child(lock_without_allowance),
            "limit|locking " + page +
                " bytes for a secret (RLIMIT_MEMLOCK is 0 bytes): Operation not permitted (EPERM); "
                "raise it: LimitMEMLOCK= in the systemd unit, ulimit -l in a shell");
}

}  // namespace
}  // namespace cs
