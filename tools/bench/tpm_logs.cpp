// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/byte_writer.h"
#include "base/unique_fd.h"
#include "tools/bench/tpm_measure.h"
#include "tpm/logs/boot_log.h"
#include "tpm/logs/ima_log.h"

namespace cs::bench {

namespace {

using tpm::HashAlgorithm;
using tpm::Hasher;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t rounds = 15;
constexpr double most_ratio = 1.5;
constexpr std::size_t boot_events = 20'000;
constexpr std::size_t ima_entries = 20'000;
constexpr std::size_t long_entries = 1'000'000;
constexpr double most_resident_mib = 32;

// Of this thread's processor time: what else the machine does counts less than on the wall clock.
double seconds_of(const std::function<void()>& work) {
  const auto now = [] {
    struct timespec time {};
    static_cast<void>(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time));
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  };
  const double start = now();
  work();
  return now() - start;
}

struct Pair {
  double work = 0;
  double baseline = 0;
  [[nodiscard]] double ratio() const { return work / baseline; }
};
// Alternating; the round whose ratio is the median.
Pair compare(const std::function<void()>& work, const std::function<void()>& baseline) {
  std::array<Pair, rounds> all;
  for (Pair& pair : all) pair = {seconds_of(work), seconds_of(baseline)};
  std::ranges::sort(all, {}, &Pair::ratio);
  return all.at(rounds / 2);
}

double most_resident_mib_so_far() {
  struct rusage used {};
  static_cast<void>(::getrusage(RUSAGE_SELF, &used));
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-union-access): glibc pads each field with a union.
  return static_cast<double>(used.ru_maxrss) / 1024;
}

Figures figures_of(const std::string& name, const Pair& median, std::size_t count) {
  const double each = 1e9 / static_cast<double>(count);
  return {{name + ": replay", median.work * each, "ns", 0},
          {name + ": hashing alone", median.baseline * each, "ns", 0},
          {name + ": ratio", median.ratio(), "", most_ratio}};
}

// As OVMF leaves one: SHA-1 and SHA-256, some hundred bytes of data to an event.
Result<Bytes> boot_log() {
  Bytes header;
  const std::string_view signature("Spec ID Event03");
  ByteBuilder data(256);
  data.bytes(Bytes(signature.begin(), signature.end())).zeros(1).u32le(0).u8(0).u8(2).u8(0).u8(2);
  data.u32le(2).u16le(0x0004).u16le(20).u16le(0x000b).u16le(32).u8(0);
  CS_TRY(header, data.finish("a header"));
  ByteBuilder log(tpm::most_boot_log);
  log.u32le(0).u32le(3).zeros(20).vec32le(header);
  for (std::size_t i = 0; i < boot_events; ++i) {
    const auto pcr = static_cast<std::uint32_t>(i % 10);
    log.u32le(pcr).u32le(0x80000008).u32le(2).u16le(0x0004).zeros(20).u16le(0x000b).zeros(32);
    log.vec32le(Bytes(200, static_cast<std::uint8_t>(i)));
  }
  return log.finish("a boot log");
}

// What the kernel writes for a file, with a name and a SHA-256 of usual length.
class ImaMaker {
 public:
  Result<Bytes> entry(std::size_t number) {
    std::string name = "/usr/lib/x86_64-linux-gnu/some_library_" + std::to_string(number) + ".so";
    name.push_back('\0');
    const std::string_view algorithm("sha256:\0", 8);
    ByteBuilder digest(64);
    digest.bytes(Bytes(algorithm.begin(), algorithm.end())).zeros(32);
    CS_TRY(const Bytes digest_field, digest.finish("a digest"));
    ByteBuilder data(1024);
    data.vec32le(digest_field).vec32le(Bytes(name.begin(), name.end()));
    CS_TRY(const Bytes fields, data.finish("data"));
    ByteBuilder made(2048);
    made.u32le(10).bytes(sha1_.hash({fields}).bytes()).vec32le(form_).vec32le(fields);
    return made.finish("an entry");
  }

 private:
  Hasher sha1_{HashAlgorithm::sha1};
  Bytes form_{'i', 'm', 'a', '-', 'n', 'g'};
};

