// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd as a verb asks it: docs/PROTOCOL.md, "The control socket".
#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "tools/inspect/console.h"

namespace cs::keymsd {

using inspect::Console;
using inspect::Outcome;
using Json = nlohmann::json;

// Some of what it does takes the TPM a while.
inline constexpr std::chrono::seconds answers_within{60};

class Daemon {
 public:
  explicit Daemon(std::string socket) : socket_(std::move(socket)) {}

  Result<Json> ask(const std::string& verb, const Json& arguments = Json::object(),
                   std::chrono::seconds within = answers_within);
  // Of the last answer that failed: keymsd gave it, or there was none.
  [[nodiscard]] bool has_refused() const noexcept { return refused_; }
  [[nodiscard]] bool is_away() const noexcept { return away_; }
  [[nodiscard]] const std::string& socket() const noexcept { return socket_; }

 private:
  std::string socket_;
  bool refused_ = false;
  bool away_ = false;
};

// Tells the error, and how it ends: refused, by keymsd or for what a file says; or unreadable.
Outcome fail(const Error& error, const Daemon& daemon, const Console& console, bool json = false);
// What --json prints: this answer.
void print(const Json& answer, const Console& console);

// What an answer has under a name: of another type, or not there, is as empty.
[[nodiscard]] std::string text(const Json& of, const char* name);  // printable ASCII
[[nodiscard]] std::uint64_t number(const Json& of, const char* name);
[[nodiscard]] bool flag(const Json& of, const char* name);
[[nodiscard]] const Json& list(const Json& of, const char* name);
[[nodiscard]] const Json& part(const Json& of, const char* name);  // an object
// Of a list of sentences.
[[nodiscard]] std::vector<std::string> sentences(const Json& of, const char* name);

// Asks, prints the answer with --json or else lets `tell` print it. `is_good`, where it is there,
// decides between good and refused.
struct Question {
  std::string verb;
  Json arguments = Json::object();
  std::function<void(const Json&, std::ostream&)> tell = {};
  std::function<bool(const Json&)> is_good = {};
  std::chrono::seconds within = answers_within;
};
[[nodiscard]] Outcome put(const Question& question, Daemon& daemon, const Console& console,
                          bool json = false);

}  // namespace cs::keymsd
