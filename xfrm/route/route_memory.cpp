// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/route/route_memory.h"

#include <charconv>

#include "xfrm/state_file.h"

namespace cs::rt {
namespace {

constexpr std::string_view first_line = "countersign inner routes 1\n";
constexpr std::size_t max_size = max_remembered * 128 + first_line.size();

// The next word, up to one `end`, which is taken too.
bool take_word(std::string_view& left, char end, std::string_view& word) {
  const std::size_t at = left.find(end);
  if (at == std::string_view::npos) return false;
  word = left.substr(0, at);
  left.remove_prefix(at + 1);
  return true;
}

template <class T>
bool take_number(std::string_view& left, char end, T& out) {
  std::string_view word;
  if (!take_word(left, end, word)) return false;
  const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  return error == std::errc() && stop == word.data() + word.size();
}

// destination table priority tos original ours before
Result<Remembered> take_line(std::string_view& left, std::size_t line) {
  Remembered route;
  std::string_view prefix;
  const std::string where = "line " + std::to_string(line) + " of the remembered routes";
  const bool whole =
      take_word(left, ' ', prefix) && take_number(left, ' ', route.key.table) &&
      take_number(left, ' ', route.key.priority) && take_number(left, ' ', route.key.tos) &&
      take_number(left, ' ', route.original) && take_number(left, ' ', route.ours[0]) &&
      take_number(left, '\n', route.ours[1]);
  if (!whole) return Error(ErrorKind::invalid, where + " is none");
  CS_TRY(route.key.destination, Prefix::parse(prefix).context(where));
  return route;
}

std::string text_of(const Remembered& route) {
  std::string line = route.key.destination.text();
  for (const std::uint32_t number :
       {route.key.table, route.key.priority, std::uint32_t{route.key.tos}, route.original,
        route.ours[0], route.ours[1]}) {
    line += " " + std::to_string(number);
  }
  return line + "\n";
}

}  // namespace

Result<std::vector<Remembered>> parse_memory(std::string_view text) {
  if (!text.starts_with(first_line)) {
    return Error(ErrorKind::invalid, "the remembered routes have another first line");
  }
  text.remove_prefix(first_line.size());
  std::vector<Remembered> routes;
  while (!text.empty()) {
    if (routes.size() == max_remembered) {
      return Error(ErrorKind::limit,
                   "more than " + std::to_string(max_remembered) + " remembered routes");
    }
    CS_TRY(Remembered route, take_line(text, routes.size() + 2));
    routes.push_back(route);
  }
  return routes;
}

std::string format_memory(const std::vector<Remembered>& routes) {
  std::string text(first_line);
  for (const Remembered& route : routes) text += text_of(route);
  return text;
}

Result<std::vector<Remembered>> read_memory(const std::string& path) {
  CS_TRY(const auto text, read_state_file(path, max_size));
  if (!text) return std::vector<Remembered>();
  auto routes = parse_memory(*text);
  if (routes.ok()) return routes;
  return std::move(routes)
      .error()
      .context("reading " + path)
      .with_hint(
          "look at the MTU of the inner routes (ip route show table all), then remove the file");
}

Result<void> write_memory(const std::string& path, const std::vector<Remembered>& routes) {
  if (routes.size() > max_remembered) {
    return Error(ErrorKind::limit, "remembering " + std::to_string(routes.size()) +
                                       " routes: at most " + std::to_string(max_remembered));
  }
  return write_state_file(path, routes.empty() ? "" : format_memory(routes));
}

}  // namespace cs::rt
