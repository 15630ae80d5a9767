// SPDX-License-Identifier: GPL-3.0-or-later
// The packets that are pumped: plain ESP or AH, the same signed, and forged ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "nfq-signer/inbound.h"
#include "nfq-signer/outbound.h"
#include "tools/bench/network.h"
#include "tools/bench/options.h"

namespace cs::bench {

// Many packets in one piece of memory.
class PacketSet {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] ByteSpan at(std::size_t index) noexcept {
    return ByteSpan(bytes_).subspan(places_[index].offset, places_[index].size);
  }
  [[nodiscard]] ByteView at(std::size_t index) const noexcept {
    return ByteView(bytes_).subspan(places_[index].offset, places_[index].size);
  }
  // Total bytes of packets.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.size(); }

  void clear() noexcept {
    bytes_.clear();
    places_.clear();
  }
  void reserve(std::size_t packets, std::size_t size) {
    bytes_.reserve(packets * size);
    places_.reserve(packets);
  }
  // One more packet of `size` bytes, zeros. Ends all views.
  ByteSpan add(std::size_t size) {
    places_.push_back({bytes_.size(), size});
    bytes_.resize(bytes_.size() + size);
    return at(places_.size() - 1);
  }

 private:
  struct Place {
    std::size_t offset = 0;
    std::size_t size = 0;
  };
  std::vector<std::uint8_t> bytes_;
  std::vector<Place> places_;
};

// Through which queue packet `index` goes: whole batches stay together.
[[nodiscard]] inline std::size_t queue_of(const Options& options, std::size_t index) noexcept {
  return index / options.batch % options.queues;
}

// `count` packets with random contents, numbered from 0 in their sequence number.
PacketSet make_packets(const Options& options, Target target, std::size_t count);

// Bytes from the SPI or the AH header to the sequence number.
[[nodiscard]] constexpr std::size_t sequence_offset(Protocol protocol) noexcept {
  return protocol == Protocol::esp ? 4 : 8;
}

// A key record of the bench's own, from which both ends are made.
class Keys {
 public:
  static Result<Keys> create(Suite suite);

  [[nodiscard]] Result<SigningKey> signing() const {
    return SigningKey::load(scope_.suite, private_key_);
  }
  [[nodiscard]] Result<OutboundKey> outbound(std::uint16_t lane) const;
  [[nodiscard]] Result<InboundKey> inbound(std::size_t lanes) const;
  // Where somebody else signs.
  [[nodiscard]] Result<InboundKey> inbound(std::size_t lanes, ByteView public_key) const;
  [[nodiscard]] Suite suite() const noexcept { return scope_.suite; }
  [[nodiscard]] const KeyScope& scope() const noexcept { return scope_; }

 private:
  Keys(SecretBytes private_key, SecretBytes gate)
      : private_key_(std::move(private_key)), gate_(std::move(gate)) {}

  KeyScope scope_;
  SecretBytes private_key_;
  SecretBytes gate_;
};

enum class Contents : std::uint8_t { plain, with_signature, forged, half_forged };

// Makes the packets a mode is fed with.
class Feed {
 public:
  static Result<Feed> create(const Options& options, const Keys& keys, Contents contents);

  // `count` packets in `out`, with whole batches but for the last one. Signed ones are new in every
  // call: no batch is ever given twice.
  [[nodiscard]] Result<void> fill(Target target, std::size_t count, PacketSet& out);
  [[nodiscard]] Contents contents() const noexcept { return contents_; }
  // A signed packet that went through is a replay the next time.
  [[nodiscard]] bool is_once() const noexcept {
    return contents_ == Contents::with_signature || contents_ == Contents::half_forged;
  }

 private:
  Feed(const Options& options, Contents contents, SigningKey signing, PacketHasher hasher);
  Result<void> sign_batch(std::size_t first, std::size_t count, PacketSet& out);

  const Options* options_;
  Contents contents_;
  SigningKey signing_;
  PacketHasher hasher_;
  std::vector<OutboundKey> lanes_;
  OutboundBatch batch_;
  std::vector<Digest> digests_;
  PacketSet plain_;  // signed again and again, under new numbers
  Target plain_target_ = Target::sink;
};

}  // namespace cs::bench
