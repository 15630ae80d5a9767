// SPDX-License-Identifier: GPL-3.0-or-later
// What keymsd tells its operator: the journal, with a MESSAGE_ID for each kind of event, who
// follows them at the control socket, and who asks what happened lately.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace cs::keyms {

enum class EventKind : std::uint8_t {
  started,
  stopping,
  granted,  // a gateway has attested
  denied,   // and another one has not, or not any more
  attempt,  // a run or a channel failed; what was granted stands
  notice,   // the peer tells something of itself
  drift,    // this gateway is not as agreed
  healed,
  sa_refused,  // an SA that the two gateways have not alike
  key,         // a session key or an endpoint's certificate begins or ends
  policy,      // a policy was agreed, applied, retired
  trouble,     // TPM, store, clock, nfq-signer, gate, carrier
};
inline constexpr std::size_t event_kind_count = 12;

struct EventText {
  EventKind kind;
  std::string_view name;        // stable
  std::string_view message_id;  // of the journal
  int priority;                 // syslog's
};
[[nodiscard]] const EventText& text_of(EventKind kind) noexcept;

struct Event {
  EventKind kind = EventKind::trouble;
  std::string peer;    // NeID; empty: of this gateway alone
  std::string reason;  // a code; may be empty
  std::string text;    // one line
};

class Events {
 public:
  static constexpr std::size_t most_kept = 1000;
  // The same of one kind, peer and reason is told once in this time, then with a count.
  static constexpr std::chrono::seconds quiet_for{10};

  // The clock must outlive it. `journal`: where it goes; none: systemd's, or standard error where
  // there is none.
  using Journal = std::function<void(const Event&, const EventText&, const std::string& line)>;
  explicit Events(const Clock& clock, Journal journal = {});

  void tell(Event event);
  void follow(std::function<void(const nlohmann::json&)> follower);
  // The newest last, with number, time and count.
  [[nodiscard]] nlohmann::json lately() const;

 private:
  struct Kept {
    Event event;
    std::uint64_t number = 0;
    WallTime at;
    BootTime since;
    std::uint64_t count = 1;
  };
  [[nodiscard]] static nlohmann::json json_of(const Kept& kept);

  const Clock* clock_;
  Journal journal_;
  std::function<void(const nlohmann::json&)> follower_;
  std::deque<Kept> kept_;
  std::uint64_t number_ = 0;
};

}  // namespace cs::keyms
