// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/pcr_change.h"

#include <array>
#include <optional>
#include <vector>

#include "tpm/logs/boot_log.h"
#include "tpm/logs/cel.h"
#include "tpm/logs/ima_log.h"
#include "tpm/logs/replay.h"

namespace cs::tpm {

namespace {

using Kind = Divergence::Kind;

// A divergence says how the value it was sealed to differs from the log: here from the other side.
std::string told(const Divergence& divergence, const std::string& log, const std::string& event) {
  const std::string name = "event " + std::to_string(divergence.event) + " of " + log + event;
  switch (divergence.kind) {
    case Kind::log_goes_on:
      return "it was sealed to the state before " + name;
    case Kind::left_out:
      return name + " was not there when it was sealed";
    case Kind::doubled:
      return name + " was there twice when it was sealed";
    case Kind::other_start:
      return "the firmware started the TPM from locality " + std::to_string(divergence.locality) +
             " when it was sealed";
    case Kind::no_bank:
      return log + " has no digests of this bank";
    case Kind::no_event:
      return log + " has no event of this PCR";
    case Kind::unexplained:
      break;
  }
  return "no single event of " + log +
         " that was added or is missing explains it; one was replaced, the first to doubt is " +
         name;
}

std::string unusable(const std::string& log, const Error& error) {
  return log + " tells nothing: " + error.message();
}

std::string not_of_this_boot(const std::string& log) {
  return log + " does not replay to what the PCR is now, so it tells nothing";
}

// " (EV_IPL, "linux")", the text as far as it is one.
std::string describe(ByteView bytes, std::size_t number) {
  auto log = BootLog::open(bytes);
  BootEvent event;
  while (log.ok()) {
    const auto more = log->next(event);
    if (!more.ok() || !*more) break;
    if (event.number != number) continue;
    const std::string_view name = name_of(event.type);
    return name.empty() ? "" : " (" + std::string(name) + ")";
  }
  return {};
}

std::string explain_boot(const PcrState::Difference& difference, ByteView bytes) {
  const std::string log = "the boot log";
  const auto replayed = replay_boot_log(bytes);
  if (!replayed.ok()) return unusable(log, replayed.error());
  const Digest* const now = replayed->values.find(difference.found.algorithm(), difference.pcr);
  // Others extend what firmware does not.
  if (now == nullptr) return {};
  if (!(*now == difference.found)) return not_of_this_boot(log);
  PcrValues wanted;
  if (!wanted.set(difference.pcr, difference.wanted).ok()) return {};
  const auto verdicts = compare(bytes, *replayed, wanted);
  if (!verdicts.ok()) return unusable(log, verdicts.error());
  if (verdicts->size() != 1 || !verdicts->front().divergence) return {};
  const Divergence& divergence = *verdicts->front().divergence;
  return told(divergence, log, describe(bytes, divergence.event));
}

struct OwnRegister {
  std::vector<Extension> extensions;
  std::vector<std::string_view> names;
};

// Nothing, if the log is of another register or has not this bank.
Result<std::optional<OwnRegister>> read_own(const PcrState::Difference& difference,
                                            ByteView bytes) {
  CS_TRY(CelLog log, CelLog::open(bytes));
  OwnRegister found;
  CelRecord record;
  while (true) {
    CS_TRY(const bool more, log.next(record));
    if (!more) return std::optional(std::move(found));
    if (log.of() != CelRegister{CelRegister::Kind::pcr, difference.pcr}) break;
    const auto bank = std::ranges::find(log.banks(), difference.found.algorithm());
    if (bank == log.banks().end()) break;
    const auto at = static_cast<std::size_t>(bank - log.banks().begin());
    found.extensions.push_back({record.number, record.digests.at(at)});
    found.names.push_back(name_of(record.event));
  }
  return std::optional<OwnRegister>();
}

std::string explain_own(const PcrState::Difference& difference, ByteView bytes) {
  const std::string log = "our own log";
  const auto own = read_own(difference, bytes);
  if (!own.ok()) return unusable(log, own.error());
  if (!*own) return {};
  const auto& extensions = (*own)->extensions;
  const Digest start(difference.found.algorithm());
  Hasher hasher(start.algorithm());
  Digest now = start;
  for (const Extension& extension : extensions) now = hasher.hash({now.bytes(), extension.digest});
  if (!(now == difference.found)) return not_of_this_boot(log);
  const Divergence divergence = explain(start, extensions, difference.wanted, false);
  const auto& names = (*own)->names;
  const bool named = divergence.event < names.size();
  return told(divergence, log, named ? " (" + std::string(names[divergence.event]) + ")" : "");
}

// The list only grows, so it is enough to find where it was.
Result<std::string> explain_ima(const PcrState::Difference& difference, ByteView bytes) {
  PcrValues wanted;
  CS_CHECK(wanted.set(difference.pcr, difference.wanted));
  CS_TRY(ImaLog log, ImaLog::open(Input(bytes)));
  const std::array banks{difference.found.algorithm()};
  ImaReplay replay(log.listed(), banks, wanted);
  ImaEntry entry;
  std::uint64_t matched = 0;
  std::string since;
  bool of_this_pcr = false;
  while (true) {
    CS_TRY(const bool more, log.next(entry));
    if (!more) break;
    of_this_pcr = of_this_pcr || entry.pcr == difference.pcr;
    replay.add(entry);
    const auto match = replay.verdicts().front().match;
    if (match && match->entries != matched) {
      matched = match->entries;
    } else if (match && replay.entries() == matched + 1) {
      since = "it was sealed to the state before entry " + std::to_string(entry.number) +
              " of the IMA list (" + std::string(entry.name()) + ")";
    }
  }
  if (!of_this_pcr) return std::string();
  if (since.empty()) return std::string("no state of the IMA list is the one it was sealed to");
  return since;
}

}  // namespace

std::string explain_change(const PcrState::Difference& difference, const PcrLogs& logs) {
  std::string told;
  if (!logs.boot.empty()) told = explain_boot(difference, logs.boot);
  if (told.empty() && !logs.own.empty()) told = explain_own(difference, logs.own);
  if (told.empty() && !logs.ima.empty()) {
    const auto ima = explain_ima(difference, logs.ima);
    told = ima.ok() ? *ima : unusable("the IMA list", ima.error());
  }
  return told;
}

}  // namespace cs::tpm
