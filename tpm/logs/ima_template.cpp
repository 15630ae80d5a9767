// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/ima_template.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "base/endian.h"
#include "base/hex.h"

namespace cs::tpm {

namespace {

using Field = ImaField;

constexpr std::array<std::pair<std::string_view, Field>, 16> field_names{{
    {"d", Field::d},
    {"d-ng", Field::d_ng},
    {"d-ngv2", Field::d_ngv2},
    {"d-modsig", Field::d_modsig},
    {"n", Field::n},
    {"n-ng", Field::n_ng},
    {"sig", Field::sig},
    {"modsig", Field::modsig},
    {"buf", Field::buf},
    {"evmsig", Field::evmsig},
    {"xattrnames", Field::xattrnames},
    {"xattrlengths", Field::xattrlengths},
    {"xattrvalues", Field::xattrvalues},
    {"iuid", Field::iuid},
    {"igid", Field::igid},
    {"imode", Field::imode},
}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 8> template_names{{
    {"ima", "d|n"},
    {"ima-ng", "d-ng|n-ng"},
    {"ima-ngv2", "d-ngv2|n-ng"},
    {"ima-sig", "d-ng|n-ng|sig"},
    {"ima-sigv2", "d-ngv2|n-ng|sig"},
    {"ima-buf", "d-ng|n-ng|buf"},
    {"ima-modsig", "d-ng|n-ng|sig|d-modsig|modsig"},
    {"evm-sig", "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode"},
}};

// What stands before the next `separator`, which goes too; nothing if that was the last.
std::optional<std::string_view> cut(std::optional<std::string_view>& text, char separator) {
  if (!text) return {};
  const auto end = text->find(separator);
  const auto part = text->substr(0, end);
  text = end == std::string_view::npos ? std::nullopt : std::optional(text->substr(end + 1));
  return part;
}

std::string_view text_of(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void append(std::string_view text, std::vector<std::uint8_t>& out) {
  out.insert(out.end(), text.begin(), text.end());
}

// "sha256:00ff…", and what is before the digits ends with a NUL in the binary form.
bool append_digest(std::string_view text, std::vector<std::uint8_t>& out) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  append(text.substr(0, colon + 1), out);
  out.push_back(0);
  return append_hex(text.substr(colon + 1), out);
}

template <std::unsigned_integral T>
bool append_number(std::string_view text, std::vector<std::uint8_t>& out) {
  T number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size()) return false;
  std::array<std::uint8_t, sizeof(T)> bytes{};
  store<std::endian::little>(number, std::span(bytes));
  out.insert(out.end(), bytes.begin(), bytes.end());
  return true;
}

bool append_field(Field field, std::string_view text, std::vector<std::uint8_t>& out) {
  if (text.empty()) return field != Field::d && field != Field::n;
  switch (field) {
    case Field::d:
      return text.size() == 2 * ima_digest_size && append_hex(text, out);
    case Field::d_ng:
    case Field::d_ngv2:
    case Field::d_modsig:
      return append_digest(text, out);
    case Field::n:
    case Field::n_ng:
    case Field::xattrnames:
      append(text, out);
      out.push_back(0);
      return true;
    case Field::iuid:
    case Field::igid:
      return append_number<std::uint32_t>(text, out);
    case Field::imode:
      return append_number<std::uint16_t>(text, out);
    case Field::sig:
    case Field::modsig:
    case Field::buf:
    case Field::evmsig:
    case Field::xattrlengths:
    case Field::xattrvalues:
      return append_hex(text, out);
  }
  return false;
}

// Digest and name, the latter padded to 256 bytes with its NUL.
bool append_old(std::string_view digest, std::string_view name, std::vector<std::uint8_t>& out) {
  if (name.empty() || name.size() > most_ima_event_name || !append_field(Field::d, digest, out)) {
    return false;
  }
  append(name, out);
  out.insert(out.end(), most_ima_event_name + 1 - name.size(), 0);
  return true;
}

}  // namespace

bool append_hex(std::string_view text, std::vector<std::uint8_t>& out) {
  if (text.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = detail::hex_value(text[i]);
    const int low = detail::hex_value(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return true;
}

std::optional<ImaTemplate> ima_template(std::string_view name) noexcept {
  const auto* const named =
      std::ranges::find(template_names, name, [](const auto& row) { return row.first; });
  ImaTemplate form;
  form.is_old = name == "ima";
  std::optional list = named == template_names.end() ? name : named->second;
  while (const auto field = cut(list, '|')) {
    const auto* const row =
        std::ranges::find(field_names, *field, [](const auto& pair) { return pair.first; });
    if (row == field_names.end() || form.count == most_ima_fields) return {};
    form.fields.at(form.count++) = row->second;
  }
  return form;
}

bool ima_data_from_text(const ImaTemplate& form, std::string_view text,
                        std::vector<std::uint8_t>& out) {
  std::optional rest = text;
  if (form.is_old) {
    const auto digest = cut(rest, ' ');
    const auto name = cut(rest, ' ');
    return name && !rest && append_old(*digest, *name, out);
  }
  for (const ImaField field : std::span(form.fields).first(form.count)) {
    const auto part = cut(rest, ' ');
    const std::size_t start = out.size();
    out.insert(out.end(), sizeof(std::uint32_t), 0);
    if (!part || !append_field(field, *part, out)) return false;
    const std::size_t size = out.size() - start - sizeof(std::uint32_t);
    store<std::endian::little>(static_cast<std::uint32_t>(size),
                               std::span(out).subspan(start).first<sizeof(std::uint32_t)>());
  }
  return !rest;
}

std::optional<ImaDigest> ima_digest(ImaField field, ByteView value) noexcept {
  if (field == Field::d) {
    if (value.size() != ima_digest_size) return {};
    return ImaDigest{{}, "sha1", value};
  }
  if (field != Field::d_ng && field != Field::d_ngv2 && field != Field::d_modsig) return {};
  const auto end = std::ranges::find(value, 0);
  const auto length = static_cast<std::size_t>(end - value.begin());
  if (end == value.end() || length < 2 || value[length - 1] != ':') return {};
  ImaDigest found{{}, text_of(value.first(length - 1)), value.subspan(length + 1)};
  const auto colon = found.algorithm.find(':');
  if ((field == Field::d_ngv2) != (colon != std::string_view::npos)) return {};
  if (field == Field::d_ngv2) {
    found.type = found.algorithm.substr(0, colon);
    found.algorithm.remove_prefix(colon + 1);
  }
  return found;
}

}  // namespace cs::tpm
