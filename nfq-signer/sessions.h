// SPDX-License-Identifier: GPL-3.0-or-later
// The peers and keys keymsd has told, handed to the workers: docs/PROTOCOL.md, "Order".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "keyms/signer_protocol.h"
#include "nfq-signer/inbound_worker.h"
#include "nfq-signer/outbound_worker.h"
#include "nfq-signer/remote_signer.h"
#include "nfq-signer/tunnel.h"
#include "nfq-signer/worker_thread.h"

namespace cs {

using OutboundThread = WorkerThread<OutboundWorker>;
using InboundThread = WorkerThread<InboundWorker>;

struct Workers {
  std::vector<std::unique_ptr<OutboundThread>> outbound;
  std::vector<std::unique_ptr<InboundThread>> inbound;
};

// For the thread that has the socket. An error of apply() means that keymsd has broken a rule of
// the protocol, or that a worker has ended. The workers, the clock and the exchange must outlive
// it.
class Sessions {
 public:
  Sessions(Workers& workers, std::shared_ptr<SignatureExchange> exchange, const Clock& clock)
      : workers_(&workers), exchange_(std::move(exchange)), clock_(&clock) {}

  // Any message but welcome and sign_reply, in the order they come.
  Result<void> apply(keyms::FromKeymsd message);
  // A connection begins: what it does not send until end_of_state goes then.
  void begin_state() noexcept;

  [[nodiscard]] std::size_t peers() const noexcept { return peers_.size(); }
  // Of keys that have not ended.
  [[nodiscard]] std::size_t outbound_keys() const;
  [[nodiscard]] std::size_t inbound_keys() const;
  // Every address of every peer.
  [[nodiscard]] std::vector<mtu::Destination> destinations() const;

 private:
  struct Peer {
    keyms::Peer what;
    std::uint32_t signs_with = 0;  // the newest outbound key, if has_key
    bool has_key = false;
    bool is_current = true;  // sent by this connection
  };
  template <class Message>
  struct Key {
    Message message;
    KeyEnd end;
    bool is_current = true;
  };
  template <class Message>
  using Keys = std::map<std::uint32_t, Key<Message>>;

  Result<void> on(keyms::Peer& message);
  Result<void> on(keyms::OutboundKey& message);
  Result<void> on(keyms::InboundKey& message);
  Result<void> on(const keyms::RemoveKey& message);
  Result<void> on(const keyms::RemovePeer& message);
  Result<void> on(const keyms::EndOfState& message);
  Result<void> remove_peer(std::uint32_t id);
  Result<void> remove_outbound(std::uint32_t key);
  Result<void> remove_inbound(std::uint32_t key);
  Result<void> start_signing(const keyms::OutboundKey& message, KeyEnd end);
  [[nodiscard]] Result<std::unique_ptr<RootSigner>> make_signer(
      const keyms::OutboundKey& message) const;

  Workers* workers_;
  std::shared_ptr<SignatureExchange> exchange_;
  const Clock* clock_;
  std::map<std::uint32_t, Peer> peers_;
  Keys<keyms::OutboundKey> outbound_;
  Keys<keyms::InboundKey> inbound_;
};

}  // namespace cs