Result<tpm::ImaReplay> replay_ima(tpm::Input input) {
  CS_TRY(tpm::ImaLog log, tpm::ImaLog::open(std::move(input)));
  constexpr std::array banks{HashAlgorithm::sha256};
  tpm::ImaReplay replayed(log.listed(), banks);
  tpm::ImaEntry entry;
  while (true) {
    CS_TRY(const bool more, log.next(entry));
    if (!more) return replayed;
    replayed.add(entry);
  }
}

}  // namespace

// An event extends two banks.
Result<Figures> measure_boot_log() {
  CS_TRY(const Bytes log, boot_log());
  Result<tpm::BootReplay> replayed = tpm::replay_boot_log(log);
  if (!replayed.ok()) return replayed.error();
  std::array hashers{Hasher(HashAlgorithm::sha1), Hasher(HashAlgorithm::sha256)};
  const auto hash = [&] {
    for (Hasher& hasher : hashers) {
      tpm::Digest value(hasher.algorithm());
      for (std::size_t i = 0; i < boot_events; ++i) {
        value = hasher.hash({value.bytes(), value.bytes()});
      }
    }
  };
  const auto median = compare([&] { replayed = tpm::replay_boot_log(log); }, hash);
  return figures_of("boot log, an event in two banks", median, boot_events);
}

// An entry is hashed twice, as it is listed and for the bank, and extended twice, by either rule.
Result<Figures> measure_ima_list() {
  Bytes list;
  std::size_t hashed = 0;
  ImaMaker maker;
  for (std::size_t i = 0; i < ima_entries; ++i) {
    CS_TRY(const Bytes entry, maker.entry(i));
    list.insert(list.end(), entry.begin(), entry.end());
    hashed = entry.size() - (4 + 20 + 4 + 6 + 4);
  }
  Result<tpm::ImaReplay> replayed = replay_ima(tpm::Input(list));
  if (!replayed.ok()) return replayed.error();
  Hasher sha1(HashAlgorithm::sha1);
  Hasher sha256(HashAlgorithm::sha256);
  const auto hash = [&] {
    tpm::Digest value(HashAlgorithm::sha256);
    const ByteView data = ByteView(list).first(hashed);
    for (std::size_t i = 0; i < ima_entries; ++i) {
      static_cast<void>(sha1.hash({data}));
      value = sha256.hash({data});
      value = sha256.hash({value.bytes(), value.bytes()});
      value = sha256.hash({value.bytes(), value.bytes()});
    }
  };
  const auto median = compare([&] { replayed = replay_ima(tpm::Input(list)); }, hash);
  return figures_of("IMA list, an entry in one bank", median, ima_entries);
}

Result<Figures> measure_long_ima_list() {
  std::array<char, 32> path{"/tmp/tpm-bench-XXXXXX"};
  const UniqueFd file(::mkstemp(path.data()));
  if (!file) return from_errno(errno, "making a file for a long list");
  static_cast<void>(::unlink(path.data()));
  ImaMaker maker;
  Bytes part;
  double size = 0;
  for (std::size_t i = 0; i < long_entries; ++i) {
    CS_TRY(const Bytes entry, maker.entry(i));
    part.insert(part.end(), entry.begin(), entry.end());
    if (part.size() < 65536 && i + 1 < long_entries) continue;
    if (::write(file.get(), part.data(), part.size()) != static_cast<ssize_t>(part.size())) {
      return from_errno(errno, "writing a long list");
    }
    size += static_cast<double>(part.size());
    part.clear();
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return from_errno(errno, "reading a long list");
  Result<tpm::ImaReplay> replayed = Error(ErrorKind::internal, "not replayed");
  const double seconds =
      seconds_of([&] { replayed = replay_ima(tpm::Input(file.get(), tpm::most_ima_entry)); });
  if (!replayed.ok()) return replayed.error();
  return Figures{{"long IMA list: entries", static_cast<double>(replayed->entries()), "", 0},
                 {"long IMA list: size", size / (1 << 20), "MiB", 0},
                 {"long IMA list: processor time", seconds, "s", 0},
                 {"long IMA list: most memory of the process", most_resident_mib_so_far(), "MiB",
                  most_resident_mib}};
}

}  // namespace cs::bench
