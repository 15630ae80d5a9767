// SPDX-License-Identifier: GPL-3.0-or-later
// SHA-256, each way where it is the fastest: short messages of a fixed size (tree nodes), any
// message, and many packets at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "nfq-signer/packet.h"

namespace cs {

using Digest = std::array<std::uint8_t, 32>;

[[nodiscard]] Digest sha256(ByteView message) noexcept;

// A message that fits one block with its padding, at most 55 bytes: laid out once, then hashed as
// often as parts of it change. For tree nodes, which are the most of what is hashed beside packets.
class ShortMessage {
 public:
  static constexpr std::size_t most = 55;

  explicit ShortMessage(std::size_t size = 0) noexcept;
  // Its bytes, to be written to.
  [[nodiscard]] ByteSpan bytes() noexcept { return ByteSpan(block_).first(size_); }
  [[nodiscard]] Digest hash() const noexcept;
  // The same of each, in less time than one after the other; each has its place in `out`.
  static void hash_all(std::span<const ShortMessage> messages,
                       std::span<Digest* const> out) noexcept;

 private:
  std::array<std::uint8_t, 64> block_{};
  std::size_t size_;
};

// d_i of docs/WIRE.md for many packets, side by side in the processor's vector registers. For one
// thread. Allocates when it is made, not afterwards.
class PacketHasher {
 public:
  // Fails if this processor lacks what the library needs, or `capacity` is 0.
  static Result<PacketHasher> create(std::size_t capacity);

  PacketHasher(PacketHasher&& other) noexcept;
  PacketHasher& operator=(PacketHasher&& other) noexcept;
  PacketHasher(const PacketHasher&) = delete;
  PacketHasher& operator=(const PacketHasher&) = delete;
  ~PacketHasher();

  // The packet without extension, and where its digest goes. Both must stay until run(); until then
  // two bytes of the packet's IP or UDP header are not what they were. At most `capacity` between
  // two runs.
  void add(const Layout& at, ByteSpan packet, Digest& out) noexcept;
  // Fills every digest and puts every header right again.
  void run() noexcept;

 private:
  struct Engine;
  struct Job {
    std::uint8_t* start = nullptr;  // of the prefix in front of the payload
    std::size_t size = 0;
    Digest* out = nullptr;
    std::array<std::uint8_t, 2> overwritten{};
  };

  PacketHasher(std::unique_ptr<Engine> engine, std::size_t capacity);

  std::unique_ptr<Engine> engine_;
  std::vector<Job> jobs_;
  std::size_t used_ = 0;
};

}  // namespace cs
