// SPDX-License-Identifier: GPL-3.0-or-later
// The rest of the system, and what is installed of ours.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>

#include "tools/doctor/checks.h"
#include "tools/doctor/units.h"
#include "tools/doctor/words.h"

namespace cs::doctor {

namespace {

constexpr std::string_view state_directory = "/var/lib/countersign";

// An installed unit; what `otherwise` says where there is none.
template <class Judge>
Finding look_at_unit(const Machine& machine, Finding otherwise, const Judge& judge) {
  const auto units = read_units(machine);
  if (!units.ok()) return unchecked(units.error());
  const auto unit = units->find("nfq-signer");
  if (unit == units->end()) return otherwise;
  const auto property = [&](const char* name) {
    const auto found = unit->second.find(name);
    return found == unit->second.end() ? std::string() : found->second;
  };
  if (property("LoadState") != "loaded") return otherwise;
  return judge(property);
}

}  // namespace

Finding look_at_privileges(const Machine& machine) {
  constexpr std::uint64_t needed = 1ULL << 12U | 1ULL << 21U;  // CAP_NET_ADMIN, CAP_SYS_ADMIN
  const auto status = machine.head("/proc/self/status");
  const std::size_t at = status.ok() ? status->find("\nCapEff:\t") : std::string::npos;
  const std::uint64_t held =
      at == std::string::npos ? 0 : std::strtoull(status->c_str() + at + 9, nullptr, 16);
  if ((held & needed) == needed) return good("this process may ask everything");
  return {Verdict::unchecked,
          "this process lacks CAP_NET_ADMIN or CAP_SYS_ADMIN: much of what follows cannot be asked",
          {},
          "ask again as root"};
}

Finding look_at_clock(const Machine& machine) {
  struct stat newest {};
  const std::chrono::seconds now =
      std::chrono::floor<std::chrono::seconds>(machine.clock->wall().time_since_epoch());
  // What was installed was so in the past.
  if (stat(machine.path("/var/lib/dpkg/status").c_str(), &newest) == 0 &&
      now.count() < newest.st_mtim.tv_sec) {
    return {Verdict::bad,
            "the clock is wrong: it says an earlier time than when the last package was installed",
            "timedatectl set-ntp true", "certificates and lifetimes are held against it"};
  }
  const auto synchronised = machine.is_clock_synchronised();
  if (!synchronised.ok()) return unchecked(synchronised.error());
  if (*synchronised) return good("it is synchronised");
  return {Verdict::warning,
          "nothing keeps the clock right: certificates and lifetimes are held against it",
          "apt-get install systemd-timesyncd; timedatectl set-ntp true"};
}

Finding look_at_signer(const Machine& machine) {
  const Finding absent{Verdict::warning,
                       "its unit is not installed",
                       {},
                       "install Countersign: OPERATIONS.md, Before"};
  return look_at_unit(machine, absent, [](const auto& property) -> Finding {
    if (property("ActiveState") == "active") return good("it runs");
    return {Verdict::warning,
            "it does not run (" + property("ActiveState") +
                "): where its rules are in place, no IPsec passes",
            "systemctl start nfq-signer", "journalctl -u nfq-signer says why it ended"};
  });
}

Finding look_at_memlock(const Machine& machine) {
  return look_at_unit(
      machine, good("not limited: nfq-signer is not installed"),
      [](const auto& property) -> Finding {
        if (property("LimitMEMLOCK") == "infinity")
          return good("nfq-signer may lock its keys in memory");
        return {Verdict::warning,
                "nfq-signer may lock only " + property("LimitMEMLOCK") +
                    " bytes of memory, and its keys must not be swapped",
                {},
                "take LimitMEMLOCK out of what systemctl cat nfq-signer shows beside its own unit"};
      });
}

Finding look_at_state_directory(const Machine& machine) {
  constexpr std::uint64_t least = 64ULL << 20U;
  const std::string path = machine.path(state_directory);
  struct stat found {};
  const bool there = lstat(path.c_str(), &found) == 0;
  if (!there && errno != ENOENT) return unchecked(from_errno(errno, "looking at " + path));
  if (there && !S_ISDIR(found.st_mode))
    return {Verdict::bad, path + " is no directory", {}, "move it away"};
  if (there && (found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return {Verdict::bad, path + " may be written by others than its owner",
            "chmod go-w " + shell_word(path)};
  }
  // systemd makes it; until then its place counts.
  const std::string place = there ? path : machine.path("/var/lib");
  struct statvfs space {};
  if (statvfs(place.c_str(), &space) != 0)
    return unchecked(from_errno(errno, "asking for space at " + place));
  if (std::uint64_t{space.f_bavail} * space.f_frsize < least) {
    return {Verdict::bad,
            "less than 64 MiB are free at " + place,
            {},
            "make room: logs that cannot be written end attestation"};
  }
  return good(there ? "it is safe, and has room" : "not there yet; its place has room");
}

}  // namespace cs::doctor
