// SPDX-License-Identifier: GPL-3.0-or-later
// Which SAs of a pair both gateways have agreed on, by the value that only who has an SA's keys can
// compute (xfrm/binding.h): docs/PROTOCOL.md, "An SA bound to a session". Of one pair. Asks nobody:
// who has it does what it says.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "keyms/session/messages.h"
#include "xfrm/binding.h"
#include "xfrm/gate/gate.h"
#include "xfrm/state/model.h"

namespace cs::keyms {

// An SA of ours, with the value it has in the session that is.
struct LocalSa {
  xfrm::Passage passage;
  xfrm::Sense sense = xfrm::Sense::to_responder;
  std::string algorithms;  // by the kernel's names, so that both ends write the same
  Hash value{};
};

// "rfc4106(gcm(aes)) 288/128", or encryption and authentication joined by '+'.
[[nodiscard]] std::string algorithms_of(const xfrm::Sa& sa);

class SaBook {
 public:
  static constexpr std::size_t most = 4096;  // SAs of each side; more are not agreed on
  // How long an SA of the former session passes without being agreed on in the new one.
  static constexpr std::chrono::seconds agreed_anew_within{10};

  // How long the peer has to say an SA that we have said; then that is told.
  static constexpr std::chrono::seconds said_within{5};
  // How long an SA that was agreed on passes when one side has it no more: after a rekey its last
  // packets are on the way, and wait in queues.
  static constexpr std::chrono::seconds on_the_way{3};

  // To be done, in this order: withdraw, tell, admit.
  struct Changes {
    std::vector<xfrm::Passage> withdraw;
    std::vector<SaValue> tell;
    std::vector<SasGone::Gone> tell_gone;
    std::vector<xfrm::Passage> admit;
    // What the two gateways do not have alike: sentences.
    std::vector<std::string> disagreements;
  };

  // The clock must outlive it.
  explicit SaBook(const Clock& clock) : clock_(&clock) {}

  // A session has begun, in which every value is another one.
  void begin_session();
  // All SAs of the pair as they are now.
  [[nodiscard]] Changes set_local(std::vector<LocalSa> now);
  [[nodiscard]] Changes on_peer(const Sas& told);
  [[nodiscard]] Changes on_peer(const SasGone& gone);
  // What was not agreed on anew, or not said by the peer, in time; and what passed on for a while.
  [[nodiscard]] std::optional<BootTime> deadline() const noexcept;
  [[nodiscard]] Changes tick();
  // Nothing passes any more; what the kernel has stays known for the next session.
  [[nodiscard]] Changes end();

  [[nodiscard]] std::size_t admitted() const noexcept;

 private:
  struct Name {
    std::uint32_t spi = 0;
    std::uint8_t sense = 1;
    // NOLINTNEXTLINE(modernize-use-nullptr): it takes the 0 of the comparison for a pointer.
    auto operator<=>(const Name&) const = default;
  };
  struct Entry {
    std::optional<LocalSa> ours;
    std::optional<SaValue> theirs;
    std::optional<xfrm::Passage> admitted;
    bool former = false;     // ours has the value of a session that is over
    bool told = false;       // in this session
    bool anew = true;        // agreed on in this session
    bool disagrees = false;  // and that was told
    std::optional<BootTime> alone_since = {};
    std::optional<BootTime> leaves = {};  // one side has it no more

    [[nodiscard]] bool is_alone() const noexcept { return ours && told && !theirs && !leaves; }
  };

  void settle(Entry& entry, Changes& changes) const;
  void leave(Entry& entry) const;
  void sweep();

  const Clock* clock_;
  std::map<Name, Entry> entries_;
  std::optional<BootTime> anew_until_;
  bool in_session_ = false;
};

}  // namespace cs::keyms
