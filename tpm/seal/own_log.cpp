// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/own_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "tpm/small_file.h"

namespace cs::tpm {

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::string_view suffix = ".cel";

// "pcr-23." or "nv-01d10300."; then comes the resetCount.
std::string prefix_of(const CelRegister& of) {
  std::array<char, 32> text{};
  const bool pcr = of.kind == CelRegister::Kind::pcr;
  const int size = std::snprintf(text.data(), text.size(), pcr ? "pcr-%u." : "nv-%08x.", of.number);
  return {text.data(), static_cast<std::size_t>(size)};
}

std::string text_of(const CelRegister& of) {
  const std::string prefix = prefix_of(of);
  return (of.kind == CelRegister::Kind::pcr ? "PCR " : "NV index 0x") +
         prefix.substr(prefix.find('-') + 1, prefix.size() - prefix.find('-') - 2);
}

std::string text_of(const std::vector<Digest>& values) {
  std::string text;
  for (const Digest& value : values) {
    text +=
        (text.empty() ? "" : " ") + std::string(to_string(value.algorithm())) + ":" + value.hex();
  }
  return text;
}

Result<UniqueFd> lock(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!fd) return from_errno(errno, "opening " + path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return from_errno(errno, "locking " + path);
  return Error(ErrorKind::busy, "locking " + path + ": another process writes this log")
      .with_hint("see who: fuser " + path);
}

std::vector<Digest> zeros(const std::vector<HashAlgorithm>& banks) {
  return {banks.begin(), banks.end()};
}

void extend_all(std::vector<Digest>& values, std::span<const ByteView> digests) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = Hasher(values[i].algorithm()).hash({values[i].bytes(), digests[i]});
  }
}

Result<std::vector<Digest>> digests_of(const CelRecord& record,
                                       const std::vector<HashAlgorithm>& banks) {
  std::vector<Digest> digests;
  for (std::size_t i = 0; i < banks.size(); ++i) {
    CS_TRY(const Digest digest, Digest::from(banks[i], record.digests.at(i)));
    digests.push_back(digest);
  }
  return digests;
}

// What a log says that is ours; torn: there are bytes behind the last whole record.
struct Replay {
  std::uint64_t records = 0;
  std::size_t good_until = 0;
  bool torn = false;
  std::vector<Digest> before_last;
  std::vector<Digest> values;
  std::vector<Digest> last;  // what the last record extends; empty if it is foreign
};

// Any record can be passed off as a foreign one without a trace in the register, so those must be
// the ones that are explained.
Result<Replay> replay(ByteView bytes, const OwnRegister& own,
                      const std::vector<ForeignEvent>& explained) {
  const auto& banks = own.banks();
  Replay replay;
  replay.before_last = replay.values = zeros(banks);
  if (bytes.empty()) return replay;
  CS_TRY(CelLog log, CelLog::open(bytes));
  CelRecord record;
  for (;;) {
    const auto more = log.next(record);
    replay.torn = !more.ok() && more.error().kind() == ErrorKind::truncated;
    if (!more.ok() && !replay.torn) return more.error();
    if (replay.torn || !*more) break;
    if (log.of() != own.of() || !std::ranges::equal(log.banks(), banks)) {
      return Error(ErrorKind::invalid, "the event log is of another register or has other banks");
    }
    replay.before_last = replay.values;
    extend_all(replay.values, record.digests);
    CS_TRY(replay.last, digests_of(record, banks));
    if (record.event == CelEvent::foreign) {
      if (record.number >= explained.size() || explained[record.number].digests != replay.last) {
        return Error(ErrorKind::unverified, "the event log has a foreign event, record " +
                                                std::to_string(record.number) +
                                                ", that nobody has explained")
            .with_hint("reboot needed; has somebody changed the log?");
      }
      replay.last.clear();
    }
    ++replay.records;
  }
  replay.good_until = log.good_until();
  return replay;
}

}  // namespace

Result<OwnLog> OwnLog::open(Device& device, OwnRegister& of, Place place,
                            const std::vector<ForeignEvent>& explained) {
  const std::string prefix = place.directory + "/" + prefix_of(of.of());
  CS_TRY(UniqueFd held, lock(prefix + "lock"));
  OwnLog log(of, std::move(place), std::move(held));
  log.reset_count_ = device.generation().clock.reset_count;
  log.file_.path = prefix + std::to_string(log.reset_count_) + std::string(suffix);
  CS_CHECK(log.begin(device, explained).context("the log of " + text_of(of.of())));
  CS_CHECK(log.drop_former());
  log.usable_ = true;
  return log;
}

Result<void> OwnLog::begin(Device& device, const std::vector<ForeignEvent>& explained) {
  auto bytes = read_small_file(file_.path, most_cel_log);
  const bool none = !bytes.ok() && bytes.error().kind() == ErrorKind::not_found;
  if (!bytes.ok() && !none) return std::move(bytes).error();
  // Empty: it was made, and the machine went down before the first record.
  if (none || bytes->empty()) CS_CHECK(begin_anew(device, explained));
  CS_TRY(file_, open_to_append(file_.path));
  if (none || bytes->empty()) return sync_directory_of(*place_.disk, file_.path);
  return settle(device, *bytes, explained);
}

