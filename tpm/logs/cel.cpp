// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/cel.h"

#include <algorithm>
#include <utility>

#include "base/byte_writer.h"

namespace cs::tpm {

namespace {

// The types of a record's fields. PCR and NV index are CelRegister::Kind.
constexpr std::uint8_t number_type = 0;
constexpr std::uint8_t digests_type = 3;
constexpr std::uint8_t content_type = 0xc5;  // ours: the specification gives it to nobody

constexpr std::size_t content_digest_size = 32;
constexpr std::size_t most_digests = 512;

constexpr std::array<std::pair<CelEvent, std::string_view>, 8> names{{
    {CelEvent::core_properties, "core properties"},
    {CelEvent::configuration, "configuration"},
    {CelEvent::certificate_valid, "certificate valid"},
    {CelEvent::certificate_revoked, "certificate revoked"},
    {CelEvent::drift, "drift"},
    {CelEvent::healing, "healing"},
    {CelEvent::foreign, "foreign event"},
    {CelEvent::measured, "measured"},
}};

std::uint8_t type_of(HashAlgorithm bank) noexcept {
  return static_cast<std::uint8_t>(bank);
}

// Empty if it may be; else what is wrong with it.
std::string_view fault_of(const CelRegister& of) noexcept {
  if (of.kind == CelRegister::Kind::nv_index) {
    return of.number >> 24U == 0x01 ? "" : "an NV index is 0x01000000 to 0x01ffffff";
  }
  // 17 to 22 are reset by a late launch, to another value than by the machine's reset.
  const bool ours = of.number <= 16 || of.number == 23;
  return ours ? "" : "a log is of PCR 0 to 16 or 23";
}

std::string_view fault_of(CelEvent event, ByteView content) noexcept {
  if (name_of(event).empty()) return "an event of no known type";
  if (!has_text(event)) {
    return content.size() == content_digest_size ? "" : "the digest has not 32 bytes";
  }
  if (content.empty() || content.size() > most_cel_content) return "a text has 1 to 1024 bytes";
  const auto printable = [](std::uint8_t byte) { return byte >= ' ' && byte <= '~'; };
  return std::ranges::all_of(content, printable) ? "" : "a text is printable ASCII";
}

std::string_view fault_of(const CelRegister& of, std::span<const HashAlgorithm> banks) noexcept {
  if (banks.empty()) return "a record without a digest";
  if (of.kind == CelRegister::Kind::nv_index && banks.size() > 1) {
    return "an NV index has one hash algorithm";
  }
  for (std::size_t i = 1; i < banks.size(); ++i) {
    if (banks[i - 1] >= banks[i])
      return "digests in ascending order of their algorithms, each once";
  }
  return {};
}

std::vector<std::uint8_t> content_field(CelEvent event, ByteView content) {
  ByteBuilder inner(most_cel_record);
  inner.u8(static_cast<std::uint8_t>(event)).vec32be(content);
  ByteBuilder field(most_cel_record);
  return field.u8(content_type)
      .vec32be(inner.finish("a content").value())
      .finish("a field")
      .value();
}

Result<std::vector<std::uint8_t>> write_record(std::uint64_t number, const CelRegister& of,
                                               std::span<const Digest> digests, ByteView content) {
  ByteBuilder inner(most_digests);
  for (const Digest& digest : digests)
    inner.u8(type_of(digest.algorithm())).vec32be(digest.bytes());
  CS_TRY(const auto all_digests, inner.finish("the digests of a CEL record"));
  ByteBuilder record(most_cel_record);
  record.u8(number_type).u32be(sizeof(number)).u64be(number).u8(static_cast<std::uint8_t>(of.kind));
  if (of.kind == CelRegister::Kind::pcr) {
    record.u32be(1).u8(static_cast<std::uint8_t>(of.number));
  } else {
    record.u32be(sizeof(of.number)).u32be(of.number);
  }
  return record.u8(digests_type).vec32be(all_digests).bytes(content).finish("a CEL record");
}

Result<void> check_writable(const CelRegister& of, std::span<const HashAlgorithm> banks,
                            CelEvent event, ByteView content) {
  for (const std::string_view fault :
       {fault_of(of), fault_of(of, banks), fault_of(event, content)}) {
    if (!fault.empty()) {
      return Error(ErrorKind::invalid, "writing a CEL record: " + std::string(fault));
    }
  }
  return {};
}

}  // namespace

std::string_view name_of(CelEvent event) noexcept {
  const auto* const row =
      std::ranges::find(names, event, [](const auto& pair) { return pair.first; });
  return row == names.end() ? std::string_view() : row->second;
}

bool has_text(CelEvent event) noexcept {
  return event == CelEvent::drift || event == CelEvent::healing || event == CelEvent::foreign;
}

Digest cel_digest(HashAlgorithm bank, CelEvent event, ByteView content) {
  return Hasher(bank).hash({content_field(event, content)});
}

Result<std::vector<std::uint8_t>> write_cel_record(std::uint64_t number, const CelRegister& of,
                                                   std::span<const HashAlgorithm> banks,
                                                   CelEvent event, ByteView content) {
  CS_CHECK(check_writable(of, banks, event, content));
  if (event == CelEvent::foreign) {
    return Error(ErrorKind::invalid, "writing a CEL record: a foreign event has its own digests");
  }
  std::vector<Digest> digests;
  for (const HashAlgorithm bank : banks) digests.push_back(cel_digest(bank, event, content));
  return write_record(number, of, digests, content_field(event, content));
}

Result<std::vector<std::uint8_t>> write_foreign_cel_record(std::uint64_t number,
                                                           const CelRegister& of,
                                                           std::span<const Digest> digests,
                                                           std::string_view reason) {
  const std::vector<std::uint8_t> text(reason.begin(), reason.end());
  std::vector<HashAlgorithm> banks;
  for (const Digest& digest : digests) banks.push_back(digest.algorithm());
  CS_CHECK(check_writable(of, banks, CelEvent::foreign, text));
  return write_record(number, of, digests, content_field(CelEvent::foreign, text));
}

Error CelLog::wrong(ErrorKind kind, std::string_view what) const {
  return {kind, "event log: record " + std::to_string(number_) + " at offset " +
                    std::to_string(good_until_) + ": " + std::string(what)};
}

Result<CelLog> CelLog::open(ByteView bytes) {
  if (bytes.empty()) return Error(ErrorKind::truncated, "event log: it is empty");
  if (bytes.size() > most_cel_log) {
    return Error(ErrorKind::limit, "event log: " + std::to_string(bytes.size()) +
                                       " bytes, at most " + std::to_string(most_cel_log));
  }
  return CelLog(bytes);
}

Result<bool> CelLog::next(CelRecord& out) {
  if (failed_) return *failed_;
  auto more = read_next(out);
  if (more.ok()) return more;
  failed_ = more.error();
  // A file that grew before its bytes arrived ends with zeros, as no record begins.
  const ByteView rest = bytes_.subspan(good_until_);
  if (std::ranges::all_of(rest, [](std::uint8_t byte) { return byte == 0; })) {
    failed_ = wrong(ErrorKind::truncated, "it is torn: only zeros are there");
  }
  return *failed_;
}

Result<bool> CelLog::read_next(CelRecord& out) {
  if (reader_.remaining() == 0) return false;
  out = CelRecord{};
  out.number = number_;
  out.offset = good_until_;
  CS_CHECK(read_number());
  CS_CHECK(read_register());
  CS_CHECK(read_digests(out));
  CS_CHECK(read_content(out));
  ++number_;
  good_until_ = reader_.position();
  return true;
}

// The value of a field that must be of `type`.
Result<ByteReader> CelLog::read_field(ByteReader& from, std::uint8_t type,
                                      std::string_view what) const {
  std::uint8_t found = 0;
  std::uint32_t size = 0;
  ByteReader value;
  if (!from.u8(found) || !from.u32be(size)) {
    return wrong(ErrorKind::truncated, "it is torn before " + std::string(what));
  }
  if (found != type) {
    return wrong(ErrorKind::invalid, "a field of type " + std::to_string(found) + " where " +
                                         std::string(what) + ", type " + std::to_string(type) +
                                         ", belongs");
  }
  if (size > most_cel_record) {
    return wrong(ErrorKind::limit, std::string(what) + " of " + std::to_string(size) +
                                       " bytes, at most " + std::to_string(most_cel_record));
  }
  if (!from.nested(size, value)) {
    return wrong(ErrorKind::truncated, "it is torn within " + std::string(what));
  }
  return value;
}

Result<void> CelLog::read_number() {
  CS_TRY(ByteReader value, read_field(reader_, number_type, "the record's number"));
  std::uint64_t number = 0;
  if (!value.u64be(number) || !value.expect_end()) {
    return wrong(ErrorKind::invalid, "its number has not 8 bytes");
  }
  if (number != number_) {
    return wrong(ErrorKind::invalid, "it has the number " + std::to_string(number));
  }
  return {};
}

Result<void> CelLog::read_register() {
  ByteReader ahead = reader_;
  CelRegister of;
  std::uint8_t type = 0;
  if (ahead.u8(type) && type == static_cast<std::uint8_t>(CelRegister::Kind::nv_index)) {
    of.kind = CelRegister::Kind::nv_index;
  }
  CS_TRY(ByteReader value,
         read_field(reader_, static_cast<std::uint8_t>(of.kind), "the PCR or NV index"));
  std::uint8_t pcr = 0;
  const bool whole = of.kind == CelRegister::Kind::pcr ? value.u8(pcr) : value.u32be(of.number);
  if (!whole || !value.expect_end()) {
    return wrong(ErrorKind::invalid, "a PCR has 1 byte, an NV index 4");
  }
  if (of.kind == CelRegister::Kind::pcr) of.number = pcr;
  if (const auto fault = fault_of(of); !fault.empty()) return wrong(ErrorKind::invalid, fault);
  if (number_ > 0 && of != of_) {
    return wrong(ErrorKind::invalid, "it is of another register than the first");
  }
  of_ = of;
  return {};
}

Result<void> CelLog::read_first_digests(ByteReader digests) {
  bank_count_ = 0;
  hashers_.clear();
  std::uint8_t type = 0;
  ByteView ignored;
  while (digests.remaining() > 0) {
    if (!digests.u8(type) || !digests.vec32be(Digest::most, ignored)) {
      return wrong(ErrorKind::invalid, "a digest goes beyond its field");
    }
    const auto bank = hash_algorithm(std::uint16_t{type});
    if (!bank) {
      return wrong(ErrorKind::unsupported,
                   "hash algorithm " + std::to_string(type) + " is not known here");
    }
    if (bank_count_ == banks_.size()) return wrong(ErrorKind::limit, "a bank has two digests");
    banks_.at(bank_count_++) = *bank;
    hashers_.emplace_back(*bank);
  }
  if (const auto fault = fault_of(of_, banks()); !fault.empty()) {
    return wrong(ErrorKind::invalid, fault);
  }
  return {};
}

Result<void> CelLog::read_digests(CelRecord& out) {
  CS_TRY(ByteReader digests, read_field(reader_, digests_type, "the digests"));
  if (number_ == 0) CS_CHECK(read_first_digests(digests));
  for (std::size_t i = 0; i < bank_count_; ++i) {
    std::uint8_t type = 0;
    if (!digests.u8(type) || type != type_of(banks_.at(i)) ||
        !digests.vec32be(Digest::most, out.digests.at(i)) ||
        out.digests.at(i).size() != digest_size(banks_.at(i))) {
      return wrong(ErrorKind::invalid, "no digest of " + std::string(to_string(banks_.at(i))) +
                                           " where the first record has one");
    }
  }
  if (!digests.expect_end()) {
    return wrong(ErrorKind::invalid, "more digests than the first record has");
  }
  return {};
}

Result<void> CelLog::read_content(CelRecord& out) {
  const ByteView from_here = bytes_.subspan(reader_.position());
  CS_TRY(ByteReader content, read_field(reader_, content_type, "the content"));
  const ByteView field = from_here.first(from_here.size() - reader_.remaining());
  std::uint8_t event = 0;
  if (!content.u8(event) || !content.vec32be(most_cel_content, out.content) ||
      !content.expect_end()) {
    return wrong(ErrorKind::invalid, "its content is not one event");
  }
  out.event = static_cast<CelEvent>(event);
  if (const auto fault = fault_of(out.event, out.content); !fault.empty()) {
    return wrong(ErrorKind::invalid, fault);
  }
  if (out.event == CelEvent::foreign) return {};
  return check_digests(out, field);
}

Result<void> CelLog::check_digests(const CelRecord& record, ByteView field) {
  for (std::size_t i = 0; i < bank_count_; ++i) {
    if (!std::ranges::equal(hashers_.at(i).hash({field}).bytes(), record.digests.at(i))) {
      return wrong(ErrorKind::unverified, "its digest of " + std::string(to_string(banks_.at(i))) +
                                              " is not that of its content");
    }
  }
  return {};
}

Result<CelReplay> replay_cel(ByteView bytes) {
  CS_TRY(CelLog log, CelLog::open(bytes));
  CelReplay replayed;
  std::vector<Hasher> hashers;
  CelRecord record;
  while (true) {
    CS_TRY(const bool more, log.next(record));
    if (!more) break;
    if (replayed.records++ == 0) {
      replayed.of = log.of();
      for (const HashAlgorithm bank : log.banks()) {
        replayed.values.emplace_back(bank);
        hashers.emplace_back(bank);
      }
    }
    for (std::size_t i = 0; i < hashers.size(); ++i) {
      Digest& value = replayed.values[i];
      value = hashers[i].hash({value.bytes(), record.digests.at(i)});
    }
  }
  return replayed;
}

}  // namespace cs::tpm
