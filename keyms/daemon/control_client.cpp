// SPDX-License-Identifier: GPL-3.0-or-later
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/unix_socket.h"
#include "keyms/daemon/control.h"

namespace cs::keyms {

using nlohmann::json;

namespace {

Result<UniqueFd> reach(const std::string& path) {
  CS_TRY(const UnixAddress address, unix_address(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno(errno, "making a Unix socket");
  if (::connect(fd.get(), address.get(), UnixAddress::size) == 0) return fd;
  if (errno == EACCES) {
    return Error(ErrorKind::denied, "connecting to " + path)
        .with_hint("run as root, or as a member of the group countersign");
  }
  if (errno != ENOENT && errno != ECONNREFUSED) return from_errno(errno, "connecting to " + path);
  return Error(ErrorKind::not_found, "keymsd does not listen at " + path)
      .with_hint("start it: systemctl start keymsd; why it stopped: journalctl -u keymsd");
}

Result<void> send_request(const UniqueFd& fd, const std::string& verb, const json& arguments) {
  const std::string line =
      json{{"version", ControlServer::version}, {"verb", verb}, {"arguments", arguments}}.dump() +
      "\n";
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t n = ::send(fd.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    // It has hung up, and may have said why.
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) return {};
    if (n < 0) return from_errno(errno, "asking keymsd");
    sent += static_cast<std::size_t>(n);
  }
  return {};
}

// The next line; none: keymsd has gone. `within` none: however long it takes.
Result<std::optional<std::string>> next_line(const UniqueFd& fd, std::string& buffer,
                                             std::optional<std::chrono::milliseconds> within) {
  const auto until = std::chrono::steady_clock::now() + within.value_or(std::chrono::hours(1));
  for (;;) {
    const std::size_t end = buffer.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer.substr(0, end);
      buffer.erase(0, end + 1);
      return std::optional(std::move(line));
    }
    if (buffer.size() > ControlServer::most_answer)
      return Error(ErrorKind::limit, "keymsd's answer is too long");
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (within && left.count() <= 0) {
      return Error(ErrorKind::timed_out, "keymsd does not answer")
          .with_hint("look what it does: journalctl -u keymsd");
    }
    pollfd one{fd.get(), POLLIN, 0};
    const int ready = ::poll(&one, 1, within ? static_cast<int>(left.count()) : -1);
    if (ready < 0 && errno != EINTR) return from_errno(errno, "waiting for keymsd");
    if (ready <= 0) continue;
    std::array<char, 16384> bytes{};
    const ssize_t got = ::recv(fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ECONNRESET) return from_errno(errno, "reading keymsd's answer");
    if (got <= 0) return std::optional<std::string>();
    buffer.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

ErrorKind kind_of(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(ErrorKind::internal); ++i) {
    if (to_string(static_cast<ErrorKind>(i)) == name) return static_cast<ErrorKind>(i);
  }
  return ErrorKind::internal;
}

Error refusal_in(const json& answer) {
  const auto member = [](const json& of, const char* name, const char* otherwise) {
    return of.is_object() && of.contains(name) && of[name].is_string() ? of[name].get<std::string>()
                                                                       : std::string(otherwise);
  };
  const json error = answer.value("error", json());
  return {kind_of(member(error, "kind", "")), member(error, "message", "keymsd refuses")};
}

}  // namespace

Result<json> ask_daemon(const std::string& path, const std::string& verb, const json& arguments,
                        std::chrono::seconds within, bool* refused) {
  if (refused != nullptr) *refused = false;
  CS_TRY(const UniqueFd fd, reach(path));
  CS_CHECK(send_request(fd, verb, arguments));
  std::string buffer;
  CS_TRY(const auto line, next_line(fd, buffer, within));
  if (!line) return Error(ErrorKind::closed, "keymsd hung up without an answer");
  const json answer = json::parse(*line, nullptr, false);
  if (!answer.is_object() || !answer.value("ok", json()).is_boolean())
    return Error(ErrorKind::invalid, "what answers is no keymsd of this release");
  if (answer["ok"].get<bool>()) return answer.value("result", json::object());
  if (refused != nullptr) *refused = true;
  return refusal_in(answer);
}

Result<void> follow_daemon(const std::string& path, const std::function<bool(const json&)>& event,
                           const std::function<Result<void>()>& asked) {
  CS_TRY(const UniqueFd fd, reach(path));
  CS_CHECK(send_request(fd, "events", json::object()));
  if (asked) CS_CHECK(asked());
  std::string buffer;
  for (;;) {
    CS_TRY(const auto line, next_line(fd, buffer, std::nullopt));
    if (!line) return Error(ErrorKind::closed, "keymsd has stopped");
    const json told = json::parse(*line, nullptr, false);
    if (!told.is_object()) return Error(ErrorKind::invalid, "an event that is no JSON object");
    if (told.value("ok", json()) == json(false)) return refusal_in(told);
    if (!event(told)) return {};
  }
}

}  // namespace cs::keyms