// The register is as after a reset, or what others have made of it is explained.
Result<void> OwnLog::begin_anew(Device& device, const std::vector<ForeignEvent>& explained) {
  values_ = zeros(of_->banks());
  CS_TRY(const auto found, of_->read(device));
  Bytes records;
  for (const ForeignEvent& event : explained) {
    if (found == values_) break;
    CS_TRY(const Bytes record,
           write_foreign_cel_record(records_, of_->of(), event.digests, event.reason));
    records.insert(records.end(), record.begin(), record.end());
    CS_TRY(const Replay so_far, replay(records, *of_, explained));
    values_ = so_far.values;
    records_ = so_far.records;
  }
  if (found != values_) {
    return Error(ErrorKind::unverified, "it is " + text_of(found) +
                                            ", and nothing explains what somebody extended it with")
        .with_hint("reboot needed; if it is so after each boot, take a register nobody else uses");
  }
  size_ = records.size();
  return records.empty() ? Result<void>() : replace_file(*place_.disk, file_.path, records);
}

// With the last record, or without it?
Result<void> OwnLog::settle(Device& device, ByteView bytes,
                            const std::vector<ForeignEvent>& explained) {
  CS_TRY(const Replay logged, replay(bytes, *of_, explained));
  CS_TRY(const auto found, of_->read(device));
  values_ = logged.values;
  records_ = logged.records;
  size_ = logged.good_until;
  if (found == values_) {
    if (!logged.torn) return {};
    CS_CHECK(place_.disk->truncate(file_, size_));
    return place_.disk->sync(file_);
  }
  if (logged.torn || logged.last.empty() || found != logged.before_last) {
    return reboot_needed(found);
  }
  // It may have been written, but not to the disk.
  CS_CHECK(place_.disk->sync(file_));
  return extend(device, logged.last);
}

// The register has to be what it was before, and is values_ afterwards.
Result<void> OwnLog::extend(Device& device, const std::vector<Digest>& digests) {
  CS_CHECK(of_->extend(device, digests));
  CS_TRY(const auto found, of_->read(device));
  if (found != values_) return reboot_needed(found);
  return {};
}

Error OwnLog::reboot_needed(const std::vector<Digest>& found) const {
  return Error(ErrorKind::unverified, text_of(of_->of()) + " is " + text_of(found) +
                                          ", by its log it is " + text_of(values_))
      .with_hint("reboot needed: somebody else extended it, changed the log, or hibernated");
}

Result<void> OwnLog::check_usable(const Device& device) const {
  if (!usable_) {
    return Error(ErrorKind::closed, "an event log after an error").with_retry(Retry::anew);
  }
  if (device.generation().clock.reset_count != reset_count_) {
    return Error(ErrorKind::closed, "the TPM was reset: its event logs begin anew")
        .with_retry(Retry::anew);
  }
  return {};
}

Result<void> OwnLog::append(Device& device, CelEvent event, ByteView content) {
  CS_CHECK(check_usable(device));
  // What cannot be written at all leaves the log as it is.
  CS_TRY(const Bytes record, write_cel_record(records_, of_->of(), of_->banks(), event, content));
  usable_ = false;
  CS_CHECK(append_once(device, event, content).context("the log of " + text_of(of_->of())));
  usable_ = true;
  return {};
}

Result<void> OwnLog::append_once(Device& device, CelEvent event, ByteView content) {
  CS_TRY(const Bytes record, write_cel_record(records_, of_->of(), of_->banks(), event, content));
  if (record.size() > room()) {
    return Error(ErrorKind::limit, "it has " + std::to_string(size_) + " bytes and is full")
        .with_hint("reboot needed: a log cannot be shortened within a boot");
  }
  CS_CHECK(place_.disk->write(file_, record));
  CS_CHECK(place_.disk->sync(file_));
  std::vector<Digest> digests;
  for (Digest& value : values_) {
    Hasher hasher(value.algorithm());
    digests.push_back(cel_digest(value.algorithm(), event, content));
    cs::tpm::extend(hasher, value, digests.back());
  }
  CS_CHECK(extend(device, digests));
  ++records_;
  size_ += record.size();
  return {};
}

Result<std::vector<std::uint8_t>> OwnLog::read() const {
  return read_small_file(file_.path, most_cel_log);
}

// The oldest by time, as a TPM that was replaced counts from 0 again.
Result<void> OwnLog::drop_former() const {
  std::error_code failed;
  const std::string prefix = prefix_of(of_->of());
  std::vector<std::pair<fs::file_time_type, fs::path>> former;
  for (fs::directory_iterator at(place_.directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) continue;
    if (at->path() == fs::path(file_.path)) continue;
    former.emplace_back(at->last_write_time(failed), at->path());
  }
  std::ranges::sort(former);
  for (std::size_t i = 0; !failed && i + place_.former < former.size(); ++i) {
    fs::remove(former[i].second, failed);
  }
  if (!failed) return {};
  return from_errno(failed.value(), "removing old logs in " + place_.directory);
}

}  // namespace cs::tpm
