// SPDX-License-Identifier: GPL-3.0-or-later
// The files that its kernel has measured: does the list lead to PCR 10, and is each one accepted.
#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/hex.h"
#include "keyms/evidence/checks.h"
#include "keyms/evidence/registers.h"
#include "tpm/logs/ima_log.h"

namespace cs::keyms::checks {

namespace {

using tpm::ImaRule;

constexpr auto sha256 = tpm::HashAlgorithm::sha256;
constexpr std::array banks{sha256};
constexpr std::string_view aggregate_name = "boot_aggregate";
constexpr std::size_t most_named = 5;
constexpr std::array all{Criterion::digest_list,   Criterion::ima_part,
                         Criterion::ima_log,       Criterion::ima_boot_aggregate,
                         Criterion::ima_violation, Criterion::ima_file};

std::vector<const DigestList*> trusted(const Expectations& expected) {
  const auto& keys = expected.gateway().ima->list_keys;
  std::vector<const DigestList*> lists;
  for (const DigestList& list : expected.lists) {
    if (list.key() && std::ranges::find(keys, *list.key()) != keys.end()) lists.push_back(&list);
  }
  return lists;
}

// By which entries are judged: the policy, and the lists in whatever order they came.
Hash rules_of(const Expectations& expected) {
  std::vector<Hash> hashes;
  for (const DigestList* const list : trusted(expected)) hashes.push_back(list->hash());
  std::ranges::sort(hashes);
  tpm::Hasher hasher(sha256);
  hasher.start();
  hasher.add(expected.core_properties);
  for (const Hash& hash : hashes) hasher.add(hash);
  return to_hash(hasher.finish());
}

tpm::PcrValues pcr_10(const Hash& value) {
  tpm::PcrValues values;
  const auto digest = tpm::Digest::from(sha256, value);
  if (!digest.ok() || !values.set(ima_pcr, *digest).ok()) return {};
  return values;
}

// What goes wrong in many entries alike, told with the first few of them.
class Names {
 public:
  void add(const tpm::ImaEntry& entry, const std::string& what) {
    if (++count_ > most_named) return;
    text_ += (text_.empty() ? "" : "; ") + what;
    if (where_.empty()) where_ = std::string(entry.name());
  }
  void tell(Appraisal& found, Criterion criterion, const std::string& so) const {
    if (count_ == 0) return found.holds(criterion, so);
    const std::string more =
        count_ > most_named ? "; and " + std::to_string(count_ - most_named) + " more" : "";
    found.fails(criterion, text_ + more, where_);
  }

 private:
  std::size_t count_ = 0;
  std::string text_;
  std::string where_;
};

class Judge {
 public:
  explicit Judge(const Case& c) : case_(c), rules_(*c.gateway.ima), lists_(trusted(c.expected)) {}

  void look_at(const tpm::ImaEntry& entry) {
    if (entry.pcr != ima_pcr) {
      strange_.add(entry, "it extends " + pcr_text(entry.pcr) + ", which nobody quotes");
    } else if (entry.is_violation) {
      if (!rules_.accept_violations) violations_.add(entry, std::string(entry.name()));
    } else if (entry.name() == aggregate_name) {
      judge_aggregate(entry);
    } else if (!is_ignored(entry.name())) {
      judge_file(entry);
    }
    if (entry.number == 0 && entry.name() != aggregate_name) {
      aggregates_.add(entry, "expected boot_aggregate first, found " + std::string(entry.name()));
    }
  }
  void tell(Appraisal& found, std::uint64_t entries) const {
    const std::string looked = " of " + std::to_string(entries) + " entries";
    strange_.tell(found, Criterion::ima_log, std::to_string(entries) + " entries lead to PCR 10");
    aggregates_.tell(found, Criterion::ima_boot_aggregate, "it is of the PCRs quoted");
    violations_.tell(found, Criterion::ima_violation, "none" + looked + " that counts");
    files_.tell(found, Criterion::ima_file, "each" + looked + " is accepted");
  }

 private:
  [[nodiscard]] bool is_ignored(std::string_view name) const {
    return std::ranges::any_of(
        rules_.ignored, [name](const std::string& prefix) { return name.starts_with(prefix); });
  }
  // Of a file's content, as SHA-256.
  static std::optional<ByteView> digest_of(const tpm::ImaEntry& entry) {
    for (const auto& value : std::span(entry.values).first(entry.value_count)) {
      const auto digest = tpm::ima_digest(value.field, value.bytes);
      if (!digest) continue;
      const bool usable = digest->algorithm == "sha256" && digest->type != "verity" &&
                          digest->digest.size() == sizeof(Hash);
      return usable ? std::optional(digest->digest) : std::nullopt;
    }
    return {};
  }
  void judge_file(const tpm::ImaEntry& entry) {
    const auto digest = digest_of(entry);
    const std::string name(entry.name());
    if (!digest) return files_.add(entry, name + ": measured, but not by sha256");
    const auto accepts = [&](const DigestList* list) { return list->accepts(*digest, name); };
    if (std::ranges::none_of(lists_, accepts)) {
      files_.add(entry, name + ": sha256 " + hex_encode(*digest) + " is in no list");
    }
  }
  // Since Linux 5.8 of PCRs 0 to 9, before that of 0 to 7.
  void judge_aggregate(const tpm::ImaEntry& entry) {
    const auto digest = digest_of(entry);
    if (!digest) return aggregates_.add(entry, "expected a SHA-256, found another hash");
    std::string wanted;
    for (const std::uint32_t count : {boot_aggregate_pcrs, 8U}) {
      const auto composite = case_.shown.values.composite({{{sha256, (1U << count) - 1}}}, sha256);
      if (!composite.ok()) return aggregates_.add(entry, composite.error().message());
      if (std::ranges::equal(composite->bytes(), *digest)) return;
      if (wanted.empty()) wanted = composite->hex();
    }
    aggregates_.add(entry,
                    "expected " + wanted + ", of the PCRs quoted, found " + hex_encode(*digest));
  }

