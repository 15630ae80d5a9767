// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's end of the data plane's socket: docs/PROTOCOL.md. What nfq-signer is to know is told
// here; it goes out when there is an nfq-signer, and again to the next one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "keyms/daemon/loop.h"
#include "keyms/signer_channel.h"
#include "keyms/statement_signer.h"

namespace cs::keyms {

// The earlier of the two.
struct KeyLimit {
  std::uint64_t not_after = 0;  // seconds since 1970
  BootTime until;
};

class SignerService final : public LoopPart {
 public:
  // Messages taken in one turn: who sends without end does not keep the loop from its other parts.
  static constexpr std::size_t most_taken = 256;
  // Removals that wait for a slow reader. With more it is cut off, and learns the state anew.
  static constexpr std::size_t most_removals = 65536;
  // How often the clock that can be set is looked at.
  static constexpr std::chrono::seconds look_around{1};

  // Where the private part of a session key comes from, each time nfq-signer has to be told: it is
  // not kept here. Answers later, or at once; one at a time.
  using Answer = std::function<void(Result<SecretBytes>)>;
  using Fetch = std::function<void(std::uint32_t key, Answer)>;

  // May call the service, but not destroy it.
  struct Hooks {
    Fetch fetch;
    // An inbound key verifies from now on. Said again for each connection.
    std::function<void(std::uint32_t key)> applied;
    // One that could not be told: it is forgotten, here and there.
    std::function<void(std::uint32_t key, Table table, const Error& why)> lost;
    std::function<void(bool connected, const std::string& words)> connection;
  };

  struct Outbound {
    std::uint32_t peer = 0;
    KeyScope scope;
    SecretBytes gate_secret;
    LaneRange lanes;  // to be given out
    KeyLimit limit;
    StatementSigner::Open open;  // where the key stays here; else it is fetched
    std::vector<std::uint8_t> public_key;
  };
  struct Inbound {
    std::uint32_t peer = 0;
    KeyScope scope;
    SecretBytes gate_secret;
    LaneRange lanes;
    KeyLimit limit;
    std::vector<std::uint8_t> public_key;
  };

  // The clock must outlive it; so must `signer`, which is null where no key stays here.
  SignerService(const Clock& clock, SignerListener listener, StatementSigner* signer, Hooks hooks);

  // In place of the one with the same id. Refused: what the protocol cannot say.
  Result<void> set(Peer peer);
  void remove_peer(std::uint32_t peer);  // with its keys
  // Refused: the id is taken (exists), by another key in the same table; no such peer (not_found);
  // it has ended (timed_out); what the protocol cannot say.
  Result<void> add(Outbound key);
  Result<void> add(Inbound key);
  void remove(std::uint32_t key, Table table);
  // The keys of a peer end then, if not before.
  void limit(std::uint32_t peer, BootTime until);

  [[nodiscard]] bool has_key(std::uint32_t key, Table table) const;
  [[nodiscard]] bool is_connected() const noexcept { return connection_ && connection_->agreed(); }
  // Of the nfq-signer that is connected, or was last.
  [[nodiscard]] const Status& counters() const noexcept { return counters_; }

  void wait(Waits& waits) const override;
  Result<void> run() override;

 private:
  // What nfq-signer does not know yet. Looked up when its turn comes, so that it is told once.
  struct Untold {
    std::set<std::uint32_t> removed_peers;
    std::set<std::pair<Table, std::uint32_t>> removed_keys;
    std::set<std::uint32_t> peers;
    std::set<std::uint32_t> inbound;
    std::set<std::uint32_t> outbound;
    bool end_of_state = false;
  };
  enum class Next : std::uint8_t { nothing, removal, peer, inbound, outbound, end_of_state };
  struct Given {
    LaneRange lanes;
    std::shared_ptr<StatementCheck> check;  // of a key that stays here
  };
  struct Lanes {
    std::map<Instance, Given> given;
    std::uint32_t used = 0;
  };

  void accept();
  void take_messages();
  void take(const FromSigner& message);
  void begin(const Hello& hello);
  void send_answers();
  void drop_ended();
  void lost(const Error& why);

  [[nodiscard]] Next next() const;
  void send_untold();
  [[nodiscard]] Result<void> send_removal();
  [[nodiscard]] Result<void> send_peer();
  void send_inbound();
  void send_outbound();
  void fetch(std::uint32_t id);
  void fetched(std::uint32_t id, Result<SecretBytes> private_key);
  [[nodiscard]] Result<void> open_here(const Outbound& key);
  template <class Signer>
  [[nodiscard]] Result<void> tell(const Outbound& key, Signer signer);
  // What came of telling a key.
  void settle(std::uint32_t key, Table table, const Result<void>& told);

  template <class Key>
  [[nodiscard]] Result<void> check(const Key& key) const;
  [[nodiscard]] bool has_ended(const KeyLimit& limit) const;
  [[nodiscard]] BootTime end_of(const KeyLimit& limit) const;
  template <class Key>
  [[nodiscard]] Result<KeyRecord> record_of(const Key& key) const;
  [[nodiscard]] Result<Given> give_lanes(const Outbound& key);
  void drop(std::uint32_t key, Table table);

  const Clock* clock_;
  SignerListener listener_;
  StatementSigner* signer_;
  Hooks hooks_;
  std::optional<SignerConnection> connection_;
  Hello hello_;
  Status counters_;
  std::map<std::uint32_t, Peer> peers_;
  std::map<std::uint32_t, Outbound> outbound_;
  std::map<std::uint32_t, Inbound> inbound_;
  std::map<std::uint32_t, Lanes> lanes_;  // of outbound keys
  Untold untold_;
  // The key whose private part is on its way: an answer to what is no longer this is not heard.
  std::shared_ptr<const std::uint32_t> fetching_;
  BootTime next_look_;  // for keys that have ended
  std::vector<StatementSigner::Answer> answers_;
};

}  // namespace cs::keyms
