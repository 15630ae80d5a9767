// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/settings.h"

namespace cs::keyms {
namespace {

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view no_name = " \t\r\n#{}=:,\"";

class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : left_(text), file_(file) {}

  Result<Settings> run() {
    Settings root;
    root.line = 1;
    std::vector<Settings*> open{&root};
    while (skip()) {
      if (take('}')) {
        if (open.size() == 1) return wrong("a '}' that closes nothing");
        open.pop_back();
        continue;
      }
      const std::string name(word(no_name));
      if (name.empty()) return wrong("a section or key has to stand here");
      CS_CHECK(item(name, open));
    }
    if (open.size() > 1) {
      return wrong("the section of line " + std::to_string(open.back()->line) + " has no '}'");
    }
    return root;
  }

 private:
  Error wrong(const std::string& what) const {
    return {ErrorKind::invalid, file_ + ":" + std::to_string(line_) + ": " + what};
  }

  Result<void> item(const std::string& name, std::vector<Settings*>& open) {
    const unsigned line = line_;
    blank();
    if (take('=')) {
      CS_TRY(std::string text, value());
      open.back()->values[name] = {std::move(text), line};
      return {};
    }
    if (name == "include") {
      return wrong("include is not read here").with_hint("put what it includes in its place");
    }
    if (skip() && take(':')) {
      return wrong("a section that refers to another is not read here")
          .with_hint("write out what '" + name + "' takes from there");
    }
    if (!take('{')) return wrong("'" + name + "' is followed by neither '=' nor '{'");
    if (open.size() > max_settings_depth) return wrong("sections are too deep in each other");
    Settings& inner = open.back()->sections[name];
    if (inner.line == 0) inner.line = line;
    open.push_back(&inner);
    return {};
  }

  // Up to the end of the line, a comment or a '}'; several words are one text with a space between.
  Result<std::string> value() {
    std::string out;
    bool first = true;
    while (true) {
      blank();
      if (left_.empty() || left_.front() == '\n' || left_.front() == '#' || left_.front() == '}') {
        return out;
      }
      std::string part;
      if (take('"')) {
        CS_TRY(part, quoted());
      } else {
        part = word(" \t\r\n#}\"");
      }
      out += (first ? "" : " ") + part;
      first = false;
    }
  }

  Result<std::string> quoted() {
    std::string out;
    while (!left_.empty()) {
      const char c = next();
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (left_.empty()) break;
      const char escaped = next();
      if (escaped == '\n') continue;  // goes on in the next line
      out += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
    }
    return wrong("a quote is never closed");
  }

  char next() {
    const char c = left_.front();
    left_.remove_prefix(1);
    if (c == '\n') ++line_;
    return c;
  }
  bool take(char wanted) {
    if (left_.empty() || left_.front() != wanted) return false;
    next();
    return true;
  }
  std::string word(std::string_view end) {
    std::string out(left_.substr(0, left_.find_first_of(end)));
    left_.remove_prefix(out.size());
    return out;
  }
  void blank() { left_.remove_prefix(std::min(left_.find_first_not_of(blanks), left_.size())); }
  // Blanks, lines and comments; false: there is nothing behind them.
  bool skip() {
    while (true) {
      blank();
      if (take('#')) word("\n");
      if (!take('\n')) return !left_.empty();
    }
  }

  std::string_view left_;
  const std::string& file_;
  unsigned line_ = 1;
};

}  // namespace

const Settings::Value* Settings::value(std::string_view key) const {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

const Settings* Settings::section(std::string_view key) const {
  const auto found = sections.find(key);
  return found == sections.end() ? nullptr : &found->second;
}

Result<Settings> parse_settings(std::string_view text, const std::string& file) {
  if (text.size() > max_settings) {
    return Error(ErrorKind::limit, file + ": it is longer than 1 MiB");
  }
  return Parser(text, file).run();
}

}  // namespace cs::keyms
