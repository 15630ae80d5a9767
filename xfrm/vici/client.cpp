// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/vici/client.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/endian.h"
#include "base/unix_socket.h"

namespace cs::vici {
namespace {

constexpr const char* tried = "asking the IKE daemon";
constexpr std::string_view sa_event = "list-sa";

Result<void> nothing(ByteView /*message*/) {
  return {};
}

// "section.key" of each value.
Result<void> flatten(ByteView message, std::map<std::string, std::string>& into) {
  Elements elements(message);
  std::vector<std::string> path;
  while (true) {
    CS_TRY(const auto element, elements.next());
    if (!element) return {};
    if (element->type == Element::Type::section_start) {
      path.push_back((path.empty() ? "" : path.back()) + std::string(element->name) + ".");
    } else if (element->type == Element::Type::section_end) {
      path.pop_back();
    } else if (element->type == Element::Type::key_value) {
      into.insert_or_assign((path.empty() ? "" : path.back()) + std::string(element->name),
                            std::string(element->value));
    }
  }
}

}  // namespace

Result<Client> Client::connect(const std::string& path, std::chrono::milliseconds patience) {
  CS_TRY(const UnixAddress address, unix_address(path));
  CS_TRY(UniqueFd fd, unix_socket(SOCK_STREAM));
  if (::connect(fd.get(), address.get(), UnixAddress::size) != 0) {
    return from_errno(errno, "connecting to the IKE daemon at " + path)
        .with_hint("start strongSwan with its plugin vici, or name its socket");
  }
  return Client(std::move(fd), patience);
}

Result<std::vector<ChildSa>> Client::list_sas() {
  std::vector<ChildSa> children;
  const auto take = [&children](ByteView message) -> Result<void> {
    CS_CHECK(parse_list_sa(message, children));
    if (children.size() <= max_children) return {};
    return Error(ErrorKind::limit, "the IKE daemon's list of SAs has no end");
  };
  CS_CHECK(call({"list-sas", {}, sa_event}, take, nothing));
  return children;
}

Result<std::vector<IkeSa>> Client::list_ike_sas() {
  std::vector<IkeSa> all;
  const auto take = [&all](ByteView message) -> Result<void> {
    CS_TRY(IkeSa one, parse_ike_sa(message));
    if (all.size() == max_children)
      return Error(ErrorKind::limit, "the IKE daemon's list of SAs has no end");
    all.push_back(std::move(one));
    return {};
  };
  CS_CHECK(call({"list-sas", {}, sa_event}, take, nothing));
  return all;
}

Result<void> Client::terminate(std::uint32_t ike_id) {
  const std::string number = std::to_string(ike_id);
  // A timeout of -1: charon answers before it has done it.
  const auto message = make_message({{"ike-id", number}, {"force", "yes"}, {"timeout", "-1"}});
  std::map<std::string, std::string> answer;
  const auto take = [&answer](ByteView said) { return flatten(said, answer); };
  CS_CHECK(call({"terminate", message, ""}, nothing, take));
  if (answer["success"] == "yes") return {};
  return Error(ErrorKind::not_found, "the IKE daemon does not end IKE SA " + number + ": " +
                                         answer["errmsg"].substr(0, 255));
}

Result<std::map<std::string, std::string>> Client::ask(std::string_view command) {
  std::map<std::string, std::string> answer;
  const auto take = [&answer](ByteView message) { return flatten(message, answer); };
  CS_CHECK(call({command, {}, ""}, nothing, take));
  return answer;
}

Result<void> Client::call(const Command& command, const Take& on_event, const Take& on_answer) {
  const std::string_view event = command.event;
  const Deadline deadline = std::chrono::steady_clock::now() + patience_;
  if (!event.empty()) CS_CHECK(expect_confirmed(PacketType::register_event, event, deadline));
  CS_CHECK(send(PacketType::request, command.name, command.message, deadline));
  while (true) {
    CS_TRY(const Packet packet, receive(deadline));
    if (packet.type == PacketType::event && packet.name == event && !event.empty()) {
      CS_CHECK(on_event(packet.message));
    } else if (packet.type == PacketType::response) {
      CS_CHECK(on_answer(packet.message));
      break;
    } else if (packet.type == PacketType::unknown_request) {
      return Error(ErrorKind::unsupported,
                   "the IKE daemon does not know the command " + std::string(command.name));
    } else {
      return Error(ErrorKind::invalid, "the IKE daemon sends what was not asked for");
    }
  }
  if (event.empty()) return {};
  return expect_confirmed(PacketType::unregister_event, event, deadline);
}

Result<void> Client::expect_confirmed(PacketType type, std::string_view event, Deadline deadline) {
  CS_CHECK(send(type, event, {}, deadline));
  while (true) {
    CS_TRY(const Packet packet, receive(deadline));
    if (packet.type == PacketType::confirmed) return {};
    // One that somebody else's question makes.
    if (packet.type == PacketType::event) continue;
    return Error(ErrorKind::unsupported,
                 "the IKE daemon does not know the event " + std::string(event));
  }
}

Result<void> Client::send(PacketType type, std::string_view name, ByteView message,
                          Deadline deadline) {
  const std::vector<std::uint8_t> packet = make_packet(type, name, message);
  ByteView left(packet);
  while (!left.empty()) {
    const ssize_t sent = ::send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return from_errno(errno, tried);
    if (sent < 0) {
      CS_CHECK(await(POLLOUT, deadline));
    } else {
      left = left.subspan(static_cast<std::size_t>(sent));
    }
  }
  return {};
}

Result<Packet> Client::receive(Deadline deadline) {
  std::array<std::uint8_t, 4> head{};
  CS_CHECK(fill(head, deadline));
  std::uint32_t length = 0;
  ByteReader reader(head);
  if (!reader.u32be(length) || length > max_packet) {
    return Error(ErrorKind::limit,
                 "the IKE daemon sends a packet of " + std::to_string(length) + " bytes");
  }
  buffer_.resize(length);
  CS_CHECK(fill(buffer_, deadline));
  return parse_packet(buffer_);
}

Result<void> Client::fill(ByteSpan bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (got == 0) return Error(ErrorKind::closed, "the IKE daemon has closed the connection");
    if (got < 0 && errno != EAGAIN && errno != EINTR) return from_errno(errno, tried);
    if (got < 0) {
      CS_CHECK(await(POLLIN, deadline));
    } else {
      bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
  }
  return {};
}

Result<void> Client::await(short events, Deadline deadline) const {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd waits{fd_.get(), events, 0};
  if (left.count() > 0) {
    const int ready = ::poll(&waits, 1, static_cast<int>(left.count()));
    if (ready > 0 || (ready < 0 && errno == EINTR)) return {};
  }
  return from_errno(ETIMEDOUT, tried);
}

}  // namespace cs::vici
