// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/key_text.h"

#include <sodium.h>
#include <string.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/hex.h"

namespace cs {

namespace {

enum class Form : std::uint8_t { number, text, pair };
struct Field {
  std::string_view name;
  Form form;
};
constexpr std::array known_fields{
    Field{"version", Form::number},   Field{"key_id", Form::number},
    Field{"session", Form::text},     Field{"direction", Form::number},
    Field{"suite", Form::text},       Field{"pcr_digest", Form::text},
    Field{"gate_secret", Form::text}, Field{"lanes", Form::pair},
    Field{"not_after", Form::text},   Field{"lifetime_seconds", Form::number},
    Field{"private_key", Form::text}, Field{"public_key", Form::text},
};

std::string_view describe(Form form) {
  switch (form) {
    case Form::number:
      return "it must be a whole number that is not negative";
    case Form::text:
      return "it must be a text";
    case Form::pair:
      break;
  }
  return "it must be a list of two whole numbers";
}

std::string quoted(std::string_view name) {
  return "\"" + std::string(name.substr(0, 64)) + "\"";
}

}  // namespace

Error KeyText::wrong(std::string_view field, std::string_view why) {
  return {ErrorKind::invalid, "field " + quoted(field) + ": " + std::string(why)};
}

// Takes the values as the parser meets them, without a tree in between: so a text has one owner,
// which wipes it. Out of our reach are the parser's own buffers: the characters of the last token,
// which it keeps for its messages, and smaller buffers it outgrew; it frees them unwiped.
class KeyText::Reader final : public nlohmann::json::json_sax_t {
 public:
  explicit Reader(KeyText& out) : out_(out) {}

  [[nodiscard]] Error error() const {
    return error_.value_or(Error(ErrorKind::internal, "no error was met"));
  }

  bool start_object(std::size_t /*elements*/) override {
    if (started_) return wrong_type();
    return started_ = true;
  }
  bool key(string_t& name) override {
    field_ = std::find_if(known_fields.begin(), known_fields.end(),
                          [&](const Field& known) { return known.name == name; });
    if (field_ == known_fields.end()) return refuse(wrong(name, "there is no such field"));
    const auto [at, is_new] = out_.values_.try_emplace(field_->name);
    value_ = &at->second;
    return is_new || refuse(wrong(name, "it is there twice"));
  }
  bool number_unsigned(number_unsigned_t number) override {
    if (in_list_ && value_->list.size() < 2) {
      value_->list.push_back(number);
      return true;
    }
    if (!is(Form::number)) return wrong_type();
    value_->number = number;
    return true;
  }
  bool string(string_t& text) override {
    if (!is(Form::text)) return wrong_type();
    value_->text = std::move(text);
    return true;
  }
  bool start_array(std::size_t /*elements*/) override {
    if (in_list_ || !is(Form::pair)) return wrong_type();
    return in_list_ = true;
  }
  bool end_array() override {
    in_list_ = false;
    return value_->list.size() == 2 || wrong_type();
  }
  bool end_object() override { return true; }
  bool null() override { return wrong_type(); }
  bool boolean(bool /*value*/) override { return wrong_type(); }
  bool number_integer(number_integer_t /*negative*/) override { return wrong_type(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return wrong_type();
  }
  bool binary(binary_t& /*value*/) override { return wrong_type(); }
  // The last token and the parser's message may hold a secret; the position does not.
  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return refuse(Error(ErrorKind::invalid, "it is not JSON at byte " + std::to_string(position)));
  }

 private:
  [[nodiscard]] bool is(Form form) const {
    return value_ != nullptr && !in_list_ && field_->form == form;
  }
  bool wrong_type() {
    if (value_ == nullptr) return refuse(Error(ErrorKind::invalid, "it is not a JSON object"));
    return refuse(wrong(field_->name, describe(field_->form)));
  }
  bool refuse(Error error) {
    if (!error_) error_ = std::move(error);
    return false;
  }

  KeyText& out_;
  decltype(known_fields)::const_iterator field_ = known_fields.end();
  Value* value_ = nullptr;
  std::optional<Error> error_;
  bool started_ = false;
  bool in_list_ = false;
};

Result<KeyText> KeyText::parse(std::string_view text) {
  // The library takes a zero byte for the end and would not look at what follows.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    return Error(ErrorKind::invalid, "it is not JSON at byte " + std::to_string(zero + 1));
  }
  KeyText out;
  Reader reader(out);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) return reader.error();
  return out;
}

KeyText::~KeyText() {
  for (auto& [field, value] : values_) explicit_bzero(value.text.data(), value.text.size());
}

Result<const KeyText::Value*> KeyText::find(std::string_view field) const {
  const auto at = values_.find(field);
  if (at == values_.end()) return wrong(field, "it is missing");
  return &at->second;
}

Result<std::uint64_t> KeyText::number(std::string_view field, std::uint64_t min,
                                      std::uint64_t max) const {
  CS_TRY(const Value* value, find(field));
  if (value->number >= min && value->number <= max) return value->number;
  return wrong(field, "it is " + std::to_string(value->number) + ", and may be from " +
                          std::to_string(min) + " to " + std::to_string(max));
}

Result<std::array<std::uint64_t, 2>> KeyText::pair(std::string_view field) const {
  CS_TRY(const Value* value, find(field));
  return std::array{value->list.at(0), value->list.at(1)};
}

Result<std::string_view> KeyText::text(std::string_view field) const {
  CS_TRY(const Value* value, find(field));
  return std::string_view(value->text);
}

namespace {

Error wrong_length(std::string_view field, std::size_t digits, std::size_t size) {
  return KeyText::wrong(field, "it has " + std::to_string(digits) + " characters, and must be " +
                                   std::to_string(size * 2) + " hex digits");
}

}  // namespace

Result<std::vector<std::uint8_t>> KeyText::hex(std::string_view field, std::size_t size) const {
  CS_TRY(const std::string_view digits, text(field));
  if (digits.size() != size * 2) return wrong_length(field, digits.size(), size);
  return hex_decode(digits, size).context([&] { return "field " + quoted(field); });
}

Result<SecretBytes> KeyText::secret(std::string_view field, std::size_t size) const {
  CS_TRY(const std::string_view digits, text(field));
  if (digits.size() != size * 2) return wrong_length(field, digits.size(), size);
  CS_TRY(SecretBytes out, SecretBytes::create(size));
  std::size_t written = 0;
  if (sodium_hex2bin(out.bytes().data(), out.size(), digits.data(), digits.size(), nullptr,
                     &written, nullptr) != 0 ||
      written != size) {
    return wrong(field, "it holds a character that is no hex digit");
  }
  return out;
}

}  // namespace cs