  const Case& case_;
  const ImaRules& rules_;
  std::vector<const DigestList*> lists_;
  Names strange_;
  Names aggregates_;
  Names violations_;
  Names files_;
};

// Reads up to where the quote was taken; the rest of the list waits for the next one.
Result<void> replay(Case& c, tpm::ImaLog& log, tpm::ImaReplay& replayed, Judge& judge,
                    const ImaMark& from) {
  ImaMark mark = from;
  mark.listed = log.listed();
  tpm::ImaEntry entry;
  while (!replayed.match(sha256, ima_pcr)) {
    CS_TRY(const bool more, log.next(entry));
    if (!more) {
      return Error(ErrorKind::unverified,
                   "expected a list that leads to " + c.quoted(ima_pcr)->hex() + ", found " +
                       std::to_string(replayed.entries()) + " entries that do not");
    }
    judge.look_at(entry);
    replayed.add(entry);
    mark.offset = from.offset + log.good_until();
  }
  mark.entries = replayed.entries();
  for (const ImaRule rule : {ImaRule::recomputed, ImaRule::padded}) {
    const tpm::PcrValues values = replayed.values(rule);
    const tpm::Digest* const value = values.find(sha256, ima_pcr);
    if (value != nullptr)
      (rule == ImaRule::padded ? mark.padded : mark.recomputed) = to_hash(*value);
  }
  mark.rules = rules_of(c.expected);
  c.next.ima = mark;
  return {};
}

Result<tpm::ImaLog> open(const Case& c, const ImaMark& from) {
  const ByteView part = c.shown.logs.ima;
  if (part.size() > max_ima_part) {
    return Error(ErrorKind::limit, "more than " + std::to_string(max_ima_part) + " bytes at once");
  }
  if (from.entries > 0) return tpm::ImaLog::resume(tpm::Input(part), from.listed, from.entries);
  CS_TRY(tpm::ImaLog log, tpm::ImaLog::open(tpm::Input(part)));
  if (log.is_text()) return Error(ErrorKind::invalid, "expected the binary list, found text");
  return log;
}

void judge_list(Case& c, const ImaMark& from) {
  const tpm::Digest* const quoted = c.quoted(ima_pcr);
  auto log = open(c, from);
  if (!log.ok()) return c.found.fails(Criterion::ima_log, log.error().message(), "list of files");
  tpm::ImaReplay replayed(log->listed(), banks, pcr_10(to_hash(*quoted)));
  if (from.entries > 0) {
    const bool padded = log->listed() == tpm::HashAlgorithm::sha1;
    replayed.resume(from.entries, pcr_10(from.recomputed),
                    padded ? pcr_10(from.padded) : tpm::PcrValues());
  }
  Judge judge(c);
  const auto done = replay(c, *log, replayed, judge, from);
  if (!done.ok()) c.found.fails(Criterion::ima_log, done.error().message(), "list of files");
  judge.tell(c.found, replayed.entries());
}

}  // namespace

const ImaMark* ima_mark(const Expectations& expected, const PeerMemory* memory, bool same_boot) {
  const bool usable = same_boot && memory != nullptr && memory->ima && expected.gateway().ima &&
                      memory->ima->rules == rules_of(expected);
  return usable ? &*memory->ima : nullptr;
}

void ima(Case& c) {
  if (!c.gateway.ima) {
    for (const Criterion criterion : all) c.found.holds(criterion, "not asked for");
    return;
  }
  const std::size_t lists = trusted(c.expected).size();
  c.found.compare(Criterion::digest_list, lists > 0, std::to_string(lists) + " are signed",
                  "one signed by a key of the policy",
                  std::to_string(c.expected.lists.size()) + ", none of which is");
  if (c.quoted(ima_pcr) == nullptr) {
    for (const Criterion criterion : all) {
      if (criterion != Criterion::digest_list)
        c.found.not_checked(criterion, "PCR 10 is not quoted");
    }
    return;
  }
  const ImaMark* const mark = ima_mark(c.expected, c.memory, c.same_boot);
  const std::uint64_t offset = c.shown.logs.ima_offset;
  if (offset != 0 && (mark == nullptr || mark->offset != offset)) {
    c.found.fails(Criterion::ima_part, "expected it from byte " +
                                           std::to_string(mark == nullptr ? 0 : mark->offset) +
                                           " on, found it from " + std::to_string(offset));
    for (const Criterion criterion : all) {
      if (criterion != Criterion::digest_list && criterion != Criterion::ima_part) {
        c.found.not_checked(criterion, "the part wanted is not there");
      }
    }
    return;
  }
  c.found.holds(Criterion::ima_part, "from byte " + std::to_string(offset) + " on");
  judge_list(c, offset == 0 ? ImaMark{} : *mark);
  // What was refused is judged again at the next time, and not passed over.
  if (std::ranges::any_of(all, [&c](Criterion criterion) { return !c.found.good(criterion); })) {
    c.next.ima = mark == nullptr ? std::nullopt : std::optional(*mark);
  }
}

}  // namespace cs::keyms::checks
