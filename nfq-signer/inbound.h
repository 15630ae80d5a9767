// SPDX-License-Identifier: GPL-3.0-or-later
// The receiver's side of docs/WIRE.md, section 7: which packets are let in, and why the others not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/batch.h"
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

// For one thread; each worker has its own. Memory: bounded by `max_lanes`, which are given out as
// batches verify in them, and never because of a packet that did not. The clock must outlive it.
class Verifier {
 public:
  struct Options {
    std::size_t window = 64;         // batches of a lane that are remembered; a power of two
    std::size_t cached_nodes = 512;  // of each of them
    std::size_t max_keys = 16;
    std::size_t max_lanes = 16;  // of all keys together
  };
  struct Counters {
    std::uint64_t signatures_checked = 0;
  };

  static Result<Verifier> create(const Clock& clock, const Options& options);
  static Result<Verifier> create(const Clock& clock) { return create(clock, Options{}); }

  Verifier(Verifier&&) noexcept;
  Verifier& operator=(Verifier&&) noexcept;
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;
  ~Verifier();

  // Fails with `exists` for an id that is there, with `limit` when there are too many.
  Result<void> add_key(InboundKey key);
  // Forgets the key and all that was verified with it. False: it was not there.
  bool remove_key(std::uint32_t id);

  // A signed packet between the two steps. Its views are of that packet's bytes, or of a copy the
  // caller made; the key stays as long as no key is removed.
  struct Candidate {
    Extension extension;
    const void* key = nullptr;
  };

  // Steps 2 to 5: all that needs no digest. Changes nothing.
  [[nodiscard]] Reason admit(const Layout& at, ByteView packet, Candidate& out) const noexcept;
  // Steps 6 to 8, with the digest of the packet without extension.
  [[nodiscard]] Reason verify(const Candidate& candidate, const Digest& digest) noexcept;

  [[nodiscard]] const Counters& counters() const noexcept;

 private:
  struct State;
  explicit Verifier(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cs
