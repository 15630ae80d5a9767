// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/predict.h"

#include <algorithm>
#include <string>
#include <utility>

namespace cs::keyms {

namespace {

using tpm::CelEvent;
using tpm::CelRegister;

constexpr std::uint32_t ima_pcr = 10;
constexpr std::uint32_t first_dynamic_pcr = 16;  // from here on they are reset while it runs

Error refused(std::uint32_t pcr, std::string_view why) {
  return Error(ErrorKind::invalid,
               "sealing to PCR " + std::to_string(pcr) + ": " + std::string(why))
      .with_hint("take boot registers, as sha256:0,1,2,3,4,5,6,7");
}

// Of SHA-256; zeros, as after a reset, for a log that is empty.
Result<tpm::Digest> value_of(std::uint32_t static_pcr, ByteView log) {
  tpm::Digest value(tpm::HashAlgorithm::sha256);
  if (log.empty()) return value;
  CS_TRY(const tpm::CelReplay replayed, tpm::replay_cel(log));
  if (replayed.of != CelRegister{CelRegister::Kind::pcr, static_pcr}) {
    return Error(ErrorKind::invalid,
                 "the log is not of PCR " + std::to_string(static_pcr) + ", the static register");
  }
  const auto found = std::ranges::find(replayed.values, value.algorithm(), &tpm::Digest::algorithm);
  if (found != replayed.values.end()) return *found;
  return Error(ErrorKind::unsupported, "the static log is without the bank sha256");
}

}  // namespace

Result<tpm::Bytes> log_of_start(const Start& start, const InForce& in_force) {
  const CelRegister of{CelRegister::Kind::pcr, start.static_pcr};
  std::vector<tpm::HashAlgorithm> banks = start.banks;
  std::ranges::sort(banks);
  tpm::Bytes log;
  std::uint64_t number = 0;
  const auto add = [&log, &number](const tpm::Bytes& record) {
    log.insert(log.end(), record.begin(), record.end());
    ++number;
  };
  for (const auto& event : start.explained) {
    CS_TRY(const auto record, write_foreign_cel_record(number, of, event.digests, event.reason));
    add(record);
  }
  for (const Hash& value : in_force.policies) {
    CS_TRY(const auto record,
           write_cel_record(number, of, banks, CelEvent::core_properties, value));
    add(record);
  }
  CS_TRY(const auto last,
         write_cel_record(number, of, banks, CelEvent::configuration, in_force.configuration));
  add(last);
  return log;
}

Result<tpm::Bytes> log_after(ByteView log, const Hash& value) {
  CS_TRY(tpm::CelLog reader, tpm::CelLog::open(log));
  tpm::CelRecord record;
  std::uint64_t number = 0;
  for (;; ++number) {
    CS_TRY(const bool more, reader.next(record));
    if (!more) break;
    if (record.event == CelEvent::core_properties && std::ranges::equal(record.content, value)) {
      return Error(ErrorKind::exists, "that policy came into force in this boot before");
    }
  }
  CS_TRY(const auto next,
         write_cel_record(number, reader.of(), reader.banks(), CelEvent::core_properties, value));
  tpm::Bytes after(log.begin(), log.end());
  after.insert(after.end(), next.begin(), next.end());
  return after;
}

Result<void> check_boot_registers(const tpm::PcrSelection& boot, std::uint32_t static_pcr,
                                  const CelRegister& events) {
  for (const auto& bank : boot.banks) {
    const auto has = [&bank](std::uint32_t pcr) { return (bank.registers >> pcr & 1U) != 0; };
    if (has(ima_pcr)) return refused(ima_pcr, "IMA extends it with each file that is opened");
    if (has(static_pcr)) return refused(static_pcr, "as the static register it is there already");
    if (events.kind == CelRegister::Kind::pcr && has(events.number)) {
      return refused(events.number, "it is the event register, which never rests");
    }
    for (std::uint32_t pcr = first_dynamic_pcr; pcr < tpm::pcr_count; ++pcr) {
      if (has(pcr)) return refused(pcr, "it is reset while the machine runs");
    }
  }
  return {};
}

Result<tpm::PcrState> sealing_state(const tpm::PcrState& boot, std::uint32_t static_pcr,
                                    ByteView log) {
  CS_TRY(const tpm::Digest value, value_of(static_pcr, log));
  tpm::PcrSelection selection = boot.selection();
  const auto bank = std::ranges::find(selection.banks, tpm::HashAlgorithm::sha256,
                                      &tpm::PcrSelection::Bank::algorithm);
  const std::uint32_t bit = static_pcr < tpm::pcr_count ? 1U << static_pcr : 0;
  if (bank == selection.banks.end()) {
    selection.banks.push_back({tpm::HashAlgorithm::sha256, bit});
  } else if ((bank->registers & bit) != 0) {
    return refused(static_pcr, "as the static register it is there already");
  } else {
    bank->registers |= bit;
  }
  tpm::PcrValues values = boot.values();
  CS_CHECK(values.set(static_pcr, value));
  return tpm::PcrState::of(std::move(selection), values);
}

}  // namespace cs::keyms
