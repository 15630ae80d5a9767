// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/unix_socket.h"

namespace cs::keyms {

using nlohmann::json;

namespace {

constexpr std::string_view follow = "events";

json error_of(const Error& error) {
  return {{"kind", to_string(error.kind())}, {"message", error.message()}};
}

// Whatever bytes a sentence has: what is no UTF-8 is replaced.
std::string line_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string refusal(const Error& error) {
  return line_of({{"version", ControlServer::version}, {"ok", false}, {"error", error_of(error)}});
}

}  // namespace

Result<json> read_request(std::string_view line) {
  // What is nested more is not made at all: to copy it would take the stack.
  bool deep = false;
  const auto shallow = [&deep](int depth, json::parse_event_t, const json&) {
    deep = deep || depth > static_cast<int>(ControlServer::most_depth);
    return !deep;
  };
  json request = json::parse(line, shallow, false);
  if (deep) return Error(ErrorKind::limit, "the request is nested too deep");
  if (!request.is_object() || !request.contains("verb") || !request["verb"].is_string())
    return Error(ErrorKind::invalid, "the request is no JSON object with a verb");
  if (request.value("version", json(0)) != ControlServer::version) {
    return Error(ErrorKind::unsupported, "the request is not of version 1 of the control socket")
        .with_hint("install countersign and keymsd of the same release");
  }
  if (!request.emplace("arguments", json::object()).first->is_object())
    return Error(ErrorKind::invalid, "the arguments are no JSON object");
  return request;
}

struct ControlServer::Connection {
  UniqueFd fd;
  Request who;
  std::string in;
  std::string out;
  std::optional<BootTime> until;  // for the whole request to come
  bool asked = false;             // an answer is owed
  bool follows = false;
};

ControlServer::ControlServer(const Clock& clock, UniqueFd listener, Handler handler)
    : clock_(&clock), listener_(std::move(listener)), handler_(std::move(handler)) {}

Result<std::unique_ptr<ControlServer>> ControlServer::open(const Clock& clock,
                                                           const std::string& path,
                                                           Handler handler) {
  CS_TRY(UniqueFd listener, listen_at(path, SOCK_STREAM, 16));
  return std::unique_ptr<ControlServer>(
      new ControlServer(clock, std::move(listener), std::move(handler)));
}

void ControlServer::accept() {
  for (;;) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    ucred who{};
    socklen_t size = sizeof(who);
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) continue;
    const bool may_change = who.uid == 0 || who.uid == ::geteuid();
    if (connections_.size() >= most_connections && !(may_change && make_room())) {
      const std::string line =
          refusal({ErrorKind::limit, "keymsd serves " + std::to_string(most_connections) +
                                         " connections, and no more"});
      // What does not fit into an empty socket's buffer is not worth a wait.
      static_cast<void>(::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL));
      continue;
    }
    auto connection = std::make_shared<Connection>();
    connection->fd = std::move(fd);
    connection->who.user = who.uid;
    connection->who.may_change = may_change;
    connection->until = clock_->boot() + asks_within;
    connections_.push_back(std::move(connection));
  }
}

// Who only looks does not keep out who has something to do.
bool ControlServer::make_room() {
  const auto other = std::ranges::find_if(
      connections_, [](const auto& connection) { return !connection->who.may_change; });
  if (other == connections_.end()) return false;
  connections_.erase(other);
  return true;
}

void ControlServer::wait(Waits& waits) const {
  waits.on(listener_.get());
  for (const auto& connection : connections_) {
    waits.on(connection->fd.get(),
             static_cast<short>(POLLIN | (connection->out.empty() ? 0 : POLLOUT)));
    waits.until(connection->until);
  }
}

Result<void> ControlServer::run() {
  accept();
  const auto now = connections_;
  for (const auto& connection : now) serve(connection);
  std::erase_if(connections_, [&](const auto& connection) {
    return !connection->fd || (connection->until && clock_->boot() >= *connection->until);
  });
  return {};
}

void ControlServer::serve(const std::shared_ptr<Connection>& connection) {
  std::array<char, 16384> bytes{};
  for (;;) {
    const ssize_t got = ::recv(connection->fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got <= 0) {
      connection->fd.reset();
      return;
    }
    connection->in.append(bytes.data(), static_cast<std::size_t>(got));
    if (connection->in.size() > most_request) {
      connection->out += refusal({ErrorKind::limit, "the request is too long"});
      connection->in.clear();
      connection->until = clock_->boot();
      break;
    }
  }
  const std::size_t end = connection->in.find('\n');
  if (end != std::string::npos && !connection->asked) {
    const std::string line = connection->in.substr(0, end);
    connection->in.erase(0, end + 1);
    take_line(connection, line);
  }
  while (connection->fd && !connection->out.empty()) {
    const ssize_t sent =
        ::send(connection->fd.get(), connection->out.data(), connection->out.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent <= 0) {
      connection->fd.reset();
      return;
    }
    connection->out.erase(0, static_cast<std::size_t>(sent));
  }
}

void ControlServer::take_line(const std::shared_ptr<Connection>& connection,
                              const std::string& line) {
  connection->asked = true;
  connection->until.reset();
  const Reply reply = [this, to = std::weak_ptr(connection)](Result<json> result) {
    const auto alive = to.lock();
    if (!alive || !alive->fd) return;
    alive->asked = false;
    alive->until = clock_->boot() + asks_within;
    json out{{"version", version}, {"ok", result.ok()}};
    result.ok() ? out["result"] = std::move(result).value()
                : out["error"] = error_of(result.error());
    answer(alive, out);
  };
  auto request = read_request(line);
  if (!request.ok()) {
    reply(std::move(request).error());
    return;
  }
  connection->who.verb = request.value()["verb"].get<std::string>();
  if (connection->who.verb == follow) {
    connection->follows = true;
    connection->asked = false;
    return;
  }
  handler_(connection->who, request.value()["arguments"], reply);
}

void ControlServer::answer(const std::shared_ptr<Connection>& connection, const json& line) {
  std::string text = line_of(line);
  if (text.size() > most_answer) text = refusal({ErrorKind::limit, "the answer is too long"});
  connection->out += text;
}

void ControlServer::publish(const json& event) {
  const std::string line = line_of(event);
  for (const auto& connection : connections_) {
    if (!connection->follows) continue;
    if (connection->out.size() + line.size() > most_unread) {
      connection->fd.reset();
    } else {
      connection->out += line;
    }
  }
}

}  // namespace cs::keyms
