// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <limits>

#include "keyms/session/message_bodies.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t most_u32 = std::numeric_limits<std::uint32_t>::max();

bool is_code(std::string_view text) noexcept {
  return !text.empty() && text.size() <= most_code && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

void write(CborWriter& out, const std::vector<Reason>& reasons) {
  out.map(1).key(0).array(reasons.size());
  for (const Reason& reason : reasons) write(out, reason);
}

Result<std::vector<Reason>> read_reasons(CborReader& in) {
  CS_CHECK(in.begin_map("the body", 1));
  CS_CHECK(in.key(0, "the reasons"));
  CS_TRY(const std::size_t count, in.array("the reasons", most_reasons));
  if (count == 0) return in.wrong("the reasons", "are none");
  std::vector<Reason> reasons;
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(Reason reason, read_reason(in));
    reasons.push_back(std::move(reason));
  }
  CS_CHECK(in.end_map("the body"));
  return reasons;
}

Result<void> read_empty(CborReader& in) {
  CS_CHECK(in.begin_map("the body", 0));
  return in.end_map("the body");
}

Result<std::size_t> begin_sas(CborReader& in) {
  CS_CHECK(in.begin_map("the body", 1));
  CS_CHECK(in.key(0, "the SAs"));
  CS_TRY(const std::size_t count, in.array("the SAs", most_sas));
  if (count == 0) return in.wrong("the SAs", "are none");
  return count;
}

// The SPI and the sense, which both lists begin with.
Result<SasGone::Gone> read_sa_name(CborReader& in, std::size_t parts) {
  CS_TRY(const std::size_t fields, in.array("an SA", parts));
  if (fields != parts) return in.wrong("an SA", "has not as many parts as it must");
  SasGone::Gone name;
  CS_TRY(const std::uint64_t spi, in.number("an SPI", most_u32));
  // Below 256 the SPI means something else (RFC 4303).
  if (spi < 256) return in.wrong("an SPI", "is below 256");
  name.spi = static_cast<std::uint32_t>(spi);
  CS_TRY(const std::uint64_t sense, in.number("an SA's sense", 2));
  if (sense == 0) return in.wrong("an SA's sense", "is 0");
  name.sense = static_cast<std::uint8_t>(sense);
  return name;
}

}  // namespace

Result<Bytes> read_bytes(CborReader& in, std::string_view what, std::size_t most) {
  CS_TRY(const ByteView bytes, in.bytes(what, most));
  if (bytes.empty()) return in.wrong(what, "is empty");
  return Bytes(bytes.begin(), bytes.end());
}

Result<Hash> read_hash(CborReader& in, std::string_view what) {
  CS_TRY(const ByteView bytes, in.exactly(what, Hash{}.size()));
  Hash out{};
  std::ranges::copy(bytes, out.begin());
  return out;
}

Result<std::string> read_text(CborReader& in, std::string_view what) {
  CS_TRY(const std::string_view text, in.text(what, most_text));
  if (text.empty()) return in.wrong(what, "is empty");
  return std::string(text);
}

void write(CborWriter& out, const Reason& reason) {
  out.array(2).text(reason.code).text(reason.text);
}

Result<Reason> read_reason(CborReader& in) {
  CS_TRY(const std::size_t fields, in.array("a reason", 2));
  if (fields != 2) return in.wrong("a reason", "has not two parts");
  CS_TRY(const std::string_view code, in.text("a reason's code", most_code));
  if (!is_code(code)) return in.wrong("a reason's code", "is none");
  CS_TRY(std::string text, read_text(in, "a reason's text"));
  return Reason{std::string(code), std::move(text)};
}

void write(CborWriter& out, const Sas& sas) {
  out.map(1).key(0).array(sas.sas.size());
  for (const SaValue& sa : sas.sas) {
    out.array(5).number(sa.spi).number(sa.sense).number(sa.protocol).text(sa.algorithms);
    out.bytes(sa.value);
  }
}

Result<Sealed> read_sas(CborReader& in) {
  Sas out;
  CS_TRY(const std::size_t count, begin_sas(in));
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(const SasGone::Gone name, read_sa_name(in, 5));
    SaValue sa{name.spi, name.sense, 0, {}, {}};
    CS_TRY(const std::uint64_t protocol, in.number("an SA's protocol", 51));
    if (protocol < 50) return in.wrong("an SA's protocol", "is neither ESP nor AH");
    sa.protocol = static_cast<std::uint8_t>(protocol);
    CS_TRY(sa.algorithms, read_text(in, "an SA's algorithms"));
    CS_TRY(sa.value, read_hash(in, "an SA's value"));
    out.sas.push_back(std::move(sa));
  }
  CS_CHECK(in.end_map("the body"));
  return Sealed(std::move(out));
}

void write(CborWriter& out, const SasGone& gone) {
  out.map(1).key(0).array(gone.sas.size());
  for (const SasGone::Gone& sa : gone.sas) out.array(2).number(sa.spi).number(sa.sense);
}

Result<Sealed> read_gone(CborReader& in) {
  SasGone out;
  CS_TRY(const std::size_t count, begin_sas(in));
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(const SasGone::Gone name, read_sa_name(in, 2));
    out.sas.push_back(name);
  }
  CS_CHECK(in.end_map("the body"));
  return Sealed(std::move(out));
}

void write(CborWriter& out, const Notice& notice) {
  out.map(2).key(0).number(static_cast<std::uint8_t>(notice.kind)).key(1).text(notice.text);
}

Result<Sealed> read_notice(CborReader& in) {
  Notice notice;
  CS_CHECK(in.begin_map("the body", 2));
  CS_CHECK(in.key(0, "the kind"));
  constexpr auto last = static_cast<std::uint8_t>(NoticeKind::acknowledged);
  CS_TRY(const std::uint64_t kind, in.number("the kind", last));
  if (kind == 0) return in.wrong("the kind", "is 0");
  notice.kind = static_cast<NoticeKind>(kind);
  CS_CHECK(in.key(1, "the text"));
  CS_TRY(notice.text, read_text(in, "the text"));
  CS_CHECK(in.end_map("the body"));
  return Sealed(std::move(notice));
}

void write(CborWriter& out, const Denied& denied) {
  write(out, denied.reasons);
}
void write(CborWriter& out, const Deny& deny) {
  write(out, deny.reasons);
}
void write(CborWriter& out, const Ready& /*ready*/) {
  out.map(0);
}
void write(CborWriter& out, const Alive& /*alive*/) {
  out.map(0);
}

Result<Sealed> read_denied(CborReader& in) {
  CS_TRY(std::vector<Reason> reasons, read_reasons(in));
  return Sealed(Denied{std::move(reasons)});
}
Result<Sealed> read_deny(CborReader& in) {
  CS_TRY(std::vector<Reason> reasons, read_reasons(in));
  return Sealed(Deny{std::move(reasons)});
}
Result<Sealed> read_ready(CborReader& in) {
  CS_CHECK(read_empty(in));
  return Sealed(Ready{});
}
Result<Sealed> read_alive(CborReader& in) {
  CS_CHECK(read_empty(in));
  return Sealed(Alive{});
}

}  // namespace cs::keyms
