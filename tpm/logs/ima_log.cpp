// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/ima_log.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/endian.h"
#include "base/panic.h"

namespace cs::tpm {

namespace {

std::string_view text_of(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::size_t old_name_size = most_ima_event_name + 1;

// Up to the first space, which goes too. Empty where there is none.
std::string_view cut_word(std::string_view& text) noexcept {
  const auto space = text.find(' ');
  if (space == std::string_view::npos) return {};
  const auto word = text.substr(0, space);
  text.remove_prefix(space + 1);
  return word;
}

bool is_name(ImaField field) noexcept {
  return field == ImaField::n || field == ImaField::n_ng;
}

bool is_terminated(ByteView name) noexcept {
  return !name.empty() && std::ranges::find(name, 0) == name.end() - 1;
}

// The last four of the bytes, little-endian.
std::uint32_t last_number(ByteView bytes) noexcept {
  return load<std::endian::little, std::uint32_t>(bytes.last<sizeof(std::uint32_t)>());
}

}  // namespace

std::optional<ByteView> ImaEntry::find(ImaField field) const noexcept {
  for (const Value& value : std::span(values).first(value_count)) {
    if (value.field == field) return value.bytes;
  }
  return {};
}

std::string_view ImaEntry::name() const noexcept {
  for (const Value& value : std::span(values).first(value_count)) {
    if (!is_name(value.field)) continue;
    const std::string_view text = text_of(value.bytes);
    return text.substr(0, text.find('\0'));
  }
  return {};
}

Error ImaLog::wrong(ErrorKind kind, std::string_view what) const {
  return {kind, "IMA list: entry " + std::to_string(number_) + " at offset " +
                    std::to_string(input_.offset()) + ": " + std::string(what)};
}

Result<ImaLog> ImaLog::open(Input input) {
  CS_TRY(const ByteView start, input.peek(1));
  if (start.empty()) {
    return Error(ErrorKind::truncated, "IMA list: it is empty")
        .with_hint("a kernel with IMA lists at least its boot_aggregate; boot with ima_policy=tcb");
  }
  // The number of a PCR comes first: as text, or as a byte that is below the digits and the space.
  ImaLog log(std::move(input), start[0] >= ' ');
  for (const HashAlgorithm algorithm : all_hash_algorithms) {
    log.hasher_ = Hasher(algorithm);
    ImaEntry first;
    const bool good = log.read_entry(first).ok();
    log.size_ = 0;
    if (good) return log;
  }
  log.hasher_ = Hasher(HashAlgorithm::sha1);  // next() says what is wrong with it as such a list
  return log;
}

ImaLog ImaLog::resume(Input input, HashAlgorithm listed, std::uint64_t number) {
  ImaLog log(std::move(input), false);
  log.hasher_ = Hasher(listed);
  log.number_ = number;
  return log;
}

Result<bool> ImaLog::next(ImaEntry& out) {
  if (failed_) return *failed_;
  auto more = read_next(out);
  if (!more.ok()) failed_ = more.error();
  return more;
}

Result<bool> ImaLog::read_next(ImaEntry& out) {
  input_.skip(std::exchange(size_, 0));
  CS_TRY(const ByteView more, input_.peek(1));
  if (more.empty()) return false;
  if (number_ == most_ima_entries) {
    return wrong(ErrorKind::limit, "more than " + std::to_string(most_ima_entries) + " entries");
  }
  CS_CHECK(read_entry(out));
  ++number_;
  return true;
}

Result<void> ImaLog::read_entry(ImaEntry& out) {
  out = ImaEntry{};
  out.number = number_;
  out.offset = input_.offset();
  scratch_.clear();
  CS_CHECK(text_ ? read_text(out) : read_binary(out));
  return check(out);
}

Result<ByteView> ImaLog::peek_whole(std::size_t size, std::string_view part) {
  CS_TRY(const ByteView ahead, input_.peek(size));
  if (ahead.size() >= size) return ahead.first(size);
  return wrong(ErrorKind::truncated, "the list ends within its " + std::string(part) + ": " +
                                         std::to_string(size) + " bytes are wanted, " +
                                         std::to_string(ahead.size()) + " are there");
}

// Each length is known only once what stands before it has been read; the entry is then looked at
// as a whole, since a longer look moves it.
Result<void> ImaLog::read_binary(ImaEntry& out) {
  const std::size_t digest = digest_size(hasher_.algorithm());
  std::size_t size = sizeof(out.pcr) + digest + sizeof(std::uint32_t);
  CS_TRY(ByteView bytes, peek_whole(size, "beginning"));
  const std::size_t name_size = last_number(bytes);
  if (name_size == 0 || name_size > most_ima_template_name) {
    return wrong(ErrorKind::limit, "a template's name of " + std::to_string(name_size) +
                                       " bytes, not 1 to " + std::to_string(most_ima_template_name))
        .with_hint("only little-endian lists are read; see ima_canonical_fmt");
  }
  size += name_size;
  CS_TRY(bytes, peek_whole(size, "template's name"));
  CS_TRY(const ImaTemplate form, template_of(text_of(bytes.last(name_size))));
  const std::size_t before = form.is_old ? ima_digest_size : 0;
  const std::size_t most = form.is_old ? most_ima_event_name : most_ima_data;
  size += before + sizeof(std::uint32_t);
  CS_TRY(bytes, peek_whole(size, "length"));
  const std::size_t data_size = last_number(bytes);
  if (data_size > most) {
    return wrong(ErrorKind::limit,
                 std::to_string(data_size) + " bytes of data, at most " + std::to_string(most));
  }
  size_ = size + data_size;
  CS_TRY(bytes, peek_whole(size_, "data"));

  ByteReader reader(bytes);
  ByteView name;
  if (!reader.u32le(out.pcr) || !reader.take(digest, out.template_hash) ||
      !reader.skip(sizeof(std::uint32_t)) || !reader.take(name_size, name)) {
    panic("an entry shorter than what was read of it");
  }
  out.template_name = text_of(name);
  out.hashed = bytes.last(data_size);
  if (form.is_old) {
    const ByteView file_digest = bytes.subspan(size - before - sizeof(std::uint32_t), before);
    scratch_.assign(file_digest.begin(), file_digest.end());
    scratch_.insert(scratch_.end(), out.hashed.begin(), out.hashed.end());
    scratch_.resize(ima_digest_size + old_name_size);
    out.hashed = scratch_;
  }
  return split(form, out);
}

Result<ImaTemplate> ImaLog::template_of(std::string_view name) const {
  if (const auto form = ima_template(name)) return *form;
  return wrong(ErrorKind::unsupported,
               "the template '" + std::string(name.substr(0, 40)) + "' has fields not known here");
}

Result<std::string_view> ImaLog::peek_line() {
  std::size_t looked = 0;
  while (true) {
    CS_TRY(const ByteView ahead, input_.peek(looked + 1));
    const auto end =
        std::find(ahead.begin() + static_cast<std::ptrdiff_t>(looked), ahead.end(), '\n');
    const auto length = static_cast<std::size_t>(end - ahead.begin());
    if (length >= most_ima_entry) {
      return wrong(ErrorKind::limit,
                   "a line of more than " + std::to_string(most_ima_entry) + " bytes");
    }
    if (end != ahead.end()) return text_of(ahead.first(length));
    if (ahead.size() == looked) return wrong(ErrorKind::truncated, "the list ends within a line");
    looked = ahead.size();
  }
}

Result<void> ImaLog::read_text(ImaEntry& out) {
  CS_TRY(std::string_view line, peek_line());
  size_ = line.size() + 1;
  if (line.starts_with(' ')) line.remove_prefix(1);  // the kernel pads the PCR to two places
  const std::string_view pcr = cut_word(line);
  const std::string_view hash = cut_word(line);
  out.template_name = cut_word(line);
  const auto [end, failure] = std::from_chars(pcr.data(), pcr.data() + pcr.size(), out.pcr);
  if (pcr.empty() || failure != std::errc{} || end != pcr.data() + pcr.size()) {
    return wrong(ErrorKind::invalid, "the line does not begin with the number of a PCR");
  }
  listed_.clear();
  if (hash.size() != 2 * digest_size(hasher_.algorithm()) || !append_hex(hash, listed_)) {
    return wrong(
        ErrorKind::invalid,
        "no template hash of " + std::string(to_string(hasher_.algorithm())) + " follows the PCR");
  }
  out.template_hash = listed_;
  CS_TRY(const ImaTemplate form, template_of(out.template_name));
  if (!ima_data_from_text(form, line, scratch_)) {
    return wrong(ErrorKind::invalid,
                 "it does not have the fields of " + std::string(out.template_name))
        .with_hint("a name with a line break in it spoils the list as text: read the binary one");
  }
  if (scratch_.size() > most_ima_data) {
    return wrong(ErrorKind::limit, std::to_string(scratch_.size()) + " bytes of data, at most " +
                                       std::to_string(most_ima_data));
  }
  out.hashed = scratch_;
  return split(form, out);
}

Result<void> ImaLog::split(const ImaTemplate& form, ImaEntry& out) const {
  ByteReader reader(out.hashed);
  for (const ImaField field : std::span(form.fields).first(form.count)) {
    ImaEntry::Value& value = out.values.at(out.value_count++);
    value.field = field;
    const bool there =
        form.is_old
            ? reader.take(field == ImaField::d ? ima_digest_size : old_name_size, value.bytes)
            : reader.vec32le(most_ima_data, value.bytes);
    if (!there) return wrong(ErrorKind::truncated, "its data ends before its fields do");
    if (is_name(field) && !form.is_old && !is_terminated(value.bytes)) {
      return wrong(ErrorKind::invalid, "a name does not end where its field does");
    }
  }
  if (!reader.expect_end()) return wrong(ErrorKind::invalid, "its data goes on after its fields");
  return {};
}

Result<void> ImaLog::check(ImaEntry& out) {
  if (out.pcr >= pcr_count) {
    return wrong(ErrorKind::invalid, "there is no PCR " + std::to_string(out.pcr))
        .with_hint("lists of big-endian machines are not read");
  }
  const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
  out.is_violation = std::ranges::all_of(out.template_hash, is_zero);
  const Digest computed = hasher_.hash({out.hashed});
  if (out.is_violation || std::ranges::equal(computed.bytes(), out.template_hash)) return {};
  return wrong(ErrorKind::unverified, "its template hash is not that of its data")
      .with_hint("somebody has changed the list, or it was read in part");
}

}  // namespace cs::tpm
