// SPDX-License-Identifier: GPL-3.0-or-later
// The gate tag: docs/WIRE.md, section 4. It spares us the signature check of what is not from the
// peer.
#pragma once

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/constant_time.h"
#include "base/secret.h"
#include "nfq-signer/extension.h"
#include "nfq-signer/hash.h"

namespace cs {

// One per direction, so that a packet sent back to its sender fails here.
class Gate {
 public:
  static constexpr std::size_t secret_size = crypto_shorthash_siphash24_KEYBYTES;

  // The secret has secret_size bytes.
  explicit Gate(SecretBytes secret) noexcept : secret_(std::move(secret)) {}

  // `extension` is all of it; the bytes of its tag do not count.
  [[nodiscard]] Tag tag(const Digest& packet, ByteView extension) const noexcept {
    constexpr std::size_t behind = 2;  // kind, words
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only what is written is read
    std::array<std::uint8_t, sizeof(Digest) + max_extension> message;
    auto* end = std::copy(packet.begin(), packet.end(), message.begin());
    const ByteView front = extension.first(extension.size() - tag_size - behind);
    end = std::copy(front.begin(), front.end(), end);
    const ByteView back = extension.last(behind);
    end = std::copy(back.begin(), back.end(), end);
    Tag tag{};
    crypto_shorthash_siphash24(tag.data(), message.data(),
                               static_cast<std::size_t>(end - message.begin()),
                               secret_.bytes().data());
    return tag;
  }

  [[nodiscard]] bool admits(const Digest& packet, ByteView extension,
                            ByteView claimed) const noexcept {
    return constant_time_equal(tag(packet, extension), claimed);
  }

 private:
  SecretBytes secret_;
};

}  // namespace cs
