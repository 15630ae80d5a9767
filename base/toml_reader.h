// SPDX-License-Identifier: GPL-3.0-or-later
// Reads TOML that a person wrote: every field asked for by its name, none unknown, and each error
// with its line, its column and what may have been meant. For who links toml++; it takes long to
// compile.
#pragma once

#include <toml++/toml.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/nearest.h"
#include "base/result.h"

namespace cs {

struct TomlFile {
  std::string name;  // as errors show it
  std::string hint;  // where its fields are told: "man nfq-signer lists them"
};

// A word of the file and what it stands for.
template <class T>
using TomlWord = std::pair<std::string_view, T>;

[[nodiscard]] inline std::string toml_place(const TomlFile& file,
                                            const toml::source_region& region) {
  return file.name + ":" + std::to_string(region.begin.line) + ":" +
         std::to_string(region.begin.column);
}

inline constexpr std::size_t most_key_parts = 16;  // as in part.part = 1

// Where the string ends that begins there; the end of the text, if it does not.
[[nodiscard]] inline std::size_t end_of_toml_string(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const bool lines = text.substr(begin).starts_with(std::string(3, quote));
  const std::string end(lines ? 3 : 1, quote);
  for (std::size_t at = begin + end.size(); at < text.size(); ++at) {
    if (text.substr(at).starts_with(end)) return at + end.size();
    if (!lines && text[at] == '\n') return at;
    if (quote == '"' && text[at] == '\\') ++at;
  }
  return text.size();
}

// The line of a key with more parts than that. toml++ nests a table for each, and takes them apart
// by recursion: a hundred thousand end the program.
[[nodiscard]] inline std::optional<std::size_t> line_of_long_key(std::string_view text) {
  std::size_t parts = 1;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"' || c == '\'') {
      at = end_of_toml_string(text, at);
    } else if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else {
      if (c == '.' && ++parts > most_key_parts)
        return 1 + std::ranges::count(text.substr(0, at), '\n');
      if (std::string_view("\n=,[]{}").find(c) != std::string_view::npos) parts = 1;
      ++at;
    }
  }
  return std::nullopt;
}

[[nodiscard]] inline Result<toml::table> parse_toml(std::string_view text, const TomlFile& file) {
  if (const auto line = line_of_long_key(text)) {
    return Error(ErrorKind::limit, file.name + ":" + std::to_string(*line) +
                                       ": a key has at most " + std::to_string(most_key_parts) +
                                       " parts");
  }
  try {
    return toml::parse(text, file.name);
  } catch (const toml::parse_error& error) {
    return Error(ErrorKind::invalid,
                 toml_place(file, error.source()) + ": " + std::string(error.description()));
  }
}

// That the table has a field, or a section, which nobody knows.
[[nodiscard]] inline Error toml_unknown(const TomlFile& file, const toml::key& key,
                                        const std::string& sentence,
                                        const std::vector<Candidate>& known) {
  const auto meant = nearest(std::string(key.str()), known);
  return Error(ErrorKind::invalid, toml_place(file, key.source()) + ": " + sentence)
      .with_hint((meant ? "did you mean \"" + *meant + "\"? " : std::string()) + file.hint);
}

// Reads fields out of one table, and knows which it was not asked for. What it cannot read leaves
// `out` as it was, and the first of these finish() tells. Refers to what it is made of.
class TomlReader {
 public:
  // `section` stands before each field in errors; empty: nothing does.
  TomlReader(const toml::table& table, const TomlFile& file, std::string section)
      : table_(table), file_(file), section_(std::move(section)) {}

