// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/peer_memory.h"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"

namespace cs::keyms {

namespace {

constexpr std::string_view what = "what is known of a peer";
constexpr std::uint64_t version = 1;
constexpr std::uint64_t most_count = std::numeric_limits<std::uint32_t>::max();

void write_mark(CborWriter& out, const LogMark& mark) {
  out.array(2).number(mark.records).bytes(mark.value);
}

Result<Hash> read_hash(CborReader& in, std::string_view name) {
  Hash hash{};
  CS_TRY(const ByteView bytes, in.exactly(name, hash.size()));
  std::ranges::copy(bytes, hash.begin());
  return hash;
}

Result<void> read_items(CborReader& in, std::string_view name, std::size_t wanted) {
  CS_TRY(const std::size_t items, in.array(name, wanted));
  if (items != wanted) return in.wrong(name, "is too short");
  return {};
}

Result<LogMark> read_mark(CborReader& in, std::string_view name) {
  LogMark mark;
  CS_CHECK(read_items(in, name, 2));
  CS_TRY(mark.records, in.number("its records"));
  CS_TRY(mark.value, read_hash(in, "its value"));
  return mark;
}

void write_clock(CborWriter& out, const tpm::ClockInfo& clock) {
  out.array(4).number(clock.clock).number(clock.reset_count).number(clock.restart_count);
  out.boolean(clock.safe);
}

Result<tpm::ClockInfo> read_clock(CborReader& in) {
  tpm::ClockInfo clock;
  CS_CHECK(read_items(in, "the clock", 4));
  CS_TRY(clock.clock, in.number("its time"));
  CS_TRY(const std::uint64_t resets, in.number("resetCount", most_count));
  CS_TRY(const std::uint64_t restarts, in.number("restartCount", most_count));
  CS_TRY(clock.safe, in.boolean("safe"));
  clock.reset_count = static_cast<std::uint32_t>(resets);
  clock.restart_count = static_cast<std::uint32_t>(restarts);
  return clock;
}

void write_ima(CborWriter& out, const ImaMark& mark) {
  out.array(6).number(mark.entries).number(mark.offset);
  out.number(static_cast<std::uint16_t>(mark.listed));
  out.bytes(mark.recomputed).bytes(mark.padded).bytes(mark.rules);
}

Result<ImaMark> read_ima(CborReader& in) {
  ImaMark mark;
  CS_CHECK(read_items(in, "IMA's list", 6));
  CS_TRY(mark.entries, in.number("its entries"));
  CS_TRY(mark.offset, in.number("its offset"));
  CS_TRY(const std::uint64_t number, in.number("its algorithm", 0xffff));
  const auto listed = tpm::hash_algorithm(static_cast<std::uint16_t>(number));
  if (!listed) return in.wrong("its algorithm", "is none we know");
  mark.listed = *listed;
  CS_TRY(mark.recomputed, read_hash(in, "PCR 10"));
  CS_TRY(mark.padded, read_hash(in, "PCR 10"));
  CS_TRY(mark.rules, read_hash(in, "its rules"));
  return mark;
}

Result<void> read_of_boot(CborReader& in, PeerMemory& memory) {
  CS_CHECK(in.key(5, "the static log"));
  CS_TRY(memory.static_log, read_mark(in, "the static log"));
  CS_CHECK(in.key(6, "the event log"));
  CS_TRY(memory.event_log, read_mark(in, "the event log"));
  if (in.has_key(7)) {
    CS_TRY(memory.configuration, read_hash(in, "the configuration"));
  }
  if (in.has_key(8)) {
    CS_TRY(memory.ima, read_ima(in));
  }
  CS_CHECK(in.key(9, "what was acknowledged"));
  CS_TRY(memory.acknowledged, in.number("what was acknowledged"));
  return {};
}

}  // namespace

Result<std::vector<std::uint8_t>> PeerMemory::encode() const {
  const std::size_t name = attestation_key.bytes.size();
  if (name == 0 || name > tpm::most_name) {
    return Error(ErrorKind::invalid, "writing " + std::string(what) + ": no key's Name");
  }
  const std::size_t optional =
      (proven_under ? 1U : 0U) + (configuration ? 1U : 0U) + (ima ? 1U : 0U);
  CborWriter out(max_peer_memory);
  out.map(7 + optional).key(0).number(version).key(1).bytes(attestation_key.bytes);
  if (proven_under) out.key(2).bytes(*proven_under);
  write_clock(out.key(3), clock);
  out.key(4).number(firmware);
  write_mark(out.key(5), static_log);
  write_mark(out.key(6), event_log);
  if (configuration) out.key(7).bytes(*configuration);
  if (ima) write_ima(out.key(8), *ima);
  out.key(9).number(acknowledged);
  return out.finish(what);
}

Result<PeerMemory> PeerMemory::decode(ByteView bytes) {
  CborReader in(bytes, what);
  PeerMemory memory;
  CS_CHECK(in.begin_map("it", 10));
  CS_CHECK(in.key(0, "the version"));
  CS_TRY(const std::uint64_t found, in.number("the version"));
  if (found != version) return in.wrong("the version", "is not 1");
  CS_CHECK(in.key(1, "the attestation key"));
  CS_TRY(const ByteView name, in.bytes("the attestation key", tpm::most_name));
  if (name.empty()) return in.wrong("the attestation key", "has no Name");
  memory.attestation_key.bytes.assign(name.begin(), name.end());
  if (in.has_key(2)) {
    CS_TRY(memory.proven_under, read_hash(in, "the vendor roots"));
  }
  CS_CHECK(in.key(3, "the clock"));
  CS_TRY(memory.clock, read_clock(in));
  CS_CHECK(in.key(4, "the firmware"));
  CS_TRY(memory.firmware, in.number("the firmware"));
  CS_CHECK(read_of_boot(in, memory));
  CS_CHECK(in.end_map("it"));
  CS_CHECK(in.end());
  return memory;
}

}  // namespace cs::keyms
