// SPDX-License-Identifier: GPL-3.0-or-later
// The sender's side of docs/WIRE.md: from digests to extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "nfq-signer/batch.h"
#include "nfq-signer/gate.h"
#include "nfq-signer/key.h"
#include "nfq-signer/signature.h"

namespace cs {

// A key with which one worker signs, in a lane that is its own. Who signs the statements (a session
// key in memory, a TPM far away) is not its business.
class OutboundKey {
 public:
  OutboundKey(const KeyScope& scope, Gate gate, std::uint16_t lane, KeyEnd end)
      : scope_(scope), gate_(std::move(gate)), end_(end), lane_(lane) {}

  [[nodiscard]] const KeyScope& scope() const noexcept { return scope_; }
  [[nodiscard]] const Gate& gate() const noexcept { return gate_; }
  [[nodiscard]] const KeyEnd& end() const noexcept { return end_; }
  void set_end(KeyEnd end) noexcept { end_ = end; }
  [[nodiscard]] std::uint16_t lane() const noexcept { return lane_; }
  // Each number once. Whoever makes the same key for the same lane again goes on with it.
  [[nodiscard]] std::uint64_t next_batch() const noexcept { return next_batch_; }
  void go_on_with(std::uint64_t batch) noexcept { next_batch_ = batch; }
  [[nodiscard]] std::uint64_t take_batch_number() noexcept { return next_batch_++; }

 private:
  KeyScope scope_;
  Gate gate_;
  KeyEnd end_;
  std::uint64_t next_batch_ = 0;
  std::uint16_t lane_;
};

// One batch on its way: closed, then signed, then written packet by packet. Reused for the next
// one; allocates only when it is made. The key must outlive it.
class OutboundBatch {
 public:
  explicit OutboundBatch(std::size_t capacity) : tree_(capacity) { digests_.reserve(capacity); }

  // Fixes what is in it: 1 to capacity digests, in the order of their packets. Draws the salt, so
  // that nobody knew it who could still choose a packet.
  void close(OutboundKey& key, std::span<const Digest> digests);
  // The same packets again under the key's next number, as if never closed before. For a batch
  // whose statement nobody has signed, and nobody will.
  void close_anew(OutboundKey& key);
  // What has to be signed.
  [[nodiscard]] const Statement& statement() const noexcept { return statement_; }

  void set_signature(const Signature& signature) noexcept { signature_ = signature; }

  // Of packet `index`; `original` if DF was cleared in it.
  [[nodiscard]] std::size_t extension_size(
      const Layout& at, std::size_t index,
      const std::optional<Original>& original = {}) const noexcept;
  // `out` has extension_size() bytes. Only after set_signature().
  void write_extension(std::size_t index, const std::optional<Original>& original,
                       ByteSpan out) const noexcept {
    write_extensions(index, {&original, 1}, {&out, 1});
  }
  // Of up to at_once packets from `first` on; several cost less than one after the other.
  static constexpr std::size_t at_once = 8;
  void write_extensions(std::size_t first, std::span<const std::optional<Original>> originals,
                        std::span<const ByteSpan> out) const noexcept;

 private:
  [[nodiscard]] ExtensionFields fields_of(std::size_t index,
                                          const std::optional<Original>& original) const noexcept;

  const OutboundKey* key_ = nullptr;
  BatchTree tree_;
  std::vector<Digest> digests_;
  BatchId id_;
  Statement statement_{};
  Signature signature_{};
};

}  // namespace cs