  template <class T>
  void number(const std::string& field, T& out, std::uint64_t least, std::uint64_t most) {
    const toml::node* node = find(field);
    if (node == nullptr) return;
    const auto value = node->value_exact<std::int64_t>();
    if (!value || *value < 0 || static_cast<std::uint64_t>(*value) < least ||
        static_cast<std::uint64_t>(*value) > most) {
      refuse(*node, field,
             "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
      return;
    }
    out = static_cast<T>(*value);
  }
  // `least` 0: an empty one has a meaning.
  void text(const std::string& field, std::string& out, std::size_t most, std::size_t least = 1) {
    const toml::node* node = find(field);
    if (node == nullptr) return;
    const auto value = node->value_exact<std::string>();
    if (!value || value->size() < least || value->size() > most) {
      refuse(*node, field,
             "a text of " + std::to_string(least) + " to " + std::to_string(most) + " bytes");
      return;
    }
    out = *value;
  }
  template <class T>
  void numbers(const std::string& field, std::vector<T>& out, std::size_t at_most,
               std::int64_t least, std::int64_t most) {
    const toml::node* node = find(field);
    if (node == nullptr) return;
    const std::string wanted = "a list of up to " + std::to_string(at_most) +
                               " whole numbers from " + std::to_string(least) + " to " +
                               std::to_string(most);
    const toml::array* array = node->as_array();
    if (array == nullptr || array->size() > at_most) return refuse(*node, field, wanted);
    out.clear();
    for (const toml::node& element : *array) {
      const auto value = element.value_exact<std::int64_t>();
      if (!value || *value < least || *value > most) return refuse(element, field, wanted);
      out.push_back(static_cast<T>(*value));
    }
  }
  void flag(const std::string& field, bool& out) {
    const toml::node* node = find(field);
    if (node == nullptr) return;
    const auto value = node->value_exact<bool>();
    if (!value) return refuse(*node, field, "true or false");
    out = *value;
  }
  // One of these.
  template <class T>
  void word(const std::string& field, T& out, std::span<const TomlWord<T>> words) {
    const toml::node* node = find(field);
    if (node == nullptr) return;
    const std::string said = node->value_exact<std::string>().value_or("");
    std::string wanted;
    std::vector<Candidate> known;
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::string one(words[i].first);
      if (said == one) {
        out = words[i].second;
        return;
      }
      wanted += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + ("\"" + one + "\"");
      known.push_back({one, one});
    }
    const auto meant = nearest(said, known);
    refuse(*node, field, wanted + (meant ? "; did you mean \"" + *meant + "\"?" : ""));
  }
  template <class T>
  void word(const std::string& field, T& out, std::initializer_list<TomlWord<T>> words) {
    word(field, out, std::span(words.begin(), words.size()));
  }
  // What `parse`, or T::parse(), makes of a text, or of each of a list of them.
  template <class T, class Parse>
  void parsed(const std::string& field, T& out, Parse parse) {
    if (const toml::node* node = find(field); node != nullptr) take(*node, field, out, parse);
  }
  template <class T>
  void parsed(const std::string& field, T& out) {
    parsed(field, out, [](std::string_view text) { return T::parse(text); });
  }
  template <class T, class Parse>
  void list(const std::string& field, std::vector<T>& out, std::size_t at_most, Parse parse) {
    const toml::node* node = find(field);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->size() > at_most) {
      return refuse(*node, field, "a list of up to " + std::to_string(at_most) + " texts");
    }
    out.clear();
    for (const toml::node& element : *array) {
      T value{};
      take(element, field, value, parse);
      out.push_back(std::move(value));
    }
  }
  template <class T>
  void list(const std::string& field, std::vector<T>& out, std::size_t at_most) {
    list(field, out, at_most, [](std::string_view text) { return T::parse(text); });
  }
  // A table within: read(TomlReader&) asks for its fields; where it is left out, only if `always`.
  template <class Read>
  void table(const std::string& field, Read read, bool always = false) {
    const toml::node* node = find(field);
    if (node == nullptr && !always) return;
    const toml::table nothing;
    const toml::table* inner = node == nullptr ? &nothing : node->as_table();
    if (inner == nullptr) return refuse(*node, field, "a table");
    TomlReader reader(*inner, file_, name(field));
    read(reader);
    if (auto done = reader.finish(); !done.ok() && !wrong_) wrong_ = std::move(done).error();
  }

  [[nodiscard]] bool has(const std::string& field) { return find(field) != nullptr; }
  // The fields that are there, for a table whose names are free.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [key, node] : table_) out.emplace_back(key.str());
    return out;
  }
  // Where this table begins, and where one of its fields does: "policy.toml:3:1".
  [[nodiscard]] std::string place() const { return toml_place(file_, table_.source()); }
  [[nodiscard]] std::string place(const std::string& field) const {
    const toml::node* node = table_.get(field);
    return node == nullptr ? place() : toml_place(file_, node->source());
  }
  // What else is wrong here, found by the caller.
  void refuse(Error error) {
    if (!wrong_) wrong_ = std::move(error);
  }
  void refuse(const std::string& field, const std::string& wanted) {
    refuse(Error(ErrorKind::invalid, place(field) + ": " + name(field) + " has to be " + wanted));
  }
  [[nodiscard]] const std::set<std::string>& asked() const noexcept { return asked_; }
  // After all fields were asked for.
  [[nodiscard]] Result<void> finish() const {
    if (wrong_) return *wrong_;
    std::vector<Candidate> known;
    for (const std::string& field : asked_) known.push_back({field, field});
    for (const auto& [key, node] : table_) {
      const std::string field(key.str());
      if (!asked_.contains(field)) {
        return toml_unknown(file_, key, "no field is called \"" + name(field) + "\"", known);
      }
    }
    return {};
  }

 private:
  const toml::node* find(const std::string& field) {
    asked_.insert(field);
    return table_.get(field);
  }
  template <class T, class Parse>
  void take(const toml::node& node, const std::string& field, T& out, Parse& parse) {
    auto value = parse(std::string_view(node.value_exact<std::string>().value_or("")));
    if (value.ok()) {
      out = *std::move(value);
    } else {
      refuse(node, field, "right: " + value.error().message());
    }
  }
  [[nodiscard]] std::string name(const std::string& field) const {
    return section_.empty() ? field : section_ + "." + field;
  }
  void refuse(const toml::node& node, const std::string& field, const std::string& wanted) {
    refuse(Error(ErrorKind::invalid,
                 toml_place(file_, node.source()) + ": " + name(field) + " has to be " + wanted));
  }

  const toml::table& table_;
  const TomlFile& file_;
  std::string section_;
  std::set<std::string> asked_;
  std::optional<Error> wrong_;
};

}  // namespace cs
