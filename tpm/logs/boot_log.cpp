// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/boot_log.h"

#include <algorithm>
#include <string>
#include <utility>

namespace cs::tpm {

namespace {

using Type = BootEventType;
using Text16 = std::array<std::uint8_t, 16>;

constexpr Text16 agile_signature{'S', 'p', 'e', 'c', ' ', 'I', 'D', ' ',
                                 'E', 'v', 'e', 'n', 't', '0', '3', 0};
constexpr Text16 locality_signature{'S', 't', 'a', 'r', 't', 'u', 'p', 'L',
                                    'o', 'c', 'a', 'l', 'i', 't', 'y', 0};

bool begins_with(ByteView data, const Text16& signature) noexcept {
  return data.size() >= signature.size() &&
         std::ranges::equal(data.first(signature.size()), signature);
}

// Where nothing but zeros follows.
std::size_t end_of(ByteView bytes) noexcept {
  const auto last = std::find_if(bytes.rbegin(), bytes.rend(), [](auto byte) { return byte != 0; });
  return static_cast<std::size_t>(bytes.rend() - last);
}

}  // namespace

std::optional<std::uint8_t> BootEvent::startup_locality() const noexcept {
  if (type != Type::no_action || pcr != 0 || !begins_with(data, locality_signature) ||
      data.size() != locality_signature.size() + 1) {
    return {};
  }
  return data.back();
}

Error BootLog::wrong(ErrorKind kind, std::string_view what) const {
  return {kind, "boot log: event " + std::to_string(number_) + " at offset " +
                    std::to_string(offset_) + ": " + std::string(what)};
}

Error BootLog::cut() const {
  return reader_.failure("event " + std::to_string(number_) + " of the boot log");
}

Result<BootLog> BootLog::open(ByteView bytes) {
  if (bytes.size() > most_boot_log) {
    return Error(ErrorKind::limit, "boot log: " + std::to_string(bytes.size()) +
                                       " bytes, at most " + std::to_string(most_boot_log));
  }
  BootLog log(bytes);
  log.end_ = end_of(bytes);
  if (log.end_ == 0) {
    return Error(ErrorKind::truncated, "boot log: it is empty")
        .with_hint("firmware that extends leaves a log; is this the right file");
  }
  BootEvent first;
  CS_CHECK(log.read_old_event(first));
  if (first.type == Type::no_action && begins_with(first.data, agile_signature)) {
    CS_CHECK(log.read_header(first.data, log.reader_.position() - first.data.size()));
  } else {
    CS_CHECK(log.add_algorithm(static_cast<std::uint16_t>(HashAlgorithm::sha1), 20));
  }
  log.reader_ = ByteReader(bytes);  // next() tells the first event too
  return log;
}

Result<void> BootLog::read_header(ByteView data, std::size_t offset) {
  ByteReader header(data);
  std::uint32_t count = 0;
  // The signature, then: platform class, version and errata, size of a native word.
  if (!header.skip(agile_signature.size() + 8) || !header.u32le(count)) {
    return header.failure("the boot log's header at offset " + std::to_string(offset));
  }
  if (count == 0 || count > most_boot_banks) {
    return wrong(ErrorKind::limit, std::to_string(count) + " hash algorithms, not 1 to " +
                                       std::to_string(most_boot_banks));
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint16_t number = 0;
    std::uint16_t size = 0;
    if (!header.u16le(number) || !header.u16le(size)) {
      return header.failure("the boot log's header at offset " + std::to_string(offset));
    }
    CS_CHECK(add_algorithm(number, size));
  }
  ByteView vendor;
  if (!header.vec8(UINT8_MAX, vendor) || !header.expect_end()) {
    return header.failure("the boot log's header at offset " + std::to_string(offset));
  }
  if (known_ == 0) {
    return wrong(ErrorKind::unsupported, "none of its hash algorithms is known here");
  }
  agile_ = true;
  return {};
}

Result<void> BootLog::add_algorithm(std::uint16_t number, std::uint16_t size) {
  const auto stated = std::span(algorithms_).first(stated_);
  if (std::ranges::find(stated, number, &Algorithm::number) != stated.end()) {
    return wrong(ErrorKind::invalid,
                 "hash algorithm " + std::to_string(number) + " is stated twice");
  }
  if (size == 0 || size > Digest::most) {
    return wrong(ErrorKind::limit, "digests of " + std::to_string(size) + " bytes, not 1 to " +
                                       std::to_string(Digest::most));
  }
  if (const auto known = hash_algorithm(number)) {
    if (digest_size(*known) != size) {
      return wrong(ErrorKind::invalid, std::string(to_string(*known)) + " with digests of " +
                                           std::to_string(size) + " bytes");
    }
    banks_.at(known_++) = *known;
  }
  algorithms_.at(stated_++) = {number, size};
  return {};
}

Result<bool> BootLog::next(BootEvent& out) {
  if (failed_) return *failed_;
  auto more = read_next(out);
  if (!more.ok()) failed_ = more.error();
  return more;
}

Result<bool> BootLog::read_next(BootEvent& out) {
  offset_ = reader_.position();
  if (offset_ >= end_) return false;
  if (number_ == most_boot_events) {
    return wrong(ErrorKind::limit, "more than " + std::to_string(most_boot_events) + " events");
  }
  const bool old_form = !agile_ || number_ == 0;
  CS_CHECK(old_form ? read_old_event(out) : read_agile_event(out));
  if (out.extends() && out.pcr >= pcr_count) {
    return wrong(ErrorKind::invalid, "there is no PCR " + std::to_string(out.pcr))
        .with_hint("the log ends before this, or is no boot log");
  }
  ++number_;
  return true;
}

Result<void> BootLog::read_old_event(BootEvent& out) {
  std::uint32_t type = 0;
  out = BootEvent{};
  out.number = number_;
  out.offset = offset_;
  if (!reader_.u32le(out.pcr) || !reader_.u32le(type) ||
      !reader_.take(digest_size(HashAlgorithm::sha1), out.digests[0]) ||
      !reader_.vec32le(most_boot_event_data, out.data)) {
    return cut();
  }
  out.type = static_cast<Type>(type);
  return {};
}

Result<void> BootLog::read_agile_event(BootEvent& out) {
  std::uint32_t type = 0;
  std::uint32_t count = 0;
  out = BootEvent{};
  out.number = number_;
  out.offset = offset_;
  if (!reader_.u32le(out.pcr) || !reader_.u32le(type) || !reader_.u32le(count)) return cut();
  out.type = static_cast<Type>(type);
  CS_CHECK(read_digests(count, out));
  if (!reader_.vec32le(most_boot_event_data, out.data)) return cut();
  return {};
}

Result<void> BootLog::read_digests(std::uint32_t count, BootEvent& out) {
  if (count > stated_) {
    return wrong(ErrorKind::limit, std::to_string(count) + " digests, but the log has " +
                                       std::to_string(stated_) + " hash algorithms");
  }
  std::uint32_t seen = 0;  // bit n: algorithms_[n]
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint16_t number = 0;
    if (!reader_.u16le(number)) return cut();
    const auto stated = std::span(algorithms_).first(stated_);
    const auto algorithm = std::ranges::find(stated, number, &Algorithm::number);
    if (algorithm == stated.end()) {
      return wrong(ErrorKind::invalid, "hash algorithm " + std::to_string(number) +
                                           " is not one the log's header states");
    }
    const std::uint32_t bit = 1U << static_cast<std::uint32_t>(algorithm - stated.begin());
    if ((seen & bit) != 0) {
      return wrong(ErrorKind::invalid, "two digests of hash algorithm " + std::to_string(number));
    }
    seen |= bit;
    ByteView digest;
    if (!reader_.take(algorithm->size, digest)) return cut();
    const auto bank = std::ranges::find(banks(), hash_algorithm(number));
    if (bank != banks().end())
      out.digests.at(static_cast<std::size_t>(bank - banks().begin())) = digest;
  }
  return {};
}

}  // namespace cs::tpm
