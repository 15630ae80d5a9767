// SPDX-License-Identifier: GPL-3.0-or-later
// Asks an IKE daemon that speaks VICI: strongSwan.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "xfrm/vici/message.h"
#include "xfrm/vici/sas.h"

namespace cs::vici {

inline constexpr const char* default_socket = "/var/run/charon.vici";
// More than a gateway has; ends a list that does not.
inline constexpr std::size_t max_children = 100'000;

// A connection, for one thread. After a failure it is of no further use.
class Client {
 public:
  // `patience`: how long a whole answer may take.
  static Result<Client> connect(const std::string& path = default_socket,
                                std::chrono::milliseconds patience = std::chrono::seconds(2));

  Result<std::vector<ChildSa>> list_sas();
  Result<std::vector<IkeSa>> list_ike_sas();
  // Ends an IKE SA and its children, and tells its peer, without waiting for what that says: the
  // SAs are out of the kernel soon after. `not_found`: there is none of this number.
  Result<void> terminate(std::uint32_t ike_id);
  // What a command without arguments answers: `version` with "daemon" and "version", `stats` with
  // "ikesas.total". Lists are left out.
  Result<std::map<std::string, std::string>> ask(std::string_view command);

 private:
  using Take = std::function<Result<void>(ByteView message)>;
  using Deadline = std::chrono::steady_clock::time_point;

  Client(UniqueFd fd, std::chrono::milliseconds patience)
      : fd_(std::move(fd)), patience_(patience) {}

  // One command and its answer, with each `event` that comes before.
  struct Command {
    std::string_view name;
    ByteView message;
    std::string_view event;  // empty: none
  };
  Result<void> call(const Command& command, const Take& on_event, const Take& on_answer);
  Result<void> expect_confirmed(PacketType type, std::string_view event, Deadline deadline);
  Result<void> send(PacketType type, std::string_view name, ByteView message, Deadline deadline);
  // Valid until the next one.
  Result<Packet> receive(Deadline deadline);
  Result<void> fill(ByteSpan bytes, Deadline deadline);
  Result<void> await(short events, Deadline deadline) const;

  UniqueFd fd_;
  std::chrono::milliseconds patience_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace cs::vici
