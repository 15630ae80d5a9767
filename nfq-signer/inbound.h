// SPDX-License-Identifier: GPL-3.0-or-later
// The receiver's side of docs/WIRE.md, section 7: which packets are let in, and why the others not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/batch.h"
#include "nfq-signer/climb.h"
#include "nfq-signer/gate.h"
#include "nfq-signer/key.h"
#include "nfq-signer/signature.h"

namespace cs {

// A key of the peer, as the session gave it to us.
struct InboundKey {
  KeyScope scope;
  VerifyingKey verifying;
  Gate gate;
  LaneRange lanes;
  KeyEnd end;
};

// For one thread; each worker has its own. Memory is taken for a lane when the first batch verifies
// in it, up to `max_lanes` of a key; nothing that did not verify changes anything, and a batch
// makes room only for itself among those of its lane, at the cost of an older one.
class Verifier {
  struct Key;

 public:
  struct Options {
    std::size_t window = 64;         // batches of a lane that are remembered
    std::size_t cached_nodes = 512;  // proved tree nodes of each of them
    std::size_t max_keys = 64;
    std::size_t max_lanes = 16;  // the most a key's range may have
  };

  explicit Verifier(const Options& options);
  Verifier(Verifier&& other) noexcept;
  Verifier& operator=(Verifier&& other) noexcept;
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;
  ~Verifier();

  // Fails with `exists` for an id that is there, with `limit` for too many keys or lanes.
  Result<void> add_key(InboundKey key);
  // The same key with other lanes and another end; what was verified in lanes it keeps goes on.
  // Fails with `not_found`, and as add_key() for lanes.
  Result<void> change_key(std::uint32_t id, const LaneRange& lanes, KeyEnd end);
  // Forgets the key and all that was verified with it. False: it was not there.
  bool remove_key(std::uint32_t id);

  // A packet between the two steps.
  struct Candidate {
    Extension extension;
    Key* key = nullptr;
    Digest digest{};  // of the packet without its extension, before verify()
    Reason reason = Reason::none;
  };

  // Steps 2 to 5: all that needs no digest. Changes nothing. The candidate is good until a key is
  // removed, and views the packet's bytes.
  [[nodiscard]] Reason admit(const Layout& at, ByteView packet, const Now& now,
                             Candidate& out) const noexcept;
  // Steps 6 to 8: gives each of those that were admitted its reason. Together they cost less;
  // whether one is let in does not depend on what the others say. Puts them into another order.
  void verify(std::span<Candidate*> candidates) noexcept;
  [[nodiscard]] Reason verify(Candidate& candidate) noexcept {
    Candidate* one = &candidate;
    verify({&one, 1});
    return candidate.reason;
  }

  [[nodiscard]] std::uint64_t signatures_checked() const noexcept { return signatures_checked_; }

 private:
  [[nodiscard]] Key* find(std::uint32_t id) const noexcept;
  [[nodiscard]] Result<void> check_lanes(const LaneRange& lanes) const;
  void verify_batch(std::span<Candidate* const> candidates) noexcept;
  [[nodiscard]] bool climb(std::span<Candidate* const> candidates) noexcept;

  Options options_;
  std::vector<std::unique_ptr<Key>> keys_;
  Climb climb_;
  std::uint64_t signatures_checked_ = 0;
};

}  // namespace cs
