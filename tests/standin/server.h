// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's end of docs/PROTOCOL.md, fed from a Scenario. For one thread.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "keyms/signer_channel.h"
#include "keyms/statement_check.h"
#include "tests/standin/scenario.h"
#include "tests/standin/signing_desk.h"

namespace cs::standin {

class Server {
 public:
  Server(const Clock& clock, keyms::SignerListener listener, Scenario scenario,
         const Behaviour& behaviour);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] int listener_fd() const { return listener_.fd(); }
  // -1, and nothing to wait for, while nobody is connected.
  [[nodiscard]] int connection_fd() const { return connection_ ? connection_->fd() : -1; }
  [[nodiscard]] short events() const { return connection_ ? connection_->events() : short{0}; }
  [[nodiscard]] std::optional<BootTime> deadline() const;

  // One turn of the event loop: takes and sends all that can be taken and sent now.
  void turn();
  // Serves this scenario from now on; sends the differences.
  void change(Scenario scenario);

 private:
  struct PeerItem {
    std::uint32_t id;
  };
  struct KeyItem {
    KeyName name;
  };
  // What is still to be sent. Peers and keys are looked up when their turn comes.
  using Item =
      std::variant<PeerItem, KeyItem, keyms::RemoveKey, keyms::RemovePeer, keyms::EndOfState>;
  using KeyAndInstance = std::pair<std::uint32_t, keyms::Instance>;
  struct Given {
    keyms::LaneRange lanes;
    keyms::StatementCheck check;
  };

  void accept();
  void take(const keyms::FromSigner& message);
  void begin(const keyms::Hello& hello);
  void send_items();
  Result<void> send(const Item& item);
  Result<void> send_key(const KeyName& name);
  Result<void> send_outbound(const Key& key, keyms::KeyRecord record);
  void note_starts();
  void forget(const KeyName& name);
  [[nodiscard]] std::optional<keyms::KeyEnd> end_of(const KeyName& name) const;
  // The lanes of this instance of nfq-signer; null when there are none left.
  Given* give_lanes(const Key& key);
  void lost(const Error& why);

  const Clock* clock_;
  keyms::SignerListener listener_;
  Scenario scenario_;
  SigningDesk desk_;
  std::optional<keyms::SignerConnection> connection_;
  keyms::Hello hello_;
  std::deque<Item> items_;
  std::map<KeyName, BootTime> ends_;
  std::map<KeyAndInstance, Given> given_;
  std::map<std::uint32_t, std::uint32_t> lanes_used_;  // of each outbound key
};

}  // namespace cs::standin
