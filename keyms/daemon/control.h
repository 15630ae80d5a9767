// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's control socket: docs/PROTOCOL.md, "The control socket". A line of JSON in, a line of
// JSON out; what a request means is its handler's. Who is at the other end the kernel says.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "keyms/daemon/loop.h"

namespace cs::keyms {

class ControlServer final : public LoopPart {
 public:
  static constexpr int version = 1;
  static constexpr std::size_t most_connections = 32;
  static constexpr std::size_t most_request = std::size_t{1} * 1024 * 1024;
  static constexpr std::size_t most_depth = 16;  // of objects and lists in each other
  static constexpr std::size_t most_answer = std::size_t{32} * 1024 * 1024;
  static constexpr std::size_t most_unread = std::size_t{1} * 1024 * 1024;  // of a follower
  static constexpr std::chrono::seconds asks_within{10};

  struct Request {
    std::string verb;
    uid_t user = 0;
    // Root, or keymsd's own user: who else may connect may look, and change nothing.
    bool may_change = false;
  };
  // Called once, now or later; after the connection has gone nothing happens.
  using Reply = std::function<void(Result<nlohmann::json>)>;
  // `arguments` is an object, perhaps empty.
  using Handler = std::function<void(const Request&, const nlohmann::json& arguments, Reply)>;

  // At `path`, mode 0660: base/unix_socket.h says what may be there. The clock must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> open(const Clock& clock,
                                                                   const std::string& path,
                                                                   Handler handler);

  // To all that follow events. Who does not read is hung up on.
  void publish(const nlohmann::json& event);

  void wait(Waits& waits) const override;
  Result<void> run() override;

 private:
  struct Connection;

  ControlServer(const Clock& clock, UniqueFd listener, Handler handler);
  void accept();
  [[nodiscard]] bool make_room();
  void serve(const std::shared_ptr<Connection>& connection);
  void take_line(const std::shared_ptr<Connection>& connection, const std::string& line);
  static void answer(const std::shared_ptr<Connection>& connection, const nlohmann::json& line);

  const Clock* clock_;
  UniqueFd listener_;
  Handler handler_;
  std::vector<std::shared_ptr<Connection>> connections_;
};

// A request's line: an object with a "verb", which is a text, and "arguments", which are an object.
[[nodiscard]] Result<nlohmann::json> read_request(std::string_view line);

// The other end: sends one request and waits for its answer, at most that long. Fails as the daemon
// did, with its words (`refused` is true then); not_found where no daemon is.
[[nodiscard]] Result<nlohmann::json> ask_daemon(const std::string& path, const std::string& verb,
                                                const nlohmann::json& arguments,
                                                std::chrono::seconds within,
                                                bool* refused = nullptr);
// Calls back for each event until `event` returns false or the daemon has gone. `asked`: before the
// first; what happens from then on is told.
[[nodiscard]] Result<void> follow_daemon(const std::string& path,
                                         const std::function<bool(const nlohmann::json&)>& event,
                                         const std::function<Result<void>()>& asked = {});

}  // namespace cs::keyms
