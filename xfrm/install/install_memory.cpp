// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/install/install_memory.h"

#include <algorithm>
#include <charconv>

namespace cs::xfrm {
namespace {

constexpr std::string_view first_words = "countersign xfrm 1";
constexpr std::size_t boot_size = 36;  // a UUID

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

// The words of a line, one space between them.
class Words {
 public:
  explicit Words(std::string_view line) : left_(line) {}

  std::string_view next() {
    const std::size_t at = std::min(left_.find(' '), left_.size());
    const std::string_view word = left_.substr(0, at);
    // A space at the end is followed by an empty word, which nothing takes.
    ended_ = at == left_.size();
    left_.remove_prefix(ended_ ? at : at + 1);
    return word;
  }
  template <class T>
  bool number(T& out) {
    const std::string_view word = next();
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), out);
    return error == std::errc() && stop == word.data() + word.size();
  }
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  std::string_view left_;
  bool ended_ = false;
};

// direction index mark mask if_id
bool take_policy(Words& words, Owned& owned) {
  PolicyId id;
  std::uint8_t direction = 0;
  if (!words.number(direction) || direction > static_cast<std::uint8_t>(Direction::forward) ||
      !words.number(id.index) || !words.number(id.mark.value) || !words.number(id.mark.mask) ||
      !words.number(id.interface_id) || !words.ended()) {
    return false;
  }
  id.direction = static_cast<Direction>(direction);
  owned.policies.push_back(id);
  return true;
}

// destination protocol SPI mark mask
bool take_sa(Words& words, Owned& owned) {
  SaId id;
  const auto destination = Address::parse(words.next());
  if (!destination.ok() || !words.number(id.protocol) || !words.number(id.spi) ||
      !words.number(id.mark.value) || !words.number(id.mark.mask) || !words.ended()) {
    return false;
  }
  id.destination = *destination;
  owned.sas.push_back(id);
  return true;
}

bool take_line(std::string_view line, InstallMemory& memory) {
  Words words(line);
  const std::string_view kind = words.next();
  const std::string_view name = words.next();
  if (!check_name(name).ok()) return false;
  Owned& owned = memory.owned[std::string(name)];
  if (kind == "policy") return take_policy(words, owned);
  return kind == "sa" && take_sa(words, owned);
}

bool take_first_line(std::string_view line, InstallMemory& memory) {
  if (!line.starts_with(first_words)) return false;
  Words words(line.substr(first_words.size()));
  if (!words.next().empty()) return false;
  memory.boot = words.next();
  return words.number(memory.tag) && words.ended() && memory.tag != 0 &&
         memory.boot.size() == boot_size && is_word(memory.boot);
}

std::string line_of(std::initializer_list<std::string> words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line + "\n";
}

std::string text_of(const std::string& name, const Owned& owned) {
  const auto digits = [](std::uint32_t value) { return std::to_string(value); };
  std::string text;
  for (const PolicyId& id : owned.policies) {
    text +=
        line_of({"policy", name, digits(static_cast<std::uint32_t>(id.direction)), digits(id.index),
                 digits(id.mark.value), digits(id.mark.mask), digits(id.interface_id)});
  }
  for (const SaId& id : owned.sas) {
    text += line_of({"sa", name, id.destination.text(), digits(id.protocol), digits(id.spi),
                     digits(id.mark.value), digits(id.mark.mask)});
  }
  return text;
}

}  // namespace

Result<void> check_name(std::string_view name) {
  if (is_word(name) && name.size() <= max_name) return {};
  return Error(ErrorKind::invalid, "'" + std::string(name.substr(0, max_name)) + "' is no name")
      .with_hint("use at most " + std::to_string(max_name) +
                 " letters, digits, dots, dashes and underscores");
}

Result<InstallMemory> parse_install_memory(std::string_view text) {
  InstallMemory memory;
  std::size_t count = 0;
  while (count == 0 || !text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const bool known = count == 0 ? take_first_line(line, memory) : take_line(line, memory);
    ++count;
    if (end == std::string_view::npos || !known) {
      return Error(ErrorKind::invalid, "line " + std::to_string(count) + " is none");
    }
    if (count > max_owned + 1) {
      return Error(ErrorKind::limit, "more than " + std::to_string(max_owned) + " entries");
    }
    text.remove_prefix(end + 1);
  }
  return memory;
}

Result<std::string> format_install_memory(const InstallMemory& memory) {
  std::size_t count = 0;
  std::string text = line_of({std::string(first_words), memory.boot, std::to_string(memory.tag)});
  for (const auto& [name, owned] : memory.owned) {
    count += owned.policies.size() + owned.sas.size();
    text += text_of(name, owned);
  }
  if (count <= max_owned) return text;
  return Error(ErrorKind::limit, "remembering " + std::to_string(count) +
                                     " policies and SAs: at most " + std::to_string(max_owned));
}

}  // namespace cs::xfrm
