// SPDX-License-Identifier: GPL-3.0-or-later
// Whether its logs lead to the registers quoted, and go on from what was seen of them.
#include <algorithm>
#include <string>
#include <utility>

#include "base/hex.h"
#include "keyms/evidence/checks.h"
#include "keyms/evidence/registers.h"
#include "tpm/logs/boot_log.h"

namespace cs::keyms::checks {

namespace {

constexpr auto sha256 = tpm::HashAlgorithm::sha256;
// Later ones are extended by Linux too, which writes no log of the firmware's kind.
constexpr std::uint32_t first_without_boot_log = 10;

void judge_values(Case& c) {
  c.found.holds(Criterion::boot_value, c.gateway.boot.empty()
                                           ? "none is asked for"
                                           : "each is one that the policy accepts");
  for (const BootRule& rule : c.gateway.boot) {
    const tpm::Digest* const value = c.quoted(rule.pcr);
    if (value == nullptr) {
      c.found.not_checked(Criterion::boot_value, pcr_text(rule.pcr) + " is not quoted");
    } else if (!rule.accepted.empty() &&
               std::ranges::find(rule.accepted, *value) == rule.accepted.end()) {
      c.found.fails(Criterion::boot_value,
                    "expected one of " + std::to_string(rule.accepted.size()) + ", the first " +
                        rule.accepted.front().hex() + ", found " + value->hex(),
                    pcr_text(rule.pcr));
    }
  }
}

void judge_boot_log(Case& c) {
  tpm::PcrValues expected;
  for (const BootRule& rule : c.gateway.boot) {
    if (rule.pcr >= first_without_boot_log) continue;
    const tpm::Digest* const value = c.quoted(rule.pcr);
    if (value == nullptr || !expected.set(rule.pcr, *value).ok()) {
      return c.found.not_checked(Criterion::boot_log, pcr_text(rule.pcr) + " is not quoted");
    }
  }
  if (expected.banks().empty()) {
    return c.found.holds(Criterion::boot_log, "no register of it is asked for");
  }
  const auto fail = [&c](const std::string& why, const std::string& where = "boot log") {
    c.found.fails(Criterion::boot_log, why, where);
  };
  const auto replayed = tpm::replay_boot_log(c.shown.logs.boot);
  if (!replayed.ok()) return fail(replayed.error().message());
  const auto verdicts = compare(c.shown.logs.boot, *replayed, expected);
  if (!verdicts.ok()) return fail(verdicts.error().message());
  for (const tpm::RegisterVerdict& verdict : *verdicts) {
    if (verdict.divergence) fail(verdict.divergence->text(), "boot log, " + pcr_text(verdict.pcr));
  }
  c.found.holds(Criterion::boot_log, std::to_string(replayed->events) + " events lead to them");
}

// One of the two logs of keymsd.
struct OwnLog {
  std::string name;
  ByteView bytes;
  tpm::CelRegister of;
  StoryOf kind;
  Criterion replays;
  Criterion continues;
  const LogMark* last;  // of this boot; null: nothing was seen of it
};

// The part of a log that is under the quote.
struct UnderQuote {
  LogMark mark;
  std::size_t size = 0;  // in bytes
  bool continues = false;
};

bool equals(const Hash& hash, const tpm::Digest& digest) {
  return std::ranges::equal(hash, digest.bytes());
}

Error of_another(const std::string& name) {
  return {ErrorKind::invalid, name + ": it is of another register, or without SHA-256"};
}

// The last state of the log that is the register's. What comes behind it was logged after the
// quote, and waits for the next one.
Result<UnderQuote> find_quoted(const OwnLog& log, const tpm::Digest& quoted) {
  tpm::Hasher hasher(sha256);
  tpm::Digest value(sha256);
  std::optional<UnderQuote> found;
  bool continued = log.last == nullptr;
  std::uint64_t records = 0;
  std::size_t end = 0;
  const auto look = [&] {
    if (log.last != nullptr && records == log.last->records) {
      continued = equals(log.last->value, value);
    }
    if (value == quoted) found = {{records, to_hash(value)}, end, continued};
  };
  look();
  if (!log.bytes.empty()) {
    CS_TRY(tpm::CelLog reader, tpm::CelLog::open(log.bytes));
    tpm::CelRecord record;
    for (;;) {
      CS_TRY(const bool more, reader.next(record));
      if (!more) break;
      const auto bank = std::ranges::find(reader.banks(), sha256);
      if (!(reader.of() == log.of) || bank == reader.banks().end()) return of_another(log.name);
      const auto place = static_cast<std::size_t>(bank - reader.banks().begin());
      value = hasher.hash({value.bytes(), record.digests.at(place)});
      ++records;
      end = reader.good_until();
      look();
    }
  }
  if (found) return *found;
  return Error(ErrorKind::unverified, "expected a log that leads to " + quoted.hex() + ", found " +
                                          std::to_string(records) + " records that lead to " +
                                          value.hex());
}

std::optional<RegisterStory> judge(Case& c, const OwnLog& log, const tpm::Digest* quoted,
                                   LogMark& next) {
  const auto skip = [&](const std::string& why) {
    c.found.not_checked(log.replays, why);
    c.found.not_checked(log.continues, why);
    return std::nullopt;
  };
  if (quoted == nullptr) return skip("the register is not quoted");
  const auto part = find_quoted(log, *quoted);
  if (!part.ok()) {
    c.found.not_checked(log.continues, "it does not lead to the register's value");
    c.found.fails(log.replays, part.error().message(), log.name);
    return {};
  }
  if (part->continues) {
    next = part->mark;
    c.found.holds(log.continues, log.last == nullptr ? "nothing of this boot was seen before"
                                                     : "all that was seen before is still there");
  } else {
    c.found.fails(log.continues,
                  "expected " + std::to_string(log.last->records) +
                      " records, seen before, at its beginning; found others, or fewer",
                  log.name);
  }
  auto story = RegisterStory::read(log.kind, log.bytes.first(part->size), c.expected.foreign);
  if (!story.ok()) {
    c.found.fails(log.replays, story.error().message(), log.name);
    return {};
  }
  c.found.holds(log.replays, std::to_string(part->mark.records) + " records lead to its value");
  return std::move(*story);
}

// Of the event register, whichever kind it is of.
std::optional<tpm::Digest> event_value(const Case& c) {
  const tpm::CelRegister& of = c.gateway.event_register;
  if (of.kind == tpm::CelRegister::Kind::pcr) {
    const tpm::Digest* const value = c.quoted(of.number);
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  const bool good = c.quote_is_good && c.shown.event_index &&
                    c.found.good(Criterion::event_index) &&
                    c.found.good(Criterion::event_index_certified);
  if (!good) return {};
  const auto value = tpm::Digest::from(sha256, c.shown.event_index->contents);
  return value.ok() ? std::optional(*value) : std::nullopt;
}

}  // namespace

void boot(Case& c) {
  judge_boot_log(c);
  judge_values(c);
}

void logs(Case& c) {
  const PeerMemory* const before = c.same_boot ? c.memory : nullptr;
  const OwnLog static_log{"static log",
                          c.shown.logs.static_log,
                          {tpm::CelRegister::Kind::pcr, c.gateway.static_pcr},
                          StoryOf::static_register,
                          Criterion::static_log,
                          Criterion::static_log_continued,
                          before == nullptr ? nullptr : &before->static_log};
  c.static_story = judge(c, static_log, c.quoted(c.gateway.static_pcr), c.next.static_log);
  const OwnLog event_log{"event log",
                         c.shown.logs.event_log,
                         c.gateway.event_register,
                         StoryOf::event_register,
                         Criterion::event_log,
                         Criterion::event_log_continued,
                         before == nullptr ? nullptr : &before->event_log};
  const auto value = event_value(c);
  c.event_story = judge(c, event_log, value ? &*value : nullptr, c.next.event_log);
}

}  // namespace cs::keyms::checks
